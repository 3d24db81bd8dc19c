import { test } from 'node:test';
import assert from 'node:assert/strict';
import { bitRate, clock, none, seconds, size } from './format';

test('rates pick their unit', () => {
  assert.equal(bitRate(630_000), '630 kbit/s');
  assert.equal(bitRate(3_422_999), '3.4 Mbit/s');
  assert.equal(bitRate(52_000_000), '52 Mbit/s');
  assert.equal(bitRate(0), none);
  assert.equal(bitRate(NaN), none);
});

test('sizes leave out what is not known', () => {
  assert.equal(size(1280, 720, 30), '1280×720 @ 30 fps');
  assert.equal(size(640, 360, 29.97002997), '640×360 @ 29.97 fps');
  assert.equal(size(640, 360, 0), '640×360');
  assert.equal(size(0, 0, 30), none);
});

test('spans', () => {
  assert.equal(clock(7_900), '0:07');
  assert.equal(clock(754_000), '12:34');
  assert.equal(clock(3_723_000), '1:02:03');
  assert.equal(seconds(null), none);
  assert.equal(seconds(1.005, 1), '1.0 s');
});
