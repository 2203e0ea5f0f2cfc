"""Reads a file of ours with the gguf package, and quantizes its F32 tensor anew: the bytes must be the same."""

import sys

import gguf
import numpy as np

reader = gguf.GGUFReader(sys.argv[1])
assert reader.get_field("general.architecture").contents() == "hypersigma"
assert reader.get_field("hypersigma.class_names").contents() == ["Mais", "Grün"]
assert reader.get_field("hypersigma.projection.mean").contents() == [0.1, -2.5]
assert reader.get_field("hypersigma.feature_blocks").contents() == [3, 5, 7, 11]
tensors = {tensor.name: tensor for tensor in reader.tensors}
source = np.asarray(tensors["f32"].data)
assert source.shape == (37, 160) and source.dtype == np.float32
agree = []
for kind in (gguf.GGMLQuantizationType.F16, gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0):
    tensor = tensors[kind.name.lower()]
    assert tensor.tensor_type == kind and list(tensor.shape) == [160, 37]
    expected = gguf.quants.quantize(source, kind)
    assert np.array_equal(np.asarray(tensor.data).view(np.uint8).reshape(-1), expected.view(np.uint8).reshape(-1)), kind
    error = np.abs(gguf.quants.dequantize(np.asarray(tensor.data), kind) - source)
    # Half a step, or a whole one at the positive end of Q4_0; F16 of the scale besides.
    step = np.abs(source).reshape(-1, 32).max(1) / (8 if kind.name == "Q4_0" else 127)
    assert kind.name == "F16" or np.all(error.reshape(-1, 32).max(1) <= 1.01 * step + 1e-7), kind
    agree.append(kind.name.lower())
print(*agree, "agree")
