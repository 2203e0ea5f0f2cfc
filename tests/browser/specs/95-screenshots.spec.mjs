// The pictures of the README, made only when they are asked for:
//
//   SIGMASCOPE_SCREENSHOTS=docs/images node tests/browser/run.mjs screenshots
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { root } from '../harness/bench.mjs';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { paperCheckpoints } from '../harness/weights.mjs';
import { patience, test } from '../harness/test.mjs';

const folder = process.env.SIGMASCOPE_SCREENSHOTS;
/** They are committed. Chromium compresses them about as well as a lossless PNG can be. */
const MOST_BYTES = 250_000;

async function keep(tab, name) {
  // The last frame of a transition or of the map.
  await tab.page.waitForTimeout(600);
  const bytes = await tab.page.screenshot();
  await mkdir(path.resolve(root, folder), { recursive: true });
  await writeFile(path.resolve(root, folder, `${name}.png`), bytes);
  console.log(`     ${name}.png ${(bytes.length / 1000).toFixed(0)} kB`);
  assert.ok(bytes.length < MOST_BYTES, `${name}.png has ${bytes.length} bytes`);
}

async function screenshots(desk) {
  const tab = await desk.open({ colorScheme: 'light' });
  const lab = new Lab(tab);
  await lab.engine();
  await keep(tab, 'welcome');

  await tab.get('try-it').click();
  await tab.text('scene-dims', /×/, 60);
  await lab.step('classes');
  await tab.page.waitForTimeout(1000);
  // Forest, water, a roof, rapeseed: spectra that differ.
  for (const pixel of [[20, 20], [100, 40], [84, 59], [28, 108]]) await lab.click(...pixel);
  await tab.get('pin-4').waitFor();
  await lab.hover(14, 70);
  await keep(tab, 'scene');

  await lab.startTraining();
  await tab.text('val-oa-value', /at epoch [3-5]0/, 900);
  await keep(tab, 'training');
  await lab.finished(900);
  await tab.page.emulateMedia({ colorScheme: 'dark' });
  await tab.page.mouse.move(2, 2);
  await keep(tab, 'map-dark');
  await tab.page.emulateMedia({ colorScheme: 'light' });
  await tab.page.setViewportSize({ width: 390, height: 844 });
  await tab.get('tab-results').click();
  await tab.get('results').evaluate((element) => element.scrollIntoView());
  await keep(tab, 'narrow');
}

/** Files of the paper's Base with zeros for numbers: names, sizes and the report are those of the real ones. */
async function weights(desk) {
  const files = await paperCheckpoints(await desk.folder(), 'base');
  const tab = await desk.open({ colorScheme: 'light' });
  const lab = new Lab(tab);
  await lab.engine();
  await tab.get('try-it').click();
  await tab.text('scene-dims', /×/, 60);
  await lab.step('model');
  await tab.get('weights-more-toggle').click();
  await tab.choose('weights-files', files);
  await tab.get('quantization-q4_0').click();
  await tab.text('weights-fit', /\w/, 60);
  await tab.get('weights-more-toggle').click();
  await keep(tab, 'weights');
  await tab.get('weights-offer-load').click();
  await tab.text('weights-title', /Base/, 600);
  await tab.page.emulateMedia({ colorScheme: 'dark' });
  await tab.get('report-open').click();
  await tab.get('report-table').waitFor();
  await keep(tab, 'weights-report');
}

/** A tab with the teaching scene, in the area Federate. */
async function teachingTab(desk, url, query) {
  const tab = await desk.open({ front: { url }, query, colorScheme: 'light', prepare: withSettings({ ...tiny('cpu'), train_per_class: 10, val_per_class: 10 }) });
  const lab = new Lab(tab);
  await lab.engine();
  await tab.get('area-classify').click();
  await tab.get('try-it').click();
  await lab.step('scene');
  await tab.text('scene-dims', /128 × 128 × 120/, 60);
  await tab.get('area-federate').click();
  return { tab, lab };
}

/** A host, two simulated neighbours and a tab that joins. */
async function federation(desk) {
  await withCoordinator(async ({ url }) => {
    const { tab: hosting, lab } = await teachingTab(desk, url, '');
    await hosting.get('federate-host').click();
    await hosting.get('host-title').fill('Fields of three labs');
    await hosting.get('host-token').fill(ADMIN);
    for (const [field, value] of [['host-rounds', 6], ['host-epochs', 8], ['host-min-clients', 3]]) await lab.number(field, value);
    await hosting.get('host-create').click();
    await hosting.get('host-link').waitFor({ timeout: 60_000 * patience });
    const link = await hosting.get('host-link').inputValue();
    await keep(hosting, 'federate-host');
    await hosting.get('neighbours-2').click();
    await hosting.get('neighbours-start').click();
    const { tab } = await teachingTab(desk, url, link.slice(link.indexOf('#')));
    await tab.text('federate-title', /Fields of three labs/, 30);
    await tab.get('federate-consent').check();
    await tab.get('federate-take-part').click();
    await tab.text('federate-round', /round [45] of 6/, 600);
    await keep(tab, 'federate-round');
    await tab.text('federate-part', /finished/, 600);
    await tab.get('federate-map-alone').scrollIntoViewIfNeeded();
    await tab.page.emulateMedia({ colorScheme: 'dark' });
    await keep(tab, 'federate-end-dark');
    await forget(hosting);
  });
}

if (folder) test('screenshots: a federation', federation, { timeout_s: 1200 });
if (folder) test('screenshots: pre-trained weights', weights, { timeout_s: 1200 });
if (folder) test('screenshots: the pictures of the README', screenshots, { timeout_s: 2000 });
