"""Writes the networks of the bench page as ONNX, with the same weights and inputs, for other runtimes.

    python export_onnx.py OUT_FOLDER [tiny nano base full_attention_block]
    python export_onnx.py --verify ../shared/reference OUT_FOLDER     (needs the package onnxruntime)

For each network NAME: NAME.onnx (input `x` [1, C, H, W], output `logits` [1, classes, H, W]) and NAME.input.f32 (raw
little-endian values of `x`). Weights and input follow the formula of the reference data, as src/model/formula.rs does.

The graph takes the same savings as src/model: spectral blocks that influence nothing are left out, bands are mapped
before they are pooled where that is less work, the segmentation head is folded into one matrix a feature and runs before
the up-sampling. What is constant is multiplied here, once. Pooling and up-sampling are constant matrix products: adaptive
pooling has no ONNX form. The sampling attention is one GridSample of keys and values together; its reference points are
float32 constants, since runtimes have no float64 GridSample. Opset 17: 16 brought GridSample, 17 LayerNormalization.
"""

import argparse
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
from networks import NETWORKS, REDUCED, adaptive_average, bilinear, formula, formula_input, spectral_blocks
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def read_safetensors(path):
    """All float32 and int64 tensors of the file."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    kinds = {"F32": np.float32, "I64": np.int64}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] in kinds:
            start, end = (8 + length + place for place in entry["data_offsets"])
            tensors[name] = np.frombuffer(data[start:end], kinds[entry["dtype"]]).reshape(entry["shape"])
    return tensors


# --- the graph -----------------------------------------------------------------------------------------------------


class Graph:
    def __init__(self, source):
        self.source = source
        self.nodes, self.constants, self.known = [], [], {}

    def node(self, kind, *inputs, outputs=1, **attributes):
        names = [f"{kind}_{len(self.nodes)}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values):
        values = np.ascontiguousarray(values)
        key = (values.dtype.str, values.shape, values.tobytes()) if values.size < 4096 else None
        if key not in self.known or key is None:
            name = f"c{len(self.constants)}"
            self.constants.append(numpy_helper.from_array(values, name))
            if key is None:
                return name
            self.known[key] = name
        return self.known[key]

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def number(self, value):
        return self.constant(np.array(value, np.float32))

    def weight(self, name, *shape):
        return self.source(name, shape)

    def reshape(self, x, *shape):
        return self.node("Reshape", x, self.ints(*shape))

    def linear(self, x, name, inputs, outputs):
        """Rows of x [n, inputs] → [n, outputs]; `inputs` may be the shape of a convolution's kernel."""
        inputs = inputs if isinstance(inputs, tuple) else (inputs,)
        weight = self.weight(f"{name}.weight", outputs, *inputs).reshape(outputs, -1).T
        bias = self.weight(f"{name}.bias", outputs)
        return self.node("Gemm", x, self.constant(weight), self.constant(bias))

    def layer_norm(self, x, name, dim):
        gain, bias = self.weight(f"{name}.weight", dim), self.weight(f"{name}.bias", dim)
        return self.node("LayerNormalization", x, self.constant(gain), self.constant(bias), epsilon=1e-6)

    def gelu(self, x):
        erf = self.node("Erf", self.node("Div", x, self.number(math.sqrt(2.0))))
        return self.node("Mul", self.node("Mul", x, self.node("Add", erf, self.number(1))), self.number(0.5))

    def block(self, x, name, config, index, grid):
        """A transformer block, [N, D] → [N, D]."""
        dim = config.embed_dim
        normed = self.layer_norm(x, f"{name}.norm1", dim)
        full = (index + 1) % config.interval == 0
        mixed = self.attend(normed, name, config, grid) if full else self.sample(normed, name, config, grid)
        x = self.node("Add", x, self.linear(mixed, f"{name}.attn.proj", dim, dim))
        normed = self.layer_norm(x, f"{name}.norm2", dim)
        hidden = self.gelu(self.linear(normed, f"{name}.mlp.fc1", dim, dim * config.mlp_ratio))
        return self.node("Add", x, self.linear(hidden, f"{name}.mlp.fc2", dim * config.mlp_ratio, dim))

    def attend(self, x, name, config, grid):
        dim, heads, count = config.embed_dim, config.heads, grid[0] * grid[1]
        qkv = self.linear(x, f"{name}.attn.qkv", dim, 3 * dim)
        qkv = self.node("Transpose", self.reshape(qkv, count, 3, heads, dim // heads), perm=[1, 2, 0, 3])
        q, k, v = (self.reshape(part, heads, count, dim // heads) for part in self.node("Split", qkv, outputs=3, axis=0))
        q = self.node("Mul", q, self.number((dim // heads) ** -0.5))
        logits = self.node("MatMul", q, self.node("Transpose", k, perm=[0, 2, 1]))
        mixed = self.node("MatMul", self.node("Softmax", logits, axis=-1), v)  # [heads, N, d]
        return self.reshape(self.node("Transpose", mixed, perm=[1, 0, 2]), count, dim)

    def sample(self, x, name, config, grid):
        """Sparse sampling attention: P samples of keys and values a query and head."""
        dim, heads, points, (rows, cols) = config.embed_dim, config.heads, config.points, grid
        width, count = dim // heads, rows * cols
        qkv = self.linear(x, f"{name}.attn.qkv", dim, 3 * dim)
        query = self.node("Slice", qkv, self.ints(0), self.ints(dim), self.ints(1))
        offsets = self.linear(query, f"{name}.attn.sampling_offsets", dim, heads * points * 2)
        offsets = self.node("Transpose", self.reshape(offsets, count, heads, points, 2), perm=[1, 0, 2, 3])
        # A cell is 2 / size wide where corners are not aligned, and the first one's centre lies half a cell inside.
        cell = np.array([2 / cols, 2 / rows], np.float32)
        places = np.stack(np.meshgrid(np.arange(cols), np.arange(rows)), -1).reshape(1, count, 1, 2)
        centres = ((2 * places + 1) / np.array([cols, rows]) - 1).astype(np.float32)
        places = self.node("Add", self.node("Mul", offsets, self.constant(cell)), self.constant(centres))

        qkv = self.node("Transpose", self.reshape(qkv, count, 3, heads, width), perm=[2, 1, 3, 0])  # [heads, 3, d, N]
        q, kv = self.node("Split", qkv, self.ints(1, 2), outputs=2, axis=1)
        kv = self.reshape(kv, heads, 2 * width, rows, cols)
        sampled = self.node("GridSample", kv, places, mode="bilinear", padding_mode="zeros", align_corners=0)
        k, v = self.node("Split", sampled, outputs=2, axis=1)  # [heads, d, N, P]
        q = self.node("Mul", self.reshape(q, heads, width, count, 1), self.number(width**-0.5))
        logits = self.node("ReduceSum", self.node("Mul", q, k), self.ints(1), keepdims=1)  # [heads, 1, N, P]
        weights = self.node("Softmax", logits, axis=-1)
        mixed = self.node("ReduceSum", self.node("Mul", v, weights), self.ints(3), keepdims=0)  # [heads, d, N]
        return self.reshape(self.node("Transpose", mixed, perm=[2, 0, 1]), count, dim)


def build(config, live, source):
    graph = Graph(source)
    factors = spectral_factors(graph, config, live)
    features = spatial_features(graph, config)
    logits = head(graph, config, features, factors)
    graph.node("Reshape", logits, graph.ints(1, config.classes, config.rows, config.cols))
    graph.nodes[-1].output[0] = "logits"
    shapes = {
        "x": [1, config.components, config.rows, config.cols],
        "logits": [1, config.classes, config.rows, config.cols],
    }
    x, logits = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    whole = helper.make_graph(graph.nodes, "hypersigma", [x], [logits], graph.constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def spectral_factors(graph, config, live):
    """The factors 1 + w of the four features, deepest first, [1, D] each."""
    tokens, dim, pixels = config.spectral_tokens, config.embed_dim, config.rows * config.cols
    x = graph.reshape("x", config.components, pixels)
    pooling = graph.constant(adaptive_average(config.components, tokens))
    weight = graph.constant(graph.weight("spec_encoder.spat_map.weight", dim, pixels).T)
    # Both are linear: whichever leaves fewer rows comes first.
    if config.components < tokens:
        x = graph.node("MatMul", pooling, graph.node("MatMul", x, weight))
    else:
        x = graph.node("MatMul", graph.node("MatMul", pooling, x), weight)
    shift = graph.weight("spec_encoder.spat_map.bias", dim) + graph.weight("spec_encoder.pos_embed", 1, tokens, dim)[0]
    x = graph.node("Add", x, graph.constant(shift))
    side = math.isqrt(tokens)
    for i in range(live):
        x = graph.block(x, f"spec_encoder.blocks.{i}", config, i, (side, side))
    # The mean over the channels of a linear map is the map by the mean of its rows.
    mean = graph.weight("spec_encoder.l1.weight", REDUCED, dim).mean(0, dtype=np.float64).astype(np.float32)
    spectrum = graph.reshape(graph.node("MatMul", x, graph.constant(mean[:, None])), 1, tokens)
    factors = []
    for j in range(1, 5):
        inner = graph.weight(f"fc_spec{j}.0.weight", REDUCED, tokens).T
        outer = graph.weight(f"fc_spec{j}.2.weight", dim, REDUCED).T
        hidden = graph.node("Relu", graph.node("MatMul", spectrum, graph.constant(inner)))
        gate = graph.node("Sigmoid", graph.node("MatMul", hidden, graph.constant(outer)))
        factors.append(graph.node("Add", gate, graph.number(1)))
    return factors


def spatial_features(graph, config):
    """The block outputs of the four features, shallowest first, [N, D] each."""
    (rows, cols), dim, patch, bands = config.grid, config.embed_dim, config.patch, config.components
    assert rows * patch == config.rows and cols * patch == config.cols, "the tile must be whole patches"
    x = graph.reshape("x", bands, rows, patch, cols, patch)
    x = graph.reshape(graph.node("Transpose", x, perm=[1, 3, 0, 2, 4]), rows * cols, bands * patch * patch)
    x = graph.linear(x, "spat_encoder.patch_embed.proj", (bands, patch, patch), dim)
    x = graph.node("Add", x, graph.constant(graph.weight("spat_encoder.pos_embed", 1, rows * cols, dim)[0]))
    features = []
    for i in range(config.depth):
        x = graph.block(x, f"spat_encoder.blocks.{i}", config, i, (rows, cols))
        features += [x] * config.features.count(i)
    return features


def head(graph, config, features, factors):
    """Logits [classes, H, W]: each feature is mapped to class maps on its own grid, then up-sampled and added."""
    dim, classes = config.embed_dim, config.classes
    cls = graph.weight("cls.weight", classes, REDUCED, 1, 1)[:, :, 0, 0].astype(np.float64)
    conv = graph.weight("conv.weight", REDUCED, 4 * REDUCED, 1, 1)[:, :, 0, 0].astype(np.float64)
    by_size = {}
    for j, (feature, scale, factor) in enumerate(zip(features[::-1], config.scales[::-1], factors)):
        reduce = graph.weight(f"DR{j + 1}.weight", REDUCED, dim, 1, 1)[:, :, 0, 0].astype(np.float64)
        fused = cls @ conv[:, j * REDUCED : (j + 1) * REDUCED] @ reduce  # [classes, D]
        weights = graph.node("Mul", graph.constant(fused.astype(np.float32)), factor)
        size, maps = project(graph, config, feature, scale, weights)
        by_size.setdefault(size, []).append(maps)
    parts = []
    for (h, w), maps in by_size.items():
        total = maps[0]
        for more in maps[1:]:
            total = graph.node("Add", total, more)
        if (h, w) != (config.rows, config.cols):
            total = graph.node("MatMul", total, graph.constant(bilinear(w, config.cols).T))
            total = graph.node("MatMul", graph.constant(bilinear(h, config.rows)), total)
        parts.append(total)
    bias = cls @ graph.weight("conv.bias", REDUCED).astype(np.float64) + graph.weight("cls.bias", classes)
    parts.append(graph.constant(bias.astype(np.float32)[:, None, None]))
    total = parts[0]
    for more in parts[1:]:
        total = graph.node("Add", total, more)
    return total


def project(graph, config, feature, scale, weights):
    """A linear map of the feature at every place: its size and [classes, h, w]."""
    (rows, cols), dim, classes = config.grid, config.embed_dim, config.classes
    if scale == "double":
        # Officially a transposed convolution of 2 × 2 with stride 2, [in, out, 2, 2].
        double = graph.weight("spat_encoder.fpn1.0.weight", dim, dim, 2, 2)
        spread = double.transpose(1, 2, 3, 0).reshape(dim, 4 * dim)
        squares = graph.reshape(graph.node("MatMul", weights, graph.constant(spread)), classes * 4, dim)
        maps = graph.node("Gemm", squares, feature, transB=1)  # [classes * 4, N]
        maps = graph.node("Transpose", graph.reshape(maps, classes, 2, 2, rows, cols), perm=[0, 3, 1, 4, 2])
        bias = graph.weight("spat_encoder.fpn1.0.bias", dim)
        shift = graph.reshape(graph.node("MatMul", weights, graph.constant(bias[:, None])), classes, 1, 1)
        size = 2 * rows, 2 * cols
        return size, graph.node("Add", graph.reshape(maps, classes, *size), shift)
    if scale == 1:
        return (rows, cols), graph.reshape(graph.node("Gemm", weights, feature, transB=1), classes, rows, cols)
    maps = graph.reshape(graph.node("Transpose", feature, perm=[1, 0]), 1, dim, rows, cols)
    maps = graph.node("MaxPool", maps, kernel_shape=[scale, scale], strides=[scale, scale])
    h, w = rows // scale, cols // scale
    return (h, w), graph.reshape(graph.node("MatMul", weights, graph.reshape(maps, dim, h * w)), classes, h, w)


# --- command line --------------------------------------------------------------------------------------------------


def write(name, folder):
    config = NETWORKS[name]
    model = build(config, spectral_blocks(name), formula)
    parameters = sum(math.prod(constant.dims) for constant in model.graph.initializer)
    # The checker cannot take what is larger than protobuf's 2 GB; none of these is.
    onnx.checker.check_model(model)
    partial = folder / f"{name}.onnx.partial"
    onnx.save(model, partial)
    formula_input((1, config.components, config.rows, config.cols)).astype("<f4").tofile(folder / f"{name}.input.f32")
    partial.rename(folder / f"{name}.onnx")
    print(f"{name}: {parameters / 1e6:.1f} M values, {len(model.graph.node)} nodes")


def verify(reference):
    """The tiny network against the official code's logits; both samples of the batch."""
    import onnxruntime

    given = read_safetensors(reference / "tiny_seg/model.safetensors")
    activations = read_safetensors(reference / "tiny_seg/activations.safetensors")

    def source(name, shape):
        values = given[name]
        assert values.shape == tuple(shape), (name, values.shape, shape)
        assert np.array_equal(values, formula(name, shape)), f"{name} does not follow the formula"
        return values

    config = NETWORKS["tiny"]
    session = onnxruntime.InferenceSession(build(config, spectral_blocks("tiny"), source).SerializeToString())
    x = activations["input"]
    logits = np.concatenate([session.run(None, {"x": sample[None]})[0] for sample in x])
    logits = logits.reshape(len(x), config.classes, -1).transpose(0, 2, 1)
    expected = activations["logits"].reshape(logits.shape)
    worst = float(np.abs(logits - expected).max())
    relative = float(np.linalg.norm(logits - expected) / np.linalg.norm(expected))
    print(f"tiny against the official code: max abs {worst:.2e}, rel L2 {relative:.2e}")
    return worst < 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--verify", type=Path, metavar="REFERENCE", help="check the tiny network against the reference data")
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", metavar="network", help=", ".join(NETWORKS))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.networks if name not in NETWORKS]
    if unknown:
        parser.error(f"there is no network {unknown[0]}; choose among {', '.join(NETWORKS)}")
    if arguments.verify and not verify(arguments.verify):
        sys.exit("The tiny network does not agree with the reference.")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.networks or ([] if arguments.verify else list(NETWORKS)):
        write(name, arguments.folder)


if __name__ == "__main__":
    main()
