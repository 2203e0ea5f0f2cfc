// Memory: what happens when there is none left, on the GPU and in WebAssembly, and how much of it weights take.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Lab, tiny, withSettings } from '../harness/lab.mjs';
import { paperNetwork } from '../harness/networks.mjs';
import { fieldScene } from '../harness/scenes.mjs';
import { paperCheckpoints } from '../harness/weights.mjs';
import { devices, gpuBytes, heap, inWorker, smallMemory } from '../harness/worker.mjs';
import { patience, test } from '../harness/test.mjs';

const MIB = 2 ** 20;
const mib = (bytes) => `${(bytes / MIB).toFixed(1)} MiB`;

/** Several preparations of a context, one after the other. */
const all = (...prepares) => async (context) => {
  for (const prepare of prepares) await prepare(context);
};

/** The job failed with a sentence, the engine is there again, and nothing is done twice. */
async function explained(tab, lab, sentence) {
  await tab.text('job-state', /failed/, 120);
  assert.match(await lab.errorSentence(), sentence);
  await tab
    .get('notice-text')
    .filter({ hasText: /^The engine stopped \(it ran out of memory\) and was restarted; nothing was lost\.$/ })
    .waitFor({ timeout: 60_000 * patience });
  await lab.engine(60);
  await tab.page.waitForTimeout(1500);
  assert.equal(await tab.text('job-state', /./), 'failed', 'the job was taken up again');
  await lab.step('classes');
  assert.match(await tab.text('labelled-count', /\d/), /[1-9]/, 'the labels are there');
}

test(
  'memory: a GPU that gives no more ends the job with a sentence, and the page goes on',
  async (desk) => {
    const { scene, truth } = fieldScene('fields', 16, 16);
    const lean = { epochs: 40, warmup_epochs: 1, components: 4, weight_average: 0, clip_norm: 0, label_smoothing: 0, weight_decay: 0 };
    const tab = await desk.open({
      webgpu: true,
      prepare: all(withSettings({ ...tiny('webgpu', { ...lean, test_time_augmentation: false, test_time_shifts: 1 }), val_per_class: 0 }), inWorker(devices)),
    });
    const lab = new Lab(tab);
    assert.match(await lab.engine(), /WebGPU/);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.startTraining();
    await tab.text('status-text', /epoch [1-9]\d* of/, 300);
    // On a device of its own: how many of the largest buffers the GPU gives until it really refuses one.
    const [worker] = tab.workers();
    const { size, given } = await worker.evaluate(async () => {
      const adapter = await navigator.gpu.requestAdapter();
      const size = adapter.limits.maxBufferSize;
      const device = await adapter.requestDevice({ requiredLimits: { maxBufferSize: size } });
      for (let given = 0; given < 200; given++) {
        device.pushErrorScope('out-of-memory');
        device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
        if (await device.popErrorScope()) {
          device.destroy();
          return { size, given };
        }
      }
      throw new Error('the GPU never refused');
    });
    console.log(`     the GPU gives ${given} buffers of ${mib(size)}, and refuses the next`);
    // The same on the engine's, where nobody has pushed an error scope. Its worker ends with that.
    tab.expectError(/Out of Memory/);
    await worker
      .evaluate(
        ({ size, given }) => {
          for (let i = 0; i <= given; i++) self.devicesOfTest[0].createBuffer({ size, usage: GPUBufferUsage.STORAGE });
        },
        { size, given },
      )
      .catch(() => {});
    await explained(tab, lab, /^The GPU has no memory left for this\. Choose a smaller tile, size or quantisation/);
    // The same engine computes on, here on the CPU.
    await tab.get('device-menu').click();
    await tab.get('device-cpu').click();
    await tab.text('device-name', /CPU/, 30);
    await lab.step('train');
    await lab.number('epochs', 2);
    await lab.startTraining();
    await lab.finished(120);
  },
  { timeout_s: 580 },
);

test(
  'memory: a tab that gets no more ends the job with a sentence, and a smaller one goes through',
  async (desk) => {
    const { scene, truth } = fieldScene();
    const tab = await desk.open({ prepare: all(withSettings(tiny('cpu', { epochs: 2, size: 'base', patch: 4 })), smallMemory(160 * MIB)) });
    const lab = new Lab(tab);
    await lab.openScene(scene);
    await lab.openTruth(truth);
    await lab.startTraining();
    await explained(tab, lab, /^This tab has no memory left for this: [\d.]+ [KMG]iB more were needed and could not be had\. Choose a smaller tile/);
    await lab.step('model');
    await tab.get('size-nano').click();
    await lab.step('train');
    await lab.number('epochs', 2);
    await lab.startTraining();
    await lab.finished(200);
  },
  { timeout_s: 400 },
);

