// What a user does on the page, in a user's words; the names of controls are those of docs/automation.md.
import assert from 'node:assert/strict';
import { readCsv } from '../readers/csv.mjs';
import { readEnvi } from '../readers/envi.mjs';
import { patience } from './test.mjs';

/** Settings as the page keeps them, to start a test with a small network: pass to Desk.open's `prepare`. */
export function withSettings(settings) {
  return (context) =>
    context.addInitScript((text) => {
      // Only the first time: what the user changes later must survive a reload.
      if (!localStorage.getItem('sigmascope-settings')) localStorage.setItem('sigmascope-settings', text);
    }, JSON.stringify(settings));
}

/** A tiny network and few epochs, on the given device: seconds of training. */
export function tiny(device = 'cpu', own = {}) {
  const config = { size: 'tiny', input: 'whitened', components: 6, tile: 48, tile_overlap: 8, epochs: 60, warmup_epochs: 5, ...own };
  return { device, train_per_class: 10, val_per_class: 5, config: { size: 'tiny', own: { ...config, ...own } } };
}

export class Lab {
  constructor(tab) {
    this.tab = tab;
    this.page = tab.page;
  }

  /** Waits until the engine listens; returns the device's name. */
  async engine(timeout_s = 60) {
    await this.page.waitForFunction(() => document.querySelector('[data-testid=device-menu]')?.dataset.state === 'ready', null, {
      timeout: timeout_s * patience * 1000,
    });
    return this.tab.text('device-name', /^(?!Choosing)/, timeout_s);
  }

  /** Opens a scene through the file dialog; returns "rows × cols × bands". */
  async openScene(files) {
    const first = (await this.tab.get('open-scene').count()) > 0;
    if (!first) await this.step('scene');
    await this.tab.choose(first ? 'open-scene' : 'scene-files', files);
    await this.step('scene');
    return this.tab.text('scene-dims', /×/, 60);
  }

  /** Shows one of the steps: scene, classes, model, train, take-away. */
  async step(word) {
    await this.tab.get(`step-${word}`).click();
  }

  async openTruth(files) {
    await this.step('classes');
    await this.tab.choose('labels-files', files);
    await this.tab.text('labelled-count', /[1-9]/);
  }

  async openSplit(file) {
    await this.step('classes');
    await this.tab.get('split-file-mode').click();
    await this.tab.choose('split-file', [file]);
    await this.tab.get('split-file-name').waitFor();
  }

  /** The point of the window at the middle of a scene pixel. */
  async point(row, col) {
    const box = await this.tab.get('map-canvas').boundingBox();
    const { scale, left, top } = await this.tab.get('map-canvas').evaluate(({ dataset }) => ({ ...dataset }));
    return [box.x + Number(left) + (col + 0.5) * scale, box.y + Number(top) + (row + 0.5) * scale];
  }

  async hover(row, col) {
    await this.page.mouse.move(...(await this.point(row, col)));
  }

  async click(row, col) {
    await this.page.mouse.click(...(await this.point(row, col)));
  }

  /** Presses at the first pixel, goes over the others, lets go. */
  async stroke(...pixels) {
    await this.hover(...pixels[0]);
    await this.page.mouse.down();
    for (const pixel of pixels.slice(1)) await this.page.mouse.move(...(await this.point(...pixel)), { steps: 5 });
    await this.page.mouse.up();
  }

  /** Colours `[r, g, b]` that the image shows at scene pixels `[row, col]`. */
  async colours(pixels) {
    // The pointer's own frame must not be in the picture.
    await this.page.mouse.move(2, 2);
    await this.page.waitForTimeout(150);
    const { scale, left, top, ratio } = await this.tab
      .get('map-canvas')
      .evaluate(({ dataset }) => ({ ...dataset, ratio: devicePixelRatio }));
    const at = pixels.map(([row, col]) => [
      Math.floor((Number(left) + (col + 0.5) * scale) * ratio),
      Math.floor((Number(top) + (row + 0.5) * scale) * ratio),
    ]);
    return (await this.tab.pixels('map-canvas', at)).map(([r, g, b]) => [r, g, b]);
  }

