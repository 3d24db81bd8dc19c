import { test } from 'node:test';
import assert from 'node:assert/strict';
import { pace } from './pace';

test('near the aim nothing is hurried', () => {
  assert.equal(pace(0.65, 0.6, 0.6, 0.2), 1);
  assert.equal(pace(0.4, 0.6, 0.4, 0.2), 1);
});

test('the further behind, the faster, up to 1.5', () => {
  const rates = [0.2, 0.5, 1, 3].map((over) => pace(1 + over, 1, 5, 0.2));
  assert.deepEqual(rates, [1.08, 1.2, 1.4, 1.5]);
});

test('with short parts it hurries on less than a second of buffer', () => {
  assert.ok(pace(1.0, 0.6, 0.8, 0.2) > 1);
});

test('a thin buffer is not spent', () => {
  assert.equal(pace(2, 0.6, 0.28, 0.2), 1);
  assert.equal(pace(9, 3, 1, 1), 1);
});

test('numbers that are not known hurry nothing', () => {
  assert.equal(pace(NaN, 1, 5, 0), 1);
  assert.equal(pace(5, NaN, 5, 0), 1);
});
