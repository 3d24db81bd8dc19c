// Draws what the player says, and turns keys and clicks into calls on it.
import type { Channel } from './channel';
import { bitRate, clock, none, seconds, size } from './format';
import type { Phase, Player, State, Stats } from './player';
import { Spark } from './spark';

const behindSeconds = 1.5; // further than this over the aim is no longer "live"

const badges: Record<Phase, [text: string, style: string]> = {
  loading: ['Connecting', ''],
  live: ['Live', 'live'],
  offline: ['Offline', ''],
  lost: ['Reconnecting', 'warn'],
  failed: ['Unavailable', 'warn'],
};

export class View {
  readonly video = find<HTMLVideoElement>('video');
  private readonly stage = find('stage');
  private readonly spark = new Spark(find<HTMLCanvasElement>('spark'));
  private readonly cells = new Map<string, HTMLElement>();
  private state: State | null = null;
  private renditions = ''; // what the quality menu was built from

  constructor() {
    const saved = Number(recall('volume') ?? '1');
    this.video.volume = saved >= 0 && saved <= 1 ? saved : 1;
    this.video.muted = recall('muted') === 'true';
  }

  // connect wires the controls; again looks everything up once more.
  connect(player: Player, again: () => void): void {
    const { video, stage } = this;
    const toggle = () => (video.paused ? void player.play() : player.pause());
    const mute = () => {
      video.muted = !video.muted;
      if (!video.muted && video.volume === 0) video.volume = 0.5;
      this.keepVolume();
    };
    const louder = (by: number) => {
      video.volume = Math.min(1, Math.max(0, video.volume + by));
      video.muted = video.volume === 0;
      this.keepVolume();
    };
    const full = () => {
      if (document.fullscreenElement) void document.exitFullscreen();
      else if (stage.requestFullscreen) void stage.requestFullscreen();
      else (video as { webkitEnterFullscreen?: () => void }).webkitEnterFullscreen?.();
    };
    const live = () => (video.paused ? void player.play() : player.goLive());

    on('play', toggle);
    on('big-play', () => void player.play());
    on('mute', mute);
    on('unmute', mute);
    on('live', live);
    on('full', full);
    on('again', again);
    on('copy', () => void this.copy());
    video.addEventListener('click', toggle);
    video.addEventListener('dblclick', full);
    const volume = find<HTMLInputElement>('volume');
    volume.addEventListener('input', () => louder(Number(volume.value) - video.volume));
    const quality = find<HTMLSelectElement>('quality');
    quality.addEventListener('change', () => player.setRendition(Number(quality.value)));
    for (const e of ['volumechange', 'play', 'pause']) video.addEventListener(e, () => this.controls());

    const keys: Record<string, () => void> = {
      k: toggle,
      m: mute,
      f: full,
      l: live,
      ArrowUp: () => louder(0.05),
      ArrowDown: () => louder(-0.05),
    };
    document.addEventListener('keydown', (e) => {
      const typing = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
      if (e.ctrlKey || e.metaKey || e.altKey || typing) return;
      const act = keys[e.key];
      if (!act || this.state?.phase !== 'live') return;
      e.preventDefault();
      act();
    });

    this.controls();
    this.draw(player.stats());
    setInterval(() => this.draw(player.stats()), 500);
  }

  channel(c: Pick<Channel, 'name' | 'arn'>): void {
    const name = c.name || c.arn.split('/').pop() || c.arn;
    text('name', name);
    text('ref', c.arn);
    document.title = `${name} · Sluice`;
  }

  // show draws a change of state at once; numbers follow with the next draw.
  show(s: State): void {
    this.state = s;
    this.stage.dataset['phase'] = s.phase;
    const [label, style] = badges[s.phase];
    const badge = find('badge');
    badge.textContent = label;
    badge.className = `badge ${style}`;
    text('cover-title', s.fault?.title ?? 'Connecting');
    text('cover-detail', s.fault?.detail ?? '');
    text('cover-code', s.fault ? [s.fault.status || '', s.fault.code].join(' ').trim() : '');
    find('cover-code').hidden = s.phase === 'offline';
    find('again').hidden = s.phase !== 'failed';
    find('big-play').hidden = !s.blocked;
    this.controls();
  }

  private controls(): void {
    const { video, stage } = this;
    const muted = video.muted || video.volume === 0;
    stage.classList.toggle('paused', video.paused);
    stage.classList.toggle('muted', muted);
    label('play', video.paused ? 'Play' : 'Pause');
    label('mute', muted ? 'Unmute' : 'Mute');
    find<HTMLInputElement>('volume').value = String(muted ? 0 : video.volume);
    find('unmute').hidden = !(this.state?.silenced && video.muted && this.state.phase === 'live');
  }

