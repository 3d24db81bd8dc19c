// Runs in the page before its own scripts, and watches its <video>: when the first
// frame is on screen, how it goes on from there, and how old each frame is. It knows
// the players only by what they put into window.played (see page.mjs), or by
// window.sluice on our own watch page.
import { fieldHeight, fieldPart, fieldWidth, read } from './clock.mjs';
import { median, perSecond, quantile } from './figures.mjs';

const most = 200; // entries kept of anything that repeats

const probe = {
  readClock: false, // set by play.mjs before the page loads, as is
  rate: 0, // frames per second of the encoder; 0 when not known
  errors: [],
  cues: [],
  states: [],

  video: null,
  startMs: null, // first frame on screen, since navigation
  playingMs: null,
  waiting: 0,
  stalls: [],
  ended: false,
  ages: [], // [performance.now(), ms old] of each frame with a code
  unread: 0,
  frames: { presented: 0, lastAt: 0, maxGapMs: 0, first: null, last: null, backwards: 0, skipped: 0 },
  reported: [],
  sizes: [], // of the picture, as they changed
  lead: { least: Infinity, most: -Infinity }, // of a frame's number over its place on the player's timeline, in frames

  error(e) {
    if (this.errors.length < most) this.errors.push({ atMs: Math.round(performance.now()), ...e });
  },
  cue(c) {
    if (this.cues.length < most) this.cues.push({ at: Date.now(), ...c });
  },
  state(state) {
    const last = this.states.at(-1);
    if (last?.state !== state && this.states.length < most) this.states.push({ atMs: Math.round(performance.now()), state });
  },
};
window.probe = probe;

let stalledAt = 0; // performance.now(); 0 when running
let lastFrameAt = 0;

function attach(video) {
  probe.video = video;
  video.addEventListener('playing', () => {
    probe.playingMs ??= performance.now();
    endStall();
  });
  video.addEventListener('waiting', () => {
    if (probe.playingMs === null || video.seeking) return;
    probe.waiting++;
    stalledAt ||= performance.now();
  });
  video.addEventListener('ended', () => {
    endStall();
    probe.ended = true;
  });
  const canvas = new OffscreenCanvas(fieldWidth, fieldHeight);
  const g = canvas.getContext('2d', { willReadFrequently: true });
  const onFrame = (now, { width, height, mediaTime }) => {
    video.requestVideoFrameCallback(onFrame);
    const at = performance.now();
    const was = probe.sizes.at(-1);
    if ((was?.width !== width || was.height !== height) && probe.sizes.length < most) probe.sizes.push({ atMs: Math.round(at), width, height });
    if (probe.startMs === null) probe.startMs = at;
    else probe.frames.maxGapMs = Math.max(probe.frames.maxGapMs, now - lastFrameAt);
    lastFrameAt = now;
    probe.frames.lastAt = Date.now();
    probe.frames.presented++;
    if (probe.readClock) age(g, video, at, mediaTime);
  };
  video.requestVideoFrameCallback(onFrame);
}

function age(g, video, at, mediaTime) {
  const { videoWidth, videoHeight } = video;
  g.drawImage(video, 0, 0, videoWidth, videoHeight * fieldPart, 0, 0, fieldWidth, fieldHeight);
  const code = read(g.getImageData(0, 0, fieldWidth, fieldHeight).data);
  if (!code) {
    probe.unread++;
    return;
  }
  probe.ages.push([at, Date.now() - code.time]);
  const lead = code.frame - mediaTime * probe.rate;
  probe.lead.least = Math.min(probe.lead.least, lead);
  probe.lead.most = Math.max(probe.lead.most, lead);
  const f = probe.frames;
  f.first ??= code.frame;
  if (f.last !== null && code.frame < f.last) f.backwards++;
  if (f.last !== null && code.frame > f.last + 1) f.skipped += code.frame - f.last - 1;
  f.last = code.frame;
}

function endStall() {
  if (stalledAt && probe.stalls.length < most) {
    probe.stalls.push({ atMs: Math.round(stalledAt), ms: Math.round(performance.now() - stalledAt) });
  }
  stalledAt = 0;
}

const look = setInterval(() => {
  const video = document.querySelector('video');
  if (!video) return;
  clearInterval(look);
  attach(video);
}, 5);

setInterval(() => {
  const own = window.sluice?.stats();
  if (own) probe.state(own.phase);
  if (own?.fault && own.fault !== probe.fault) {
    probe.fault = own.fault;
    probe.error({ type: own.fault.title, code: own.fault.status, message: own.fault.code, fatal: true });
  }
  const seconds = own ? own.latency : window.played?.latency();
  if (probe.startMs !== null && Number.isFinite(seconds) && seconds > 0) probe.reported.push(seconds);
}, 100);

// syncAge is how old what is on screen is by the player's sync time, in ms.
function syncAge() {
  const sync = window.played?.syncTime?.();
  return sync > 0 ? Date.now() - sync : null;
}

const round = (n) => (n === null ? null : Math.round(n));

// result is what play.mjs prints; README.md explains it.
probe.result = () => {
  const { video } = probe;
  const ages = probe.ages.map(([, ms]) => ms);
  const quality = video?.getVideoPlaybackQuality();
  const open = stalledAt ? [{ atMs: Math.round(stalledAt), ms: Math.round(performance.now() - stalledAt) }] : [];
  const stalls = [...probe.stalls, ...open];
  const own = window.sluice?.stats();
  const qualities = own
    ? own.renditions.map(({ name, width, height, frameRate, bitRate, codecs }) => ({ name, width, height, frameRate, bitRate, codecs }))
    : (window.played?.qualities() ?? []);
  return {
    startMs: round(probe.startMs),
    playingMs: round(probe.playingMs),
    playedSeconds: video && probe.startMs !== null ? (performance.now() - probe.startMs) / 1000 : 0,
    waiting: probe.waiting,
    stalls,
    stalledMs: stalls.reduce((ms, s) => ms + s.ms, 0),
    ended: probe.ended,
    errors: probe.errors,
    latency: probe.readClock
      ? {
          samples: ages.length,
          unread: probe.unread,
          medianMs: round(median(ages)),
          p95Ms: round(quantile(ages, 0.95)),
          minMs: round(quantile(ages, 0)),
          maxMs: round(quantile(ages, 1)),
          perSecondMs: perSecond(probe.ages).map(round),
        }
      : null,
    reportedLatency: {
      samples: probe.reported.length,
      medianSeconds: median(probe.reported),
      p95Seconds: quantile(probe.reported, 0.95),
      lastSeconds: probe.reported.at(-1) ?? null,
    },
    frames: {
      ...probe.frames,
      maxGapMs: Math.round(probe.frames.maxGapMs),
      decoded: quality?.totalVideoFrames ?? 0,
      dropped: quality?.droppedVideoFrames ?? 0,
      width: video?.videoWidth ?? 0,
      height: video?.videoHeight ?? 0,
    },
    sizes: probe.sizes,
    driftFrames: probe.rate && probe.ages.length ? Math.round((probe.lead.most - probe.lead.least) * 100) / 100 : null,
    lowLatency: own ? own.partTarget !== null : (window.played?.lowLatency() ?? null),
    qualities,
    states: probe.states,
    cues: probe.cues,
    syncAgeMs: syncAge(),
  };
};
