// Plays ?url= with hls.js, set up for low latency; ?config= overrides its options.
import Hls from 'hls.js';
import { read } from './id3.mjs';

const query = new URLSearchParams(location.search);
const { probe } = window;
const video = document.querySelector('video');

const hls = new Hls({
  lowLatencyMode: true,
  maxLiveSyncPlaybackRate: 1.5,
  workerPath: '/hls.worker.js',
  ...JSON.parse(query.get('config') || '{}'),
});
window.played = {
  player: hls,
  latency: () => hls.latency,
  lowLatency: () => Boolean(hls.latestLevelDetails?.partList),
  select: (height) => {
    hls.loadLevel = height ? hls.levels.findIndex((l) => Math.min(l.width, l.height) === height) : -1;
  },
  qualities: () =>
    hls.levels.map((l) => ({
      name: l.attrs.VIDEO || l.name || `${l.height}p`,
      width: l.width,
      height: l.height,
      frameRate: l.frameRate,
      bitRate: l.bitrate,
      codecs: l.attrs.CODECS || '',
    })),
};
hls.on(Hls.Events.MANIFEST_PARSED, () => {
  probe.state('manifest');
  video.play().catch((e) => probe.error({ type: e.name, message: e.message, fatal: true }));
});
hls.on(Hls.Events.LEVEL_LOADED, (_, { details }) => {
  if (!details.live) probe.state('ended-playlist');
});
hls.on(Hls.Events.ERROR, (_, d) =>
  probe.error({ type: d.type, source: d.details, code: d.response?.code ?? 0, message: d.error?.message ?? '', fatal: d.fatal }),
);
for (const e of ['playing', 'ended']) video.addEventListener(e, () => probe.state(e));
hls.on(Hls.Events.FRAG_PARSING_METADATA, (_, { samples }) => {
  for (const { data, pts } of samples) probe.cue({ startTime: pts, ...(read(data) ?? { owner: '', text: '' }) });
});
hls.loadSource(query.get('url'));
hls.attachMedia(video);
