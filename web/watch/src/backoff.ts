// Backoff says how long to wait before the next try: growing, bounded, and jittered,
// so that a thousand waiting pages do not ask in the same instant.
export class Backoff {
  private tries = 0;

  constructor(
    private readonly firstMs: number,
    private readonly mostMs: number,
    private readonly random: () => number = Math.random,
  ) {}

  // next returns milliseconds: between half of and the whole of the current step.
  next(): number {
    const step = Math.min(this.mostMs, this.firstMs * 1.6 ** this.tries);
    this.tries++;
    return step / 2 + (this.random() * step) / 2;
  }

  reset(): void {
    this.tries = 0;
  }
}
