// Light and dark: the system's choice until the user makes one.
import assert from 'node:assert/strict';
import { test } from '../harness/test.mjs';

test('theme: follows the system while open, and one press changes it', async (desk) => {
  const tab = await desk.open({ colorScheme: 'light' });
  const paper = () => tab.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const shown = () => tab.get('theme-switch').getAttribute('data-value');
  await tab.get('theme-switch').waitFor();
  assert.equal(await shown(), 'light');
  const light = await paper();
  await tab.page.emulateMedia({ colorScheme: 'dark' });
  await tab.page.waitForFunction(() => document.querySelector('[data-testid=theme-switch]').dataset.value === 'dark');
  const dark = await paper();
  assert.notEqual(dark, light);
  await tab.get('theme-switch').click();
  assert.equal(await shown(), 'light');
  assert.equal(await paper(), light);
  // A choice stays, whatever the system does.
  await tab.page.emulateMedia({ colorScheme: 'light' });
  await tab.page.emulateMedia({ colorScheme: 'dark' });
  await tab.page.waitForTimeout(200);
  assert.equal(await shown(), 'light');
  assert.equal(await paper(), light);
});
