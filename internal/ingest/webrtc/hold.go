package webrtc

import (
	"time"

	"github.com/sluice-live/sluice/internal/media"
)

// How long pictures wait for the sound of their time. Encoding the sound takes some
// 100 ms, and at first the encoder must start.
const (
	holdAtFirst = 2 * time.Second
	holdLater   = 500 * time.Millisecond
	maxHeld     = 1024     // pictures
	maxHeldSize = 32 << 20 // bytes
)

// A holder keeps pictures back until the sound of their time has come, so that both
// leave in the order of their time and no segment ends before its sound. When sound
// stays away it stops waiting, until there is sound again.
type holder struct {
	write func(media.Unit) error

	waiting bool          // for sound
	heard   bool          // there was sound
	caught  bool          // and it has caught up with the pictures
	sound   time.Duration // the session's time up to which sound has left

	held []media.Unit
	size int // bytes of held
}

func newHolder(write func(media.Unit) error, sound bool) *holder {
	return &holder{write: write, waiting: sound}
}

// picture takes the next picture.
func (h *holder) picture(u media.Unit, now time.Time) error {
	h.held = append(h.held, u)
	h.size += len(u.Data)
	return h.release(now)
}

// heardSound takes the next frame of sound.
func (h *holder) heardSound(u media.Unit, now time.Time) error {
	h.heard, h.waiting = true, true
	start := media.Time(u.DTS, u.Track.Timescale)
	h.sound = start
	if err := h.release(now); err != nil {
		return err
	}
	h.sound = start + media.Time(media.SamplesPerFrame, u.Track.Timescale)
	h.caught = h.caught || len(h.held) == 0 || now.Before(h.held[0].Received.Add(holdLater))
	return h.write(u)
}

// release lets go of what need not or must not wait any longer.
func (h *holder) release(now time.Time) error {
	n := 0
	for ; n < len(h.held); n++ {
		u := &h.held[n]
		over := len(h.held)-n > maxHeld || h.size > maxHeldSize
		if early := !h.heard || media.Time(u.DTS, u.Track.Timescale) > h.sound; !over && h.waiting && early {
			if now.Before(u.Received.Add(h.limit())) {
				break
			}
			h.waiting = false
		}
		h.size -= len(u.Data)
		if err := h.write(*u); err != nil {
			return err
		}
	}
	clear(h.held[:n])
	h.held = h.held[:copy(h.held, h.held[n:])]
	return nil
}

func (h *holder) limit() time.Duration {
	if h.caught {
		return holdLater
	}
	return holdAtFirst
}

// flush lets go of everything.
func (h *holder) flush() error {
	h.waiting = false
	return h.release(time.Time{})
}
