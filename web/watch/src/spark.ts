// A small line of the last minute of latency.

const samples = 120; // two a second

export class Spark {
  private readonly values: (number | null)[] = [];

  constructor(private readonly canvas: HTMLCanvasElement) {}

  add(seconds: number | null): void {
    this.values.push(seconds);
    if (this.values.length > samples) this.values.shift();
    this.draw();
  }

  private draw(): void {
    const { width, height } = this.canvas;
    const g = this.canvas.getContext('2d');
    if (!g) return;
    g.clearRect(0, 0, width, height);
    const most = Math.max(2, ...this.values.map((v) => v ?? 0)) * 1.1;
    const x = (i: number) => width - (this.values.length - 1 - i) * (width / (samples - 1)) - 2;
    const y = (v: number) => height - 3 - (v / most) * (height - 6);
    const line = new Path2D();
    let down = false;
    this.values.forEach((v, i) => {
      if (v === null) down = false;
      else if (down) line.lineTo(x(i), y(v));
      else {
        line.moveTo(x(i), y(v));
        down = true;
      }
    });
    g.strokeStyle = '#1f2733';
    g.lineWidth = 2;
    g.beginPath();
    g.moveTo(0, height - 2);
    g.lineTo(width, height - 2);
    g.stroke();
    g.strokeStyle = '#2dd4bf';
    g.lineWidth = 3;
    g.lineJoin = 'round';
    g.stroke(line);
  }
}
