// The engine's worker: receives the compiled module from the page, so that a restart needs neither network nor compiler.
import init, { refusedBytes } from './engine.js';

// Bytes that WebAssembly did not get, if that is what stopped it: it does so without a word.
const refused = (error) => (error instanceof WebAssembly.RuntimeError ? refusedBytes() : 0);

self.addEventListener('error', (event) => {
  const outOfMemory = refused(event.error);
  if (!outOfMemory) return;
  event.preventDefault();
  self.postMessage({ outOfMemory });
});

// A panic inside an asynchronous act reaches nobody by itself.
self.addEventListener('unhandledrejection', ({ reason }) => {
  const outOfMemory = refused(reason);
  self.postMessage(outOfMemory ? { outOfMemory } : { fatal: String(reason?.message ?? reason) });
});

// A lock that only the end of this worker releases tells the page at once when it is gone, whatever ended it.
const held = (name) => new Promise((resolve) => {
  if (!navigator.locks) return resolve(false);
  navigator.locks.request(name, () => {
    resolve(true);
    return new Promise(() => {});
  }).catch(() => resolve(false));
});

self.onmessage = async ({ data }) => {
  self.onmessage = null;
  self.postMessage({ locked: await held(data.lock) });
  await init({ module_or_path: data.module });
};
