// docs/automation.md is the whole list of what scripts may rely on: it and the page name the same controls.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { root } from '../harness/bench.mjs';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { test } from '../harness/test.mjs';
import { tinyGguf } from '../harness/weights.mjs';

/** The names in the first column of the table. */
function documented() {
  const rows = readFileSync(path.join(root, 'docs/automation.md'), 'utf8').match(/^\|.*$/gm);
  return new Set(rows.flatMap((row) => [...row.split('|')[1].matchAll(/`([\w-]+)`/g)].map(([, name]) => name)));
}

/** What the sources of the page say: names in full, patterns with a part that is put in, and every quoted word. */
function sources() {
  const folder = path.join(root, 'src/app');
  const text = readdirSync(folder, { recursive: true })
    .filter((name) => name.endsWith('.rs'))
    .map((name) => readFileSync(path.join(folder, name), 'utf8').split('#[cfg(test)]')[0])
    .join('\n');
  const find = (pattern) => [...text.matchAll(pattern)].map(([, found]) => found);
  return {
    names: find(/testid="([^"]+)"/g),
    patterns: [...find(/testid=format!\(\s*"([^"]+)"/g), ...find(/let id = format!\("([^"]+)"/g)],
    words: new Set(find(/"([^"\n]+)"/g)),
  };
}

/** The ways in which `name` can come from the pattern, each as the parts that are put in. */
function parts(pattern, name) {
  const ways = ['(.+)', '(.+?)'].map((part) => name.match(`^${pattern.replace(/\{[^}]*\}/g, part)}$`)?.slice(1));
  return ways.filter((way) => way !== undefined);
}

test('docs: docs/automation.md and the sources name the same controls', async () => {
  const table = documented();
  const { names, patterns, words } = sources();
  assert.ok(names.length > 80 && patterns.length > 10, `${names.length} names and ${patterns.length} patterns found`);
  assert.deepEqual(names.filter((name) => !table.has(name)), [], 'in the sources, not in the table');
  const unused = patterns.filter((pattern) => ![...table].some((name) => parts(pattern, name).length > 0));
  assert.deepEqual(unused, [], 'patterns of the sources that give no name of the table');
  const made = (name) => patterns.some((pattern) => parts(pattern, name).some((way) => way.every((part) => part === 'N' || words.has(part))));
  assert.deepEqual([...table].filter((name) => !words.has(name) && !made(name)), [], 'in the table, not in the sources');
});

test(
  'docs: every control that the page shows is in docs/automation.md',
  async (desk) => {
    const table = documented();
    const seen = new Set();
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: withSettings({ ...tiny('cpu', { epochs: 2, validate_every: 1 }), seeds: 2 }) });
    const lab = new Lab(tab);
    const look = async () => {
      for (const name of await tab.page.evaluate(() => [...document.querySelectorAll('[data-testid]')].map((element) => element.dataset.testid))) {
        seen.add(name.replace(/\b\d+\b/, 'N'));
      }
    };
    await look();
    await lab.engine();
    await tab.get('device-menu').click();
    await look();
    await tab.page.keyboard.press('Escape');
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.click(5, 5);
    await tab.get('pin-1').waitFor();
    await tab.get('preset').selectOption('band');
    for (const mode of ['all', 'file-mode', 'random']) {
      await tab.get(`split-${mode}`).click();
      await look();
    }
    await tab.drop('stage', truth);
    await look();
    await tab.get('question-cancel').click();
    await tab.drop('stage', [{ name: 'tiny.gguf', bytes: tinyGguf() }]);
    await tab.text('weights-fit', /\w/);
    await look();
    await tab.get('weights-offer-load').click();
    await tab.text('weights-title', /\w/, 60);
    await tab.get('weights-more-toggle').click();
    await tab.get('report-open').click();
    await tab.get('report-table').waitFor();
    await look();
    await tab.get('report-close').click();
    await lab.step('train');
    await tab.get('tuning-lora').click();
    await look();
    await tab.get('tuning-full').click();
    await lab.startTraining();
    await tab.text('job-state', /training/, 60);
    await look();
    await lab.finished(60);
    await tab.get('swipe-toggle').click();
    await tab.get('confusion-enlarge').click();
    await look();
    assert.ok(seen.size > 150, `only ${seen.size} names were seen`);
    assert.deepEqual([...seen].filter((name) => !table.has(name)), [], 'on the page, not in the table');
  },
  { timeout_s: 180 },
);
