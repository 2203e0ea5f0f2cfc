// Pre-trained weights on the page: local files, an address, the catalogue, the cache, the load report.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { sharedFile } from '../harness/bench.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { catalogue, entry, paperCheckpoints, sha256, tinyGguf } from '../harness/weights.mjs';
import { patience, test } from '../harness/test.mjs';

const layout = (name) => sharedFile(`reference/pretrain_layout/${name}`);
const officialPair = () => [layout('tiny-spat-checkpoint-1599.pth'), layout('tiny-spec-checkpoint-1599.pth')];

/** Names of the tensors that the open report lists under a status. */
async function listed(tab, word) {
  const chip = tab.get('report-dialog').filter({ visible: true }).getByTestId(`report-${word}`);
  await chip.click();
  const count = Number((await chip.innerText()).replace(/\D/g, ''));
  const rows = tab.page.locator('dialog[open] [data-testid=report-row]');
  await tab.page.waitForFunction((count) => document.querySelectorAll('dialog[open] [data-testid=report-row]').length === count, count);
  return (await rows.evaluateAll((all) => all.map((row) => row.dataset.value))).sort();
}

/** What the official loading made of the tiny pair; every tensor once. */
async function compareWithOfficial(tab) {
  const official = JSON.parse(readFileSync(layout('tiny-seg-after-loading.json'), 'utf8'));
  await tab.get('report-open').last().click();
  const taken = await listed(tab, 'matched');
  assert.deepEqual([...taken, ...(await listed(tab, 'left-out'))].sort(), [...official.loaded].sort());
  assert.deepEqual(await listed(tab, 'unexpected'), [...official.ignored_from_checkpoints].sort());
  const dropped = [...official.dropped_spat.map((name) => `spat_encoder.${name}`), ...official.dropped_spec.map((name) => `spec_encoder.${name}`)];
  assert.deepEqual(await listed(tab, 'dropped'), dropped.sort());
  await listed(tab, 'all');
  await tab.get('report-filter').fill('pos_embed contains');
  await tab.text('report-shown', /^2 of/);
  await tab.page.keyboard.press('Escape');
  await tab.get('report-dialog').last().waitFor({ state: 'hidden' });
  return taken.length;
}

async function open(desk, options = {}) {
  const tab = await desk.open({ prepare: withSettings(tiny('cpu')), ...options });
  const lab = new Lab(tab);
  await lab.engine();
  return { tab, lab };
}

/** Opens what is folded: files, addresses, the cache. */
async function more(tab, lab) {
  await lab.step('model');
  if (!(await tab.get('weights-more').getAttribute('open').then((value) => value !== null))) await tab.get('weights-more-toggle').click();
}

/** What there is at an address. */
async function lookAt(tab, lab, url, hash = '') {
  await more(tab, lab);
  await tab.get('weights-url').fill(url);
  await tab.get('weights-sha256').fill(hash);
  await tab.get('weights-url-look').click();
}

async function loadFrom(tab, lab, url, hash = '') {
  await lookAt(tab, lab, url, hash);
  await tab.get('weights-offer-load').click();
}

const kept = (tab) => tab.text('cache-used', /kept|No weights/);

test('weights: an official pair dropped on the page is reported tensor by tensor and kept', async (desk) => {
  const { tab } = await open(desk);
  await tab.drop('stage', officialPair());
  assert.match(await tab.text('weights-offer-title', /\w/), /Tiny, pre-trained encoders/);
  assert.match(await tab.text('weights-fit', /\w/), /\.$/);
  const bytes = {};
  for (const kind of ['f32', 'f16', 'q8_0', 'q4_0']) {
    await tab.get(`quantization-${kind}`).click();
    bytes[kind] = await tab.text('weights-bytes', /B when stored/);
  }
  assert.equal(new Set(Object.values(bytes)).size, 4, JSON.stringify(bytes));
  const matched = await compareWithOfficial(tab);
  await tab.get('quantization-q8_0').click();
  await tab.get('weights-offer-load').click();
  assert.match(await tab.text('weights-title', /\w/, 60), /HyperSIGMA Tiny, pre-trained encoders/);
  assert.match(await tab.text('report-counts', /matched/), new RegExp(`^${matched} matched · 23 missing · 6 dropped · 28 left out · 63 unexpected$`));
  assert.equal(await compareWithOfficial(tab), matched);
  await tab.get('report-open').click();
  const inputs = await tab.get('report-dialog').innerText();
  for (const file of officialPair()) assert.ok(inputs.includes(sha256(readFileSync(file))), `the hash of ${file} is shown`);
  await tab.get('report-close').click();
  assert.match(await tab.text('weights-hash', /…/), /^[0-9a-f]{8}…[0-9a-f]{8}$/);
  await tab.get('weights-more-toggle').click();
  assert.match(await kept(tab), /^1 file kept in this browser, \d/);
});

