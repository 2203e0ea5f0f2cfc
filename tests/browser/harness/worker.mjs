// Looking into the engine's worker: code that runs there before the engine does.

/** Runs `scripts` in every worker of the engine before the engine starts; for `Desk.open`'s `prepare`. */
export const inWorker = (...scripts) => (context) =>
  context.route('**/engine_worker.js', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, body: scripts.map((script) => `{${script}}\n`).join('') + (await response.text()) });
  });

/** `self.devicesOfTest`: the GPU devices that were opened. */
export const devices = `
  const request = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (...given) {
    const device = await request.apply(this, given);
    (self.devicesOfTest ??= []).push(device);
    return device;
  };
`;

/** `self.heapOfTest()`: bytes of WebAssembly's memory, which only grows. */
export const heap = `
  const instantiate = WebAssembly.instantiate;
  WebAssembly.instantiate = async function (...given) {
    const result = await instantiate.apply(this, given);
    const { memory } = (result.instance ?? result).exports;
    self.heapOfTest = () => memory.buffer.byteLength;
    return result;
  };
`;

/** `self.gpuBytesOfTest`: bytes of the GPU's buffers that neither were destroyed nor collected, now and at most. */
export const gpuBytes = `
  const bytes = (self.gpuBytesOfTest = { now: 0, peak: 0 });
  const release = (held) => {
    bytes.now -= held.size;
    held.size = 0;
  };
  const collected = new FinalizationRegistry(release);
  const all = new WeakMap();
  const createBuffer = GPUDevice.prototype.createBuffer;
  GPUDevice.prototype.createBuffer = function (descriptor) {
    const buffer = createBuffer.call(this, descriptor);
    const held = { size: descriptor.size };
    all.set(buffer, held);
    collected.register(buffer, held);
    bytes.now += held.size;
    bytes.peak = Math.max(bytes.peak, bytes.now);
    return buffer;
  };
  const destroy = GPUBuffer.prototype.destroy;
  GPUBuffer.prototype.destroy = function () {
    release(all.get(this) ?? { size: 0 });
    return destroy.call(this);
  };
`;

/** Serves the engine with a memory of at most so many bytes, as a tab of a small machine has it. */
export const smallMemory = (most) => (context) =>
  context.route('**/engine_bg.wasm', async (route) => {
    const response = await route.fetch();
    const body = limited(await response.body(), most / 2 ** 16);
    await route.fulfill({ status: 200, headers: { 'content-type': 'application/wasm' }, body });
  });

/** A module of WebAssembly whose memory grows to `pages` at most. */
function limited(module, pages) {
  let at = 8;
  const number = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = module[at++];
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const leb = (value) => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(Math.floor(value / 0x80))]);
  const MEMORY = 5;
  for (;;) {
    const start = at;
    const id = module[at++];
    const length = number();
    const end = at + length;
    if (id !== MEMORY) {
      at = end;
      continue;
    }
    if (number() !== 1) throw new Error('the engine has not one memory');
    number();
    const least = number();
    if (least > pages) throw new Error(`the engine begins with ${least} pages`);
    const section = [1, 1, ...leb(least), ...leb(pages)];
    return Buffer.concat([module.subarray(0, start), Buffer.from([MEMORY, ...leb(section.length), ...section]), module.subarray(end)]);
  }
}
