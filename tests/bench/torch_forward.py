"""Times one forward pass of the bench's networks in PyTorch on the CPU, natively, as JSON lines.

    python torch_forward.py [--networks nano,base] [--threads 1,2] [--dtypes float32,bfloat16,int8]

The same networks, weights and input as export_onnx.py (networks.py; this needs numpy and torch), written with PyTorch's own
fused operations: linear, layer_norm, gelu, scaled_dot_product_attention, grid_sample. The savings of the graph are taken too:
no dead spectral blocks, bands mapped before pooling, the head before the up-sampling. `int8` is torch.ao's dynamic quantization
of the linear layers. `output_sum` and `output_l2` are those of the bench's document.
"""

import argparse
import json
import math
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from networks import NETWORKS, REDUCED, adaptive_average, formula, formula_input, spectral_blocks
from torch import nn

REPETITIONS = 5


def weight(name, *shape):
    return torch.from_numpy(formula(name, shape).copy())


class Block(nn.Module):
    def __init__(self, name, config, index, grid):
        super().__init__()
        dim, self.heads, self.points, self.grid = config.embed_dim, config.heads, config.points, grid
        self.full = (index + 1) % config.interval == 0
        layers = {"attn.qkv": (3 * dim, dim), "attn.proj": (dim, dim)}
        layers |= {"mlp.fc1": (dim * config.mlp_ratio, dim), "mlp.fc2": (dim, dim * config.mlp_ratio)}
        if not self.full:
            layers["attn.sampling_offsets"] = (config.heads * config.points * 2, dim)
        for layer, (outputs, inputs) in layers.items():
            linear = nn.Linear(inputs, outputs)
            linear.weight.data = weight(f"{name}.{layer}.weight", outputs, inputs)
            linear.bias.data = weight(f"{name}.{layer}.bias", outputs)
            setattr(self, layer.split(".")[1], linear)
        for norm in ("norm1", "norm2"):
            layer = nn.LayerNorm(dim, eps=1e-6)
            layer.weight.data, layer.bias.data = weight(f"{name}.{norm}.weight", dim), weight(f"{name}.{norm}.bias", dim)
            setattr(self, norm, layer)
        rows, cols = grid
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(cols), indexing="ij")
        size = torch.tensor([cols, rows], dtype=torch.float32)
        centres = (2 * torch.stack([x, y], -1).reshape(1, rows * cols, 1, 2) + 1) / size - 1
        self.register_buffer("centres", centres)
        self.register_buffer("cell", 2 / size)

    def forward(self, x):
        mixed = self.attend(self.norm1(x)) if self.full else self.sample(self.norm1(x))
        x = x + self.proj(mixed)
        return x + self.fc2(F.gelu(self.fc1(self.norm2(x))))

    def attend(self, x):
        count, dim = x.shape
        q, k, v = self.qkv(x).reshape(count, 3, self.heads, dim // self.heads).permute(1, 2, 0, 3).unsqueeze(1)
        return F.scaled_dot_product_attention(q, k, v)[0].transpose(0, 1).reshape(count, dim)

    def sample(self, x):
        (count, dim), heads, (rows, cols) = x.shape, self.heads, self.grid
        width = dim // heads
        qkv = self.qkv(x)
        offsets = self.sampling_offsets(qkv[:, :dim]).reshape(count, heads, self.points, 2).transpose(0, 1)
        places = offsets * self.cell + self.centres  # [heads, N, P, 2]
        q, kv = qkv.reshape(count, 3, heads, width).permute(2, 1, 3, 0).split([1, 2], dim=1)  # [heads, 1 or 2, d, N]
        kv = kv.reshape(heads, 2 * width, rows, cols)
        sampled = F.grid_sample(kv, places.to(kv.dtype), mode="bilinear", padding_mode="zeros", align_corners=False)
        k, v = sampled.split(width, dim=1)  # [heads, d, N, P]
        logits = (q.reshape(heads, width, count, 1) * k).sum(1, keepdim=True) * width**-0.5
        return (v * logits.softmax(-1)).sum(3).permute(2, 0, 1).reshape(count, dim)


class Network(nn.Module):
    """Logits [classes, H, W] of a tile [C, H, W]."""

    def __init__(self, name):
        super().__init__()
        config = self.config = NETWORKS[name]
        rows, cols = config.grid
        dim, bands, patch, tokens = config.embed_dim, config.components, config.patch, config.spectral_tokens
        self.patch_weight = weight("spat_encoder.patch_embed.proj.weight", dim, bands, patch, patch)
        self.patch_bias = weight("spat_encoder.patch_embed.proj.bias", dim)
        self.position = weight("spat_encoder.pos_embed", 1, rows * cols, dim)[0]
        self.blocks = nn.ModuleList(
            Block(f"spat_encoder.blocks.{i}", config, i, (rows, cols)) for i in range(config.depth)
        )
        self.pooling = torch.from_numpy(np.ascontiguousarray(adaptive_average(bands, tokens), dtype=np.float32))
        self.spat_map = weight("spec_encoder.spat_map.weight", dim, config.rows * config.cols)
        self.shift = weight("spec_encoder.spat_map.bias", dim) + weight("spec_encoder.pos_embed", 1, tokens, dim)[0]
        side = math.isqrt(tokens)
        self.spectral = nn.ModuleList(
            Block(f"spec_encoder.blocks.{i}", config, i, (side, side)) for i in range(spectral_blocks(name))
        )
        self.l1 = weight("spec_encoder.l1.weight", REDUCED, dim).mean(0)
        self.fc = [
            (weight(f"fc_spec{j}.0.weight", REDUCED, tokens), weight(f"fc_spec{j}.2.weight", dim, REDUCED))
            for j in range(1, 5)
        ]
        cls, conv = weight("cls.weight", config.classes, REDUCED), weight("conv.weight", REDUCED, 4 * REDUCED)
        reduce = [weight(f"DR{j}.weight", REDUCED, dim) for j in range(1, 5)]
        self.fused = [cls @ conv[:, j * REDUCED : (j + 1) * REDUCED] @ reduce[j] for j in range(4)]
        self.bias = cls @ weight("conv.bias", REDUCED) + weight("cls.bias", config.classes)
        if config.scales[0] == "double":
            self.double = weight("spat_encoder.fpn1.0.weight", dim, dim, 2, 2)
            self.double_bias = weight("spat_encoder.fpn1.0.bias", dim)

    def forward(self, x):
        config = self.config
        spectrum = x.reshape(config.components, -1)
        if config.components < config.spectral_tokens:
            tokens = self.pooling @ (spectrum @ self.spat_map.T)
        else:
            tokens = (self.pooling @ spectrum) @ self.spat_map.T
        tokens = tokens + self.shift
        for block in self.spectral:
            tokens = block(tokens)
        pooled = tokens @ self.l1  # [T]
        factors = [1 + torch.sigmoid(outer @ F.relu(inner @ pooled)) for inner, outer in self.fc]

        (rows, cols), dim = config.grid, config.embed_dim
        y = F.conv2d(x.unsqueeze(0), self.patch_weight, self.patch_bias, stride=config.patch)[0]
        y = y.reshape(dim, -1).T + self.position
        features = []
        for i, block in enumerate(self.blocks):
            y = block(y)
            features += [y] * config.features.count(i)
        by_size = {}
        # Deepest first, as the factors.
        for feature, scale, factor, fused in zip(features[::-1], config.scales[::-1], factors, self.fused):
            maps = self.project(feature, scale, fused * factor)
            size = tuple(maps.shape[-2:])
            by_size[size] = maps if size not in by_size else by_size[size] + maps
        total = self.bias[:, None, None]
        for maps in by_size.values():
            size = (config.rows, config.cols)
            total = total + F.interpolate(maps[None], size, mode="bilinear", align_corners=True)[0]
        return total

    def project(self, feature, scale, weights):
        """A linear map of the feature at every place, [classes, h, w]."""
        (rows, cols), dim, classes = self.config.grid, self.config.embed_dim, self.config.classes
        if scale == "double":
            spread = (weights @ self.double.permute(1, 2, 3, 0).reshape(dim, 4 * dim)).reshape(classes * 4, dim)
            maps = (spread @ feature.T).reshape(classes, 2, 2, rows, cols).permute(0, 3, 1, 4, 2)
            return maps.reshape(classes, 2 * rows, 2 * cols) + (weights @ self.double_bias)[:, None, None]
        if scale == 1:
            return (weights @ feature.T).reshape(classes, rows, cols)
        maps = F.max_pool2d(feature.T.reshape(1, dim, rows, cols), scale)[0]
        return (weights @ maps.reshape(dim, -1)).reshape(classes, *maps.shape[-2:])


def variant(network, dtype):
    """The network in another arithmetic; only the large layers, as in the page."""
    if dtype == "int8":
        return torch.ao.quantization.quantize_dynamic(network, {nn.Linear}, dtype=torch.qint8), torch.no_grad()
    if dtype == "bfloat16":
        return network, torch.autocast("cpu", dtype=torch.bfloat16)
    return network, torch.no_grad()


def measure(name, dtype, threads):
    torch.set_num_threads(threads)
    config = NETWORKS[name]
    x = torch.from_numpy(formula_input((config.components, config.rows, config.cols)).copy())
    network, mode = variant(Network(name).eval(), dtype)
    seconds = []
    with torch.no_grad(), mode:
        for _ in range(REPETITIONS + 1):
            start = time.perf_counter()
            logits = network(x)
            seconds.append(time.perf_counter() - start)
    return {
        "network": name, "runtime": f"PyTorch {torch.__version__}", "dtype": dtype, "threads": threads,
        "first_s": seconds[0], "median_s": statistics.median(seconds[1:]), "best_s": min(seconds[1:]),
        "output_sum": float(logits.double().sum()), "output_l2": float(logits.double().norm()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", default="nano,base")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--dtypes", default="float32,bfloat16,int8")
    arguments = parser.parse_args()
    for name in arguments.networks.split(","):
        for dtype in arguments.dtypes.split(","):
            for threads in map(int, arguments.threads.split(",")):
                print(json.dumps(measure(name, dtype, threads)), flush=True)


if __name__ == "__main__":
    main()
