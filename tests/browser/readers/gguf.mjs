// Writes GGUF v3 files, as the specification has it (docs/gguf.md of ggml): F32 tensors only.

const TYPES = { u32: 4, f32: 6, bool: 7, text: 8, array: 9 };
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
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(of);
  return bytes;
}

const padded = (bytes) => Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]);

/**
 * `metadata`: { key: [type, value] }, where a type is u32, f32, bool, text, or one of them in an array of one;
 * `tensors`: [{ name, shape (row-major), values (Float32Array) }].
 */
export function makeGguf(metadata, tensors) {
  const pairs = Object.entries(metadata).map(([key, [type, of]]) => {
    if (!Array.isArray(type)) return Buffer.concat([text(key), u32(TYPES[type]), value(type, of)]);
    const items = of.map((item) => value(type[0], item));
    return Buffer.concat([text(key), u32(TYPES.array), u32(TYPES[type[0]]), u64(of.length), ...items]);
  });
  const data = tensors.map(({ values }) => padded(Buffer.from(values.buffer, values.byteOffset, values.byteLength)));
  let offset = 0;
  const infos = tensors.map(({ name, shape }, i) => {
    const axes = [...shape].reverse().map(u64);
    const info = Buffer.concat([text(name), u32(shape.length), ...axes, u32(0), u64(offset)]);
    offset += data[i].length;
    return info;
  });
  const head = Buffer.concat([Buffer.from('GGUF'), u32(3), u64(tensors.length), u64(pairs.length), ...pairs, ...infos]);
  return Buffer.concat([padded(head), ...data]);
}
