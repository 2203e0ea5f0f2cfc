// Times the page's engine and onnxruntime-web on the same networks in one Chromium: node run.mjs [--only page|runtime]
//   [--networks tiny,nano,…] [--output FILE]
//
// Prints one JSON document. The exit code is 1 when outputs differ or something that should have run failed.
import { execFileSync } from 'node:child_process';
import { createReadStream, existsSync, statSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Bench } from '../browser/harness/bench.mjs';

const here = path.dirname(new URL(import.meta.url).pathname);
const cache = process.env.SIGMASCOPE_CACHE ?? path.join(os.homedir(), '.cache/sigmascope');
const onnx = path.join(cache, 'onnx');

/** Largest relative L2 difference of two outputs that still is rounding (reference/README.md suggests it for Base). */
const TOLERANCE = 2e-5;
/** Input shapes of the networks and the engine's case that runs each. */
const NETWORKS = {
  tiny: { case: 'tiny_forward', shape: [1, 8, 32, 32] },
  nano: { case: 'nano_forward', shape: [1, 20, 128, 128] },
  full_attention_block: { case: 'full_attention_block', shape: [1, 20, 128, 128] },
  base: { case: 'base_forward', shape: [1, 20, 128, 128] },
  ...quantized('nano'),
  ...quantized('base'),
};

/**
 * The quantized networks: ours in ggml's blocks, the runtime's as its own quantizers make them (quantize_onnx.py), of which the
 * faster counts. Both are off from float32 in their own way; the limit finds another network, not a worse quantizer.
 */
function quantized(name) {
  const shape = [1, 20, 128, 128];
  return {
    [`${name}_q8_0`]: { case: `${name}_forward_q8_0`, shape, of: name, files: ['int8', 'q8'], tolerance: 0.1 },
    [`${name}_q4_0`]: { case: `${name}_forward_q4_0`, shape, of: name, files: ['q4'], tolerance: 0.4 },
  };
}
/** What a software adapter computes in bearable time. */
const ON_SOFTWARE = { cases: ['ssa_forward', 'tiny_forward'], networks: ['tiny'] };
const REPETITIONS = 5;
const MINUTES = 60_000;

const { values: options } = parseArgs({
  options: { only: { type: 'string' }, networks: { type: 'string' }, output: { type: 'string' } },
});
const networks = options.networks?.split(',') ?? Object.keys(NETWORKS);
const unknown = networks.find((name) => !(name in NETWORKS));
if (unknown || (options.only && !['page', 'runtime'].includes(options.only))) {
  console.error(`${unknown ?? options.only} is not known; networks are ${Object.keys(NETWORKS).join(', ')}, parts are page and runtime.`);
  process.exit(2);
}

const log = (line) => console.error(line);
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const load = () => Number(os.loadavg()[0].toFixed(1));
const trouble = [];

/** The runtime's files of a network, without `.onnx`. */
function files(name) {
  const { of, files } = NETWORKS[name];
  return files?.map((file) => `${of}.${file}`) ?? [name];
}

