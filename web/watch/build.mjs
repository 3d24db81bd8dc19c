// Bundles the page into the directory that internal/watch embeds: index.html, and
// assets/ with a content hash in every name, so that they can be cached for ever.
// A .gz lies beside each file that gains by it. Other files there stay as they are.
import { readFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createRequire } from 'node:module';
import { constants, gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, '../../internal/watch/dist');
const assets = join(out, 'assets');
const base = '/watch/assets/'; // where internal/watch serves them

const common = {
  bundle: true,
  minify: true,
  write: false,
  outdir: assets,
  entryNames: '[name]-[hash]',
  target: ['es2020'],
  legalComments: 'eof',
  logLevel: 'warning',
};

// The demuxer runs in a worker of its own file, so that no page script has to be
// made from a string and the Content-Security-Policy can stay strict.
const hlsWorker = createRequire(import.meta.url).resolve('hls.js/dist/hls.worker.js');
const worker = await build({ ...common, entryPoints: [hlsWorker], format: 'iife' });
const [workerFile] = worker.outputFiles;

const page = await build({
  ...common,
  entryPoints: { watch: join(here, 'src/main.ts') },
  format: 'esm',
  define: { HLS_WORKER: JSON.stringify(base + basename(workerFile.path)) },
});
const style = await build({ ...common, entryPoints: { watch: join(here, 'src/style.css') } });

const script = page.outputFiles.find((f) => f.path.endsWith('.js'));
const sheet = style.outputFiles.find((f) => f.path.endsWith('.css'));
const html = (await readFile(join(here, 'src/index.html'), 'utf8'))
  .replace('%SCRIPT%', base + basename(script.path))
  .replace('%STYLE%', base + basename(sheet.path));

await rm(assets, { recursive: true, force: true });
await mkdir(assets, { recursive: true });
for (const f of [workerFile, script, sheet]) await put(f.path, f.contents);
await put(join(out, 'index.html'), html);

async function put(path, contents) {
  const plain = Buffer.from(contents);
  await writeFile(path, plain);
  await writeFile(path + '.gz', gzipSync(plain, { level: constants.Z_BEST_COMPRESSION }));
}
