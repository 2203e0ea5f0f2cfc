// A federation that trains adapters of weights that everybody has loaded: the weights themselves are never sent.
import assert from 'node:assert/strict';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { sha256, tinyGguf } from '../harness/weights.mjs';
import { patience, test } from '../harness/test.mjs';

const settings = withSettings({ ...tiny('cpu', { patch: 2 }), train_per_class: 6, val_per_class: 3 });

/** A tab with the scene and its labels open. */
async function labTab(desk, front, query = '') {
  const tab = await desk.open({ front, query, prepare: settings });
  const lab = new Lab(tab);
  const { scene, truth } = fieldScene();
  await lab.engine();
  await tab.get('area-classify').click();
  await lab.openScene(scene);
  await lab.openTruth(truth);
  return { tab, lab };
}

async function load(tab) {
  await tab.get('area-classify').click();
  await tab.drop('stage', [{ name: 'tiny.gguf', bytes: tinyGguf() }]);
  await tab.get('weights-offer-load').click();
  await tab.text('weights-title', /HyperSIGMA Tiny/, 60);
}

test(
  'federation: tabs train adapters of the same weights, which stay where they are',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      const front = { url };
      const { tab: hosting, lab } = await labTab(desk, front);
      await load(hosting);
      await lab.step('train');
      await hosting.get('tuning-lora').click();
      await lab.number('lora-rank', 2);
      await hosting.get('area-federate').click();
      await hosting.get('federate-host').click();
      await hosting.get('host-token').fill(ADMIN);
      await lab.number('host-rounds', 2);
      await lab.number('host-epochs', 2);
      await lab.number('host-min-clients', 2);
      await hosting.get('host-create').click();
      await hosting.get('host-link').waitFor({ timeout: 60_000 * patience });
      const link = await hosting.get('host-link').inputValue();
      await hosting.text('neighbours-missing', /no weights to adapt/, 30);

      const tabs = [];
      for (let number = 0; number < 2; number += 1) {
        const { tab } = await labTab(desk, front, link.slice(link.indexOf('#')));
        await tab.get('area-federate').click();
        await tab.text('federate-model', /HyperSIGMA Tiny.*LoRA of rank 2/, 30);
        await tab.text('federate-backbone', new RegExp(sha256(tinyGguf())));
        await tab.get('federate-consent').check();
        await tab.text('federate-missing', /Load the weights that this federation fine-tunes/);
        assert.ok(await tab.get('federate-take-part').isDisabled(), 'without the weights');
        await load(tab);
        await tab.get('area-federate').click();
        if (number === 0) await tab.picture('federate-adapters');
        await tab.get('federate-take-part').click();
        tabs.push(tab);
      }
      for (const tab of tabs) {
        await tab.text('federate-part', /finished/, 150);
        await tab.text('federate-round', /finished after 2 rounds/);
        await tab.text('federate-accuracy-global', /OA [\d.]+ %/);
        await tab.text('federate-accuracy-alone', /OA [\d.]+ %/);
      }
      // What is taken away is an adapter file, which this tab can use at once.
      const tab = tabs[0];
      const [saved] = await Promise.all([tab.page.waitForEvent('download'), tab.get('federate-save-global').click()]);
      assert.match(saved.suggestedFilename(), /\.safetensors$/);
      await forget(hosting);
    });
  },
  { timeout_s: 420 },
);
