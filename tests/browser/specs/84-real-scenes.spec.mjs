// Three labs with a real scene: each opens the file and the ground truth, draws labels of its own, joins by the link.
import assert from 'node:assert/strict';
import { sharedFile } from '../harness/bench.mjs';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab } from '../harness/lab.mjs';
import { patience, test } from '../harness/test.mjs';

const ROUNDS = 3;

/** A tab with Indian Pines, the lab's own draw of training pixels, and the area Federate shown. */
async function open(desk, url, query, seed, files) {
  const tab = await desk.open({ front: { url }, query });
  const lab = new Lab(tab);
  await lab.engine();
  await tab.get('area-classify').click();
  await lab.openScene([files.scene]);
  await lab.openTruth([files.truth]);
  await lab.number('train-per-class', 10);
  await lab.number('val-per-class', 5);
  await lab.number('split-seed', seed);
  await tab.get('area-federate').click();
  return { tab, lab };
}

/** OA in % of a sentence of the page. */
const overall = (sentence) => Number(sentence.match(/OA ([\d.]+) %/)[1]);

test(
  'federation: three tabs with Indian Pines train one network together',
  async (desk) => {
    const folder = 'data/scenes/indian_pines';
    const files = { scene: sharedFile(`${folder}/Indian_pines_corrected.mat`), truth: sharedFile(`${folder}/Indian_pines_gt.mat`) };
    await withCoordinator(async ({ url }) => {
      const { tab: hosting, lab } = await open(desk, url, '', 0, files);
      await hosting.get('federate-host').click();
      await hosting.get('host-title').fill('Indian Pines, three labs');
      await hosting.get('host-title').blur();
      await hosting.get('host-token').fill(ADMIN);
      await lab.number('host-rounds', ROUNDS);
      await lab.number('host-epochs', 6);
      await lab.number('host-min-clients', 3);
      await hosting.get('host-create').click();
      await hosting.get('host-link').waitFor({ timeout: 60_000 * patience });
      const link = await hosting.get('host-link').inputValue();

      const tabs = [];
      for (const seed of [1, 2, 3]) {
        const { tab } = await open(desk, url, link.slice(link.indexOf('#')), seed, files);
        await tab.text('federate-title', /Indian Pines, three labs/, 30);
        await tab.get('federate-compare').uncheck();
        await tab.get('federate-consent').check();
        await tab.get('federate-take-part').click();
        tabs.push(tab);
      }
      for (const [index, tab] of tabs.entries()) {
        await tab.text('federate-part', /finished/, 600);
        const sentence = await tab.text('federate-accuracy-global', /OA [\d.]+ %/, 120);
        console.log(`     lab ${index + 1}: the common network after ${ROUNDS} rounds: ${sentence}`);
        // Sixteen classes: chance is 6 %.
        assert.ok(overall(sentence) > 30, sentence);
        await tab.get('federate-map-global').waitFor();
      }
      await tabs[0].picture('federate-indian-pines');
      await hosting.text('host-phase', /finished/, 30);
      await hosting.text('host-table', new RegExp(`${ROUNDS}\\s+3\\s+`));
      await forget(hosting);
    });
  },
  { timeout_s: 1200 },
);
