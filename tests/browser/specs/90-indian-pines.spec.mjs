// The sentence of the issue, word for word: Indian Pines, 10 labels a class, Nano, on the CPU path, in under three minutes.
import assert from 'node:assert/strict';
import { sharedFile } from '../harness/bench.mjs';
import { Lab } from '../harness/lab.mjs';
import { test } from '../harness/test.mjs';

test(
  'indian pines: ten labels a class give a map with figures in under three minutes',
  async (desk) => {
    const folder = 'data/scenes/indian_pines';
    const scene = sharedFile(`${folder}/Indian_pines_corrected.mat`);
    const truth = sharedFile(`${folder}/Indian_pines_gt.mat`);
    const tab = await desk.open();
    const lab = new Lab(tab);
    await lab.openScene([scene]);
    await lab.openTruth([truth]);
    await lab.number('train-per-class', 10);
    await lab.startTraining();
    await tab.text('status-text', /epoch \d+ of/, 120);
    const start = Date.now();
    await tab.text('val-oa-value', /\d/, 120);
    await tab.picture('training');
    await lab.finished(400);
    const seconds = (Date.now() - start) / 1000;
    const { oa, aa, kappa } = await lab.figures();
    console.log(`     OA ${oa} %, AA ${aa} %, kappa × 100 ${kappa}, ${seconds.toFixed(0)} s`);
    await tab.get('map-opacity').fill('0.8');
    await tab.picture('indian-pines');
    // A support vector machine reaches less than this with the same number of labels; see BASELINES.md.
    assert.ok(oa > 70, `overall accuracy ${oa} %`);
    assert.ok(seconds < 180, `${seconds} s`);
  },
  { timeout_s: 560 },
);
