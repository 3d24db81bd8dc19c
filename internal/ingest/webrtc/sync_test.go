package webrtc

import (
	"net/http"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ingest/webrtc/webrtctest"
	"github.com/sluice-live/sluice/internal/media"
)

// TestSoundAndPicturesAreTogether measures it on what viewers get: a tone that begins
// with picture 30, and again with 60 and 90, through ICE, SRTP and two coders.
func TestSoundAndPicturesAreTogether(t *testing.T) {
	const frames = 120
	clip := webrtctest.Pictures(t, small, frames)
	sound := webrtctest.Sound(t, tone, 4*time.Second)
	for name, offset := range map[string]time.Duration{
		"as they were taken": 0,
		"and no nearer":      300 * time.Millisecond, // the sound was taken as much later
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newRecorder()
			s := start(t, Config{}, h)
			p := publish(t, s, webrtctest.Source{Pictures: clip, Sound: sound, Offset: offset})
			await(t, "all is sent", p.Sent())
			eventually(t, "all arrives", func() bool { return len(h.of(media.Video)) == frames && len(h.of(media.Audio)) > 180 })
			if status := p.Stop(t); status != http.StatusOK {
				t.Errorf("DELETE = %d", status)
			}
			h.ended(t)
			pictures := h.of(media.Video)
			var coded []aacFrame
			for _, u := range h.of(media.Audio) {
				coded = append(coded, aacFrame{u.DTS, u.Data, [2]byte(u.Track.Config)})
			}
			samples, from := decode(t, coded)
			at := 0
			for second := 1; second < 4; second++ {
				shown := media.Time(pictures[30*second].PTS, media.VideoTimescale)
				if at = onset(samples, at); at < 0 {
					t.Fatalf("tone %d is missing", second)
				}
				heard := media.Time(from+int64(at)-webrtctest.Delay, opusRate)
				if apart := heard - shown - offset; apart > frameTime || apart < -frameTime {
					t.Errorf("tone %d is heard %v after its picture, want %v and a frame either way", second, heard-shown, offset)
				}
				at += opusRate / 2
			}
			// They also arrive together: viewers at the live edge have both.
			newest := map[media.Kind]time.Duration{}
			for i, u := range h.units {
				newest[u.Track.Kind] = media.Time(u.DTS, u.Track.Timescale)
				if ahead := newest[media.Video] - newest[media.Audio]; len(newest) == 2 && i < len(h.units)-60 && ahead > 100*time.Millisecond {
					t.Fatalf("unit %d: pictures are %v ahead of the sound", i, ahead)
				}
			}
		})
	}
}