test('weights: the open report keeps its filter when another report arrives', async (desk) => {
  const { tab } = await open(desk, {
    prepare: async (context) => {
      await withSettings(tiny('cpu'))(context);
      // Holds back what the page asks of its worker, until it is let go.
      await context.addInitScript(() => {
        const post = Worker.prototype.postMessage;
        let held;
        Worker.prototype.postMessage = function (...given) {
          if (held) held.push(() => post.apply(this, given));
          else post.apply(this, given);
        };
        window.holdBack = () => (held = []);
        window.letGo = () => {
          const sends = held;
          held = undefined;
          sends.forEach((send) => send());
        };
      });
    },
  });
  await tab.drop('stage', officialPair());
  await tab.text('weights-fit', /\w/);
  await tab.page.evaluate(() => void window.holdBack());
  await tab.get('quantization-q4_0').click();
  await tab.get('report-open').click();
  await tab.get('report-matched').click();
  await tab.get('report-filter').fill('fc2.weight');
  const rows = tab.get('report-row');
  const before = await rows.allInnerTexts();
  assert.ok(before.length > 3 && before.every((row) => row.includes('Q8_0')), before.join('\n'));
  await tab.page.evaluate(() => window.letGo());
  await tab.text('report-table', /Q4_0/);
  assert.deepEqual(await rows.allInnerTexts(), before.map((row) => row.replace('Q8_0', 'Q4_0')));
  assert.equal(await tab.get('report-matched').getAttribute('aria-checked'), 'true');
  assert.equal(await tab.get('report-filter').inputValue(), 'fc2.weight');
  assert.equal(await tab.page.evaluate(() => document.activeElement.dataset.testid), 'report-filter', 'the focus stays');
  // A report that is opened again shows everything.
  await tab.get('report-close').click();
  await tab.get('report-open').click();
  assert.match(await tab.text('report-shown', /of/), /^(\d+) of \1 tensors$/);
});

test('weights: halves of a pair dropped one after the other find each other', async (desk) => {
  const [spatial, spectral] = officialPair();
  const { tab, lab } = await open(desk);
  await tab.drop('stage', [spectral]);
  assert.match(await tab.text('weights-missing-half', /\w/), /spatial/);
  await tab.drop('stage', [spatial]);
  await tab.get('weights-missing-half').waitFor({ state: 'detached' });
  assert.match(await tab.text('weights-offer-name', / and /), /spec.* and .*spat/);
  await tab.get('weights-offer-cancel').click();
  await tab.get('weights-offer').waitFor({ state: 'detached' });
  // Complete keeps what never influences the result.
  await tab.drop('stage', [spatial, spectral]);
  await tab.get('weights-complete').click();
  await tab.text('report-counts', /101 matched/);
  await tab.get('weights-offer-load').click();
  await tab.text('report-counts', /101 matched/, 60);
  await lab.step('train');
  await tab.get('tuning-lora').waitFor();
});

test('weights: a GGUF file by address resumes after a broken connection and has the right hash', async (desk) => {
  const bytes = tinyGguf();
  const front = await desk.front();
  front.put('shelf/tiny.gguf', bytes, { cuts: [200_000, 150_000] });
  const { tab, lab } = await open(desk, { front });
  const phases = await watchPhases(tab);
  await loadFrom(tab, lab, 'shelf/tiny.gguf', sha256(bytes));
  assert.match(await tab.text('weights-title', /\w/, 90), /HyperSIGMA Tiny/);
  assert.equal(await tab.get('weights-hash').getAttribute('data-value'), sha256(bytes));
  assert.ok((await phases()).includes('reconnecting'), `it never said that the connection broke: ${await phases()}`);
  const starts = front.asked.map(({ range }) => Number(range?.match(/=(\d+)/)?.[1] ?? 0));
  assert.ok(starts.some((start) => start > 100_000), `it went on where it was: ${starts}`);
  assert.equal(await tab.text('weights-license', /\w/), 'CC0-1.0');
  tab.expectError(/net::ERR_|not loaded/);
});

test('weights: an address of another server is refused with a way out', async (desk) => {
  const front = await desk.front();
  front.put('tiny.gguf', tinyGguf());
  const { tab, lab } = await open(desk);
  await lookAt(tab, lab, `${front.url}tiny.gguf`);
  assert.match(await lab.errorSentence(), /cannot be reached .*drop it here\.$/);
  await tab.get('weights-offer').waitFor({ state: 'detached' });
  assert.equal(front.asked.length, 0, 'nothing left this server');
});

