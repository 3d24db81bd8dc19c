// How fast to play in order to come back to the distance from live that is aimed at.
// hls.js has a rule for that too, but hurries only with more than a second in the
// buffer, which a stream with short parts never has.

const tolerance = 0.08; // seconds over the aim that are let be
const most = 1.5;

// pace returns the playback rate. latency, target and buffer are in seconds; part is
// the part target, or 0 for a stream without parts.
export function pace(latency: number, target: number, buffer: number, part: number): number {
  const over = latency - target;
  // What has to stay in the buffer: the next part is due within one part's time, and
  // a little more for the way.
  const spare = buffer - Math.max(0.3, part * 1.25);
  if (!(over > tolerance) || !(spare > 0)) return 1;
  return Math.min(most, 1 + Math.round(Math.min(over, spare) * 0.4 * 50) / 50);
}
