// Files dropped: on the page, on the area of a step, by a script's DataTransfer and by a real drag.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { CLASSES, fieldScene } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';

test('drop: scene, ground truth and split in one drop find their places', async (desk) => {
  const { scene, truth, split } = fieldScene();
  const tab = await desk.open();
  const lab = new Lab(tab);
  await tab.drop('stage', [truth[1], split, scene[1], truth[0], scene[0]]);
  assert.equal(await tab.text('scene-dims', /×/, 60), '40 × 36 × 24');
  await lab.step('classes');
  assert.match(await tab.text('labelled-count', /[1-9]/), /1\D?440/);
  assert.equal(await tab.get('class-2-name').inputValue(), CLASSES[1].name);
  assert.match(await tab.text('split-file-name', /\w/), /fields_split\.json: 1 split$/);
  assert.match(await tab.text('split-summary', /test/), /30 train · 15 validate · 1\D?395 test/);
});

test(
  'drop: the area of each step takes its files',
  async (desk) => {
    const { scene, truth, split } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 2 })) });
    const lab = new Lab(tab);
    await tab.drop('scene-files-drop', [...scene].reverse());
    assert.equal(await tab.text('scene-dims', /×/, 60), '40 × 36 × 24');
    await lab.step('classes');
    await tab.drop('labels-files-drop', [...truth].reverse());
    assert.match(await tab.text('labelled-count', /[1-9]/), /1\D?440/);
    assert.equal(await tab.page.locator('.dragging').count(), 0, 'the page still waits for a drop');
    await tab.get('split-file-mode').click();
    await tab.drop('split-file-drop', [split]);
    assert.match(await tab.text('split-summary', /test/), /30 train/);
    await lab.startTraining();
    await lab.finished(120);
    const [model] = await lab.takeAway('save-model');
    await lab.step('model');
    await tab.drop('model-file-drop', [{ ...model, name: 'last_year.safetensors' }]);
    await tab.text('model-name', /last_year/);
    assert.match(await tab.text('model-info', /bands/), /24 bands, 3 classes, trained on fields/);
  },
  { timeout_s: 180 },
);

test('drop: files dragged from the desktop open where they are let go', async (desk) => {
  const folder = await desk.folder();
  const { scene } = fieldScene('dragged');
  const files = scene.map(({ name }) => path.join(folder, name));
  await Promise.all(scene.map(({ bytes }, i) => writeFile(files[i], bytes)));
  const tab = await desk.open();
  const box = await tab.get('stage').boundingBox();
  const devtools = await tab.page.context().newCDPSession(tab.page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ['dragEnter', 'dragOver', 'drop']) {
    await devtools.send('Input.dispatchDragEvent', { type, x: box.x + box.width / 2, y: box.y + box.height / 2, data });
  }
  assert.equal(await tab.text('scene-dims', /×/, 60), '40 × 36 × 24');
  assert.match(await tab.text('scene-name', /\w/), /dragged/);
});
