import { test } from 'node:test';
import assert from 'node:assert/strict';
import { pageRef, withToken } from './channel';

const arn = 'arn:aws:ivs:us-west-2:123456789012:channel/AbCdEf123456';

test('the reference is read however the ARN is written', () => {
  assert.equal(pageRef('/watch/' + arn), arn);
  assert.equal(pageRef('/watch/' + encodeURIComponent(arn)), arn);
  assert.equal(pageRef('/watch/AbCdEf123456/'), 'AbCdEf123456');
  assert.equal(pageRef('/watch/%E0%A4%A'), '%E0%A4%A'); // not an encoding: left alone
});

test('the token goes to the playback URL and nothing else does', () => {
  const page = 'https://live.example/watch/x?token=a.b.c&other=1';
  assert.equal(withToken('/api/video/v1/c.m3u8', page), 'https://live.example/api/video/v1/c.m3u8?token=a.b.c');
  assert.equal(withToken('https://cdn.example/c.m3u8?k=1', page), 'https://cdn.example/c.m3u8?k=1&token=a.b.c');
});

test('without a token the URL stays as it is', () => {
  assert.equal(withToken('/c.m3u8', 'https://live.example/watch/x'), 'https://live.example/c.m3u8');
});