/** Collects the phases that the page shows from now on. */
async function watchPhases(tab) {
  await tab.page.evaluate(() => {
    window.phasesOfTest = [];
    new MutationObserver(() => {
      const phase = document.querySelector('[data-testid=weights-progress]')?.dataset.phase;
      if (phase && window.phasesOfTest.at(-1) !== phase) window.phasesOfTest.push(phase);
    }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  });
  return () => tab.page.evaluate(() => window.phasesOfTest);
}

test('weights: a wrong hash is an error with both hashes, and nothing is kept', async (desk) => {
  const bytes = tinyGguf();
  const front = await desk.front();
  front.put('weights/tiny.gguf', bytes);
  front.put('weights/catalogue.json', catalogue(entry('tiny-f32', bytes, { sha256: '0'.repeat(64) })));
  const { tab, lab } = await open(desk, { front });
  await lab.step('model');
  await tab.page.locator('[data-value="tiny-f32"]').click();
  assert.match(await tab.text('weights-facts', /download/), /CC0-1\.0/);
  await tab.get('weights-load').click();
  const sentence = await lab.errorSentence();
  assert.ok(sentence.includes(sha256(bytes).slice(0, 8)) || /hash|SHA-256/i.test(sentence), sentence);
  await more(tab, lab);
  assert.match(await kept(tab), /No weights/);
  assert.equal(await tab.get('weights-loaded').count(), 0);
});

test('weights: shipped weights load by one press and stay after a reload; each can be deleted', async (desk) => {
  const bytes = tinyGguf();
  const other = tinyGguf({ license: 'MIT' });
  const front = await desk.front();
  front.put('weights/tiny.gguf', bytes);
  front.put('other.gguf', other);
  front.put('weights/catalogue.json', catalogue(entry('tiny-f32', bytes)));
  const { tab, lab } = await open(desk, { front });
  await lab.step('model');
  await tab.page.locator('[data-value="tiny-f32"]').click();
  await tab.text('weights-fit', /\w/);
  await tab.get('weights-load').click();
  assert.equal(await tab.get('weights-hash').getAttribute('data-value', { timeout: 60_000 * patience }), sha256(bytes));
  await tab.get('weights-unload').click();
  assert.match(await tab.text('weights-freed', /\w/), /^Unloaded/);
  await loadFrom(tab, lab, `${front.url}other.gguf`);
  await tab.text('weights-license', /MIT/, 60);
  await tab.text('cache-used', /^2 files/);

  const before = front.asked.filter(({ path }) => path.endsWith('.gguf')).length;
  await tab.page.reload();
  await lab.engine();
  await lab.step('model');
  await tab.page.locator('[data-testid^=weights-choice]').filter({ hasText: 'kept in this browser' }).click();
  await tab.get('weights-load').click();
  assert.match(await tab.text('weights-license', /\w/, 60), /MIT/);
  await tab.get('weights-unload').click();
  await tab.page.locator('[data-value="tiny-f32"]').click();
  assert.match(await tab.text('weights-facts', /download/), /kept in this browser/);
  await tab.get('weights-load').click();
  await tab.text('weights-license', /CC0/, 60);
  assert.equal(front.asked.filter(({ path }) => path.endsWith('.gguf')).length, before, 'nothing was downloaded again');

  await more(tab, lab);
  await tab.get('cache-0-delete').click();
  await tab.text('cache-used', /^1 file/);
  await tab.get('cache-clear').click();
  await tab.text('cache-used', /No weights/);
  await tab.page.reload();
  await lab.engine();
  await more(tab, lab);
  assert.match(await kept(tab), /No weights/);
});

test('weights: without room they are held in memory, and the page says so', async (desk) => {
  const bytes = tinyGguf();
  const front = await desk.front();
  front.put('tiny.gguf', bytes);
  const { tab, lab } = await open(desk, { front });
  const devtools = await tab.page.context().newCDPSession(tab.page);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: new URL(front.url).origin, quotaSize: 200_000 });
  await loadFrom(tab, lab, 'tiny.gguf', sha256(bytes));
  assert.match(await tab.text('weights-loaded-bytes', /\w/, 60), /until this page is closed/);
  assert.match(await tab.text('notice-text', /memory/), /room|quota|space/i);
  assert.equal(await tab.get('weights-hash').getAttribute('data-value'), sha256(bytes));
  assert.match(await kept(tab), /No weights/);
});

test('weights: a network too large for the device is refused before anything is read, with what would fit', async (desk) => {
  const files = await paperCheckpoints(await desk.folder(), 'huge');
  const { tab, lab } = await open(desk);
  await lab.step('model');
  await tab.get('weights-more-toggle').click();
  await tab.choose('weights-files', files);
  assert.match(await tab.text('weights-offer-title', /\w/, 60), /Huge, pre-trained encoders/);
  await tab.get('quantization-f32').click();
  await tab.page.waitForFunction(() => document.querySelector('[data-testid=weights-fit]')?.dataset.value === 'too-large', null, { timeout: 30_000 * patience });
  assert.match(await tab.text('weights-fit', /\w/), /\d.*[GM]i?B/);
  assert.ok((await tab.get('weights-suggestion').count()) > 0, 'nothing is suggested');
  assert.match(await tab.get('weights-suggestion').first().innerText(), /^(Huge|Large|Base) at \w+(, training low-rank adapters,)? with tiles of \d+ pixels needs [\d.]+ [GM]iB\.$/);
});
