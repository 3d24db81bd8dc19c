// Plays ?url= with Shaka Player, set up for low latency; ?config= overrides its options.
import shaka from 'shaka-player';

const query = new URLSearchParams(location.search);
const { probe } = window;
const video = document.querySelector('video');

shaka.polyfill.installAll();
const player = new shaka.Player();
player.configure({ streaming: { lowLatencyMode: true } });
player.configure(JSON.parse(query.get('config') || '{}'));
window.played = {
  player,
  latency: () => {
    const at = player.getPlayheadTimeAsDate();
    return at ? (Date.now() - at) / 1000 : 0;
  },
  lowLatency: () => player.getConfiguration().streaming.lowLatencyMode,
  select: (height) => {
    player.configure('abr.enabled', !height);
    if (height) player.selectVariantTrack(player.getVariantTracks().find((t) => Math.min(t.width, t.height) === height), true, 1); // keeping a second of the buffer
  },
  qualities: () =>
    player.getVariantTracks().map((t) => ({
      name: `${Math.min(t.width, t.height)}p${Math.round(t.frameRate)}`, // it keeps no name of muxed variants
      width: t.width,
      height: t.height,
      frameRate: t.frameRate,
      bitRate: t.bandwidth,
      codecs: t.codecs,
    })),
};
const failed = (e, fatal) =>
  probe.error({ type: e.name ?? `category ${e.category}`, source: '', code: e.code ?? 0, message: `${e.message ?? e} ${e.data ?? ''}`.slice(0, 300), fatal });
player.addEventListener('error', ({ detail }) => failed(detail, detail.severity === shaka.util.Error.Severity.CRITICAL));
for (const e of ['playing', 'ended']) video.addEventListener(e, () => probe.state(e));
(async () => {
  await player.attach(video);
  await player.load(query.get('url'));
  await video.play();
})().catch((e) => failed(e, true));