/** Writes the ONNX files that are missing, in a Python environment of their own. */
async function exportNetworks() {
  const there = (file) => existsSync(path.join(onnx, `${file}.onnx`));
  const plain = [...new Set(networks.map((name) => NETWORKS[name].of ?? name))].filter((name) => !there(name));
  const lacking = networks.filter((name) => NETWORKS[name].of && !files(name).every(there)).map((name) => NETWORKS[name].of);
  if (plain.length + lacking.length === 0) return;
  const environment = path.join(cache, 'venv-bench');
  const python = path.join(environment, 'bin/python');
  const has = (program) => {
    try {
      execFileSync(program, ['-c', 'import onnx, numpy, onnxruntime, onnx_ir'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  };
  if (!has(python)) {
    log('Installing the Python packages of requirements.txt');
    await mkdir(cache, { recursive: true });
    execFileSync('python3', ['-m', 'venv', environment], { stdio: ['ignore', 2, 2] });
    execFileSync(python, ['-m', 'pip', 'install', '--quiet', '-r', path.join(here, 'requirements.txt')], { stdio: ['ignore', 2, 2] });
  }
  const call = (script, names) => execFileSync(python, [path.join(here, script), onnx, ...names], { stdio: ['ignore', 2, 2] });
  if (plain.length > 0) call('export_onnx.py', plain);
  if (lacking.length > 0) call('quantize_onnx.py', [...new Set(lacking)]);
}

/** Serves runtime.html, the runtime and the networks, isolated, so that WebAssembly has threads. */
function serve() {
  const folders = { ort: path.join(here, 'node_modules/onnxruntime-web/dist'), onnx };
  const kinds = { '.html': 'text/html', '.mjs': 'text/javascript', '.wasm': 'application/wasm' };
  const server = createServer((request, response) => {
    const [, folder, name] = new URL(request.url, 'http://localhost').pathname.split('/');
    const file = folder === 'runtime.html' ? path.join(here, folder) : folders[folder] && name && path.join(folders[folder], name);
    if (!file || !existsSync(file)) return response.writeHead(404).end();
    response.writeHead(200, {
      'content-type': kinds[path.extname(file)] ?? 'application/octet-stream',
      'content-length': statSync(file).size,
      'cross-origin-opener-policy': 'same-origin',
      'cross-origin-embedder-policy': 'require-corp',
      'cache-control': 'no-store',
    });
    createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve({ server, url: `http://localhost:${server.address().port}/runtime.html` }));
  });
}

/** A fresh page in a fresh profile, closed afterwards. */
async function withPage(browser, url, act) {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => log(`     | ${error.message}`));
  try {
    await page.goto(url, { waitUntil: 'domcontentloaded' });
    return await act(page);
  } finally {
    await context.close();
  }
}

function summary({ seconds, ...rest }) {
  return { median_s: median(seconds), min_s: Math.min(...seconds), seconds, ...rest };
}

/** The engine's cases on one device, one after the other. */
async function timePage(bench, browser, device, cases) {
  const rows = [];
  for (const name of cases) {
    const before = load();
    log(`page, ${device}, ${name}`);
    const url = `${await bench.url('/')}#bench?device=${device}&cases=${name}`;
    const shown = await withPage(browser, url, async (page) => {
      const state = page.getByTestId('bench-state').filter({ hasText: /done|failed/ });
      let late;
      await state.waitFor({ timeout: 5 * MINUTES }).catch((error) => (late = error));
      const text = await page.getByTestId('bench-json').innerText({ timeout: 10_000 }).catch(() => null);
      if (text === null) throw late ?? new Error('the page printed nothing; is its build older than the bench page?');
      return { late, ...JSON.parse(text) };
    }).catch((error) => ({ failures: [{ message: error.message }] }));
    const result = shown.results?.[0];
    if (result) {
      const { case: _, device: info, ...figures } = result;
      const row = summary(figures);
      rows.push({ case: name, device: info, ...row, gflop_per_s: figures.flop / row.median_s / 1e9, load: [before, load()] });
      log(`     ${row.median_s.toFixed(4)} s`);
    } else {
      const message = shown.failures?.[0]?.message ?? shown.late?.message ?? 'no result';
      rows.push({ case: name, failed: message });
      trouble.push(`page, ${device}, ${name}: ${message}`);
    }
  }
  return rows;
}

/** onnxruntime-web on the networks. */
async function timeRuntime(browser, url, provider, threads, names, optional) {
  const rows = [];
  for (const [network, file] of names.flatMap((name) => files(name).map((file) => [name, file]))) {
    const before = load();
    log(`onnxruntime-web, ${provider}, ${threads} thread(s), ${file}`);
    const { shape, of = network } = NETWORKS[network];
    const task = { provider, threads, network: of, file, shape, repetitions: REPETITIONS };
    try {
      const result = await withPage(browser, url, async (page) => {
        await page.locator('body[data-state=ready]').waitFor({ state: 'attached' });
        let timer;
        const late = new Promise((_, reject) => {
          timer = setTimeout(() => reject(new Error('not done after 5 minutes')), 5 * MINUTES);
        });
        return Promise.race([page.evaluate((task) => window.time(task), task), late]).finally(() => clearTimeout(timer));
      });
      if (!result.isolated || result.threads !== threads) throw new Error('the page is not isolated, so there are no threads');
      const row = summary(result);
      rows.push({ network, file, bytes: statSync(path.join(onnx, `${file}.onnx`)).size, ...row, load: [before, load()] });
      log(`     ${row.median_s.toFixed(4)} s`);
    } catch (error) {
      const message = error.message.split('\n')[0];
      // A provider may lack the operators of a quantizer.
      const missing = optional || network !== of;
      rows.push({ network, file, [missing ? 'skipped' : 'failed']: message });
      log(`     ${message}`);
      if (!missing) trouble.push(`onnxruntime-web, ${provider}, ${threads}, ${file}: ${message}`);
    }
  }
  return rows;
}

/** Page beside runtime: quotients of medians and minima (above 1: the page takes longer), and whether the outputs are the same. */
function compare(device, ours, label, theirs) {
  return theirs.flatMap((other) => {
    const mine = ours.find((row) => row.case === NETWORKS[other.network].case);
    if (!mine?.seconds || !other.seconds) return [];
    // Norms differ at most by the norm of the difference, sums at most by that times √n: both bound it from below.
    const difference = Math.max(
      Math.abs(mine.output_l2 - other.output_l2) / other.output_l2,
      Math.abs(mine.output_sum - other.output_sum) / Math.sqrt(other.output_len) / other.output_l2,
    );
    const same = difference <= (NETWORKS[other.network].tolerance ?? TOLERANCE);
    if (!same) trouble.push(`${other.file}: page on ${device} and ${label} differ by ${difference.toExponential(1)} of the norm`);
    return [
      {
        network: other.network,
        file: other.file,
        page: device,
        runtime: label,
        page_over_runtime: mine.median_s / other.median_s,
        page_over_runtime_min: mine.min_s / other.min_s,
        output_difference: difference,
        same,
      },
    ];
  });
}

if (options.only !== 'page') await exportNetworks();
const bench = new Bench();
const { server, url } = await serve();
let document;
try {
  // One browser for all, with the flag that offers WebGPU; the device of the page is chosen by its address.
  const browser = await bench.browser(true);
  const adapter = await withPage(browser, url, async (page) => {
    await page.locator('body[data-state=ready]').waitFor({ state: 'attached' });
    return page.evaluate(() => window.adapter());
  });
  const software = /swiftshader|llvmpipe|lavapipe/i.test(Object.values(adapter ?? {}).join(' '));
  const cases = networks.map((name) => NETWORKS[name].case);
  const page = { cpu: [], webgpu: [] };
  if (options.only !== 'runtime') {
    page.cpu = await timePage(bench, browser, 'cpu', ['ssa_forward', 'ssa_backward', ...cases]);
    const onGpu = software ? ON_SOFTWARE.cases.filter((name) => name.startsWith('ssa') || cases.includes(name)) : ['ssa_forward', 'ssa_backward', ...cases];
    if (adapter) page.webgpu = await timePage(bench, browser, 'webgpu', onGpu);
  }
  const runtime = { wasm_1: [], wasm_2: [], webgpu: [] };
  if (options.only !== 'page') {
    runtime.wasm_1 = await timeRuntime(browser, url, 'wasm', 1, networks, false);
    runtime.wasm_2 = await timeRuntime(browser, url, 'wasm', 2, networks, false);
    const onGpu = software ? ON_SOFTWARE.networks.filter((name) => networks.includes(name)) : networks;
    if (adapter) runtime.webgpu = await timeRuntime(browser, url, 'webgpu', 1, onGpu, true);
  }
  document = {
    date: new Date().toISOString(),
    machine: { cpu: os.cpus()[0]?.model, processors: os.cpus().length },
    chromium: browser.version(),
    adapter: adapter && { ...adapter, software },
    onnxruntime_web: runtimeVersion(),
    repetitions: REPETITIONS,
    page,
    runtime,
    comparison: [
      ...compare('cpu', page.cpu, 'wasm, 1 thread', runtime.wasm_1),
      ...compare('cpu', page.cpu, 'wasm, 2 threads', runtime.wasm_2),
      ...compare('webgpu', page.webgpu, 'webgpu', runtime.webgpu),
    ],
    trouble,
  };
} finally {
  server.close();
  await bench.close();
}
const text = JSON.stringify(document, null, 1);
console.log(text);
if (options.output) await writeFile(options.output, text);
process.exit(trouble.length > 0 ? 1 : 0);

function runtimeVersion() {
  return JSON.parse(execFileSync(process.execPath, ['-p', `JSON.stringify(require('./node_modules/onnxruntime-web/package.json').version)`], { cwd: here }));
}
