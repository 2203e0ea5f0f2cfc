// The main job, on the CPU path: train, map, measure, take away; every file is reopened by the tests' own readers.
import assert from 'node:assert/strict';
import { Lab, accuracyOf, tiny, withSettings } from '../harness/lab.mjs';
import { CLASSES, fieldClass, fieldScene } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';
import { readPng } from '../readers/png.mjs';

test(
  'classify: train, map, measure and take away',
  async (desk) => {
    const { scene, truth, split, rows, cols, test: testPixels } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny()) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.openSplit(split);
    await lab.startTraining();
    await tab.text('status-text', /epoch \d+ of/, 60);
    await lab.finished(120);
    const { oa, aa, kappa } = await lab.figures();

    const map = await lab.takeMap();
    assert.deepEqual([map.rows, map.cols], [rows, cols]);
    assert.equal(map.header['file type'], 'ENVI Classification');
    assert.deepEqual(map.header['class names'].slice(1), CLASSES.map(({ name }) => name));
    assert.deepEqual(map.header['class lookup'].slice(3).map(Number), CLASSES.flatMap(({ rgb }) => rgb));

    // The figures of the page, computed anew from the map that was taken away and the split that was handed in.
    const pairs = testPixels.map((index) => {
      const [row, col] = [Math.floor(index / cols), index % cols];
      return [fieldClass(row, col), map.value(row, col)];
    });
    const own = accuracyOf(pairs, 3);
    const file = await lab.accuracyFile();
    assert.deepEqual(file.confusion, own.confusion);
    for (const [name, value] of [['overall_accuracy', own.overall], ['average_accuracy', own.average], ['kappa', own.kappa]]) {
      assert.ok(Math.abs(file.measure(name) - value) < 1e-9, `${name}: ${file.measure(name)} in the file, ${value} computed anew`);
    }
    for (const [shown, value] of [[oa, own.overall], [aa, own.average], [kappa, own.kappa]]) {
      assert.ok(Math.abs(shown - 100 * value) <= 0.051, `${shown} shown, ${100 * value} computed anew`);
    }
    assert.equal(file.measure('test_pixels'), testPixels.length);
    assert.ok(own.overall > 0.9, `three separable fields are mapped with an overall accuracy of ${own.overall}`);

    // The map on the screen at full opacity is the map in the file.
    await tab.get('labels-overlay').selectOption('off');
    await tab.get('map-opacity').fill('1');
    const pixels = [[1, 1], [5, 30], [35, 4], [39, 35], [19, 17], [20, 20]];
    const colours = await lab.colours(pixels);
    pixels.forEach(([row, col], i) => assert.deepEqual(colours[i], CLASSES[map.value(row, col) - 1].rgb, `colour at ${row}, ${col}`));

    const [{ name, bytes }] = await lab.takeAway('save-png');
    assert.match(name, /\.png$/);
    const picture = readPng(bytes);
    assert.ok(picture.width >= cols && picture.height >= rows);
    for (const { name, rgb } of CLASSES) assert.ok(share(picture, rgb) > 0.02, `${name} in the picture`);
    await tab.picture('classified');
  },
  { timeout_s: 240 },
);

/** The share of the picture that has exactly this colour. */
function share({ width, height, pixel }, rgb) {
  let hits = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [r, g, b] = pixel(x, y);
      if (r === rgb[0] && g === rgb[1] && b === rgb[2]) hits += 1;
    }
  }
  return hits / (width * height);
}

test(
  'classify: the trained model opens again on another scene of the same bands',
  async (desk) => {
    const fields = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 40 })) });
    const lab = new Lab(tab);
    await lab.openScene(fields.scene);
    await lab.openTruth(fields.truth);
    await lab.startTraining();
    await lab.finished(120);
    const first = await lab.takeMap();
    const [model] = await lab.takeAway('save-model');
    assert.match(model.name, /\.safetensors$/);
    const length = Number(model.bytes.readBigUInt64LE(0));
    const tensors = Object.entries(JSON.parse(model.bytes.toString('utf8', 8, 8 + length))).filter(([name]) => name !== '__metadata__');
    assert.ok(tensors.length > 20, `${tensors.length} tensors`);
    assert.equal(Math.max(...tensors.map(([, { data_offsets }]) => data_offsets[1])), model.bytes.length - 8 - length);

    const other = await desk.open();
    const otherLab = new Lab(other);
    await otherLab.openScene(fieldScene('next_year').scene);
    await otherLab.step('model');
    await other.choose('model-file', [model]);
    assert.match(await other.text('model-info', /bands/), /24 bands, 3 classes/);
    await other.get('map-now').click();
    await otherLab.finished(60);
    const second = await otherLab.takeMap();
    for (let row = 0; row < first.rows; row++) {
      for (let col = 0; col < first.cols; col++) assert.equal(second.value(row, col), first.value(row, col), `map at ${row}, ${col}`);
    }
  },
  { timeout_s: 240 },
);

test(
  'classify: the same seed gives the same map twice, several seeds give a spread',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const maps = [];
    for (let i = 0; i < 2; i++) {
      const tab = await desk.open({ prepare: withSettings({ ...tiny('cpu', { epochs: 10 }), seeds: 2 }) });
      const lab = new Lab(tab);
      await lab.openScene(scene);
      await lab.openTruth(truth);
      await lab.startTraining();
      await lab.finished(120);
      assert.match(await tab.text('oa-std', /±/), /± [\d.]+/);
      maps.push(await lab.takeMap());
    }
    const [a, b] = maps;
    for (let row = 0; row < a.rows; row++) {
      for (let col = 0; col < a.cols; col++) assert.equal(a.value(row, col), b.value(row, col), `map at ${row}, ${col}`);
    }
  },
  { timeout_s: 240 },
);

test(
  'classify: a job can be paused, carried on, finished early and cancelled',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 5000 })) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.startTraining();
    const epoch = async () => Number((await tab.text('status-text', /epoch \d+/, 60)).match(/epoch (\d+)/)[1]);
    await tab.text('status-text', /epoch [1-9]/, 60);
    await tab.get('job-pause').click();
    await tab.text('job-paused', /^true$/);
    const held = await epoch();
    await tab.page.waitForTimeout(1000);
    assert.equal(await epoch(), held, 'a paused job stands still');
    await tab.get('job-pause').click();
    await tab.text('job-paused', /^false$/);
    await tab.page.waitForFunction((held) => Number(document.querySelector('[data-testid=status-text]').innerText.match(/epoch (\d+)/)?.[1]) > held, held);
    await tab.get('job-finish').click();
    await lab.finished(60);
    await lab.figures();
    await lab.startTraining();
    await tab.text('status-text', /epoch [1-9]/, 60);
    await tab.get('job-cancel').click();
    assert.equal(await tab.text('job-state', /^(cancelled|finished|failed)$/), 'cancelled');
  },
  { timeout_s: 240 },
);
