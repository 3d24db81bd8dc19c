import { test } from 'node:test';
import assert from 'node:assert/strict';
import { Backoff } from './backoff';

test('waits grow and stay under the bound', () => {
  const b = new Backoff(1000, 8000, () => 1);
  const waits = Array.from({ length: 8 }, () => Math.round(b.next()));
  assert.deepEqual(waits.slice(0, 3), [1000, 1600, 2560]);
  assert.equal(Math.max(...waits), 8000);
});

test('jitter takes at most half of a wait', () => {
  assert.equal(new Backoff(1000, 8000, () => 0).next(), 500);
});

test('reset starts over', () => {
  const b = new Backoff(1000, 8000, () => 1);
  b.next();
  b.next();
  b.reset();
  assert.equal(b.next(), 1000);
});
