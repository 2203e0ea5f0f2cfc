// The page as static files: it paints before the engine is there, works under any path, and reports no errors.
import assert from 'node:assert/strict';
import { patience, test } from '../harness/test.mjs';

/** How many controls and readouts a painted page shows. */
const painted = (tab) => tab.page.waitForFunction(() => document.querySelectorAll('[data-testid]').length > 10, null, { timeout: 20_000 * patience });

test('page: loads without errors and is cross-origin isolated', async (desk) => {
  const tab = await desk.open();
  await painted(tab);
  assert.match(await tab.page.title(), /SigmaScope/);
  assert.equal(await tab.page.evaluate(() => crossOriginIsolated), true);
});

test('page: paints before the engine has arrived', async (desk) => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let asked = false;
  const tab = await desk.open({
    prepare: (context) =>
      context.route('**/engine_bg.wasm', async (route) => {
        asked = true;
        await held;
        await route.continue();
      }),
  });
  await painted(tab);
  await tab.page.waitForTimeout(500);
  assert.ok(asked, 'the engine was asked for');
  assert.equal(tab.workers().length, 0, 'no engine runs yet');
  const paint = await tab.page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  assert.ok(paint > 0, 'painted while the engine has not come');
  release();
  await tab.page.waitForEvent('worker', { timeout: 60_000 * patience });
});

test('page: works under a base path and asks for nothing outside it', async (desk) => {
  const asked = [];
  const tab = await desk.open({
    base: '/some/deep/path/',
    prepare: (context) => context.on('request', (request) => asked.push(request.url())),
  });
  await painted(tab);
  const outside = asked.filter((url) => !url.startsWith('blob:') && !url.startsWith('data:') && !new URL(url).pathname.startsWith('/some/deep/path/'));
  assert.deepEqual(outside, []);
});
