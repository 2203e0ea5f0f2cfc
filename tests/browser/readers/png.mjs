// Reads PNG (8 bits, not interlaced) with nothing but zlib; independent of the program under test.
import assert from 'node:assert/strict';
import { crc32 } from './crc32.mjs';
import { inflateSync } from 'node:zlib';

/** { width, height, pixel(x, y) → [r, g, b, a], text: { keyword: value } } */
export function readPng(bytes) {
  const data = Buffer.from(bytes);
  assert.equal(data.subarray(0, 8).toString('hex'), '89504e470d0a1a0a', 'not a PNG');
  const text = {};
  const parts = [];
  let header;
  let palette;
  let transparency;
  for (let at = 8; at < data.length; ) {
    const length = data.readUInt32BE(at);
    const kind = data.toString('latin1', at + 4, at + 8);
    const body = data.subarray(at + 8, at + 8 + length);
    assert.equal(data.readUInt32BE(at + 8 + length), crc32(data.subarray(at + 4, at + 8 + length)), `checksum of ${kind}`);
    if (kind === 'IHDR') header = { width: body.readUInt32BE(0), height: body.readUInt32BE(4), depth: body[8], colour: body[9], interlace: body[12] };
    else if (kind === 'PLTE') palette = body;
    else if (kind === 'tRNS') transparency = body;
    else if (kind === 'IDAT') parts.push(body);
    else if (kind === 'tEXt') {
      const zero = body.indexOf(0);
      text[body.toString('latin1', 0, zero)] = body.toString('latin1', zero + 1);
    }
    at += 12 + length;
  }
  const { width, height, depth, colour, interlace } = header;
  assert.equal(depth, 8, 'bits a sample');
  assert.equal(interlace, 0, 'interlaced');
  const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[colour];
  const rows = unfilter(inflateSync(Buffer.concat(parts)), width * channels, height, channels);
  const pixel = (x, y) => {
    const [a, b, c, d] = rows.subarray((y * width + x) * channels, (y * width + x + 1) * channels);
    if (colour === 0) return [a, a, a, 255];
    if (colour === 2) return [a, b, c, 255];
    if (colour === 3) return [...palette.subarray(3 * a, 3 * a + 3), transparency?.[a] ?? 255];
    return colour === 4 ? [a, a, a, b] : [a, b, c, d];
  };
  return { width, height, pixel, text };
}

function unfilter(raw, stride, height, step) {
  const out = Buffer.alloc(stride * height);
  assert.equal(raw.length, (stride + 1) * height, 'amount of data');
  for (let y = 0; y < height; y++) {
    const filter = raw[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= step ? out[y * stride + x - step] : 0;
      const up = y > 0 ? out[(y - 1) * stride + x] : 0;
      const corner = y > 0 && x >= step ? out[(y - 1) * stride + x - step] : 0;
      const predicted = [0, left, up, (left + up) >> 1, paeth(left, up, corner)][filter];
      out[y * stride + x] = raw[y * (stride + 1) + 1 + x] + predicted;
    }
  }
  return out;
}

function paeth(left, up, corner) {
  const estimate = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(estimate - value));
  return a <= b && a <= c ? left : b <= c ? up : corner;
}
