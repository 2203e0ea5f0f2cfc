// Weights that the tests make: encoders of the tiny size with repeatable numbers, and networks of the paper's sizes without numbers.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { makeGguf } from '../readers/gguf.mjs';

/** SHA-256 in hexadecimal, as the page shows it. */
export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** Names and shapes of an encoder's blocks under the official names. */
function blocks(prefix, count, width) {
  const list = [];
  for (let i = 0; i < count; i++) {
    const biased = (name, rows, cols) => list.push([`${prefix}.blocks.${i}.${name}.weight`, cols ? [rows, cols] : [rows]], [`${prefix}.blocks.${i}.${name}.bias`, [rows]]);
    biased('norm1', width);
    biased('attn.qkv', 3 * width, width);
    biased('attn.proj', width, width);
    biased('norm2', width);
    biased('mlp.fc1', 4 * width, width);
    biased('mlp.fc2', width, 4 * width);
  }
  return list;
}

/** Small numbers, different from tensor to tensor; norms are near 1. */
function numbers(name, length) {
  let state = [...name].reduce((sum, letter) => (sum * 31 + letter.charCodeAt(0)) >>> 0, 7);
  const base = /norm\d\.weight$/.test(name) ? 1 : 0;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return base + 0.2 * (state / 2 ** 32 - 0.5);
  });
}

/** Pre-trained encoders of the tiny size (48 wide, 4 deep, 2 spectral blocks that count) as a GGUF file. `license` is its own. */
export function tinyGguf({ license = 'CC0-1.0' } = {}) {
  const shapes = [...blocks('spat_encoder', 4, 48), ['spec_encoder.pos_embed', [1, 16, 48]], ...blocks('spec_encoder', 2, 48)];
  const tensors = shapes.map(([name, shape]) => ({ name, shape, values: numbers(name, shape.reduce((a, b) => a * b)) }));
  return makeGguf(
    {
      'general.architecture': ['text', 'hypersigma'],
      'general.name': ['text', 'HyperSIGMA Tiny, pre-trained encoders'],
      'general.license': ['text', license],
      'general.alignment': ['u32', 32],
      'general.file_type': ['u32', 0],
      'general.quantization_version': ['u32', 2],
      'hypersigma.origin': ['text', 'pretraining'],
      'hypersigma.size': ['text', 'tiny'],
      'hypersigma.quantization': ['text', 'f32'],
      'hypersigma.embedding_length': ['u32', 48],
      'hypersigma.block_count': ['u32', 4],
      'hypersigma.feed_forward_length': ['u32', 192],
      'hypersigma.attention.head_count': ['u32', 4],
      'hypersigma.attention.interval': ['u32', 2],
      'hypersigma.attention.point_count': ['u32', 8],
      'hypersigma.attention.layer_norm_epsilon': ['f32', 1e-6],
      'hypersigma.feature_blocks': [['u32'], [0, 1, 2, 3]],
      'hypersigma.spectral.token_count': ['u32', 16],
      'hypersigma.spectral.block_count': ['u32', 2],
      'hypersigma.complete': ['bool', false],
    },
    tensors,
  );
}

/** The catalogue of shipped weights. */
export const catalogue = (...weights) => Buffer.from(JSON.stringify({ format: 1, weights }));

/** One of its entries, for `tinyGguf`. */
export function entry(name, bytes, own = {}) {
  return {
    name,
    description: 'Encoders for tests.',
    size: 'tiny',
    quantization: 'f32',
    bytes: bytes.length,
    sha256: sha256(bytes),
    parameters: 170_000,
    device_bytes: 2_000_000,
    license: 'CC0-1.0',
    url: 'weights/tiny.gguf',
    ...own,
  };
}

/** Width and depth of the paper's sizes. */
const PAPER = { base: [768, 12], large: [1024, 24], huge: [1280, 32] };

/**
 * Writes a pair of pre-trained encoders of one of the paper's sizes as safetensors: all names and shapes, and holes where the
 * numbers would be, so that gigabytes take no room. They read as zeros.
 */
export async function paperCheckpoints(folder, size) {
  const [width, depth] = PAPER[size];
  const paths = [];
  for (const [half, tokens] of [['spat', 64], ['spec', 100]]) {
    const shapes = [['pos_embed', [1, tokens, width]], ['mask_token', [1, 1, 512]]];
    shapes.push(...blocks('x', depth, width).map(([name, shape]) => [name.slice(2), shape]));
    shapes.push(half === 'spat' ? ['patch_embed.proj.weight', [width, 100, 8, 8]] : ['spat_map.weight', [width, 4096]]);
    let at = 0;
    const header = Object.fromEntries(
      shapes.map(([name, shape]) => {
        const from = at;
        at += 4 * shape.reduce((a, b) => a * b);
        return [name, { dtype: 'F32', shape, data_offsets: [from, at] }];
      }),
    );
    const json = Buffer.from(JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    const path = `${folder}/${half}-vit-${size}-ultra-checkpoint-1599.safetensors`;
    const file = await open(path, 'w');
    await file.write(Buffer.concat([length, json]));
    await file.truncate(8 + json.length + at);
    await file.close();
    paths.push(path);
  }
  return paths;
}
