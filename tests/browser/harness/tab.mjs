// One open page: finds controls by data-testid, hands files in, takes files away, and listens for errors.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { output } from './bench.mjs';
import { patience } from './test.mjs';

export class Tab {
  /** Errors that the page reported: console errors, uncaught exceptions, failed loads. */
  errors = [];
  /** Everything the page's console said. */
  log = [];
  #expected = [];

  constructor(page, desk) {
    this.page = page;
    this.desk = desk;
    page.on('console', (message) => {
      this.log.push(`${message.type()}: ${message.text()}`);
      if (message.type() === 'error') this.errors.push(message.text());
    });
    page.on('pageerror', (error) => this.errors.push(`uncaught: ${error.message}`));
    page.on('crash', () => this.errors.push('the page crashed'));
    page.on('requestfailed', (request) => {
      // A reload drops what is still on its way; that is no error of the page.
      if (request.failure()?.errorText === 'net::ERR_ABORTED') return;
      this.errors.push(`not loaded: ${request.url()} (${request.failure()?.errorText})`);
    });
    page.on('response', (response) => {
      if (response.status() >= 400) this.errors.push(`not loaded: ${response.url()} (${response.status()})`);
    });
  }

  /** The control or readout with this data-testid. */
  get(id) {
    return this.page.getByTestId(id);
  }

  /** Waits until the readout's text matches, and returns it. */
  async text(id, pattern, timeout_s = 30) {
    const locator = this.get(id);
    const deadline = Date.now() + timeout_s * patience * 1000;
    for (;;) {
      const seen = (await locator.count()) > 0 ? (await locator.first().innerText()).trim() : undefined;
      if (seen !== undefined && pattern.test(seen)) return seen;
      if (Date.now() > deadline) throw new Error(`${id} never matched ${pattern}; last: ${JSON.stringify(seen)}`);
      await this.page.waitForTimeout(100);
    }
  }

  /** Hands files to a file input, as the "open" dialog does. `files`: paths, or { name, bytes }. */
  async choose(id, files) {
    await this.get(id).setInputFiles(files.map((file) => (typeof file === 'string' ? file : payload(file))));
  }

  /** Drops files on an element, in the given order. `files`: paths, or { name, bytes }. */
  async drop(id, files) {
    const parts = [];
    for (const file of files) {
      const { name, bytes } = typeof file === 'string' ? { name: path.basename(file), bytes: await readFile(file) } : file;
      parts.push({ name, base64: Buffer.from(bytes).toString('base64') });
    }
    const transfer = await this.page.evaluateHandle(async (parts) => {
      const transfer = new DataTransfer();
      for (const { name, base64 } of parts) {
        const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
      }
      return transfer;
    }, parts);
    for (const event of ['dragenter', 'dragover', 'drop']) await this.get(id).dispatchEvent(event, { dataTransfer: transfer });
  }

  /** Does `act` and returns the `count` files that the page then gives to take away, as { name, bytes }. */
  async takeAway(act, count = 1, timeout_s = 30) {
    const downloads = [];
    const done = new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${downloads.length} of ${count} files came`)), timeout_s * patience * 1000);
      this.page.on('download', (download) => {
        downloads.push(download);
        if (downloads.length === count) {
          clearTimeout(timer);
          resolve();
        }
      });
    });
    await act();
    await done;
    this.page.removeAllListeners('download');
    return Promise.all(downloads.map(async (download) => ({ name: download.suggestedFilename(), bytes: await readFile(await download.path()) })));
  }

  /** The colours `[r, g, b, a]` of a canvas at `points` `[x, y]`, in the canvas's own pixels. */
  async pixels(id, points) {
    return this.get(id).evaluate((canvas, points) => {
      // Drawn onto a second canvas, so that it works whatever context the first one has.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
      copy.drawImage(canvas, 0, 0);
      return points.map(([x, y]) => [...copy.getImageData(x, y, 1, 1).data]);
    }, points);
  }

  /** The dedicated workers of the page that run now. */
  workers() {
    return this.page.workers();
  }

  /** A picture for the README, in test-output/browser/screenshots. */
  async picture(name) {
    await this.page.screenshot({ path: path.join(output, 'screenshots', `${name}.png`) });
  }

  /** Lets errors pass that match, and fails if none came: for tests that break something on purpose. */
  expectError(pattern) {
    this.#expected.push({ pattern, met: false });
  }

  /** Lets errors pass that match and that may come. */
  allowError(pattern) {
    this.#expected.push({ pattern, met: true });
  }

  check() {
    const unexpected = this.errors.filter((error) => {
      const match = this.#expected.find(({ pattern }) => pattern.test(error));
      if (match) match.met = true;
      return !match;
    });
    assert.deepEqual(unexpected, [], 'the page reported errors');
    for (const { pattern, met } of this.#expected) assert.ok(met, `the page never reported ${pattern}`);
  }
}

function payload({ name, bytes }) {
  return { name, mimeType: 'application/octet-stream', buffer: Buffer.from(bytes) };
}
