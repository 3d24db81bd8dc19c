// What the page shows, and what tests read through window.sluice.stats().
import type Hls from 'hls.js';
import type { Level } from 'hls.js';

export interface Rendition {
  index: number; // in the multivariant playlist's order, as hls.js sorts it
  name: string;
  width: number;
  height: number;
  frameRate: number;
  bitRate: number; // bits per second, as announced
  codecs: string;
}

export interface Media {
  latency: number | null; // seconds behind the live edge, by the playlist
  targetLatency: number | null; // seconds; what the player aims at
  sinceProgramDate: number | null; // seconds since the picture's PROGRAM-DATE-TIME
  buffer: number; // seconds ahead of the playhead
  playbackRate: number;
  decodedFrames: number;
  droppedFrames: number;
  bandwidth: number | null; // bits per second, estimated
  partTarget: number | null; // seconds; null without low-latency parts
  targetDuration: number | null; // seconds
  playlist: string; // "LL-HLS", "HLS", ...
  container: string; // "fMP4", "MPEG-TS", ...
  rendition: Rendition | null;
  renditions: Rendition[];
  auto: boolean; // the player chooses the rendition
}

export function rendition(level: Level, index: number): Rendition {
  const { attrs } = level;
  return {
    index,
    name: attrs['VIDEO'] || level.name || (level.height ? `${level.height}p` : 'audio'),
    width: level.width,
    height: level.height,
    frameRate: level.frameRate || 0,
    bitRate: level.averageBitrate || level.bitrate || 0,
    codecs: attrs['CODECS'] || '',
  };
}

// measure reads the player as it is now; hls is null where the browser plays HLS itself.
export function measure(hls: Hls | null, video: HTMLVideoElement): Media {
  const quality = video.getVideoPlaybackQuality?.();
  const details = hls?.latestLevelDetails ?? null;
  const level = hls?.levels[hls.currentLevel];
  const date = hls?.playingDate ?? startDate(video);
  return {
    latency: details?.live && hls ? hls.latency : null,
    targetLatency: details?.live && hls ? hls.targetLatency : null,
    sinceProgramDate: date ? (Date.now() - date.getTime()) / 1000 : null,
    buffer: ahead(video),
    playbackRate: video.playbackRate,
    decodedFrames: quality?.totalVideoFrames ?? 0,
    droppedFrames: quality?.droppedVideoFrames ?? 0,
    bandwidth: hls && Number.isFinite(hls.bandwidthEstimate) ? hls.bandwidthEstimate : null,
    partTarget: details?.partList ? details.partTarget : null,
    targetDuration: details?.targetduration ?? null,
    playlist: kind(hls, details),
    container: details ? (details.fragments[0]?.initSegment ? 'fMP4' : 'MPEG-TS') : '',
    rendition: level && hls ? rendition(level, hls.currentLevel) : null,
    renditions: hls ? hls.levels.map(rendition) : [],
    auto: hls?.autoLevelEnabled ?? true,
  };
}

function kind(hls: Hls | null, details: NonNullable<Hls['latestLevelDetails']> | null): string {
  if (!hls) return 'HLS (browser)';
  if (!details) return '';
  if (!details.live) return 'HLS, ended';
  if (!details.partList) return 'HLS';
  return details.canBlockReload ? 'LL-HLS, blocking' : 'LL-HLS, polling';
}

// ahead is how many seconds are buffered after the playhead without a hole.
export function ahead(video: Pick<HTMLVideoElement, 'buffered' | 'currentTime'>): number {
  const { buffered, currentTime } = video;
  for (let i = 0; i < buffered.length; i++) {
    if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) {
      return buffered.end(i) - currentTime;
    }
  }
  return 0;
}

// startDate reads PROGRAM-DATE-TIME from a browser that plays HLS itself (Safari).
function startDate(video: HTMLVideoElement): Date | null {
  const start = (video as { getStartDate?: () => Date }).getStartDate?.();
  const ms = start?.getTime();
  return ms ? new Date(ms + video.currentTime * 1000) : null;
}
