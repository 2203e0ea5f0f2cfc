// The engine's worker: receives the compiled module from the page, so that a restart needs neither network nor compiler.
import init from './engine.js';

// A panic inside an asynchronous act reaches nobody by itself.
self.addEventListener('unhandledrejection', (event) => {
  self.postMessage({ fatal: String(event.reason?.message ?? event.reason) });
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
