import { test } from 'node:test';
import assert from 'node:assert/strict';
import { parseBody, playbackFault } from './fault';

test('the array body of the playback API is read', () => {
  const f = playbackFault(
    403,
    '[{"url":"/x","error":"token contains an invalid number of segments","error_code":"invalid_playback_auth_token","type":"error"}]',
  );
  assert.equal(f.code, 'invalid_playback_auth_token');
  assert.equal(f.detail, 'Token contains an invalid number of segments.');
  assert.equal(f.then, 'stop');
});

test('404 means off air: wait', () => {
  const f = playbackFault(404, '[{"error":"Can not find channel"}]');
  assert.equal(f.title, 'Offline');
  assert.equal(f.then, 'wait');
});

test('429 is tried again, no sooner than asked', () => {
  const f = playbackFault(429, '[]', '7');
  assert.equal(f.then, 'slow');
  assert.equal(f.retryAfterMs, 7000);
});

test('an absurd Retry-After is bounded', () => {
  assert.equal(playbackFault(503, '', '99999999').retryAfterMs, 120_000);
  assert.equal(playbackFault(503, '', 'Fri, 20 Nov 2026 00:00:00 GMT').retryAfterMs, 0);
});

test('no answer at all is tried again', () => {
  assert.equal(playbackFault(0).then, 'slow');
});

test('bodies that are no JSON give nothing', () => {
  for (const body of ['', '<html>', '[]', 'null', '[7]', '{"error":{"a":1}}']) {
    assert.deepEqual(parseBody(body), { error: '', code: '' }, body);
  }
});
