// Parity with the official numbers on WebGPU, on Chromium's software adapter, within the limits of the native tests. The page
// of tests/webgpu computes and compares; scripts/build-webgpu-parity builds it. The networks are compared with every official
// number where ../shared is, and with a sample of them elsewhere; either takes about a minute each on two cores.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { cache, root, shared } from '../harness/bench.mjs';
import { patience, test } from '../harness/test.mjs';

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
  await tab.page.waitForFunction(() => window.parity, null, { timeout: 60_000 * patience });
  return tab;
}

/** Calls a check of the page and prints its report. */
async function check(tab, ...call) {
  const report = await tab.page.evaluate((call) => check(...call), call);
  if (report) console.log(report.replace(/^/gm, '     '));
}

test('webgpu: calls from JavaScript do not run the constructors again', async () => {
  // The linker gives this name to exports that do, and wasm-bindgen keeps it.
  for (const file of [path.join(root, 'dist/engine.js'), path.join(cache, 'webgpu-parity/webgpu_parity.js')]) {
    assert.doesNotMatch(readFileSync(file, 'utf8'), /command_export/, file);
  }
});

test(
  'webgpu: the kernels pass their self-test, and an invalid shader is heard of',
  async (desk) => {
    const tab = await open(desk);
    await check(tab, 'selfTest');
    // The proof that no check would miss an error of the GPU; the program panics and answers no more.
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

for (const cpu of [false, true]) {
  const where = cpu ? 'WebAssembly' : 'WebGPU';
  test(
    `webgpu: frozen layers and full attention meet float64 on ${where}`,
    async (desk) => {
      const tab = await open(desk);
      await check(tab, 'awkward', cpu);
      await check(tab, 'attention', cpu);
      for (let from = 0; from < 20; from += 5) await check(tab, 'layers', cpu, from, from + 5);
    },
    { timeout_s: 600 },
  );
}

const MIB = 2 ** 20;
for (const complete of [false, true]) {
  test(
    `webgpu: ViT-H${complete ? ', all its blocks,' : ''} in Q4_0 maps a tile within 1 GiB of GPU and 300 MiB of heap`,
    async (desk) => {
      const tab = await open(desk);
      const report = JSON.parse(await tab.page.evaluate((complete) => check('huge', complete), complete));
      report.gpu_peak_bytes = await tab.page.evaluate(() => gpuBytes.peak);
      console.log(`     ${JSON.stringify(report)}`);
      assert.ok(report.gpu_peak_bytes < 1024 * MIB, `${report.gpu_peak_bytes} bytes of GPU memory`);
      assert.ok(report.heap_bytes < 300 * MIB, `${report.heap_bytes} bytes of heap`);
      // All of it, not some of it: ViT-H's projections at 4.5 bits.
      assert.ok(report.parameters > (complete ? 1.27e9 : 0.86e9), `${report.parameters} parameters`);
      assert.ok(report.gpu_peak_bytes > (report.parameters * 4.5) / 8, 'the weights are on the GPU');
    },
    { timeout_s: 900 },
  );
}

for (const name of ['tiny_seg', 'tiny_seg_odd', 'tiny_cls']) {
  test(
    `webgpu: the network ${name} meets the official code`,
    async (desk) => check(await open(desk), 'tiny', name, complete),
    { timeout_s: 300 },
  );
}
