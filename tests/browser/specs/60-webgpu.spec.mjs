// Parity with the official numbers on WebGPU, on Chromium's software adapter. The page of tests/webgpu computes and compares;
// scripts/build-webgpu-parity builds it.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { cache, root, shared } from '../harness/bench.mjs';
import { test } from '../harness/test.mjs';

const fixtures = path.join(root, 'tests/fixtures');
const reference = path.join(shared, 'reference');
const complete = existsSync(reference);

/** What the page asks for lies under parity/; `build` and `reference` are folders of their own. */
const places = {
  '': [path.join(root, 'tests/webgpu')],
  'build/': [path.join(cache, 'webgpu-parity')],
  'reference/': [fixtures, reference],
};

async function open(desk) {
  if (!existsSync(path.join(places['build/'][0], 'webgpu_parity.js'))) throw new Error('Build the page first: scripts/build-webgpu-parity');
  const tab = await desk.open({
    webgpu: true,
    query: 'parity/page.html',
    prepare: (context) =>
      context.route('**/parity/**', (route) => {
        const [, place = '', file] = route.request().url().match(/\/parity\/(build\/|reference\/)?(.+)$/);
        const found = places[place].map((folder) => path.join(folder, file)).find(existsSync);
        return found ? route.fulfill({ path: found }) : route.fulfill({ status: 404 });
      }),
  });
  await tab.page.waitForFunction(() => window.parity, null, { timeout: 60_000 });
  return tab;
}

/** Calls a check of the page and prints its report. */
async function check(tab, ...call) {
  const report = await tab.page.evaluate((call) => check(...call), call);
  if (report) console.log(report.replace(/^/gm, '     '));
}

test(
  'webgpu: the kernels pass their self-test, and an invalid shader is heard of',
  async (desk) => {
    const tab = await open(desk);
    await check(tab, 'selfTest');
    // Last, because the program panics: the checks below would not miss an error of the GPU.
    tab.expectError(/wgpu error.*nonsense/s);
    tab.expectError(/uncaught: unreachable/);
    await tab.page.evaluate(() => void device.createShaderModule({ code: 'nonsense' }));
    await assert.rejects(check(tab, 'selfTest'), /unreachable/);
  },
  { timeout_s: 120 },
);

test(
  'webgpu: sparse sampling attention meets the official code',
  async (desk) => {
    const tab = await open(desk);
    for (const name of ['tiny', 'square', 'nonsquare', 'outside', 'integer_offsets']) await check(tab, 'sampling', name);
    if (complete) await check(tab, 'sampling', 'spectral_base');
  },
  { timeout_s: 180 },
);

for (const name of ['tiny_seg', 'tiny_seg_odd', 'tiny_cls']) {
  test(
    `webgpu: the network ${name} meets the official code`,
    async (desk) => check(await open(desk), 'tiny', name, complete),
    { timeout_s: 300 },
  );
}
