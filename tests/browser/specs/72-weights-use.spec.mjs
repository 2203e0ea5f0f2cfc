// Loaded weights at work: training from them, losing the engine with them, cancelling, and doing it all by keyboard.
import assert from 'node:assert/strict';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { ggufOfModel } from '../harness/networks.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { catalogue, entry, sha256, tinyGguf } from '../harness/weights.mjs';
import { patience, test } from '../harness/test.mjs';

const gguf = (name = 'tiny.gguf') => ({ name, bytes: tinyGguf() });

async function load(tab) {
  await tab.drop('stage', [gguf()]);
  await tab.get('weights-offer-load').click();
  await tab.text('weights-title', /HyperSIGMA Tiny/, 60);
}

test(
  'weights: LoRA trains from loaded weights on a scene and maps it',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 20, patch: 2 })) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await load(tab);
    await lab.step('train');
    await tab.get('tuning-lora').click();
    await lab.number('lora-rank', 4);
    await lab.number('lora-alpha', 8);
    await tab.get('lora-fc2').click();
    assert.equal(await tab.get('lora-fc2').isChecked(), false);
    await lab.startTraining();
    await lab.finished(120);
    const { oa } = await lab.figures();
    assert.ok(oa > 90, `OA ${oa}`);
    assert.match(await tab.text('provenance', /\w/), /LoRA/);
    // From scratch after that: the weights are gone, and so are their settings.
    await lab.step('model');
    await tab.get('weights-unload').click();
    await tab.get('weights-freed').waitFor();
    await lab.step('train');
    assert.equal(await tab.get('tuning-lora').count(), 0);
    await lab.number('epochs', 2);
    await lab.startTraining();
    await lab.finished(120);
  },
  { timeout_s: 300 },
);

test(
  'weights: a killed worker gets its weights back and training goes on',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 400 })) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await load(tab);
    const hash = await tab.get('weights-hash').getAttribute('data-value');
    assert.equal(hash, sha256(gguf().bytes));
    const kill = () => tab.workers()[0].evaluate(() => self.close()).catch(() => {});
    await kill();
    await tab.text('notice-text', /restarted/, 30);
    await lab.engine();
    await lab.step('model');
    assert.equal(await tab.get('weights-hash').getAttribute('data-value'), hash);
    await lab.step('train');
    await tab.get('tuning-lora').click();
    await lab.startTraining();
    await tab.text('status-text', /epoch [1-9]\d* of/, 60);
    await kill();
    await tab.page.waitForFunction(
      () => [...document.querySelectorAll('[data-testid=notice-text]')].some((n) => /training (goes on|starts again)/.test(n.innerText)),
      null,
      { timeout: 60_000 * patience },
    );
    await tab.text('status-text', /epoch \d+ of/, 60);
    await tab.get('job-finish').click();
    await lab.finished(60);
  },
  { timeout_s: 300 },
);

