// Opening files and looking at them: dimensions, colours and spectra against values read by the tests' own readers.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { sharedFile } from '../harness/bench.mjs';
import { Lab } from '../harness/lab.mjs';
import { fieldScene, fieldValue } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';
import { readMatlab } from '../readers/matlab.mjs';

/** The greys that a band must show over its full range, at `pixels`. */
function greys(value, rows, cols, pixels) {
  let low = Infinity;
  let high = -Infinity;
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      low = Math.min(low, value(row, col));
      high = Math.max(high, value(row, col));
    }
  }
  return pixels.map(([row, col]) => Math.round((255 * (value(row, col) - low)) / (high - low)));
}

function assertGreys(shown, expected, pixels) {
  shown.forEach(([r, g, b], i) => {
    assert.ok(r === g && g === b, `pixel ${pixels[i]} is not grey: ${[r, g, b]}`);
    assert.ok(Math.abs(r - expected[i]) <= 1, `pixel ${pixels[i]}: ${r} shown, ${expected[i]} expected`);
  });
}

for (const order of ['header first', 'data first']) {
  test(`look: an ENVI pair dropped ${order} shows its own values`, async (desk) => {
    const { scene, rows, cols, bands } = fieldScene();
    const tab = await desk.open();
    const lab = new Lab(tab);
    await tab.drop('stage', order === 'header first' ? scene : [...scene].reverse());
    assert.equal(await tab.text('scene-dims', /×/, 60), `${rows} × ${cols} × ${bands}`);
    assert.match(await tab.text('scene-wavelengths', /nm/), /420–995 nm/);
    const pixels = [[0, 0], [0, 35], [39, 0], [39, 35], [7, 21], [25, 13], [19, 17], [20, 18]];
    for (const band of [0, 11, 23]) {
      await lab.showBand(band);
      const value = (row, col) => fieldValue(row, col, band);
      assertGreys(await lab.colours(pixels), greys(value, rows, cols, pixels), pixels);
    }
    await lab.hover(25, 13);
    assert.equal(await tab.text('readout-row', /\d/), '25');
    assert.equal(await tab.text('readout-col', /\d/), '13');
    const shown = Number(await tab.text('readout-value', /\d/));
    assert.ok(Math.abs(shown - fieldValue(25, 13, 23)) < 1e-3, `${shown} read out`);
  });
}

test('look: Indian Pines from its MATLAB file shows its own values', async (desk) => {
  const file = sharedFile('data/scenes/indian_pines/Indian_pines_corrected.mat');
  const cube = readMatlab(readFileSync(file)).indian_pines_corrected;
  const [rows, cols, bands] = cube.shape;
  const tab = await desk.open();
  const lab = new Lab(tab);
  assert.equal(await lab.openScene([file]), `${rows} × ${cols} × ${bands}`);
  const pixels = [];
  for (let i = 0; i < 60; i++) pixels.push([(i * 37) % rows, (i * 53) % cols]);
  for (const band of [0, 29, 120, 199]) {
    await lab.showBand(band);
    const value = (row, col) => cube.value(row, col, band);
    assertGreys(await lab.colours(pixels), greys(value, rows, cols, pixels), pixels);
  }
  await lab.hover(72, 48);
  assert.equal(Number((await tab.text('readout-value', /\d/)).replace(/[^\d.]/g, '')), cube.value(72, 48, 199));
  await lab.click(72, 48);
  await tab.get('spectrum-plot').waitFor();
});

test('look: ground truth from MATLAB and from ENVI gives the same labels', async (desk) => {
  const folder = 'data/scenes/indian_pines';
  const tab = await desk.open();
  const lab = new Lab(tab);
  await lab.openScene([sharedFile(`${folder}/indian_pines_bil.bil`), sharedFile(`${folder}/indian_pines_bil.hdr`)]);
  await lab.openTruth([sharedFile(`${folder}/Indian_pines_gt.mat`)]);
  const counts = [46, 1428, 830, 237, 483, 730, 28, 478, 20, 972, 2455, 593, 205, 1265, 386, 93];
  const shown = async () => {
    const texts = await Promise.all(counts.map((_, i) => tab.text(`class-${i + 1}-count`, /\d/)));
    return texts.map((text) => Number(text.replace(/\D/g, '')));
  };
  assert.deepEqual(await shown(), counts);
  await lab.openTruth([sharedFile(`${folder}/indian_pines_gt.img`), sharedFile(`${folder}/indian_pines_gt.hdr`)]);
  await tab.page.waitForFunction(() => document.querySelector('[data-testid=class-2-name]')?.value === 'Corn-notill');
  assert.deepEqual(await shown(), counts);
});

test('look: the teaching scene opens by one press', async (desk) => {
  const tab = await desk.open();
  await tab.get('try-it').click();
  assert.equal(await tab.text('scene-dims', /×/, 60), '128 × 128 × 120');
  await new Lab(tab).step('classes');
  assert.match(await tab.text('labelled-count', /[1-9]/), /px/);
  await tab.picture('teaching-scene');
});
