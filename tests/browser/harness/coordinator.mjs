// A coordinator of federated rounds of a test's own.
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { cache, root } from './bench.mjs';
import { Skip } from './test.mjs';

export const ADMIN = 'the-admin-token-of-this-test';
const program = process.env.SIGMASCOPE_SERVER ?? path.join(cache, 'target/debug/coordinator');

/** A coordinator with a folder of its own. `act` gets its address, and `kill`, which kills it on the spot, and `again`, which starts it
 *  again at the same address with the same folder. */
export async function withCoordinator(act) {
  if (!execFileSync(program, ['--help'], { encoding: 'utf8' }).includes('--data')) {
    throw new Skip('this server knows no federations');
  }
  const folder = await mkdtemp(path.join(os.tmpdir(), 'sigmascope-federation-'));
  await writeFile(path.join(folder, 'token'), ADMIN);
  let child;
  const start = async (port) => {
    child = spawn(
      program,
      ['--dir', path.join(root, 'dist'), '--port', port, '--data', path.join(folder, 'data'), '--admin-token-file', path.join(folder, 'token')],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code) => reject(new Error(`the coordinator ended at once (${code})`)));
      let said = '';
      child.stdout.on('data', (chunk) => {
        said += chunk;
        const url = said.match(/http:\/\/\S+/)?.[0];
        if (url) resolve(url);
      });
    });
  };
  try {
    const url = await start('0');
    const kill = async () => {
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    };
    await act({ url, kill, again: () => start(new URL(url).port) });
  } finally {
    child.removeAllListeners('exit');
    child.kill('SIGTERM');
    await rm(folder, { recursive: true, force: true });
  }
}

/** The host's tab asks no more: the coordinator is about to end. */
export async function forget(hosting) {
  await hosting.get('host-forget').click();
  await hosting.get('host-create').waitFor();
  await hosting.page.waitForTimeout(300);
}
