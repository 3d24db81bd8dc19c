import { test } from 'node:test';
import assert from 'node:assert/strict';
import { crc16, fieldHeight, fieldWidth, read } from './clock.mjs';
import { median, perSecond, quantile } from './figures.mjs';

// field draws the 12 bytes of a code as the scaled field, in given black and white.
function field(bytes, black = 16, white = 235) {
  const rgba = new Uint8ClampedArray(fieldWidth * fieldHeight * 4);
  for (let y = 0; y < fieldHeight; y++) {
    for (let x = 0; x < fieldWidth; x++) {
      const bit = (y >> 2) * 32 + (x >> 2);
      rgba.fill((bytes[bit >> 3] >> (7 - (bit & 7))) & 1 ? white : black, (y * fieldWidth + x) * 4, (y * fieldWidth + x) * 4 + 4);
    }
  }
  return rgba;
}

function code(time, frame) {
  const bytes = new Uint8Array(12);
  const v = new DataView(bytes.buffer);
  v.setUint16(0, Math.floor(time / 2 ** 32));
  v.setUint32(2, time % 2 ** 32);
  v.setUint32(6, frame);
  v.setUint16(10, crc16(bytes.subarray(0, 10)));
  return bytes;
}

test('the CRC is CCITT-FALSE', () => {
  assert.equal(crc16(new TextEncoder().encode('123456789')), 0x29b1);
});

test('a code is read back', () => {
  for (const [time, frame] of [[0, 0], [1_800_000_000_123, 4_294_967_295], [2 ** 48 - 1, 7]]) {
    assert.deepEqual(read(field(code(time, frame))), { time, frame });
  }
});

test('washed-out blocks are read', () => {
  assert.deepEqual(read(field(code(1_800_000_000_123, 5), 60, 190)), { time: 1_800_000_000_123, frame: 5 });
});

test('one wrong block is refused', () => {
  const bytes = code(1_800_000_000_123, 5);
  bytes[3] ^= 1;
  assert.equal(read(field(bytes)), null);
});

test('a picture of one colour is refused', () => {
  for (const v of [0, 255]) assert.equal(read(new Uint8ClampedArray(fieldWidth * fieldHeight * 4).fill(v)), null);
});

test('quantiles are by nearest rank', () => {
  const samples = [5, 1, 4, 2, 3];
  assert.equal(median(samples), 3);
  assert.equal(quantile(samples, 0.95), 5);
  assert.equal(quantile(samples, 0), 1);
  assert.equal(median([]), null);
});

test('a second without samples is null', () => {
  assert.deepEqual(perSecond([[100, 1], [200, 3], [300, 2], [2500, 9]]), [2, null, 9]);
  assert.deepEqual(perSecond([]), []);
});
