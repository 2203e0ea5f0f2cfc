// Reads numeric arrays of MATLAB v5 files, as far as the tests need; independent of the program under test.
import assert from 'node:assert/strict';
import { inflateSync } from 'node:zlib';

const READERS = {
  1: [1, 'readInt8'],
  2: [1, 'readUInt8'],
  3: [2, 'readInt16LE'],
  4: [2, 'readUInt16LE'],
  5: [4, 'readInt32LE'],
  6: [4, 'readUInt32LE'],
  7: [4, 'readFloatLE'],
  9: [8, 'readDoubleLE'],
};

/** { name: { shape, value(row, col, band) } } of the numeric arrays of two or three dimensions. */
export function readMatlab(bytes) {
  const data = Buffer.from(bytes);
  assert.equal(data.toString('latin1', 126, 128), 'IM', 'a little-endian MATLAB v5 file');
  const arrays = {};
  for (let at = 128; at < data.length; ) {
    let { kind, body, next } = element(data, at);
    if (kind === 15) ({ kind, body } = element(inflateSync(body), 0));
    if (kind === 14) Object.assign(arrays, matrix(body));
    at = next;
  }
  return arrays;
}

function element(data, at) {
  const kind = data.readUInt32LE(at);
  if (kind >> 16) return { kind: kind & 0xffff, body: data.subarray(at + 4, at + 4 + (kind >> 16)), next: at + 8 };
  const length = data.readUInt32LE(at + 4);
  // Compressed elements are not padded to eight bytes.
  const padded = kind === 15 ? length : Math.ceil(length / 8) * 8;
  return { kind, body: data.subarray(at + 8, at + 8 + length), next: at + 8 + padded };
}

function matrix(body) {
  const parts = [];
  for (let at = 0; at < body.length && parts.length < 4; ) {
    const part = element(body, at);
    parts.push(part);
    at = part.next;
  }
  const [, dimensions, name, values] = parts;
  const reader = READERS[values?.kind];
  if (!reader) return {};
  const [size, read] = reader;
  const shape = [];
  for (let at = 0; at < dimensions.body.length; at += 4) shape.push(dimensions.body.readInt32LE(at));
  const [rows, cols] = shape;
  const value = (row, col, band = 0) => values.body[read](((band * cols + col) * rows + row) * size);
  return { [name.body.toString('latin1')]: { shape, value } };
}
