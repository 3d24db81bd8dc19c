import { test } from 'node:test';
import assert from 'node:assert/strict';
import { read } from './id3.mjs';

const bytes = (hex, text) => Uint8Array.from([...Buffer.from(hex, 'hex'), ...Buffer.from(text)]);

test('PRIV is read', () => {
  const tag = bytes('49443304000000000029505249560000001f0000', 'metadata.live-video.net\0{"q":1}');
  assert.deepEqual(read(tag), { owner: 'metadata.live-video.net', text: '{"q":1}' });
});

test('TXXX is read', () => {
  assert.deepEqual(read(bytes('4944330400000000001054585858000000060000036400', 'é\0')), { owner: 'd', text: 'é' });
});

test('a size that is not the tag\'s is refused', () => {
  assert.equal(read(bytes('49443304000000000028505249560000001f0000', 'metadata.live-video.net\0{"q":1}')), null);
  assert.equal(read(bytes('494433', '')), null);
});
