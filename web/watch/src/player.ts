// Player keeps one channel playing: it starts, waits while the channel is off air,
// tries again after trouble, and takes up the next broadcast when one ends. It draws
// nothing; onChange tells whoever does.
import Hls, { ErrorDetails, ErrorTypes, Events, type ErrorData, type HlsConfig } from 'hls.js';
import { Backoff } from './backoff';
import { type Fault, playbackFault } from './fault';
import { pace } from './pace';
import { ahead, type Media, measure } from './stats';

// loading: asked, no picture yet. live: playing. offline: nothing on air, asking again.
// lost: was live or loading, the connection broke, trying again. failed: needs the viewer.
export type Phase = 'loading' | 'live' | 'offline' | 'lost' | 'failed';

export interface State {
  phase: Phase;
  fault: Fault | null;
  nextTryAt: number; // Date.now() of the next try; 0 when none is due
  liveSince: number; // Date.now() when the picture started; 0 before
  silenced: boolean; // the browser refused sound, so it was muted for the viewer
  blocked: boolean; // the browser refuses to play at all before a click
}

export interface Stats extends State, Media {
  stalls: number; // since the page was loaded
  stalledMs: number; // milliseconds, in total
  broadcasts: number; // how many times a picture started
}

// The distance to hold from live comes from the playlist (PART-HOLD-BACK, or
// HOLD-BACK), so it is not set here.
const config: Partial<HlsConfig> = {
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1, // pace.ts hurries instead
  liveSyncOnStallIncrease: 0.25, // seconds; one hiccup need not cost a whole one for good
  workerPath: HLS_WORKER,
  startFragPrefetch: true,
  backBufferLength: 20, // seconds; live is not rewound
  maxBufferLength: 20, // seconds
  abrEwmaDefaultEstimate: 4_000_000, // bits per second, before anything is measured
  capLevelToPlayerSize: true,
  // The player tries a few times within a load; longer waits are ours, because
  // only we know whether the channel is off air.
  manifestLoadPolicy: policy(10_000, 0),
  playlistLoadPolicy: policy(10_000, 2),
  fragLoadPolicy: policy(20_000, 3),
};

function policy(maxLoadTimeMs: number, retries: number): HlsConfig['manifestLoadPolicy'] {
  const retry = { maxNumRetry: retries, retryDelayMs: 300, maxRetryDelayMs: 1500 };
  return {
    default: { maxTimeToFirstByteMs: 10_000, maxLoadTimeMs, timeoutRetry: retry, errorRetry: retry },
  };
}

const frozenMs = 10_000; // no progress for so long: start over
const driftSeconds = 4; // further than this behind the aim: jump, do not hurry
const tickMs = 250;
const mediaRecoveries = 2; // decoder errors mended in one load before starting over

export class Player {
  hls: Hls | null = null;

  private state: State = {
    phase: 'loading',
    fault: null,
    nextTryAt: 0,
    liveSince: 0,
    silenced: false,
    blocked: false,
  };
  private url = '';
  private timer = 0; // of the next try
  private readonly off = new Backoff(1000, 6000); // off air: viewers wait for the start
  private readonly slow = new Backoff(1000, 30_000); // trouble: spare the server
  private sawLive = false; // in this load
  private recoveries = 0; // in this load
  private userPaused = false;
  private stalls = 0;
  private stalledMs = 0;
  private stalledSince = 0; // performance.now(); 0 when not stalled
  private broadcasts = 0;
  private lastTime = 0; // currentTime at the last tick
  private lastMoved = 0; // performance.now() when currentTime last moved

  constructor(
    readonly video: HTMLVideoElement,
    private readonly onChange: (s: State) => void,
  ) {
    video.addEventListener('playing', () => this.playing());
    video.addEventListener('waiting', () => this.waiting());
    video.addEventListener('ended', () => this.ended());
    video.addEventListener('error', () => void this.nativeError());
    setInterval(() => this.tick(), tickMs);
  }

  // start plays url, now and whenever there is something to play.
  start(url: string): void {
    this.url = url;
    this.load('loading');
  }

  // fail shows a fault that came from elsewhere; again is called when its wait is over.
  fail(fault: Fault, again: () => void): void {
    this.giveWay(fault, again);
  }

  // retry tries now instead of later.
  retry(): void {
    if (this.url) this.load('loading');
  }

  pause(): void {
    this.userPaused = true;
    this.video.pause();
  }

  // play goes on at the live edge: what was missed meanwhile is not live.
  async play(): Promise<void> {
    this.userPaused = false;
    this.goLive();
    await this.tryPlay();
  }

  goLive(): void {
    const at = this.hls?.liveSyncPosition;
    if (at && at > this.video.currentTime) this.video.currentTime = at;
  }

  // setRendition fixes a rendition by its index; -1 lets the player choose.
  setRendition(index: number): void {
    if (this.hls) this.hls.nextLevel = index;
  }

  stats(): Stats {
    const now = this.stalledSince ? performance.now() - this.stalledSince : 0;
    return {
      ...this.state,
      ...measure(this.hls, this.video),
      stalls: this.stalls,
      stalledMs: Math.round(this.stalledMs + now),
      broadcasts: this.broadcasts,
    };
  }

  private set(change: Partial<State>): void {
    this.state = { ...this.state, ...change };
    this.onChange(this.state);
  }

  private load(phase: Phase): void {
    this.unload();
    this.sawLive = false;
    this.recoveries = 0;
    this.lastMoved = performance.now();
    this.set({ phase, nextTryAt: 0, liveSince: 0 });
    if (Hls.isSupported()) {
      this.loadHls();
    } else if (this.video.canPlayType('application/vnd.apple.mpegurl')) {
      this.video.crossOrigin = 'anonymous';
      this.video.src = this.url;
      void this.tryPlay();
    } else {
      const title = 'This browser cannot play HLS';
      this.giveWay({ status: 0, code: '', title, detail: '', then: 'stop', retryAfterMs: 0 });
    }
  }

