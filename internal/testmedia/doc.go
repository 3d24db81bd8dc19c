// Package testmedia makes pictures that can be checked: every frame carries the time
// at which it was made and its number, as black and white blocks that survive
// encoding. With it a test publishes like an encoder (Publish), gets short files of
// exactly known content (Clip), and finds out which frames came through (Decode). The
// browser tests read the same blocks from the screen (test/e2e/browser/src/clock.mjs).
//
// It drives ffmpeg and encodes nothing itself. It is for tests only.
package testmedia
