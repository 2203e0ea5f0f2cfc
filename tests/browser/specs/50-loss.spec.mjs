// What happens when something breaks: the GPU's device, the worker, the file.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { sharedFile } from '../harness/bench.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { devices, inWorker } from '../harness/worker.mjs';
import { patience, test } from '../harness/test.mjs';

test(
  'loss: a destroyed GPU device resumes the job from its checkpoint by itself',
  async (desk) => {
    // On a software adapter each first use of a kernel costs up to a second, twice: the new worker's device starts from nothing.
    // Hence the smallest scene, few epochs, and no regulariser that needs kernels of its own.
    const { scene, truth } = fieldScene('fields', 16, 16);
    const lean = { epochs: 3, warmup_epochs: 1, components: 4, weight_average: 0, clip_norm: 0, label_smoothing: 0, weight_decay: 0 };
    const fast = { test_time_augmentation: false, test_time_shifts: 1 };
    const tab = await desk.open({
      webgpu: true,
      prepare: async (context) => {
        await withSettings({ ...tiny('webgpu', { ...lean, ...fast }), val_per_class: 0 })(context);
        await inWorker(devices)(context);
      },
    });
    const lab = new Lab(tab);
    assert.match(await lab.engine(), /WebGPU/);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.startTraining();
    // A checkpoint is made after each epoch that takes longer than ten seconds, as the first one does here.
    await tab.text('status-text', /epoch 2 of/, 300);
    const [worker] = tab.workers();
    await worker.evaluate(() => self.devicesOfTest.forEach((device) => device.destroy()));
    const notice = await tab.text('notice-text', /restarted/, 90);
    assert.match(notice, /training goes on from epoch [12]/);
    await lab.finished(240);
    await lab.figures();
  },
  { timeout_s: 580 },
);

test(
  'loss: a killed worker loses no labels and no trained model, and the job goes on',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 30 })) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.startTraining();
    await lab.finished(120);
    const before = await lab.figures();
    const kill = () => tab.workers()[0].evaluate(() => self.close()).catch(() => {});

    // Between jobs: figures, labels and the model stay, and the model still maps.
    await kill();
    assert.match(await tab.text('notice-text', /restarted/, 30), /nothing was lost/);
    assert.deepEqual(await lab.figures(), before);
    const [model] = await lab.takeAway('save-model');
    assert.ok(model.bytes.length > 1000);
    await lab.step('model');
    await tab.get('map-now').click();
    await lab.finished(60);

    // In the middle of a job: it goes on from the last checkpoint.
    await lab.step('train');
    await lab.number('epochs', 400);
    await lab.startTraining();
    await tab.text('status-text', /epoch [1-9]\d+ of/, 60);
    await kill();
    await tab.page.waitForFunction(() => [...document.querySelectorAll('[data-testid=notice-text]')].some((n) => /training (goes on|starts again)/.test(n.innerText)), null, { timeout: 30_000 * patience });
    await tab.text('status-text', /epoch \d+ of/, 60);
    await tab.get('job-finish').click();
    await lab.finished(60);
    await lab.step('classes');
    assert.match(await tab.text('labelled-count', /\d/), /1\D?440/);
  },
  { timeout_s: 300 },
);

test('loss: without WebGPU the CPU computes, and the page says why', async (desk) => {
  const tab = await desk.open();
  const lab = new Lab(tab);
  assert.match(await lab.engine(), /CPU/);
  await tab.get('device-menu').click();
  assert.match(await tab.text('device-reason', /\w/), /adapter|WebGPU/i);
});

test('loss: a software adapter is offered but not taken by itself', async (desk) => {
  const tab = await desk.open({ webgpu: true });
  const lab = new Lab(tab);
  assert.match(await lab.engine(), /CPU/);
  await tab.get('device-menu').click();
  assert.match(await tab.text('device-reason', /\w/), /software/i);
  await tab.get('device-webgpu').click();
  await tab.text('device-name', /WebGPU/, 60);
});

test('loss: after a reload the page has the settings that were chosen', async (desk) => {
  const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 33 })) });
  const lab = new Lab(tab);
  await lab.step('train');
  await lab.number('epochs', 44);
  await tab.page.reload();
  await lab.step('train');
  assert.equal(await tab.get('epochs').inputValue(), '44');
});

