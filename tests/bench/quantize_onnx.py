"""Quantizes the networks of export_onnx.py with onnxruntime's own quantizers, for its side of the quantized rows.

    python quantize_onnx.py FOLDER [nano base]      (needs the packages onnxruntime and numpy)

Of NAME.onnx it makes, in the same folder:

    NAME.int8.onnx   quantize_dynamic: weights int8 a channel, activations uint8 a tensor, chosen while it runs (MatMulInteger)
    NAME.q8.onnx     MatMulNBits: 8 bits, blocks of 32, symmetric; multiplied as int8 (accuracy level 4)
    NAME.q4.onnx     the same with 4 bits

and prints how far each output is from the float32 one, run natively. Both quantizers know MatMul only, so the linear layers,
exported as Gemm, become MatMul and Add first. Matrices whose rows are no whole blocks stay float32, as the page's do.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.matmul_nbits_quantizer import DefaultWeightOnlyQuantConfig, MatMulNBitsQuantizer

NETWORKS = ("nano", "base")


def without_gemm(model):
    """Every Gemm with a constant, untransposed right side as MatMul and Add."""
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        plain = node.op_type == "Gemm" and not node.attribute and node.input[1] in constants
        if not plain:
            nodes.append(node)
            continue
        product = f"{node.output[0]}_product"
        nodes.append(helper.make_node("MatMul", node.input[:2], [product], f"{node.output[0]}_matmul"))
        nodes.append(helper.make_node("Add", [product, node.input[2]], node.output))
    # The quantizers find nodes by name.
    for index, node in enumerate(nodes):
        node.name = node.name or f"node_{index}"
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model


def projections(model):
    """Names of the products whose right side is a constant of whole blocks, [K, N] with K a multiple of 32."""
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    found = []
    for node in model.graph.node:
        shape = shapes.get(node.input[1]) if node.op_type == "MatMul" else None
        # Only large ones: what pools, up-samples or averages is no projection.
        if shape and len(shape) == 2 and shape[0] % 32 == 0 and shape[0] * shape[1] >= 4096:
            found.append(node.name)
    return found


def write(folder, name):
    plain = folder / f"{name}.onnx"
    matmul = folder / f"{name}.matmul.onnx"
    onnx.save(without_gemm(onnx.load(plain)), matmul)
    model = onnx.load(matmul)
    chosen = projections(model)
    others = [node.name for node in model.graph.node if node.op_type == "MatMul" and node.name not in chosen]
    print(f"{name}: {len(chosen)} products are quantized, {len(others)} are not")
    files = [folder / f"{name}.int8.onnx"]
    quantize_dynamic(matmul, files[0], weight_type=QuantType.QInt8, per_channel=True, nodes_to_quantize=chosen)
    for bits in (8, 4):
        config = DefaultWeightOnlyQuantConfig(block_size=32, is_symmetric=True, accuracy_level=4, bits=bits)
        quantizer = MatMulNBitsQuantizer(onnx.load(matmul), nodes_to_exclude=others, algo_config=config)
        quantizer.process()
        files.append(folder / f"{name}.q{bits}.onnx")
        onnx.save(quantizer.model.model, files[-1])
    matmul.unlink()
    compare(folder, name, files)


def compare(folder, name, files):
    def run(path):
        session = onnxruntime.InferenceSession(path)
        (given,) = session.get_inputs()
        x = np.fromfile(folder / f"{name}.input.f32", "<f4").reshape(given.shape)
        return session.run(None, {given.name: x})[0]

    expected = run(folder / f"{name}.onnx")
    for path in files:
        relative = float(np.linalg.norm(run(path) - expected) / np.linalg.norm(expected))
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, relative L2 {relative:.1e} from float32")
        if not relative < 0.5:
            sys.exit(f"{path.name} computes something else.")


def main():
    logging.getLogger("onnxruntime").setLevel(logging.ERROR)
    logging.getLogger().setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("networks", nargs="*", metavar="network", help=", ".join(NETWORKS))
    arguments = parser.parse_args()
    for name in arguments.networks or NETWORKS:
        write(arguments.folder, name)


if __name__ == "__main__":
    main()
