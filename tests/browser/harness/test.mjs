// Declares tests and says why one cannot run here.

/** Thrown by a test that needs something which this machine lacks. */
export class Skip extends Error {}

/**
 * Every wait is as many times longer than a quiet machine needs. Waits are limits and no measurements: they end tests that hang, and
 * a machine that is busy with something else must not fail one.
 */
export const patience = Number(process.env.SIGMASCOPE_PATIENCE ?? 6);

/** All declared tests, in order. */
export const tests = [];

/**
 * Declares a test. `body` gets a desk (see bench.mjs) to open tabs on; whatever the tab reports as an error fails the test.
 * `timeout_s` bounds the whole test, times `patience`.
 */
export function test(name, body, { timeout_s = 60 } = {}) {
  tests.push({ name, body, timeout_s });
}