  private loadHls(): void {
    const hls = new Hls(config);
    this.hls = hls;
    hls.on(Events.MANIFEST_PARSED, () => void this.tryPlay());
    hls.on(Events.LEVEL_LOADED, (_, { details }) => {
      if (details.live) this.sawLive = true;
      else if (!this.sawLive) this.offAir(); // what is left of an earlier broadcast
    });
    hls.on(Events.ERROR, (_, data) => this.hlsError(hls, data));
    hls.loadSource(this.url);
    hls.attachMedia(this.video);
  }

  private unload(): void {
    clearTimeout(this.timer);
    this.endStall();
    this.hls?.destroy();
    this.hls = null;
    if (this.video.hasAttribute('src')) {
      this.video.removeAttribute('src');
      this.video.load();
    }
  }

  private async tryPlay(): Promise<void> {
    if (this.userPaused) return;
    try {
      await this.video.play();
      this.set({ blocked: false });
    } catch (e) {
      // Anything but a refusal (an abort by the next load) is not for the viewer.
      if ((e as DOMException).name !== 'NotAllowedError') return;
      if (this.video.muted) {
        this.set({ blocked: true });
        return;
      }
      this.video.muted = true; // autoplay is allowed without sound
      this.set({ silenced: true });
      await this.tryPlay();
    }
  }

  private playing(): void {
    this.endStall();
    if (this.state.phase === 'live') return;
    this.off.reset();
    this.slow.reset();
    this.broadcasts++;
    this.set({ phase: 'live', fault: null, liveSince: Date.now(), blocked: false });
  }

  private waiting(): void {
    if (this.state.phase !== 'live' || this.video.seeking || this.stalledSince) return;
    this.stalls++;
    this.stalledSince = performance.now();
  }

  private endStall(): void {
    if (this.stalledSince) this.stalledMs += performance.now() - this.stalledSince;
    this.stalledSince = 0;
  }

  private ended(): void {
    if (this.state.phase === 'live') this.offAir();
  }

  private offAir(): void {
    this.giveWay(playbackFault(404));
  }

  private hlsError(hls: Hls, data: ErrorData): void {
    if (hls !== this.hls || !data.fatal) return;
    if (data.type === ErrorTypes.MEDIA_ERROR && this.recoveries < mediaRecoveries) {
      this.recoveries++;
      hls.recoverMediaError();
      void this.tryPlay();
      return;
    }
    if (data.type === ErrorTypes.NETWORK_ERROR) {
      const xhr = data.networkDetails as XMLHttpRequest | null;
      const status = data.response?.code ?? 0;
      const fault = playbackFault(status, bodyOf(xhr), xhr?.getResponseHeader?.('Retry-After') ?? null);
      // Only the multivariant playlist says what the channel's state is. Below it a
      // 404 means that this broadcast is gone; the next load finds out why.
      const master = data.details === ErrorDetails.MANIFEST_LOAD_ERROR;
      this.giveWay(master || fault.then === 'stop' ? fault : playbackFault(0));
      return;
    }
    // Most often a playlist that started over: another broadcast.
    this.giveWay({ ...playbackFault(0), title: 'Interrupted', detail: 'Starting over.' });
  }

  // nativeError asks the server what the browser does not tell us.
  private async nativeError(): Promise<void> {
    if (this.hls || !this.video.getAttribute('src')) return;
    try {
      const res = await fetch(this.url, { cache: 'no-store' });
      const fault = res.ok ? playbackFault(0) : playbackFault(res.status, await res.text(), res.headers.get('Retry-After'));
      this.giveWay(fault);
    } catch {
      this.giveWay(playbackFault(0));
    }
  }

  // giveWay stops what plays, shows the fault, and plans the next try.
  private giveWay(fault: Fault, again: () => void = () => this.load(this.state.phase)): void {
    this.unload();
    if (fault.then === 'stop') {
      this.set({ phase: 'failed', fault, nextTryAt: 0, liveSince: 0 });
      return;
    }
    const backoff = fault.then === 'wait' ? this.off : this.slow;
    const ms = Math.max(backoff.next(), fault.retryAfterMs);
    this.timer = window.setTimeout(again, ms);
    this.set({
      phase: fault.then === 'wait' ? 'offline' : 'lost',
      fault,
      nextTryAt: Date.now() + ms,
      liveSince: 0,
    });
  }

  // tick watches what no event reports: a picture that froze, or fell far behind.
  private tick(): void {
    const { video, hls } = this;
    const now = performance.now();
    const { phase, nextTryAt } = this.state;
    if (video.currentTime !== this.lastTime || video.paused || nextTryAt) {
      this.lastTime = video.currentTime;
      this.lastMoved = now;
    }
    if (phase !== 'failed' && now - this.lastMoved > frozenMs) {
      this.giveWay(playbackFault(0));
      return;
    }
    const details = hls?.latestLevelDetails;
    const target = hls?.targetLatency ?? null;
    if (phase !== 'live' || !hls || !details || target === null || video.paused || video.seeking) return;
    if (details.live && hls.latency > target + driftSeconds) this.goLive();
    const rate = details.live ? pace(hls.latency, target, ahead(video), details.partList ? details.partTarget : 0) : 1;
    if (video.playbackRate !== rate) video.playbackRate = rate;
  }
}

function bodyOf(xhr: XMLHttpRequest | null): string {
  try {
    return xhr?.responseText ?? '';
  } catch {
    return ''; // not a text response
  }
}