test(
  'weights: a whole network in a weights file maps another tab\'s scene without a training',
  async (desk) => {
    const { scene, truth, split } = fieldScene();
    const first = await desk.open({ prepare: withSettings(tiny('cpu', { epochs: 30 })) });
    const trained = new Lab(first);
    await trained.openScene(scene);
    await trained.openTruth(truth);
    await trained.openSplit(split);
    await trained.startTraining();
    await trained.finished(200);
    const figures = await trained.figures();
    const map = await trained.takeMap();
    const [model] = await trained.takeAway('save-model');

    const front = await desk.front();
    front.put('fields.gguf', ggufOfModel(model.bytes));
    const tab = await desk.open({ front, prepare: withSettings(tiny('cpu')) });
    const lab = new Lab(tab);
    await lab.engine();
    await lab.step('model');
    await tab.get('weights-more-toggle').click();
    await tab.get('weights-url').fill('fields.gguf');
    await tab.get('weights-url-look').click();
    assert.match(await tab.text('weights-offer-title', /\w/), /Tiny, fine-tuned network/);
    assert.match(await tab.text('weights-fit', /\w/), /^It needs [\d.]+ MiB/);
    assert.equal(front.asked.length, 1, 'more than the header was asked for');
    await tab.get('weights-offer-load').click();
    await tab.text('weights-title', /segmentation of 3 classes/, 60);
    assert.equal(await tab.get('weights-map').isDisabled(), true, 'there is no scene yet');
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.openSplit(split);
    await lab.step('model');
    await tab.get('weights-map').click();
    await lab.finished(120);
    assert.deepEqual(await lab.figures(), figures);
    assert.match(await tab.text('provenance', /\w/), /HyperSIGMA Tiny, segmentation of 3 classes, F32, not trained further/);
    const again = await lab.takeMap();
    for (let row = 0; row < map.rows; row++) {
      for (let col = 0; col < map.cols; col++) assert.equal(again.value(row, col), map.value(row, col), `pixel ${row}, ${col}`);
    }
    // The engine is lost: the weights come back, and map again.
    await tab.workers()[0].evaluate(() => self.close()).catch(() => {});
    await tab.text('notice-text', /restarted/, 30);
    await lab.engine();
    await lab.step('model');
    await tab.get('weights-map').click();
    await lab.finished(120);
    assert.deepEqual(await lab.figures(), figures);
  },
  { timeout_s: 400 },
);

test('weights: shipped weights of the chosen size come with the first scene, unless the user wants none', async (desk) => {
  const { scene } = fieldScene();
  const { bytes } = gguf();
  const front = await desk.front();
  front.put('weights/tiny.gguf', bytes);
  front.put('weights/catalogue.json', catalogue(entry('tiny-f32', bytes)));
  const tab = await desk.open({ front, prepare: withSettings(tiny('cpu')) });
  const lab = new Lab(tab);
  await lab.engine();
  await tab.page.waitForTimeout(500);
  assert.equal(front.asked.filter(({ path }) => path.endsWith('.gguf')).length, 0, 'nothing is fetched before there is a scene');
  await lab.openScene(scene);
  await lab.step('model');
  await tab.text('weights-title', /HyperSIGMA Tiny/, 60);
  await tab.get('weights-unload').click();
  await tab.get('weights-freed').waitFor();
  await tab.page.reload();
  await lab.engine();
  await lab.openScene(scene);
  await lab.step('model');
  await tab.page.waitForTimeout(1000);
  assert.equal(await tab.get('weights-loaded').count(), 0, 'the choice was forgotten');
  // Another size lets weights go.
  await tab.get('weights-choice-1').click();
  await tab.get('weights-load').click();
  await tab.text('weights-title', /HyperSIGMA Tiny/, 60);
  await tab.get('size-nano').click();
  await tab.get('weights-loaded').waitFor({ state: 'detached' });
});

test('weights: a download goes on in a new worker, and can be cancelled', async (desk) => {
  const front = await desk.front();
  front.put('slow.gguf', gguf().bytes, { kbps: 200 });
  const tab = await desk.open({ front, prepare: withSettings(tiny('cpu')) });
  const lab = new Lab(tab);
  await lab.engine();
  await lab.step('model');
  await tab.get('weights-more-toggle').click();
  await tab.get('weights-url').fill('slow.gguf');
  await tab.get('weights-url').press('Enter');
  await tab.get('weights-offer-load').click();
  await tab.text('weights-progress', /Downloading slow\.gguf · [1-9]/, 30);
  assert.match(await tab.text('status-text', /slow/), /of 688 kB/);
  await tab.workers()[0].evaluate(() => self.close()).catch(() => {});
  await tab.text('notice-text', /restarted/, 30);
  assert.match(await tab.text('weights-title', /\w/, 60), /HyperSIGMA Tiny/);
  assert.equal(await tab.get('weights-hash').getAttribute('data-value'), sha256(gguf().bytes));

  await tab.get('weights-unload').click();
  // Without weights the panel may open by itself.
  await tab.get('weights-freed').waitFor();
  if (!(await tab.get('cache-clear').isVisible())) await tab.get('weights-more-toggle').click();
  await tab.get('cache-clear').click();
  await tab.text('cache-used', /No weights/);
  await tab.get('weights-url').fill('slow.gguf');
  await tab.get('weights-url-look').click();
  await tab.get('weights-offer-load').click();
  await tab.text('weights-progress', /Downloading slow\.gguf · [1-9]/, 30);
  await tab.get('weights-cancel').click();
  await tab.get('weights-progress').waitFor({ state: 'detached' });
  assert.equal(await tab.get('weights-loaded').count(), 0);
  assert.equal(await tab.get('notice-error').count(), 0);
});

