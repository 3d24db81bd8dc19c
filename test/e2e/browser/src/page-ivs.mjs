// Plays ?url= with the stock amazon-ivs-player.
import { create, PlayerEventType, PlayerState } from 'amazon-ivs-player';

const query = new URLSearchParams(location.search);
const { probe } = window;
const player = create({
  wasmWorker: new URL('/ivs/amazon-ivs-wasmworker.min.js', location).href,
  wasmBinary: new URL('/ivs/amazon-ivs-wasmworker.min.wasm', location).href,
});
window.played = {
  player,
  latency: () => player.getLiveLatency(),
  syncTime: () => player.getSyncTime(),
  lowLatency: () => player.isLiveLowLatency(),
  select: (height) => {
    if (height) player.setQuality(player.getQualities().find((q) => Math.min(q.width, q.height) === height), true);
    else player.setAutoQualityMode(true);
  },
  qualities: () =>
    player.getQualities().map((q) => ({
      name: q.name,
      width: q.width,
      height: q.height,
      frameRate: q.framerate,
      bitRate: q.bitrate,
      codecs: q.codecs,
    })),
};
for (const state of Object.values(PlayerState)) player.addEventListener(state, () => probe.state(state));
const failed = (fatal) => (e) => probe.error({ type: e.type, source: e.source, code: e.code, message: e.message, fatal });
player.addEventListener(PlayerEventType.ERROR, failed(true));
player.addEventListener('PlayerRecoverableError', failed(false));
player.addEventListener(PlayerEventType.TEXT_METADATA_CUE, ({ startTime, owner, text }) => probe.cue({ startTime, owner, text }));
player.attachHTMLVideoElement(document.querySelector('video'));
player.setAutoplay(true);
player.load(query.get('url'));
player.play();
