// A server in front of the page's own: passes everything on, and serves files of a test with ranges, slowly, or with a
// connection that breaks.
import http from 'node:http';

export class Front {
  /** Path → { bytes, cuts, kbps }, see `put`. */
  files = new Map();
  /** Ranges that were asked for: { path, range }. */
  asked = [];
  #server;

  /** `target`: the URL of the page's own server. */
  static async start(target) {
    const front = new Front();
    front.#server = http.createServer((request, response) => front.#answer(new URL(target), request, response));
    await new Promise((resolve) => front.#server.listen(0, '127.0.0.1', resolve));
    return front;
  }

  get url() {
    return `http://127.0.0.1:${this.#server.address().port}/`;
  }

  /** Serves `bytes` under `path`. `cuts`: the first connections break after as many bytes each; `kbps`: kilobytes a second. */
  put(path, bytes, { cuts = [], kbps = Infinity } = {}) {
    this.files.set(`/${path}`, { bytes, cuts: [...cuts], kbps });
  }

  close() {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  #answer(target, request, response) {
    const path = request.url.split('?')[0];
    const own = this.files.get(path);
    if (own) {
      this.asked.push({ path, range: request.headers.range });
      return serve(own, request, response);
    }
    const passed = http.request(
      { host: target.hostname, port: target.port, path: request.url, method: request.method, headers: request.headers },
      (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      },
    );
    passed.on('error', () => response.destroy());
    request.pipe(passed);
  }
}

/** Until the response takes more, or is gone. */
function drained(response) {
  return new Promise((resolve) => {
    const done = () => {
      response.off('drain', done).off('close', done);
      resolve();
    };
    response.on('drain', done).on('close', done);
  });
}

async function serve(own, request, response) {
  const total = own.bytes.length;
  const range = request.headers.range?.match(/^bytes=(\d+)-(\d*)$/);
  const from = range ? Number(range[1]) : 0;
  const to = range?.[2] ? Math.min(Number(range[2]), total - 1) : total - 1;
  if (from >= total) {
    response.writeHead(416, { 'content-range': `bytes */${total}` });
    return response.end();
  }
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': to - from + 1,
    'accept-ranges': 'bytes',
    etag: `"${total}"`,
    'cross-origin-resource-policy': 'same-origin',
    ...(range ? { 'content-range': `bytes ${from}-${to}/${total}` } : {}),
  });
  if (request.method === 'HEAD') return response.end();
  const body = own.bytes.subarray(from, to + 1);
  const cut = own.cuts.shift() ?? Infinity;
  const piece = 32 << 10;
  for (let at = 0; at < body.length; at += piece) {
    const until = Math.min(at + piece, body.length, cut);
    if (!response.write(body.subarray(at, until))) await drained(response);
    if (until >= cut) {
      // What has been written must arrive before the connection breaks.
      await new Promise((resolve) => setTimeout(resolve, 100));
      return response.destroy();
    }
    if (own.kbps !== Infinity) await new Promise((resolve) => setTimeout(resolve, (until - at) / own.kbps));
    if (response.destroyed) return;
  }
  response.end();
}