test('weights: files of other kinds each give a sentence, and the page goes on', async (desk) => {
  const bytes = tinyGguf();
  const tab = await desk.open({ prepare: withSettings(tiny('cpu')) });
  const lab = new Lab(tab);
  await lab.engine();
  const bad = [
    { name: 'cut.gguf', bytes: bytes.subarray(0, 300_000) },
    { name: 'notes.pth', bytes: Buffer.from('these are my notes') },
    { name: 'empty.gguf', bytes: Buffer.alloc(0) },
    { name: 'foreign.safetensors', bytes: Buffer.concat([Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('{}')]) },
  ];
  for (const file of bad) {
    await tab.drop('stage', [file]);
    const sentence = await lab.errorSentence();
    assert.ok(sentence.includes(file.name.split('.')[0]) && sentence.length > 20, `${file.name}: ${sentence}`);
    assert.ok(!/panicked|unwrap/.test(sentence), sentence);
    await tab.get('notice-dismiss').last().click();
    await tab.get('weights-offer').waitFor({ state: 'detached' });
  }
  await load(tab);
});

test('weights: everything is reached and done by keyboard', async (desk) => {
  const bytes = tinyGguf();
  const front = await desk.front();
  front.put('tiny.gguf', bytes);
  const tab = await desk.open({ front, prepare: withSettings(tiny('cpu')) });
  const lab = new Lab(tab);
  await lab.engine();
  const { keyboard } = tab.page;
  const focused = () => tab.page.evaluate(() => document.activeElement?.dataset.testid ?? '');
  /** Tab until the control has the focus. */
  const reach = async (id) => {
    for (let presses = 0; presses < 60; presses++) {
      if ((await focused()) === id) return;
      await keyboard.press('Tab');
    }
    throw new Error(`${id} is never reached; the focus is at ${await focused()}`);
  };
  await reach('step-model');
  await keyboard.press('Enter');
  await reach('weights-more-toggle');
  await keyboard.press('Enter');
  await reach('weights-url');
  await keyboard.type('tiny.gguf');
  await keyboard.press('Enter');
  await tab.text('weights-fit', /\w/);
  await tab.get('step-model').focus();
  await reach('weights-offer-load');
  await keyboard.press('Enter');
  await tab.get('weights-loaded').waitFor({ timeout: 60_000 * patience });
  await tab.get('step-model').focus();
  await reach('report-open');
  await keyboard.press('Enter');
  await tab.get('report-table').waitFor();
  await reach('report-missing');
  await keyboard.press('Enter');
  assert.match(await tab.text('report-shown', /of/), /^28 of 101 tensors$/);
  await reach('report-filter');
  await keyboard.type('sampling');
  assert.match(await tab.text('report-shown', /of/), /^\d+ of 101 tensors$/);
  await keyboard.press('Escape');
  await tab.get('report-dialog').waitFor({ state: 'hidden' });
  assert.equal(await focused(), 'report-open');
  await reach('weights-unload');
  await keyboard.press('Enter');
  await tab.get('weights-freed').waitFor();
});
