// What tests share: the real server, Chromium with and without WebGPU, and a desk for each test.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { Front } from './front.mjs';
import { Tab } from './tab.mjs';
import { Skip, patience } from './test.mjs';

/** The clone. */
export const root = path.resolve(path.dirname(new URL(import.meta.url).pathname), '../../..');
/** What is built or fetched outside it. */
export const cache = process.env.SIGMASCOPE_CACHE ?? path.join(os.homedir(), '.cache/sigmascope');

/** What the tests leave behind: screenshots, and pictures of the tabs of failed tests. */
export const output = path.join(root, 'test-output', 'browser');

/** The shared test data; it may be missing. */
export const shared = process.env.SIGMASCOPE_SHARED ?? path.join(root, '..', 'shared');

/** The path of a file of the shared test data; a test that asks for one is skipped where they are not. */
export function sharedFile(relative) {
  const file = path.join(shared, relative);
  if (!existsSync(file)) throw new Skip(`${relative} of ../shared is not here`);
  return file;
}

function chromiumPath() {
  const named = process.env.SIGMASCOPE_CHROMIUM;
  const found = [named, '/usr/bin/chromium', '/snap/bin/chromium', '/usr/bin/google-chrome'].find((file) => file && existsSync(file));
  if (!found) throw new Error('There is no Chromium. Run scripts/setup test, or name one in SIGMASCOPE_CHROMIUM.');
  return found;
}

/** Started once for all tests: a server for each base path, a browser for each set of flags. */
export class Bench {
  #servers = new Map();
  #browsers = new Map();

  desk(name) {
    return new Desk(this, name);
  }

  /** The URL of the page under `base`. */
  url(base) {
    if (!this.#servers.has(base)) this.#servers.set(base, startServer(base));
    return this.#servers.get(base).then(({ url }) => url);
  }

  /** Chromium; with `webgpu` it offers the software adapter SwiftShader, without it none. */
  async browser(webgpu) {
    const running = await this.#browsers.get(webgpu);
    if (!running?.isConnected()) this.#browsers.set(webgpu, launch(webgpu));
    return this.#browsers.get(webgpu);
  }

  async close() {
    for (const browser of this.#browsers.values()) await (await browser).close();
    for (const server of this.#servers.values()) (await server).child.kill('SIGTERM');
  }
}

function launch(webgpu) {
  return chromium.launch({
    executablePath: chromiumPath(),
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      ...(webgpu ? ['--enable-unsafe-webgpu'] : []),
    ],
  });
}

function startServer(base) {
  const program = process.env.SIGMASCOPE_SERVER ?? path.join(cache, 'target/debug/coordinator');
  const child = spawn(program, ['--dir', path.join(root, 'dist'), '--port', '0', '--base', base], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`The server ${program} did not start: ${error.message}`)));
    child.on('exit', (code) => reject(new Error(`The server ended at once (${code}).`)));
    let said = '';
    child.stdout.on('data', (chunk) => {
      said += chunk;
      const url = said.match(/http:\/\/\S+/)?.[0];
      if (url) resolve({ child, url });
    });
  });
}

/** One test's place: its tabs, its folder, its errors. */
class Desk {
  #tabs = [];
  #contexts = [];
  #fronts = [];
  #folder;

  constructor(bench, name) {
    this.bench = bench;
    this.name = name;
  }

  /**
   * Opens the page in a fresh profile.
   * `webgpu`: offer the software adapter; `base`: path on the server; `prepare(context)`: before the page loads, e.g. routes;
   * `viewport`, `colorScheme`, `reducedMotion`: as Playwright has them; `query`: appended to the URL; `front`: a server of the
   * test's own in front of the page's.
   */
  async open({ webgpu = false, base = '/', prepare, query = '', front, ...context } = {}) {
    const browser = await this.bench.browser(webgpu);
    const fresh = await browser.newContext({ viewport: { width: 1440, height: 900 }, acceptDownloads: true, ...context });
    this.#contexts.push(fresh);
    await prepare?.(fresh);
    return this.#goto(await fresh.newPage(), (front?.url ?? (await this.bench.url(base))) + query);
  }

  /** Opens the page once more in the profile of `tab`, as a second tab of the same user. */
  async openBeside(tab) {
    return this.#goto(await tab.page.context().newPage(), tab.page.url());
  }

  async #goto(page, url) {
    page.setDefaultTimeout(15_000 * patience);
    const tab = new Tab(page, this);
    this.#tabs.push(tab);
    await page.goto(url, { waitUntil: 'domcontentloaded' });
    return tab;
  }

  /** A server that also serves files of the test, see front.mjs. */
  async front() {
    const front = await Front.start(await this.bench.url('/'));
    this.#fronts.push(front);
    return front;
  }

  /** A folder for files that the test makes. */
  async folder() {
    this.#folder ??= await mkdtemp(path.join(os.tmpdir(), 'sigmascope-'));
    return this.#folder;
  }

  /** Fails when a tab reported an error that the test did not expect. */
  check() {
    for (const tab of this.#tabs) tab.check();
  }

  async keepEvidence() {
    for (const [i, tab] of this.#tabs.entries()) {
      const name = `failed-${this.name.replace(/[^a-z0-9]+/gi, '-')}${i ? `-${i}` : ''}`;
      await tab.page.screenshot({ path: path.join(output, `${name}.png`), timeout: 10_000 }).catch(() => {});
      if (tab.log.length > 0) console.log(tab.log.join('\n').replace(/^/gm, '     | '));
    }
  }

  async clear() {
    for (const context of this.#contexts) await context.close().catch(() => {});
    for (const front of this.#fronts) front.close();
    if (this.#folder) await rm(this.#folder, { recursive: true, force: true });
  }
}
