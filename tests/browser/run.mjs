// Runs the browser tests: node run.mjs [part of a test's name …]
//
// Each line of the output is one test: PASS, FAIL or SKIP, its name and its seconds. The counts go to
// test-output/browser.json for `./test`; the exit code is 1 when a test failed and 2 when nothing could run.
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Bench, output } from './harness/bench.mjs';
import { Skip, patience, tests } from './harness/test.mjs';

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const wanted = process.argv.slice(2);
await rm(output, { recursive: true, force: true });
await mkdir(path.join(output, 'screenshots'), { recursive: true });
for (const file of (await readdir(path.join(here, 'specs'))).filter((name) => name.endsWith('.spec.mjs')).sort()) {
  await import(path.join(here, 'specs', file));
}

const chosen = tests.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.includes(part)));
if (chosen.length === 0) {
  console.error(`No test's name contains ${wanted.join(' or ')}.`);
  process.exit(2);
}

const bench = new Bench();
const counts = { passed: 0, failed: 0, skipped: 0 };
const results = [];
for (const { name, timeout_s, body } of chosen) {
  const start = performance.now();
  const desk = bench.desk(name);
  let error;
  let timer;
  try {
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${timeout_s * patience} s`)), timeout_s * patience * 1000);
    });
    await Promise.race([body(desk), late]);
    desk.check();
  } catch (caught) {
    error = caught;
  }
  clearTimeout(timer);
  const outcome = error === undefined ? 'passed' : error instanceof Skip ? 'skipped' : 'failed';
  if (outcome === 'failed') await desk.keepEvidence();
  await desk.clear();
  const seconds = (performance.now() - start) / 1000;
  counts[outcome] += 1;
  results.push({ name, outcome, seconds, message: error?.message });
  console.log(`${{ passed: 'PASS', failed: 'FAIL', skipped: 'SKIP' }[outcome]} ${name} (${seconds.toFixed(1)} s)`);
  if (error) console.log((outcome === 'skipped' ? error.message : error.stack).replace(/^/gm, '     '));
}
await bench.close();
await writeFile(path.join(output, '..', 'browser.json'), JSON.stringify({ ...counts, tests: results }, null, 1));
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exit(counts.failed > 0 ? 1 : 0);