const heapOf = (tab) => tab.workers()[0].evaluate(() => self.heapOfTest());

test(
  'memory: converting a checkpoint of ViT-B takes less than 300 MiB of heap',
  async (desk) => {
    const files = await paperCheckpoints(await desk.folder(), 'base');
    const tab = await desk.open({ prepare: all(withSettings(tiny('cpu')), inWorker(heap)) });
    const lab = new Lab(tab);
    await lab.engine();
    await lab.step('model');
    await tab.get('weights-more-toggle').click();
    await tab.choose('weights-files', files);
    await tab.get('quantization-q8_0').click();
    await tab.text('weights-bytes', /B when stored/, 60);
    const before = await heapOf(tab);
    await tab.get('weights-offer-load').click();
    assert.match(await tab.text('weights-title', /\w/, 500), /HyperSIGMA Base/);
    const after = await heapOf(tab);
    console.log(`     ViT-B, 713 MB of float32 converted to Q8_0: heap ${mib(before)} before, ${mib(after)} at most`);
    assert.ok(after < 300 * MIB, mib(after));
  },
  { timeout_s: 580 },
);

for (const [size, quantization] of [['base', 'q8_0'], ['large', 'q8_0'], ['huge', 'q4_0']]) {
  test(
    `memory: ${size} in ${quantization} from an address is looked at first, and loads within 300 MiB of heap`,
    async (desk) => {
      const bytes = paperNetwork(size, quantization, 24);
      const front = await desk.front();
      front.put('network.gguf', bytes);
      const tab = await desk.open({ front, prepare: all(withSettings(tiny('cpu')), inWorker(heap)) });
      const lab = new Lab(tab);
      await lab.engine();
      await lab.step('model');
      await tab.get('weights-more-toggle').click();
      await tab.get('weights-url').fill('network.gguf');
      await tab.get('weights-url-look').click();
      assert.match(await tab.text('weights-offer-title', /fine-tuned/, 30), new RegExp(size, 'i'));
      const fit = await tab.text('weights-fit', /\d/);
      const header = front.asked.map(({ range }) => range);
      assert.ok(header.every((range) => range === 'bytes=0-131071'), `more than a header was asked for: ${header}`);
      const before = await heapOf(tab);
      await tab.get('weights-offer-load').click();
      await tab.text('weights-title', /HyperSIGMA/, 400);
      const after = await heapOf(tab);
      console.log(`     ${size} ${quantization}, ${(bytes.length / 1e6).toFixed(0)} MB: heap ${mib(before)} before, ${mib(after)} at most`);
      console.log(`     before it was downloaded: ${fit}`);
      assert.ok(after < 300 * MIB, mib(after));
      // A whole network can map at once, as soon as there is a scene.
      assert.equal(await tab.get('weights-map').isDisabled(), true);
    },
    { timeout_s: 500 },
  );
}

test(
  'memory: the engine lets go of what mapping by loaded weights took of the GPU when they are unloaded',
  async (desk) => {
    const { scene } = fieldScene('fields', 16, 16);
    const file = `${await desk.folder()}/base-q8_0.gguf`;
    await writeFile(file, paperNetwork('base', 'q8_0', 24));
    const tab = await desk.open({ webgpu: true, prepare: all(withSettings(tiny('webgpu')), inWorker(devices, gpuBytes, heap)) });
    const lab = new Lab(tab);
    assert.match(await lab.engine(), /WebGPU/);
    await lab.openScene(scene);
    const gpu = () => tab.workers()[0].evaluate(() => ({ ...self.gpuBytesOfTest }));
    const before = await gpu();
    await lab.step('model');
    await tab.get('weights-more-toggle').click();
    await tab.choose('weights-files', [file]);
    await tab.get('weights-offer-load').click();
    await tab.text('weights-title', /HyperSIGMA/, 120);
    const loaded = await gpu();
    await tab.get('weights-map').click();
    await lab.finished(400);
    const mapped = await gpu();
    await lab.step('model');
    await tab.get('weights-unload').click();
    const sentence = await tab.text('weights-freed', /\w/);
    const after = await gpu();
    console.log(`     GPU: ${mib(before.now)} before, ${mib(loaded.now)} loaded, ${mib(mapped.peak)} at most, ${mib(mapped.now)} mapped, ${mib(after.now)} unloaded`);
    console.log(`     heap ${mib(await heapOf(tab))}; the page says: ${sentence}`);
    assert.ok(mapped.peak > 90 * MIB, 'the weights were on the GPU');
    // The engine has let go of everything. The browser frees it when it collects the buffers' objects, which this does not wait for.
    assert.match(sentence, /1[0-9]{2} MiB go back to the system/);
  },
  { timeout_s: 580 },
);
