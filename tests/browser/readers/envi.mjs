// Reads and writes ENVI rasters for the tests; independent of the program under test.
import assert from 'node:assert/strict';

const TYPES = {
  1: [1, 'getUint8'],
  2: [2, 'getInt16'],
  3: [4, 'getInt32'],
  4: [4, 'getFloat32'],
  5: [8, 'getFloat64'],
  12: [2, 'getUint16'],
  13: [4, 'getUint32'],
};

/** The header's keys in lower case; lists in braces become arrays of strings. */
export function readEnviHeader(text) {
  assert.match(text, /^ENVI\r?\n/, 'not an ENVI header');
  const header = {};
  for (const [, key, list, word] of text.matchAll(/^([^=\n;]+?)\s*=\s*(?:\{([^}]*)\}|(.*))$/gm)) {
    header[key.trim().toLowerCase()] = list === undefined ? word.trim() : list.split(',').map((item) => item.trim());
  }
  return header;
}

/** { header, rows, cols, bands, value(row, col, band) } */
export function readEnvi(headerText, bytes) {
  const header = readEnviHeader(headerText);
  const [rows, cols, bands] = ['lines', 'samples', 'bands'].map((key) => Number(header[key]));
  const [size, getter] = TYPES[header['data type']];
  const little = header['byte order'] !== '1';
  const offset = Number(header['header offset'] ?? 0);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  assert.equal(bytes.byteLength, offset + rows * cols * bands * size, 'length of the data');
  const index = {
    bsq: (row, col, band) => (band * rows + row) * cols + col,
    bil: (row, col, band) => (row * bands + band) * cols + col,
    bip: (row, col, band) => (row * cols + col) * bands + band,
  }[header.interleave.toLowerCase()];
  return { header, rows, cols, bands, value: (row, col, band = 0) => view[getter](offset + index(row, col, band) * size, little) };
}

/** A float32 BSQ pair named `name`.hdr and `name`.img, as [{ name, bytes }, { name, bytes }] (header first). */
export function makeEnvi(name, { rows, cols, wavelengths_nm }, value) {
  const bands = wavelengths_nm.length;
  const data = new Float32Array(rows * cols * bands);
  let at = 0;
  for (let band = 0; band < bands; band++) {
    for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) data[at++] = value(row, col, band);
  }
  const header = `ENVI
samples = ${cols}
lines = ${rows}
bands = ${bands}
header offset = 0
file type = ENVI Standard
data type = 4
interleave = bsq
byte order = 0
wavelength units = Nanometers
wavelength = {${wavelengths_nm.join(', ')}}
`;
  return [
    { name: `${name}.hdr`, bytes: Buffer.from(header) },
    { name: `${name}.img`, bytes: Buffer.from(data.buffer) },
  ];
}

/** An ENVI classification pair, as [{ name, bytes }, { name, bytes }]. `label(row, col)`: 0 for none. */
export function makeEnviClasses(name, { rows, cols, classes }, label) {
  const data = new Uint8Array(rows * cols);
  for (let row = 0; row < rows; row++) for (let col = 0; col < cols; col++) data[row * cols + col] = label(row, col);
  const names = ['Unclassified', ...classes.map(({ name }) => name)];
  const colours = [[0, 0, 0], ...classes.map(({ rgb }) => rgb)].flat();
  const header = `ENVI
samples = ${cols}
lines = ${rows}
bands = 1
header offset = 0
file type = ENVI Classification
data type = 1
interleave = bsq
byte order = 0
classes = ${names.length}
class names = {${names.join(', ')}}
class lookup = {${colours.join(', ')}}
`;
  return [
    { name: `${name}.hdr`, bytes: Buffer.from(header) },
    { name: `${name}.img`, bytes: Buffer.from(data) },
  ];
}
