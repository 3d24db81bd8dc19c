// Package transcode makes the renditions of a stream that its encoder did not send: the
// ladder of low-latency.md 2.2, encoded by one supervised ffmpeg a stream. It decodes the
// source once, scales and encodes each rung, and puts a keyframe wherever the source has
// one, with the source's own timestamps, so that all renditions cut alike.
//
// The source rendition does not pass through here and never waits for what does: a full
// queue drops a group of pictures of the transcoded rungs, and an ffmpeg that dies, hangs
// or falls behind is replaced, with the top rung shed when the machine is too slow. What
// comes out are access units; package stream gives them to the packager.
package transcode
