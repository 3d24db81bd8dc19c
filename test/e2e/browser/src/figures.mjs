// Sums up samples.

// quantile of samples, 0 to 1, by nearest rank; null when there are none.
export function quantile(samples, q) {
  if (samples.length === 0) return null;
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))];
}

export function median(samples) {
  return quantile(samples, 0.5);
}

// perSecond returns the median of each second's samples; [atMs, value] pairs in, and
// null for a second without one.
export function perSecond(pairs) {
  if (pairs.length === 0) return [];
  const start = pairs[0][0];
  const seconds = [];
  for (const [at, value] of pairs) {
    const i = Math.floor((at - start) / 1000);
    (seconds[i] ??= []).push(value);
  }
  return Array.from(seconds, (s) => (s ? median(s) : null));
}
