// The sentence of the issue, word for word: drop Indian Pines and its ground truth, ten labels a class, Nano, on the CPU path.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { sharedFile } from '../harness/bench.mjs';
import { Lab, accuracyOf } from '../harness/lab.mjs';
import { test } from '../harness/test.mjs';
import { readMatlab } from '../readers/matlab.mjs';
import { readPng } from '../readers/png.mjs';

const CLASSES = 16;
const TRAIN = 10;
const VALIDATE = 5;

/**
 * The best baseline of BASELINES.md with 10 + 5 random labels a class is pca30w_mean9x9_svm: OA 77.65 ± 2.02, AA 86.75 ± 0.85,
 * kappa × 100 74.79 ± 2.20 over five draws. The page draws pixels of its own, so one run may fall short of the mean by the spread
 * of a draw; whatever is lower than that is worse than what a support vector machine does in a second.
 */
const LEAST = { oa: 77.65 - 2.02, aa: 86.75 - 0.85, kappa: 74.79 - 2.2 };

/** Against a hang only: the aim is three minutes on two quiet cores. */
const MOST_SECONDS = 900;

test(
  'indian pines: ten labels a class give a map with figures and files to take away',
  async (desk) => {
    const folder = 'data/scenes/indian_pines';
    const scene = sharedFile(`${folder}/Indian_pines_corrected.mat`);
    const truthFile = sharedFile(`${folder}/Indian_pines_gt.mat`);
    const truth = readMatlab(readFileSync(truthFile)).indian_pines_gt;
    const [rows, cols] = truth.shape;

    const tab = await desk.open();
    const lab = new Lab(tab);
    assert.match(await lab.engine(), /CPU/);
    await tab.drop('stage', [scene]);
    assert.equal(await tab.text('scene-dims', /×/, 60), '145 × 145 × 200');
    await lab.step('classes');
    await tab.drop('labels-files-drop', [truthFile]);
    assert.match(await tab.text('labelled-count', /[1-9]/), /10\D?249/);
    await lab.number('train-per-class', TRAIN);
    await lab.number('val-per-class', VALIDATE);
    await lab.step('model');
    assert.equal(await tab.get('size-nano').getAttribute('aria-checked'), 'true');

    await lab.startTraining();
    await tab.text('job-state', /^training$/, 120);
    const began = Date.now();
    const epochs = Number(await tab.get('epochs').inputValue());
    await tab.text('val-oa-value', /\d/, MOST_SECONDS);
    await tab.get('curves-plot').locator('path.loss').waitFor();
    await tab.picture('training');
    await tab.text('job-state', /^(mapping|finished|failed)$/, MOST_SECONDS);
    const trained = Date.now();
    await lab.finished(MOST_SECONDS);
    const mapped = Date.now();
    assert.match(await tab.text('loss-value', /\d/), new RegExp(`at epoch ${epochs}$`));
    const figures = await lab.figures();

    const map = await lab.takeMap();
    assert.deepEqual([map.rows, map.cols], [rows, cols]);
    const pairs = [];
    for (let row = 0; row < rows; row++) {
      for (let col = 0; col < cols; col++) if (truth.value(row, col) > 0) pairs.push([truth.value(row, col), map.value(row, col)]);
    }
    const labelled = accuracyOf(pairs, CLASSES);
    const seconds = [trained - began, mapped - trained].map((milliseconds) => milliseconds / 1000);
    console.log(`     trained in ${seconds[0].toFixed(0)} s, mapped in ${seconds[1].toFixed(0)} s (aim: under 180 s together on 2 quiet cores)`);
    console.log(`     test pixels: OA ${figures.oa} %, AA ${figures.aa} %, kappa × 100 ${figures.kappa}`);
    const percent = (value) => (100 * value).toFixed(1);
    console.log(`     all labelled pixels of the taken map: OA ${percent(labelled.overall)} %, AA ${percent(labelled.average)} %, kappa × 100 ${percent(labelled.kappa)}`);

    // The map and the ground truth give one confusion matrix of all labelled pixels. The page's is of the test pixels, so what is
    // left between the two must be the pixels that trained and validated: no cell below zero, 10 + 5 in each row.
    const file = await lab.accuracyFile();
    file.confusion.forEach((row, i) => {
      const held = row.map((pixels, j) => labelled.confusion[i][j] - pixels);
      assert.ok(held.every((pixels) => pixels >= 0), `class ${i + 1}: more test pixels than labelled ones in a cell (${held})`);
      assert.equal(held.reduce((a, b) => a + b, 0), TRAIN + VALIDATE, `held-out pixels of class ${i + 1}`);
    });
    const tested = accuracyOf(file.confusion.flatMap((row, i) => row.flatMap((n, j) => new Array(n).fill([i + 1, j + 1]))), CLASSES);
    for (const [shown, value] of [[figures.oa, tested.overall], [figures.aa, tested.average], [figures.kappa, tested.kappa]]) {
      assert.ok(Math.abs(shown - 100 * value) <= 0.051, `${shown} shown, ${100 * value} computed anew`);
    }

    const [picture] = await lab.takeAway('save-png');
    assert.ok(readPng(picture.bytes).width >= cols);
    const [model] = await lab.takeAway('save-model');
    assert.ok(model.bytes.length > 1e6, `the model has ${model.bytes.length} bytes`);
    await tab.picture('indian-pines');

    for (const [name, least] of Object.entries(LEAST)) assert.ok(figures[name] > least, `${name} ${figures[name]}, at least ${least.toFixed(2)} expected`);
  },
  { timeout_s: MOST_SECONDS + 240 },
);
