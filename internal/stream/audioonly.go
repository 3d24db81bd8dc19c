package stream

import (
	"context"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
)

// audioOnly is the name of the rendition that is sound alone (low-latency.md 4.2).
const audioOnly = "audio_only"

// ListsAudioOnly reports whether players of the channel are offered the sound alone
// without asking: on ADVANCED channels (low-latency.md 4.1).
func (st *Stream) ListsAudioOnly() bool {
	return st.channel.Type == live.TypeAdvancedHD || st.channel.Type == live.TypeAdvancedSD
}

// OfferAudioOnly makes the rendition that is the source's sound alone, if there is none,
// and returns when it can be played, or when ctx ends. There is nothing to wait for in a
// stream without sound.
func (st *Stream) OfferAudioOnly(ctx context.Context) {
	o := st.makeAlone()
	if o == nil {
		return
	}
	select {
	case <-o.rendition.Ready():
	case <-st.done:
	case <-ctx.Done():
	}
}

func (st *Stream) makeAlone() *rung {
	st.mu.Lock()
	defer st.mu.Unlock()
	if o := st.alone.Load(); o != nil {
		return o
	}
	if _, made := st.media.Rendition(audioOnly); made || st.ended || len(st.sources) == 0 || len(st.encoder.tracks.audio) == 0 {
		return nil
	}
	r, err := st.addRendition(audioOnly, packager.Config{AudioOnly: true})
	if err != nil {
		st.log.Error("no rendition of the sound alone", "err", err)
		return nil
	}
	r.Follow(st.sources[0].rendition)
	o := &rung{rendition: r, alone: true}
	st.alone.Store(o)
	return o
}
