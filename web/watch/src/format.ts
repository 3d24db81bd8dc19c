// Numbers as a viewer reads them.

export const none = '–';

export function seconds(s: number | null, digits = 2): string {
  return s === null || !Number.isFinite(s) ? none : `${s.toFixed(digits)} s`;
}

export function bitRate(bitsPerSecond: number | null): string {
  if (bitsPerSecond === null || !Number.isFinite(bitsPerSecond) || bitsPerSecond <= 0) return none;
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(bitsPerSecond >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

export function size(width: number, height: number, frameRate: number): string {
  if (!width || !height) return none;
  return `${width}×${height}` + (frameRate ? ` @ ${Number(frameRate.toFixed(2))} fps` : '');
}

// clock writes a span as 0:07, 12:34 or 1:02:03.
export function clock(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const h = Math.floor(s / 3600);
  const m = Math.floor(s / 60) % 60;
  return h > 0 ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}
