package stream

import (
	"errors"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/multitrack"
)

// A pass is what an encoder's key says: which stream key it stands for and, of a key
// that GetClientConfiguration returned, the tracks that the encoder must send.
type pass struct {
	streamKey string
	ladder    multitrack.Ladder // nil for a plain key
	err       error             // why a key that carries a ladder is not good
}

// pass reads a key. The stream key in it may be none that exists.
func (s *Streams) pass(key string, now time.Time) pass {
	streamKey, sealed := multitrack.StreamKey(key)
	switch {
	case !sealed:
		return pass{streamKey: key}
	case s.cfg.Keys == nil:
		return pass{streamKey: streamKey, err: errors.New("stream: no keys with ladders are taken")}
	}
	l, err := s.cfg.Keys.Open(key, now)
	return pass{streamKey: streamKey, ladder: l, err: err}
}

// admit refuses a key that is not good, and ends the session that the stream key in it
// began: that is where the owner of the channel finds the reason.
func (st *Stream) admit(p pass) error {
	if p.err == nil {
		return nil
	}
	st.log.Info("key of GetClientConfiguration refused", "err", p.err)
	st.owner.metrics.violations.WithLabelValues(string(event.MultitrackKeyInvalid)).Inc()
	st.fail("key of GetClientConfiguration not valid", event.MultitrackKeyInvalid)
	return live.Errorf(live.Denied, "the stream key is not valid any more: start the broadcast anew")
}

// configID is what the answer to GetClientConfiguration was logged with, as far as the
// encoder tells; "" for none.
func configID(r ingest.Request) string {
	const size = 36 // a UUID
	id := r.Params.Get("clientConfigId")
	if len(id) != size || strings.Trim(id, "0123456789abcdef-") != "" {
		return ""
	}
	return id
}

// rules are what e must keep to on its channel. The stream's mu is held.
func (e *encoder) rules(ch live.Channel) *multitrack.Gate {
	if e.gate == nil {
		e.gate = multitrack.NewGate(ch, e.ladder)
	}
	return e.gate
}

// refusedBy is the code that the end of a session carries by err, "" for none, and what
// the encoder hears of the rule of multitrack video that it broke, or err itself.
func (st *Stream) refusedBy(err error) (event.Code, error) {
	v, ok := errors.AsType[*multitrack.Violation](err)
	if !ok {
		return "", err
	}
	st.owner.metrics.violations.WithLabelValues(string(v.Code)).Inc()
	return v.Code, &live.Error{Kind: live.Unsupported, Detail: strings.ToUpper(v.Detail[:1]) + v.Detail[1:] + ".", Err: err}
}
