// Serves the test page of a player on a free port of this machine. The media comes
// from another origin, as it does for a customer's page.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const resolve = createRequire(import.meta.url).resolve;

// bundle returns the script of one of our sources, with all it imports.
export async function bundle(name) {
  const { outputFiles } = await build({
    entryPoints: [join(here, name)],
    bundle: true,
    write: false,
    format: 'iife',
    target: 'es2022',
    logLevel: 'error',
  });
  return outputFiles[0].text;
}

// serve returns the page's address and a function that ends the server. fd is a socket
// that listens already; without one a free port is taken.
export async function serve(player, fd) {
  const files = new Map();
  const page = '<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,">' +
    '<video muted playsinline width="640" height="360"></video><script src="/page.js"></script>';
  files.set('/', ['text/html', page]);
  files.set('/page.js', ['text/javascript', await bundle(`page-${player}.mjs`)]);
  if (player === 'hlsjs') {
    files.set('/hls.worker.js', ['text/javascript', await readFile(resolve('hls.js/dist/hls.worker.js'))]);
  } else if (player === 'ivs') {
    const assets = join(dirname(resolve('amazon-ivs-player')), 'assets');
    for (const [name, type] of [['amazon-ivs-wasmworker.min.js', 'text/javascript'], ['amazon-ivs-wasmworker.min.wasm', 'application/wasm']]) {
      files.set('/ivs/' + name, [type, await readFile(join(assets, name))]);
    }
  }
  const server = createServer((req, res) => {
    const file = files.get(new URL(req.url, 'http://x').pathname);
    if (!file) {
      res.writeHead(404).end();
      return;
    }
    res.writeHead(200, { 'Content-Type': file[0] }).end(file[1]);
  });
  await new Promise((ready, failed) => server.once('error', failed).listen(fd === undefined ? { port: 0, host: '127.0.0.1' } : { fd }, ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close() {
      server.closeAllConnections();
      server.close();
    },
  };
}
