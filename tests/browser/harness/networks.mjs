// Whole networks as GGUF files: head, classes and the way from spectra to components are in them, so that they map by themselves.
import { makeGguf } from '../readers/gguf.mjs';

/** The metadata of a segmentation network. `shape` has the names of a saved model's description; `projection` numbers. */
function metadata(size, quantization, shape, projection, classes, settings) {
  const numbers = (list) => [['f64'], list.map(Number)];
  const { wavelengths_nm, scaling } = projection;
  return {
    'general.architecture': ['text', 'hypersigma'],
    'general.alignment': ['u32', 32],
    'hypersigma.origin': ['text', 'fine_tuning'],
    'hypersigma.size': ['text', size],
    'hypersigma.quantization': ['text', quantization],
    'hypersigma.embedding_length': ['u32', shape.embed_dim],
    'hypersigma.block_count': ['u32', shape.depth],
    'hypersigma.feed_forward_length': ['u32', 4 * shape.embed_dim],
    'hypersigma.attention.head_count': ['u32', shape.heads],
    'hypersigma.attention.interval': ['u32', shape.interval],
    'hypersigma.attention.point_count': ['u32', 8],
    'hypersigma.attention.layer_norm_epsilon': ['f32', 1e-6],
    'hypersigma.feature_blocks': [['u32'], shape.features],
    'hypersigma.spectral.token_count': ['u32', shape.spectral_tokens],
    'hypersigma.spectral.block_count': ['u32', shape.spectral_blocks],
    'hypersigma.complete': ['bool', false],
    'hypersigma.patch_size': ['u32', shape.patch],
    'hypersigma.component_count': ['u32', shape.components],
    'hypersigma.tile.rows': ['u32', shape.rows],
    'hypersigma.tile.cols': ['u32', shape.cols],
    'hypersigma.task': ['text', 'segmentation'],
    'hypersigma.class_count': ['u32', shape.classes],
    'hypersigma.class_names': [['text'], classes.map(({ name }) => name)],
    'hypersigma.class_colors': [['u32'], classes.map(({ color: [r, g, b] }) => (r << 16) | (g << 8) | b)],
    'hypersigma.projection.scene_bands': ['u32', projection.scene_bands],
    'hypersigma.projection.bands': [['u32'], projection.bands],
    'hypersigma.projection.pixels': ['u64', projection.pixels],
    'hypersigma.projection.mean': numbers(projection.mean),
    'hypersigma.projection.components': numbers(projection.components),
    'hypersigma.projection.variance': numbers(projection.variance),
    'hypersigma.projection.divisor': numbers(projection.divisor),
    'hypersigma.projection.total_variance': ['f64', Number(projection.total_variance)],
    ...(wavelengths_nm ? { 'hypersigma.projection.wavelengths_nm': numbers(wavelengths_nm) } : {}),
    ...(scaling ? { 'hypersigma.projection.scaling': numbers([scaling.offset, scaling.factor]) } : {}),
    ...(settings ? { 'hypersigma.settings': ['text', JSON.stringify(settings)] } : {}),
  };
}

