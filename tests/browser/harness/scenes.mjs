// Scenes that the tests make: small, with known values, classes and splits.
import { makeEnvi, makeEnviClasses } from '../readers/envi.mjs';

/** Classes of the field scene. */
export const CLASSES = [
  { name: 'Wheat', rgb: [230, 180, 40] },
  { name: 'Water', rgb: [30, 90, 200] },
  { name: 'Forest', rgb: [20, 120, 50] },
];

const BANDS = 24;

/** A repeatable number in 0..1 from three integers. */
function noise(a, b, c) {
  const x = Math.sin(a * 12.9898 + b * 78.233 + c * 37.719) * 43758.5453;
  return x - Math.floor(x);
}

/** 1, 2 or 3: two fields above, one below. */
export function fieldClass(row, col, rows = 40, cols = 36) {
  return row < rows / 2 ? (col < cols / 2 ? 1 : 2) : 3;
}

const wavelengths_nm = Array.from({ length: BANDS }, (_, band) => 420 + band * 25);

/** The value of the field scene: one spectrum a class, with a little noise. */
export function fieldValue(row, col, band, rows = 40, cols = 36) {
  const curve = [
    (x) => 0.2 + 0.5 * x,
    (x) => 0.5 - 0.4 * x,
    (x) => 0.3 + 0.25 * Math.sin(6 * x),
  ][fieldClass(row, col, rows, cols) - 1](band / BANDS);
  return Math.fround(curve + 0.05 * (noise(row, col, band) - 0.5));
}

/** Three fields, `rows × cols × 24` float32: scene pair, ground truth pair, and a split of 10 + 5 pixels a class. */
export function fieldScene(name = 'fields', rows = 40, cols = 36) {
  const label = (row, col) => fieldClass(row, col, rows, cols);
  const train = [];
  const val = [];
  const test = [];
  const seen = [0, 0, 0, 0];
  // A fixed stride (a prime) visits every pixel once, in an order that looks drawn.
  for (let i = 0; i < rows * cols; i++) {
    const index = (i * 611_953) % (rows * cols);
    const number = label(Math.floor(index / cols), index % cols);
    (seen[number] < 10 ? train : seen[number] < 15 ? val : test).push(index);
    seen[number] += 1;
  }
  const split = { scene: name, shape: [rows, cols], kind: 'fixed', seeds: [{ seed: 0, train, val, test }] };
  return {
    rows,
    cols,
    bands: BANDS,
    scene: makeEnvi(name, { rows, cols, wavelengths_nm }, (row, col, band) => fieldValue(row, col, band, rows, cols)),
    truth: makeEnviClasses(`${name}_gt`, { rows, cols, classes: CLASSES }, label),
    split: { name: `${name}_split.json`, bytes: Buffer.from(JSON.stringify(split)) },
    test,
  };
}
