// Bundles src/*.test.ts for node and runs them with node's own test runner.
import { readdir, mkdtemp, rm } from 'node:fs/promises';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const src = join(dirname(fileURLToPath(import.meta.url)), 'src');
const tests = (await readdir(src)).filter((f) => f.endsWith('.test.ts')).map((f) => join(src, f));
const out = await mkdtemp(join(tmpdir(), 'watch-test-'));
try {
  const { outputFiles } = await build({
    entryPoints: tests,
    bundle: true,
    platform: 'node',
    format: 'esm',
    outdir: out,
    outExtension: { '.js': '.mjs' },
    metafile: true,
    write: true,
  }).then((r) => ({ outputFiles: Object.keys(r.metafile.outputs) }));
  const run = spawnSync(process.execPath, ['--test', ...outputFiles], { stdio: 'inherit' });
  process.exitCode = run.status ?? 1;
} finally {
  await rm(out, { recursive: true, force: true });
}
