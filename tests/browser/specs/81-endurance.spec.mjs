// What happens to tabs, machines and clocks while a federation goes on, and what the tabs do about it by themselves.
import assert from 'node:assert/strict';
import { ADMIN, forget, withCoordinator } from '../harness/coordinator.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { devices, inWorker } from '../harness/worker.mjs';
import { patience, test } from '../harness/test.mjs';

const settings = withSettings({ ...tiny('cpu'), train_per_class: 6, val_per_class: 3 });

/** A tab with a scene and its labels, in the area Federate. */
async function labTab(desk, { url, query = '', webgpu = false, prepare = settings, field = [] }) {
  const tab = await desk.open({ front: { url }, query, webgpu, prepare });
  const lab = new Lab(tab);
  const { scene, truth } = fieldScene(...field);
  await lab.engine();
  await tab.get('area-classify').click();
  await lab.openScene(scene);
  await lab.openTruth(truth);
  await tab.get('area-federate').click();
  return { tab, lab };
}

/** Hosts from a tab; what its link adds to the address. */
async function host({ tab, lab }, { rounds, epochs, clients }) {
  await tab.get('federate-host').click();
  await tab.get('host-token').fill(ADMIN);
  await lab.number('host-rounds', rounds);
  await lab.number('host-epochs', epochs);
  await lab.number('host-min-clients', clients);
  await tab.get('host-create').click();
  await tab.get('host-link').waitFor({ timeout: 60_000 * patience });
  const link = await tab.get('host-link').inputValue();
  return link.slice(link.indexOf('#'));
}

async function takePart(tab) {
  await tab.get('federate-title').waitFor({ timeout: 30_000 * patience });
  await tab.get('federate-compare').uncheck();
  await tab.get('federate-consent').check();
  await tab.get('federate-take-part').click();
}

/** Clocks of the tab and of its workers are wrong by so many milliseconds. */
const clockOff = (milliseconds) => {
  const script = `const now = Date.now; Date.now = () => now() + ${milliseconds};`;
  return async (context) => {
    await settings(context);
    await context.addInitScript(script);
    await inWorker(script)(context);
  };
};

test(
  'federation: it survives a killed coordinator, a dead engine, a closed tab and wrong clocks',
  async (desk) => {
    await withCoordinator(async ({ url, kill, again }) => {
      const hosting = await labTab(desk, { url });
      const query = await host(hosting, { rounds: 5, epochs: 6, clients: 2 });
      const days = 24 * 3600_000;
      const tabs = [];
      for (const prepare of [settings, clockOff(3 * days), clockOff(-400 * days)]) {
        tabs.push((await labTab(desk, { url, query, prepare })).tab);
      }
      for (const tab of [hosting.tab, ...tabs]) tab.allowError(/net::ERR_/);
      for (const tab of tabs) await takePart(tab);
      const [first, second, third] = tabs;
      await first.text('federate-round', /round 1 of 5/, 90);

      await kill();
      await first.text('federate-trouble', /\w/, 60);
      await again();
      await first.get('federate-trouble').waitFor({ state: 'detached', timeout: 60_000 * patience });

      await second.text('federate-round', /round [23] of 5/, 120);
      await second.workers()[0].evaluate(() => self.close()).catch(() => {});
      await second.text('notice-text', /the federation goes on where this tab was/, 60);
      // Two are enough for the quorum: a tab that is gone keeps nobody waiting.
      await third.page.close();

      for (const tab of [first, second]) {
        await tab.text('federate-part', /finished/, 240);
        await tab.text('federate-accuracy-global', /OA [\d.]+ %/);
      }
      await hosting.tab.text('host-phase', /finished/, 30);
      const rows = await hosting.tab.get('host-table').locator('tbody tr').allInnerTexts();
      assert.equal(rows.length, 5);
      // Nobody counts twice.
      for (const row of rows) assert.match(row, /^\d\s+[23]\s/);
      await forget(hosting.tab);
    });
  },
  { timeout_s: 600 },
);

test(
  'federation: a destroyed GPU device does not end it',
  async (desk) => {
    await withCoordinator(async ({ url }) => {
      // As in the test of a single job: on a software adapter every first use of a kernel takes long.
      const lean = { warmup_epochs: 1, components: 4, weight_average: 0, clip_norm: 0, label_smoothing: 0, weight_decay: 0 };
      const fast = { test_time_augmentation: false, test_time_shifts: 1 };
      const field = ['fields', 16, 16];
      const lab = { ...tiny('cpu', { ...lean, ...fast }), train_per_class: 6, val_per_class: 0 };
      const hosting = await labTab(desk, { url, field, prepare: withSettings(lab) });
      const query = await host(hosting, { rounds: 2, epochs: 1, clients: 1 });
      const prepare = async (context) => {
        await withSettings({ ...lab, device: 'webgpu' })(context);
        await inWorker(devices)(context);
      };
      const { tab } = await labTab(desk, { url, query, field, prepare, webgpu: true });
      await takePart(tab);
      await tab.text('federate-doing', /training/i, 200);
      await tab.workers()[0].evaluate(() => self.devicesOfTest.forEach((device) => device.destroy()));
      await tab.text('notice-text', /the federation goes on where this tab was/, 90);
      await tab.text('federate-part', /finished/, 400);
      await tab.text('federate-accuracy-global', /OA [\d.]+ %/);
      await forget(hosting.tab);
    });
  },
  { timeout_s: 800 },
);
