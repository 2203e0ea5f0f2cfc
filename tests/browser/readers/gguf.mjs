// Writes GGUF v3 files, as the specification has it (docs/gguf.md of ggml).

const TYPES = { u32: 4, f32: 6, bool: 7, text: 8, array: 9, u64: 10, f64: 12 };
/** Of tensors: number, numbers in a block, bytes of a block. */
const KINDS = { f32: [0, 1, 4], q4_0: [2, 32, 18], q8_0: [8, 32, 34] };
const ALIGNMENT = 32;

const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};

const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

const text = (value) => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

function value(type, of) {
  if (type === 'text') return text(of);
  if (type === 'bool') return Buffer.from([of ? 1 : 0]);
  if (type === 'u32') return u32(of);
  if (type === 'u64') return u64(of);
  const bytes = Buffer.alloc(type === 'f64' ? 8 : 4);
  if (type === 'f64') bytes.writeDoubleLE(of);
  else bytes.writeFloatLE(of);
  return bytes;
}

const aligned = (length) => Math.ceil(length / ALIGNMENT) * ALIGNMENT;

/** Bytes of a tensor as it is stored. */
export function tensorBytes({ shape, kind = 'f32' }) {
  const [, numbers, bytes] = KINDS[kind];
  return (shape.reduce((a, b) => a * b, 1) / numbers) * bytes;
}

/**
 * The file up to its numbers, and where each tensor lies in it.
 * `metadata`: { key: [type, value] }, where a type is u32, u64, f32, f64, bool, text, or one of them in an array of one;
 * `tensors`: [{ name, shape (row-major), kind (f32 unless it is q8_0 or q4_0) }].
 */
export function ggufHead(metadata, tensors) {
  const pairs = Object.entries(metadata).map(([key, [type, of]]) => {
    if (!Array.isArray(type)) return Buffer.concat([text(key), u32(TYPES[type]), value(type, of)]);
    const items = of.map((item) => value(type[0], item));
    return Buffer.concat([text(key), u32(TYPES.array), u32(TYPES[type[0]]), u64(of.length), ...items]);
  });
  let offset = 0;
  const offsets = [];
  const infos = tensors.map((tensor) => {
    const { name, shape, kind = 'f32' } = tensor;
    const axes = [...shape].reverse().map(u64);
    const info = Buffer.concat([text(name), u32(shape.length), ...axes, u32(KINDS[kind][0]), u64(offset)]);
    offsets.push(offset);
    offset += aligned(tensorBytes(tensor));
    return info;
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(pairs.length), ...pairs, ...infos]);
  const start = aligned(head.length);
  return { head, places: offsets.map((at) => start + at), length: start + offset };
}

/** The whole file; tensors with `values` (Float32Array) hold them, all others zeros. */
export function makeGguf(metadata, tensors) {
  const { head, places, length } = ggufHead(metadata, tensors);
  // Memory that nobody writes to is not taken.
  const file = Buffer.alloc(length);
  head.copy(file);
  tensors.forEach(({ values }, i) => {
    if (values) Buffer.from(values.buffer, values.byteOffset, values.byteLength).copy(file, places[i]);
  });
  return file;
}
