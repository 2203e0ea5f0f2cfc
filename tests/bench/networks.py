"""The bench's networks without a runtime: shapes, weights and inputs by the formula, constant matrices. numpy only."""

import math
from dataclasses import dataclass, replace

import numpy as np

REDUCED = 128


@dataclass(frozen=True)
class Config:
    """Shapes as in src/model/config.rs; a difference shows in the outputs, which run.mjs compares."""

    rows: int
    cols: int
    components: int
    classes: int
    embed_dim: int
    depth: int
    heads: int
    interval: int
    features: tuple
    patch: int = 8
    spectral_tokens: int = 100
    mlp_ratio: int = 4
    points: int = 8

    @property
    def grid(self):
        return self.rows // self.patch, self.cols // self.patch

    @property
    def scales(self):
        """Of the four features, shallowest first: doubled, kept or pooled over squares of this side."""
        if self.patch <= 2:
            return "double", 1, 2, 4
        return (1, 1, 2, 4) if self.patch <= 8 else (1, 1, 1, 1)


# The shapes of src/engine/jobs/bench.rs.
BASE = Config(128, 128, 20, 9, embed_dim=768, depth=12, heads=12, interval=3, features=(3, 5, 7, 11))
NETWORKS = {
    "tiny": Config(32, 32, 8, 6, embed_dim=48, depth=4, heads=4, interval=2, features=(0, 1, 2, 3), spectral_tokens=16),
    "nano": Config(128, 128, 20, 9, embed_dim=64, depth=4, heads=4, interval=5, features=(0, 1, 2, 3), patch=2),
    "full_attention_block": replace(BASE, depth=1, interval=1, features=(0, 0, 0, 0)),
    "base": BASE,
}
# The official spectral feature is the first collected one; tiny takes it one block later, as its reference data do.
SPECTRAL_BLOCKS = {"tiny": 2}


def spectral_blocks(name):
    return SPECTRAL_BLOCKS.get(name, NETWORKS[name].features[0] + 1)


# --- weights -------------------------------------------------------------------------------------------------------


def unit(name, count):
    """Numbers in [-1, 1), exact in float32: SplitMix64 seeded by FNV-1a of the name."""
    base = 0xCBF29CE484222325
    for byte in name.encode():
        base = ((base ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(base) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    u = (z >> np.uint64(40)).astype(np.float32) / np.float32(2**24)
    return np.float32(2) * u - np.float32(1)


def formula(name, shape):
    even = math.sqrt(3.0 / max(1, math.prod(shape[1:])))
    module, last = ([""] + name.split("."))[-2:]
    norm = module.startswith("norm") or module == "ln"
    offset = np.float32(0)
    if name.endswith("pos_embed"):
        scale = 0.5
    elif last == "weight" and norm:
        scale, offset = 0.1, np.float32(1)
    elif last == "bias":
        scale = 1.5 if module == "sampling_offsets" else 0.1
    elif module == "sampling_offsets":
        scale = even * 1.5
    elif name.startswith("fc_spec"):
        scale = even * 5.0
    else:
        scale = even
    return (offset + np.float32(scale) * unit(name, math.prod(shape))).reshape(shape)


def formula_input(shape):
    return (np.float32(math.sqrt(3.0)) * unit("input", math.prod(shape))).reshape(shape)


# --- constant matrices ---------------------------------------------------------------------------------------------


def adaptive_average(count, out):
    """[out, count]: row t is the mean of floor(t n / T) .. ceil((t + 1) n / T)."""
    weights = np.zeros((out, count), np.float32)
    for t in range(out):
        start, end = t * count // out, -(-(t + 1) * count // out)
        weights[t, start:end] = np.float32(1) / np.float32(end - start)
    return weights


def bilinear(count, out):
    """[out, count]: linear interpolation with corners aligned."""
    weights = np.zeros((out, count), np.float32)
    step = np.float32(count - 1) / np.float32(out - 1) if out > 1 else np.float32(0)
    for i in range(out):
        place = step * np.float32(i)
        below = min(int(place), count - 1)
        share = place - np.float32(below)
        weights[i, below] += np.float32(1) - share
        weights[i, min(below + 1, count - 1)] += share
    return weights