  /** Shows one band in grey over its full range of values. */
  async showBand(band) {
    await this.tab.get('preset').selectOption('band');
    await this.tab.get('stretch').selectOption('0');
    await this.tab.get('band').fill(String(band));
    await this.tab.text('shown-bands', new RegExp(`band ${band + 1}\\b`));
    await this.page.waitForTimeout(400);
  }

  /** Sets a number field and leaves it. */
  async number(id, value) {
    await this.tab.get(id).fill(String(value));
    await this.tab.get(id).blur();
  }

  async startTraining() {
    await this.step('train');
    await this.tab.get('train').click();
  }

  /** Waits for the job's end; fails early when the page says that it failed. */
  async finished(timeout_s) {
    const state = await this.tab.text('job-state', /^(finished|failed|cancelled)$/, timeout_s);
    if (state !== 'finished') {
      const notices = await this.tab.get('notice-text').allInnerTexts();
      throw new Error(`the job ended as ${state}: ${notices.join(' | ')}`);
    }
  }

  /** OA, AA and kappa × 100 as the page shows them. */
  async figures() {
    const [oa, aa, kappa] = await Promise.all(['oa-value', 'aa-value', 'kappa-value'].map((id) => this.tab.text(id, /^[\d.−-]+$/)));
    return { oa: Number(oa), aa: Number(aa), kappa: Number(kappa.replace('−', '-')) };
  }

  /** Takes files away by a button of step 5. */
  async takeAway(id, count = 1) {
    await this.step('take-away');
    return this.tab.takeAway(() => this.tab.get(id).click(), count);
  }

  /** The map of step 5 as an ENVI raster. */
  async takeMap() {
    return pairOf(await this.takeAway('save-envi', 2));
  }

  /** The labels of step 5 as an ENVI raster. */
  async takeLabels() {
    return pairOf(await this.takeAway('save-labels', 2));
  }

  /** The figures' file, as { measure(name, class?) , confusion } of one run. */
  async accuracyFile(run = 1) {
    const [{ name, bytes }] = await this.takeAway('save-csv');
    assert.match(name, /\.csv$/);
    const [head, ...rows] = readCsv(bytes.toString('utf8'));
    assert.deepEqual(head, ['run', 'split', 'seed', 'measure', 'class', 'class_name', 'mapped_class', 'mapped_name', 'value']);
    const mine = rows.filter(([number]) => number === String(run));
    const measure = (name, of = '') => Number(mine.find((row) => row[3] === name && row[4] === String(of))?.[8]);
    const confusion = [];
    for (const row of mine.filter((row) => row[3] === 'confusion')) (confusion[row[4] - 1] ??= [])[row[6] - 1] = Number(row[8]);
    return { measure, confusion };
  }

  /** The sentence of the newest error notice. */
  async errorSentence(timeout_s = 30) {
    const notice = this.tab.get('notice-error').last();
    await notice.waitFor({ timeout: timeout_s * patience * 1000 });
    return (await notice.getByTestId('notice-text').innerText()).trim();
  }
}

function pairOf(files) {
  const header = files.find(({ name }) => name.endsWith('.hdr'));
  const data = files.find(({ name }) => name !== header.name);
  return readEnvi(header.bytes.toString('latin1'), data.bytes);
}

/** OA, AA, kappa and the confusion matrix (truth × mapped) of pixels `[truth, mapped]`, computed anew. */
export function accuracyOf(pairs, classes) {
  const confusion = Array.from({ length: classes }, () => new Array(classes).fill(0));
  for (const [truth, mapped] of pairs) confusion[truth - 1][mapped - 1] += 1;
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  const rows = confusion.map(sum);
  const cols = confusion[0].map((_, i) => sum(confusion.map((row) => row[i])));
  const total = sum(rows);
  const overall = sum(confusion.map((row, i) => row[i])) / total;
  const present = rows.map((n, i) => [n, confusion[i][i]]).filter(([n]) => n > 0);
  const average = sum(present.map(([n, right]) => right / n)) / present.length;
  const chance = sum(rows.map((n, i) => (n * cols[i]) / total ** 2));
  return { overall, average, kappa: (overall - chance) / (1 - chance), confusion };
}
