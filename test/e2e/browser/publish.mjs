// Publishes Chromium's fake camera and microphone to a server and prints what happened
// as one JSON object. README.md describes the options and the result.
import { parseArgs } from 'node:util';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';
import { serve } from './src/server.mjs';
import { flags } from './src/flags.mjs';

const usage = 'usage: node publish.mjs --publisher broadcast|whip --endpoint URL [--size WxH] [--fps N] < stream-key';

function options() {
  const { values } = parseArgs({
    options: {
      publisher: { type: 'string' },
      endpoint: { type: 'string' },
      size: { type: 'string', default: '640x360' },
      fps: { type: 'string', default: '30' },
    },
  });
  const [width, height] = values.size.split('x').map(Number);
  const o = { ...values, width, height, fps: Number(values.fps) };
  if (!['broadcast', 'whip'].includes(o.publisher) || !o.endpoint || !(width > 0) || !(height > 0) || !(o.fps > 0)) throw new Error(usage);
  return o;
}

// The page's side of it: what the publisher's script reports to.
function record() {
  const p = { states: [], errors: [], id: null };
  window.publication = {
    result: p,
    state: (state) => p.states.push(state),
    error: (e) => p.errors.push(e),
    session: (id) => (p.id = id),
  };
}

async function publish(o, lines) {
  const key = (await lines.next()).value;
  const server = await serve(o.publisher);
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: [...flags, '--use-fake-device-for-media-stream', `--use-fake-ui-for-media-stream`],
    timeout: 30_000,
  });
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true });
    const problems = [];
    page.on('console', (m) => m.type() === 'error' && problems.length < 50 && problems.push(m.text().slice(0, 500)));
    await page.addInitScript(record);
    await page.goto(server.url);
    const began = await page.evaluate(async ({ endpoint, key, width, height, fps }) => {
      try {
        window.unpublish = await window.publish({ endpoint, key, width, height, fps });
        return true;
      } catch (e) {
        window.publication.error({ name: e.name, code: e.code, message: e.message });
        return false;
      }
    }, { ...o, key });
    if (began) {
      console.error('browser: publishing');
      const ended = page.waitForFunction(() => ['closed', 'failed', 'disconnected'].includes(window.publication.result.states.at(-1)), null, { timeout: 0, polling: 50 });
      const stop = lines.next(); // a line, or the end of them
      await Promise.race([ended.catch(() => {}), stop]);
      await page.evaluate(async () => {
        try {
          await window.unpublish();
        } catch (e) {
          window.publication.error({ name: e.name, code: e.code, message: e.message });
        }
      });
    }
    const result = await page.evaluate(() => window.publication.result);
    return { publisher: o.publisher, chromium: browser.version(), began, ...result, console: problems };
  } finally {
    await browser.close();
    server.close();
  }
}

try {
  const result = await publish(options(), createInterface({ input: process.stdin })[Symbol.asyncIterator]());
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0));
} catch (e) {
  console.error(`browser: ${e.message}`);
  process.exit(1);
}
