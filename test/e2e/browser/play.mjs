// Plays one stream in Chromium and prints what happened as one JSON object. README.md
// describes the options and the result.
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { chromium } from 'playwright-core';
import { bundle, serve } from './src/server.mjs';
import { flags } from './src/flags.mjs';

const usage = 'usage: node play.mjs --player hlsjs|shaka|ivs|watch --url URL [--seconds N] [--clock] [--rate FPS] [--timeout N] [--until STATE,...] [--config JSON] [--steps JSON] [--screenshot FILE] [--size WxH] [--fd N]';

function options() {
  const { values } = parseArgs({
    options: {
      player: { type: 'string' },
      url: { type: 'string' },
      seconds: { type: 'string', default: '10' },
      timeout: { type: 'string', default: '20' },
      clock: { type: 'boolean', default: false },
      rate: { type: 'string', default: '0' },
      until: { type: 'string', default: '' },
      config: { type: 'string', default: '{}' },
      steps: { type: 'string', default: '[]' },
      screenshot: { type: 'string', default: '' },
      size: { type: 'string', default: '1280x960' },
      fd: { type: 'string', default: '' },
    },
  });
  const [width, height] = values.size.split('x').map(Number);
  const o = { ...values, seconds: Number(values.seconds), timeout: Number(values.timeout), rate: Number(values.rate), width, height };
  if (!['hlsjs', 'shaka', 'ivs', 'watch'].includes(o.player) || !o.url || !(o.seconds > 0) || !(o.timeout > 0) || !(o.rate >= 0) || !(width > 0) || !(height > 0)) {
    throw new Error(usage);
  }
  JSON.parse(o.config);
  o.steps = JSON.parse(o.steps);
  return o;
}

// take does what each step says, at its second after now, until the last one or abort.
async function take(page, steps, signal) {
  if (steps.length === 0) return;
  const cdp = await page.context().newCDPSession(page);
  await cdp.send('Network.enable');
  const began = Date.now();
  for (const { at, height, kbps } of steps) {
    await sleep(Math.max(0, began + at * 1000 - Date.now()), undefined, { signal });
    if (height !== undefined) await page.evaluate((h) => window.played.select(h), height);
    if (kbps !== undefined) {
      const rate = kbps ? (kbps * 1000) / 8 : -1;
      await cdp.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: rate, uploadThroughput: -1 });
    }
  }
}

async function play(o) {
  const server = o.player === 'watch' ? null : await serve(o.player, o.fd ? Number(o.fd) : undefined);
  // Playwright makes a fresh profile and removes it; a pipe to the browser makes it
  // end with us, even when we are killed.
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    args: flags,
    timeout: 30_000,
  });
  const inTime = setTimeout(() => {
    console.error('browser: out of time');
    void browser.close();
  }, (o.timeout + o.seconds + 30) * 1000);
  try {
    const page = await browser.newPage({ ignoreHTTPSErrors: true, viewport: { width: o.width, height: o.height } });
    const external = new Set();
    const problems = [];
    const note = (text) => problems.length < 50 && problems.push(text.slice(0, 500));
    page.on('request', (r) => {
      const { protocol, hostname } = new URL(r.url());
      if (protocol.startsWith('http') && !['127.0.0.1', 'localhost'].includes(hostname)) external.add(hostname);
    });
    page.on('pageerror', (e) => note(`${e.name}: ${e.message}`));
    page.on('console', (m) => m.type() === 'error' && note(m.text()));
    await page.addInitScript({ content: `${await bundle('probe.mjs')}\nwindow.probe.readClock = ${o.clock};\nwindow.probe.rate = ${o.rate};` });

    const query = new URLSearchParams({ url: o.url, config: o.config });
    await page.goto(server ? `${server.url}?${query}` : o.url, { waitUntil: 'commit' });

    const seen = (until) => {
      if (until === 'error') return window.probe.errors.some((e) => e.fatal);
      const left = until.split(',');
      for (const { state } of window.probe.states) if (state === left[0]) left.shift();
      return left.length === 0;
    };
    const wait = (what, seconds, arg) =>
      page.waitForFunction(what, arg, { timeout: seconds * 1000, polling: 50 }).then(() => true, () => false);
    const done = o.until ? wait(seen, o.timeout + o.seconds, o.until) : null;
    const started = wait(() => window.probe.startMs !== null, o.timeout);
    if (await (done ? Promise.race([started, done]) : started)) {
      const ms = await page.evaluate(() => window.probe.startMs);
      console.error(ms === null ? 'browser: done before a first frame' : `browser: first frame after ${Math.round(ms)} ms`);
      const end = page.waitForTimeout(o.seconds * 1000);
      const stop = new AbortController();
      const steps = take(page, o.steps, stop.signal).catch((e) => stop.signal.aborted || note(`step: ${e.message}`));
      await (done ? Promise.race([done, end]) : end);
      stop.abort();
      await steps;
    }
    const reached = o.until ? await page.evaluate(seen, o.until) : null;
    const result = await page.evaluate(() => window.probe.result());
    if (o.screenshot) await page.screenshot({ path: o.screenshot });
    return { player: o.player, chromium: browser.version(), reached, ...result, external: [...external].sort(), console: problems };
  } finally {
    clearTimeout(inTime);
    await browser.close();
    server?.close();
  }
}

try {
  const result = await play(options());
  process.stdout.write(JSON.stringify(result) + '\n', () => process.exit(0)); // timers of pending waits are of no use now
} catch (e) {
  console.error(`browser: ${e.message}`);
  process.exit(1);
}
