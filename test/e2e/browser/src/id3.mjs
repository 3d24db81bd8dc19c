// Reads the one frame of an ID3v2.4 tag that internal/id3 writes.

// read returns {owner, text} of a PRIV or TXXX frame, null for anything else.
export function read(bytes) {
  const text = (from, to) => new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(from, to));
  const size = (at) => bytes.subarray(at, at + 4).reduce((n, b) => n * 128 + b, 0);
  if (bytes.length < 20 || text(0, 3) !== 'ID3' || bytes[3] !== 4 || size(6) !== bytes.length - 10 || size(14) !== bytes.length - 20) return null;
  const frame = text(10, 14);
  const start = { PRIV: 20, TXXX: 21 }[frame];
  const cut = bytes.indexOf(0, start);
  if (!start || cut < 0) return null;
  return { owner: text(start, cut), text: text(cut + 1, frame === 'TXXX' ? bytes.length - 1 : bytes.length) };
}