/** A tiny model saved by the page (safetensors) as a GGUF file in float32. */
export function ggufOfModel(bytes) {
  const length = Number(bytes.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(bytes.subarray(8, 8 + length).toString('utf8'));
  const { shape, projection, classes, ...settings } = JSON.parse(__metadata__.sigmascope);
  const tensors = Object.entries(header).map(([name, { shape, data_offsets: [from, to] }]) => ({
    name,
    shape,
    values: new Float32Array(Uint8Array.from(bytes.subarray(8 + length + from, 8 + length + to)).buffer),
  }));
  return makeGguf(metadata('tiny', 'f32', shape, projection, classes, settings), tensors);
}

/** The paper's sizes. */
const PAPER = {
  base: { embed_dim: 768, depth: 12, heads: 12, interval: 3, features: [3, 5, 7, 11] },
  large: { embed_dim: 1024, depth: 24, heads: 16, interval: 6, features: [7, 11, 15, 23] },
  huge: { embed_dim: 1280, depth: 32, heads: 16, interval: 8, features: [10, 15, 20, 31] },
};
/** Channels that every feature is reduced to. */
const REDUCED = 128;

/**
 * A network of one of the paper's sizes for tiles of 16 × 16 pixels in patches of 4, fine-tuned on a scene of so many bands: all
 * its tensors in the types of a real file, and zeros for numbers. It maps everything to the first class.
 */
export function paperNetwork(size, quantization, bands) {
  const own = PAPER[size];
  const shape = { ...own, rows: 16, cols: 16, patch: 4, components: 8, classes: 3, spectral_tokens: 100, spectral_blocks: own.features[0] + 1 };
  const tensors = parameters(shape).map(([name, sides]) => ({ name, shape: sides, kind: isQuantized(name, sides) ? quantization : 'f32' }));
  const used = Array.from({ length: shape.components }, (_, band) => band);
  const ones = used.map(() => 1);
  const projection = { scene_bands: bands, bands: used, pixels: 1, mean: ones, components: [], variance: ones, divisor: ones, total_variance: 8 };
  const classes = ['one', 'two', 'three'].map((name, i) => ({ name, color: [80 * i, 200 - 80 * i, 120] }));
  const config = { size, patch: 4, components: 8, tile: 16, tile_overlap: 0, test_time_augmentation: false, test_time_shifts: 1 };
  const settings = { format: 1, config, scene: 'zeros', report: { split: '', history: [], best_epoch: 0 } };
  return makeGguf(metadata(size, quantization, shape, projection, classes, settings), tensors);
}

/** Names and shapes, as the official segmentation network has them. */
function parameters({ embed_dim: dim, depth, heads, interval, rows, cols, patch, components, classes, spectral_tokens, spectral_blocks }) {
  const list = [];
  const biased = (name, ...shape) => list.push([`${name}.weight`, shape], [`${name}.bias`, [shape[0]]]);
  const blocks = (encoder, count) => {
    for (let i = 0; i < count; i++) {
      const name = `${encoder}.blocks.${i}`;
      biased(`${name}.norm1`, dim);
      biased(`${name}.attn.qkv`, 3 * dim, dim);
      if ((i + 1) % interval !== 0) biased(`${name}.attn.sampling_offsets`, heads * 8 * 2, dim);
      biased(`${name}.attn.proj`, dim, dim);
      biased(`${name}.norm2`, dim);
      biased(`${name}.mlp.fc1`, 4 * dim, dim);
      biased(`${name}.mlp.fc2`, dim, 4 * dim);
    }
  };
  list.push(['spat_encoder.pos_embed', [1, (rows / patch) * (cols / patch), dim]]);
  biased('spat_encoder.patch_embed.proj', dim, components, patch, patch);
  blocks('spat_encoder', depth);
  list.push(['spec_encoder.pos_embed', [1, spectral_tokens, dim]]);
  biased('spec_encoder.spat_map', dim, rows * cols);
  blocks('spec_encoder', spectral_blocks);
  list.push(['spec_encoder.l1.weight', [REDUCED, dim]]);
  for (let j = 1; j <= 4; j++) {
    list.push([`fc_spec${j}.0.weight`, [REDUCED, spectral_tokens]], [`fc_spec${j}.2.weight`, [dim, REDUCED]]);
    list.push([`DR${j}.weight`, [REDUCED, dim, 1, 1]]);
  }
  biased('cls', classes, REDUCED, 1, 1);
  biased('conv', REDUCED, 4 * REDUCED, 1, 1);
  return list;
}

const isQuantized = (name, shape) => shape.length === 2 && /\.blocks\..*\.(attn\.qkv|attn\.proj|mlp\.fc1|mlp\.fc2)\.weight$/.test(name);
