// Hosting in one tab with the teaching scene: simulated neighbours, the advanced choices, deleting.
import assert from 'node:assert/strict';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { patience, test } from '../harness/test.mjs';

const settings = withSettings({ ...tiny('cpu'), train_per_class: 6, val_per_class: 3 });

/** A tab that hosts a federation of the teaching scene; `plan` fills in more before it is created. */
async function host(desk, url, plan) {
  const tab = await desk.open({ front: { url }, prepare: settings });
  const lab = new Lab(tab);
  await lab.engine();
  await tab.get('try-it').click();
  await lab.step('scene');
  await tab.text('scene-dims', /128 × 128 × 120/, 60);
  await tab.get('area-federate').click();
  await tab.get('federate-host').click();
  await tab.get('host-token').fill(ADMIN);
  await lab.number('host-min-clients', 2);
  await plan(tab, lab);
  await tab.get('host-create').click();
  await tab.get('host-link').waitFor({ timeout: 60_000 * patience });
  return tab;
}

const standing = (tab, number, word, timeout_s) =>
  tab.page.locator(`[data-testid=neighbour-${number}][data-state=${word}]`).waitFor({ timeout: timeout_s * patience * 1000 });

test(
  'hosting: simulated neighbours finish a federation, which is then deleted',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      const tab = await host(desk, url, async (tab, lab) => {
        await lab.number('host-rounds', 2);
        await lab.number('host-epochs', 2);
        await tab.get('host-advanced-toggle').click();
        await tab.get('host-server').selectOption('fed_avg_m');
        await lab.number('host-momentum', 0.5);
        await tab.get('host-robust').selectOption('trimmed_mean');
        // More than can be left out.
        await lab.number('host-trim', 0.9);
        assert.equal(await tab.get('host-trim').inputValue(), '0.49');
        await tab.get('host-robust').selectOption('mean');
        assert.equal(await tab.get('host-trim').count(), 0);
        await lab.number('host-clip', 50);
        await tab.get('host-fusion').selectOption('moment_matching');
        await tab.get('host-clip').scrollIntoViewIfNeeded();
        await tab.picture('hosting-advanced');
      });
      await tab.text('host-why', /Fewer clients are present than the quorum needs/, 30);
      await tab.get('neighbours-2').click();
      await tab.get('neighbours-start').click();
      await tab.text('host-counts', /2 present, 2 joined/, 120);
      assert.equal(await tab.get('neighbour-3').count(), 0);
      assert.equal(await tab.get('host-others').locator('i').count(), 2);
      await tab.text('host-table', /1\s+2\s+/, 200);
      await tab.get('neighbours-stop').scrollIntoViewIfNeeded();
      await tab.picture('neighbours');
      await tab.text('host-phase', /finished/, 200);
      for (const number of [1, 2]) {
        await standing(tab, number, 'finished', 60);
        assert.equal(await tab.get(`neighbour-${number}-rounds`).innerText(), '2 rounds');
      }
      await tab.text('host-round', /finished after 2 rounds/);
      await tab.text('host-why', /All rounds are done/);
      assert.match(await tab.get('federate').innerText(), /FedAvgM \(rate 1, momentum 0\.5\), updates clipped to norm 50/);
      // Both have told how good the last model is.
      await tab.text('host-accuracy-value', /[\d.]+ % ± [\d.]+ after round 2/, 30);
      assert.equal(await tab.get('host-accuracy').locator('circle').count(), 3);
      await tab.text('neighbours-missing', /federation is over/);
      // They leave nothing that this tab could take for its own place.
      const places = await tab.page.evaluate(async () => {
        const root = await navigator.storage.getDirectory();
        const folder = await root.getDirectoryHandle('federations').catch(() => null);
        const names = [];
        if (folder) for await (const name of folder.keys()) names.push(name);
        return names;
      });
      assert.deepEqual(places, []);

      await tab.page.emulateMedia({ colorScheme: 'dark' });
      await tab.get('host-delete').click();
      await tab.get('host-delete-dialog').waitFor();
      await tab.picture('hosting-delete-dark');
      await tab.get('host-delete-no').click();
      await tab.page.setViewportSize({ width: 390, height: 844 });
      await tab.get('neighbour-1').scrollIntoViewIfNeeded();
      await tab.picture('neighbours-narrow-dark');
      await tab.get('host-table').scrollIntoViewIfNeeded();
      await tab.picture('hosting-narrow-dark');
      assert.ok(await tab.get('host-link').isVisible(), 'it was not deleted');
      await tab.get('host-delete').click();
      await tab.get('host-delete-yes').click();
      await tab.get('host-create').waitFor({ timeout: 30_000 * patience });
      const left = await fetch(`${url}api/v1/federations`, { headers: { authorization: `Bearer ${ADMIN}` } });
      assert.deepEqual(await left.json(), []);
    });
  },
  { timeout_s: 420 },
);

test(
  'hosting: simulated neighbours leave when they are told to',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      const tab = await host(desk, url, (_, lab) => lab.number('host-rounds', 50));
      await tab.get('neighbours-1').click();
      await tab.get('neighbours-start').click();
      await tab.text('host-counts', /1 joined/, 120);
      await tab.get('neighbours-stop').click();
      await standing(tab, 1, 'left', 30);
      await tab.text('host-counts', /0 joined/, 30);
      // They can be started anew.
      await tab.get('neighbours-start').waitFor();
      await forget(tab);
    });
  },
  { timeout_s: 240 },
);
