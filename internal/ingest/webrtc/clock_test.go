package webrtc

import (
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

// A sender has pictures and sound of the same moment under unrelated timestamps.
type sender struct {
	video, audio uint32 // timestamps of the moment 0
	began        time.Time
}

func (s sender) picture(at time.Duration) uint32 { return s.video + uint32(media.Ticks(at, 90000)) }
func (s sender) sound(at time.Duration) uint32   { return s.audio + uint32(media.Ticks(at, opusRate)) }

// ntp is a moment on the sender's wall clock, which is of 2026 and wrong by an hour.
func (s sender) ntp(at time.Duration) uint64 {
	at += time.Hour
	return (3_973_000_000+uint64(at/time.Second))<<32 | uint64(at%time.Second)<<32/uint64(time.Second)
}

// apartAt is how much later than the sound of the same moment a picture is put.
func apartAt(t *testing.T, c *sessionClock, s sender, at, delayPicture, delaySound time.Duration) time.Duration {
	t.Helper()
	sound := c.soundAt(s.sound(at), s.began.Add(at+delaySound))
	picture, ok := c.pictureAt(s.picture(at), s.began.Add(at+delayPicture))
	if !ok {
		t.Fatalf("the picture of %v is dropped", at)
	}
	return media.Time(picture, 90000) - media.Time(sound, opusRate)
}

const frameTime = time.Second / 30

func TestTracksAreTogether(t *testing.T) {
	s := sender{0xfffffff0, 0xffff0000, time.Unix(1_700_000_000, 0)} // both wrap soon
	for name, tt := range map[string]struct {
		picture, sound time.Duration // delay on the way
		reports        time.Duration // when the sender's reports come
		first, last    time.Duration // how much pictures are late at first, and after 5 s
	}{
		"by arrival, without reports":                         {40 * time.Millisecond, 10 * time.Millisecond, time.Hour, 30 * time.Millisecond, 30 * time.Millisecond},
		"by reports that come before the first picture":       {400 * time.Millisecond, 0, -1, 0, 0},
		"by reports that come later, and nothing jumps":       {300 * time.Millisecond, 0, time.Second, 300 * time.Millisecond, 0},
		"by reports, when the sound is what is late":          {0, 300 * time.Millisecond, time.Second, -300 * time.Millisecond, 0},
		"what reports say is not followed to the last tick":   {3 * time.Millisecond, 0, time.Second, 3 * time.Millisecond, 3 * time.Millisecond},
		"what nobody can mean is not believed of the reports": {6 * time.Second, 0, time.Second, 6 * time.Second, 6 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSessionClock()
			reported := false
			var first, last, before time.Duration
			for n := range 180 {
				at := time.Duration(n) * frameTime
				if tt.reports < 0 && n == 0 {
					c.soundAt(s.sound(0), s.began)
					c.place(&c.video, s.picture(0), s.began.Add(tt.picture))
				}
				if at > tt.reports && !reported {
					reported = true
					c.report(&c.audio, s.sound(at), s.ntp(at))
					c.report(&c.video, s.picture(at), s.ntp(at))
				}
				apart := apartAt(t, c, s, at, tt.picture, tt.sound)
				if n == 0 {
					first = apart
				} else if d := apart - before; d > frameTime/9 || d < -frameTime/9 {
					t.Fatalf("from picture %d to %d the tracks moved by %v", n-1, n, d)
				}
				before, last = apart, apart
			}
			near := func(a, b time.Duration) bool { return a-b < inStep && b-a < inStep }
			if !near(first, tt.first) || !near(last, tt.last) {
				t.Errorf("pictures are late by %v at first and %v at last, want %v and %v", first, last, tt.first, tt.last)
			}
		})
	}
}

func TestSoundIsCountedInSamples(t *testing.T) {
	c, began := newSessionClock(), time.Unix(1_700_000_000, 0)
	first := c.soundAt(0xffffff00, began)
	if first != opusRate {
		t.Errorf("sound begins at %d, want a second", first)
	}
	for n := int64(1); n < 1000; n++ { // however it arrives
		at := began.Add(time.Duration(n)*20*time.Millisecond + time.Duration(n%7)*100*time.Millisecond)
		if got := c.soundAt(uint32(0xffffff00+960*n), at); got != first+960*n {
			t.Fatalf("packet %d is at %d, want %d", n, got, first+960*n)
		}
	}
}

func TestAnotherClockIsPutWhereItArrives(t *testing.T) {
	c, began := newSessionClock(), time.Unix(1_700_000_000, 0)
	c.soundAt(1000, began)
	for _, ts := range []uint32{1000 + 100*opusRate, 5} { // ahead, and back
		began = began.Add(time.Second)
		if got, want := c.soundAt(ts, began), media.Ticks(sessionStart+began.Sub(c.began), opusRate); got != want {
			t.Errorf("timestamp %d is at %d, want %d", ts, got, want)
		}
	}
}

func TestAPictureThatIsNotLaterIsDropped(t *testing.T) {
	c, now := newSessionClock(), time.Unix(1_700_000_000, 0)
	for i, tt := range []struct {
		ts uint32
		ok bool
	}{{9000, true}, {9000, false}, {6000, false}, {9001, true}} {
		if _, ok := c.pictureAt(tt.ts, now); ok != tt.ok {
			t.Errorf("picture %d at %d is taken: %t, want %t", i, tt.ts, ok, tt.ok)
		}
	}
}
