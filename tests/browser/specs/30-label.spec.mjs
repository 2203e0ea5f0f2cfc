// Labels by hand: clicks and strokes, undo, what is taken away, what survives a reload.
import assert from 'node:assert/strict';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';

const count = async (tab, number) => Number((await tab.text(`class-${number}-count`, /\d/)).replace(/\D/g, ''));

test('label: clicked and brushed pixels are exactly those taken away', async (desk) => {
  const { scene, rows, cols } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.step('classes');
  await tab.get('class-add').click();
  await tab.get('class-add').click();
  await tab.get('class-1-name').fill('Barley');
  await tab.get('class-1-name').blur();
  await tab.get('class-1-choose').click();
  await tab.get('brush-size').fill('1');
  await lab.click(3, 4);
  await lab.stroke([10, 5], [10, 12]);
  await tab.get('class-2-choose').click();
  await lab.stroke([30, 20], [36, 20]);
  await lab.click(39, 35);
  assert.equal(await count(tab, 1), 1 + 8);
  assert.equal(await count(tab, 2), 7 + 1);
  await tab.get('tool-erase').click();
  await lab.click(10, 7);
  assert.equal(await count(tab, 1), 8);
  await tab.get('undo').click();
  assert.equal(await count(tab, 1), 9);

  const expected = (row, col) => {
    if ((row === 3 && col === 4) || (row === 10 && col >= 5 && col <= 12)) return 1;
    return (col === 20 && row >= 30 && row <= 36) || (row === 39 && col === 35) ? 2 : 0;
  };
  const labels = await lab.takeLabels();
  assert.deepEqual([labels.rows, labels.cols], [rows, cols]);
  assert.equal(labels.header['class names'][1], 'Barley');
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) assert.equal(labels.value(row, col), expected(row, col), `label at ${row}, ${col}`);
  }
});

test('label: labels come back after a reload when the scene is dropped again', async (desk) => {
  const { scene, truth } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.openTruth(truth);
  await tab.get('class-3-choose').click();
  await tab.get('brush-size').fill('1');
  const before = await count(tab, 3);
  await lab.click(2, 2);
  assert.equal(await count(tab, 3), before + 1);
  await lab.step('scene');
  await tab.text('kept-state', /^saved$/);
  await tab.page.reload();
  assert.match(await tab.text('kept-scene', /fields/), /Drop it again/);
  await lab.openScene(scene);
  await lab.step('classes');
  assert.equal(await count(tab, 3), before + 1);
  assert.equal(await tab.get('class-1-name').inputValue(), 'Wheat');
});

test('label: a split draws the pixels that were asked for', async (desk) => {
  const { scene, truth, rows, cols } = fieldScene();
  const tab = await desk.open({ prepare: withSettings(tiny()) });
  const lab = new Lab(tab);
  await lab.openScene(scene);
  await lab.openTruth(truth);
  await lab.number('train-per-class', 7);
  await lab.number('val-per-class', 4);
  await tab.get('split-draw').click();
  const summary = await tab.text('split-summary', /test/);
  const numbers = summary.replace(/(\d)\D(?=\d{3})/g, '$1').match(/\d+/g).map(Number);
  assert.deepEqual(numbers.slice(0, 3), [21, 12, rows * cols - 33]);

  // More training pixels ask for more epochs, until the user says how many.
  const epochs = () => tab.get('epochs').inputValue();
  const draw = async (perClass) => {
    await lab.step('classes');
    await lab.number('train-per-class', perClass);
    await tab.get('split-draw').click();
    await tab.text('split-summary', new RegExp(`^${3 * perClass} train`));
    await lab.step('train');
  };
  await draw(100);
  assert.equal(await epochs(), '75');
  await draw(7);
  assert.equal(await epochs(), '60');
  await lab.number('epochs', 33);
  await draw(100);
  assert.equal(await epochs(), '33');
});