test('bad files: each gives a sentence, and the page goes on', async (desk) => {
  const truncated = fieldScene('cut').scene;
  truncated[1] = { ...truncated[1], bytes: truncated[1].bytes.subarray(0, 1000) };
  const bad = [
    [truncated[0]],
    truncated,
    [{ name: 'notes.mat', bytes: Buffer.from('these are my notes') }],
    [{ name: 'empty.npy', bytes: Buffer.alloc(0) }],
    [{ name: 'picture.tif', bytes: Buffer.from('ffd8ffe000104a464946', 'hex') }],
  ];
  const tab = await desk.open();
  const lab = new Lab(tab);
  await lab.engine();
  for (const files of bad) {
    await tab.drop('stage', files);
    const sentence = await lab.errorSentence();
    assert.ok(sentence.length > 20, `for ${files[0].name}: ${JSON.stringify(sentence)}`);
    assert.ok(sentence.includes(files[0].name.split('.')[0]), `the sentence names the file: ${sentence}`);
    await tab.get('notice-dismiss').last().click();
  }
  const good = fieldScene();
  assert.match(await lab.openScene(good.scene), /40 × 36 × 24/);
  // Ground truth of another size is refused, and the labels stay as they are.
  await lab.openTruth(good.truth);
  const npy = Buffer.concat([npyHeader("{'descr': '|u1', 'fortran_order': False, 'shape': (10, 10), }"), Buffer.alloc(100, 1)]);
  await tab.choose('labels-files', [{ name: 'other.npy', bytes: npy }]);
  assert.match(await lab.errorSentence(), /10/);
  assert.match(await tab.text('labelled-count', /\d/), /1\D?440/);
});

function npyHeader(text) {
  const padded = text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n';
  const head = Buffer.alloc(10);
  head.write('\x93NUMPY\x01\x00', 'latin1');
  head.writeUInt16LE(padded.length, 8);
  return Buffer.concat([head, Buffer.from(padded)]);
}

test(
  'bad files: every malformed file of the shared set leaves a page that works',
  async (desk) => {
    const folder = 'data/malformed';
    const cases = Object.keys(JSON.parse(readFileSync(sharedFile(`${folder}/expected.json`), 'utf8')));
    // The legal ones, which open; what they hold is the business of the readers' own tests.
    const legal = /^(envi_(wl_short|wl_text|all_nan|constant|extra_tail|truncated|missing_|huge)|gt_|mat_zlib_bomb|npz_bomb|h5_fill_huge)/;
    const tab = await desk.open();
    const lab = new Lab(tab);
    await lab.engine();
    const [worker] = tab.workers();
    for (const name of cases) {
      const files = [sharedFile(`${folder}/${name}`)];
      if (name.endsWith('.hdr') && name !== 'envi_hdr_only.hdr') files.push(sharedFile(`${folder}/${name.replace(/\.hdr$/, '.dat')}`));
      const first = (await tab.get('open-scene').count()) > 0;
      if (!first) await lab.step('scene');
      await tab.choose(first ? 'open-scene' : 'scene-files', files);
      const stem = name.split('.')[0];
      await tab.page.waitForFunction(
        (stem) =>
          document.querySelector('[data-testid=notice-error], dialog[open]') ||
          document.querySelector('[data-testid=scene-name]')?.innerText.includes(stem),
        stem,
        { timeout: 60_000 * patience },
      );
      if ((await tab.get('notice-error').count()) > 0) {
        const sentence = await lab.errorSentence();
        assert.ok(sentence.length > 20 && !/panicked|unwrap|RuntimeError/.test(sentence), `${name}: ${sentence}`);
        for (const dismiss of (await tab.get('notice-dismiss').all()).reverse()) await dismiss.click();
      } else if ((await tab.page.locator('dialog[open]').count()) > 0) {
        await tab.get('question-cancel').click();
      } else {
        assert.match(name, legal, 'opened as if it were sound');
      }
    }
    assert.equal(tab.workers()[0], worker, 'the engine was never restarted');
    assert.match(await lab.openScene(fieldScene().scene), /40 × 36 × 24/);
  },
  { timeout_s: 300 },
);