  private draw(s: Stats): void {
    text('now', new Date().toISOString().slice(11, 21) + ' UTC');
    const live = s.phase === 'live';
    text('latency', live ? seconds(s.latency) : none);
    this.spark.add(live ? s.latency : null);

    const behind = live && s.latency !== null && s.targetLatency !== null ? s.latency - s.targetLatency : 0;
    find('live').classList.toggle('behind', behind > behindSeconds);
    text('live-text', behind > behindSeconds ? `−${behind.toFixed(0)} s` : 'Live');

    const r = s.rendition;
    this.cell('Rendition', r?.name ?? none);
    this.cell('Picture', r ? size(r.width, r.height, r.frameRate) : none);
    this.cell('Bit rate', bitRate(r?.bitRate ?? null));
    this.cell('Codecs', r?.codecs.replaceAll(',', ', ') || none);
    this.cell('Playlist', s.playlist || none);
    this.cell('Container', s.container || none);
    this.cell('Part target', s.partTarget === null ? none : seconds(s.partTarget, 3));
    this.cell('Target latency', seconds(s.targetLatency));
    this.cell('Since program date', seconds(s.sinceProgramDate));
    this.cell('Buffer', live ? seconds(s.buffer) : none);
    this.cell('Playback rate', live && !this.video.paused ? `${s.playbackRate.toFixed(2)}×` : none);
    this.cell('Bandwidth', bitRate(live ? s.bandwidth : null));
    this.cell('Dropped frames', `${s.droppedFrames} of ${s.decodedFrames}`, s.droppedFrames > s.decodedFrames / 100);
    this.cell('Stalls', s.stalls ? `${s.stalls} (${(s.stalledMs / 1000).toFixed(1)} s)` : '0', s.stalls > 0);
    this.cell('Watching for', s.liveSince ? clock(Date.now() - s.liveSince) : none);
    this.menu(s);
    if (s.fault && s.nextTryAt && s.phase === 'lost') {
      const left = Math.ceil((s.nextTryAt - Date.now()) / 1000);
      text('cover-code', left > 0 ? `Next try in ${left} s` : 'Trying now');
    }
  }

  private cell(name: string, value: string, bad = false): void {
    let dd = this.cells.get(name);
    if (!dd) {
      const box = document.createElement('div');
      const dt = document.createElement('dt');
      dd = document.createElement('dd');
      dt.textContent = name;
      box.append(dt, dd);
      find('stats').append(box);
      this.cells.set(name, dd);
    }
    if (dd.textContent !== value) {
      dd.textContent = value;
      dd.title = value;
    }
    dd.classList.toggle('bad', bad);
  }

  private menu(s: Stats): void {
    const select = find<HTMLSelectElement>('quality');
    const key = s.renditions.map((r) => r.name + r.bitRate).join();
    if (key !== this.renditions) {
      this.renditions = key;
      const option = (value: number, name: string) => new Option(name, String(value));
      select.replaceChildren(option(-1, 'Auto'), ...s.renditions.map((r) => option(r.index, r.name)).reverse());
    }
    if (s.auto) {
      select.value = '-1';
      const auto = select.options[0];
      const name = s.rendition && s.renditions.length > 1 ? `Auto (${s.rendition.name})` : 'Auto';
      if (auto && auto.text !== name) auto.text = name;
    }
  }

  private async copy(): Promise<void> {
    try {
      await navigator.clipboard.writeText(find('ref').textContent ?? '');
      text('copy', 'Copied');
    } catch {
      getSelection()?.selectAllChildren(find('ref')); // no clipboard over plain http
    }
    setTimeout(() => text('copy', 'Copy'), 1500);
  }

  private keepVolume(): void {
    keep('volume', String(this.video.volume));
    keep('muted', String(this.video.muted));
  }
}

function find<T extends HTMLElement = HTMLElement>(id: string): T {
  const e = document.getElementById(id);
  if (!e) throw new Error(`no #${id} in the page`);
  return e as T;
}

function on(id: string, act: () => void): void {
  find(id).addEventListener('click', act);
}

function text(id: string, value: string): void {
  const e = find(id);
  if (e.textContent !== value) e.textContent = value;
}

function label(id: string, value: string): void {
  find(id).setAttribute('aria-label', value);
}

// Storage may be off; the page works without it.
function recall(key: string): string | null {
  try {
    return localStorage.getItem(`sluice.${key}`);
  } catch {
    return null;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`sluice.${key}`, value);
  } catch {
    // forgotten at the next visit
  }
}
