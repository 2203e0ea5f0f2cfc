// Federated rounds through the interface: a host, tabs that join by its link, a coordinator of the test's own.
import assert from 'node:assert/strict';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { patience, test } from '../harness/test.mjs';

const settings = withSettings({ ...tiny('cpu'), train_per_class: 6, val_per_class: 3 });

/** A tab with the scene and its labels open. */
async function labTab(desk, front, query = '') {
  const tab = await desk.open({ front, query, prepare: settings });
  const lab = new Lab(tab);
  const { scene, truth } = fieldScene();
  await lab.engine();
  await tab.get('area-classify').click();
  await lab.openScene(scene);
  await lab.openTruth(truth);
  await tab.get('area-federate').click();
  return { tab, lab };
}

async function host(desk, front, { rounds, epochs }) {
  const { tab, lab } = await labTab(desk, front);
  await tab.get('federate-host').click();
  await tab.get('host-title').fill('Fields of the test');
  await tab.get('host-title').blur();
  await tab.get('host-token').fill(ADMIN);
  await lab.number('host-rounds', rounds);
  await lab.number('host-epochs', epochs);
  await lab.number('host-min-clients', 2);
  await tab.get('host-create').click();
  await tab.get('host-link').waitFor({ timeout: 60_000 * patience });
  const link = await tab.get('host-link').inputValue();
  assert.match(link, /#join=[0-9a-f]{16}\.ssi_/);
  assert.equal(await tab.get('host-code').locator('path').count(), 1);
  return { tab, fragment: link.slice(link.indexOf('#')) };
}

async function join(desk, front, fragment) {
  const { tab } = await labTab(desk, front, fragment);
  await tab.text('federate-title', /Fields of the test/, 30);
  await tab.text('federate-algorithm', /FedAvg.*λ = 0\.1/);
  assert.ok((await tab.get('federate-leaving').locator('tr').count()) >= 3);
  assert.ok(await tab.get('federate-take-part').isDisabled(), 'not without consent');
  await tab.get('federate-consent').check();
  await tab.get('federate-take-part').click();
  return tab;
}

test(
  'federation: tabs that join by the link finish it and map their scenes',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      const front = { url };
      const { tab: hosting, fragment } = await host(desk, front, { rounds: 2, epochs: 2 });
      const tabs = [await join(desk, front, fragment), await join(desk, front, fragment)];
      for (const tab of tabs) {
        await tab.text('federate-part', /finished/, 150);
        await tab.text('federate-round', /finished after 2 rounds/);
        await tab.text('federate-why', /All rounds are done/);
        await tab.text('federate-accuracy-global', /OA [\d.]+ %, AA [\d.]+ %, κ .* held-out pixels/);
        await tab.text('federate-accuracy-alone', /OA [\d.]+ %/);
        await tab.text('federate-scope-value', /own μ .* target μ .* KL/);
        assert.match(await tab.get('federate-ledger').innerText(), /weight changes and scopes/);
        assert.ok((await tab.get('federate-divergence').locator('rect').count()) > 20);
      }
      await hosting.text('host-phase', /finished/, 20);
      assert.equal(await hosting.get('host-table').locator('tbody tr').count(), 2);
      await hosting.text('host-table', /1\s+2\s+/);
      await forget(hosting);
    });
  },
  { timeout_s: 300 },
);

test(
  'federation: a tab that is reloaded goes on by itself',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      const front = { url };
      const { tab: hosting, fragment } = await host(desk, front, { rounds: 3, epochs: 4 });
      const tabs = [await join(desk, front, fragment), await join(desk, front, fragment)];
      await tabs[0].text('federate-round', /round [12] of 3/, 60);
      await tabs[0].page.reload({ waitUntil: 'domcontentloaded' });
      const lab = new Lab(tabs[0]);
      const { scene } = fieldScene();
      await lab.engine();
      await tabs[0].get('area-classify').click();
      // The file has to be opened again, its labels are kept.
      await lab.openScene(scene);
      await tabs[0].get('area-federate').click();
      for (const tab of tabs) await tab.text('federate-part', /finished/, 200);
      await forget(hosting);
    });
  },
  { timeout_s: 330 },
);

test('federation: an invitation that leads nowhere says so', async (desk) => {
  await withCoordinator(async ({ url }) => {
    const tab = await desk.open({ front: { url }, query: '#join=0123456789abcdef.ssi_nobody', prepare: settings });
    tab.expectError(/401/);
    await new Lab(tab).engine();
    await tab.text('federate-problem', /token is unknown/, 30);
    await tab.get('federate-link').fill('https://lab.example/');
    await tab.get('federate-link').blur();
    await tab.text('federate-problem', /not an invitation/);
  });
});
