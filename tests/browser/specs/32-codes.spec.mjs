// Label files with codes that are no plain class numbers: what became of each is shown and can be chosen; no pixel gets lost unsaid.
import assert from 'node:assert/strict';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldClass, fieldScene, fieldValue } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';
import { makeEnvi } from '../readers/envi.mjs';

const number = async (tab, id) => Number((await tab.text(id, /\d/)).replace(/\D/g, ''));

/** A `.npy` file of bytes, rows × cols. */
function npy(name, rows, cols, value) {
  const text = `{'descr': '|u1', 'fortran_order': False, 'shape': (${rows}, ${cols}), }`;
  const header = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
  const start = Buffer.from([0x93, ...Buffer.from('NUMPY'), 1, 0, header.length & 255, header.length >> 8]);
  const values = Buffer.from(Array.from({ length: rows * cols }, (_, i) => value(Math.floor(i / cols), i % cols)));
  return { name, bytes: Buffer.concat([start, Buffer.from(header), values]) };
}

test('codes: 255 is left out, said as a guess, and can be made a class', async (desk) => {
  const { scene, rows, cols } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.openTruth([npy('codes.npy', rows, cols, (row, col) => (row === 0 ? 255 : fieldClass(row, col)))]);
  assert.equal(await tab.get('label-codes').evaluate((details) => details.open), true);
  assert.match(await tab.text('label-note', /guess/), /code 255 \(36 pixels\)/);
  assert.equal(await number(tab, 'code-255-pixels'), cols);
  assert.equal(await tab.get('code-255-becomes').inputValue(), 'unlabelled');
  assert.equal(await number(tab, 'labelled-count'), rows * cols - cols);
  assert.equal(await tab.get('class-4').count(), 0);

  await tab.get('code-255-becomes').selectOption('class');
  assert.equal(await number(tab, 'class-4-count'), cols);
  assert.equal(await tab.get('class-4-name').inputValue(), 'Class 255');
  await tab.get('code-1-becomes').selectOption('unlabelled');
  await tab.get('class-4').waitFor({ state: 'detached' });
  assert.equal(await tab.get('class-1-name').inputValue(), 'Class 2');

  // The split counts every pixel once.
  await lab.number('train-per-class', 4);
  await lab.number('val-per-class', 2);
  await tab.get('split-draw').click();
  await tab.text('split-summary', /^12 train · 6 validate/);
  await tab.get('samples-toggle').click();
  assert.equal(await number(tab, 'samples-3-train'), 4);
  assert.equal(await number(tab, 'samples-3-test'), cols - 6);
  assert.equal(await number(tab, 'samples-3-no-data'), 0);
});

test('codes: the arrow keys reach every field of the class list, which is one tab stop', async (desk) => {
  const { scene, truth } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.openTruth(truth);
  const stops = await tab.get('class-list').evaluate((list) => [...list.querySelectorAll('button, input')].filter((e) => e.tabIndex === 0).length);
  assert.equal(stops, 1);
  await tab.get('class-1-choose').focus();
  const at = () => tab.page.evaluate(() => document.activeElement.dataset.testid);
  for (const [key, id] of [['ArrowDown', 'class-2-choose'], ['ArrowRight', 'class-2-color'], ['ArrowRight', 'class-2-name'], ['End', 'class-2-name'], ['ArrowRight', 'class-2-delete'], ['ArrowUp', 'class-1-delete']]) {
    await tab.page.keyboard.press(key);
    assert.equal(await at(), id, key);
  }
});

test('codes: a small class is planned, drawn and judged as what it is', async (desk) => {
  const { scene } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 2 })) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.step('classes');
  await tab.get('class-add').click();
  await tab.get('class-add').click();
  await tab.get('class-1-choose').click();
  await tab.get('brush-size').fill('1');
  await lab.stroke([3, 4], [3, 12]);
  await tab.get('class-2-choose').click();
  await lab.click(30, 20);
  await lab.step('train');
  assert.match(await tab.text('train-plan', /Trains/), /^Trains on 7, validates on 2 and tests on 1 pixels.*Too few to test\.$/);
  await lab.startTraining();
  await lab.finished(120);
  assert.match(await tab.text('oa-value', /./), /^–$/);
  assert.match(await tab.text('caution', /too few/), /^Only 1 test pixel:/);
});

test('codes: pixels without data are not painted, and a class that loses all its pixels is said before training', async (desk) => {
  const { rows, cols, truth } = fieldScene();
  // Water, the second class, lacks one band.
  const wavelengths_nm = Array.from({ length: 24 }, (_, band) => 420 + band * 25);
  const value = (row, col, band) => (band === 7 && fieldClass(row, col) === 2 ? NaN : fieldValue(row, col, band));
  const scene = makeEnvi('holes', { rows, cols, wavelengths_nm }, value);
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.openTruth(truth);
  await tab.get('split-draw').click();
  await tab.text('split-summary', /^20 train · 10 validate/);
  assert.match(await tab.text('split-warning', /lost all/), /^1 class lost all labelled pixels.*: Water\.$/);
  await tab.get('samples-toggle').click();
  assert.equal(await number(tab, 'samples-2-no-data'), (rows / 2) * (cols / 2));
  assert.equal(await number(tab, 'samples-2-train'), 0);

  await tab.get('labels-clear').click();
  await tab.get('class-1-choose').click();
  await tab.get('tool-brush').click();
  await tab.get('brush-size').fill('1');
  // Seven pixels with data, then seven without.
  await lab.stroke([5, 11], [5, 24]);
  assert.equal(await number(tab, 'class-1-count'), 7);
  await tab.text('notices', /7 pixels were left out: the scene has no data there/);
});

test('codes: a cube dropped on an open scene opens without a question, a label map asks', async (desk) => {
  const { scene, truth } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await tab.drop('stage', fieldScene('others', 30, 20).scene);
  assert.equal(await tab.text('scene-dims', /^30/, 60), '30 × 20 × 24');
  assert.equal(await tab.get('question').isVisible(), false);
  await tab.drop('stage', truth);
  await tab.get('role-labels').waitFor();
});
