package srt

import (
	"bytes"
	"errors"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// A sound cuts an audio stream into frames. Encoders put several into a PES packet, and
// some let one reach into the next.
type sound struct {
	latm  bool // ISO 14496-3 1.7.2 (LOAS), not ADTS
	mux   media.LATMReader
	track *media.Track
	asc   []byte // AudioSpecificConfig that track was made of
	rest  []byte // begin of a frame whose rest is to come; less than a frame
	next  int64  // when the frame after the last one begins; 90 kHz
	timed bool   // next is known
}

// A frame is one AAC frame; its data is fresh memory.
type frame struct {
	track *media.Track
	at    int64 // 90 kHz
	data  []byte
}

// cut calls take with each frame of a packet, and bad for each place where there should be
// one. An error is take's, or about the track.
func (s *sound) cut(p mpegts.PES, take func(frame) error, bad func()) error {
	b, carried := s.join(p.Data, bad)
	fresh := p.Timed // the packet's time is that of the first frame that begins in it
	for at := 0; at < len(b); {
		size, form := s.head(b[at:])
		if form != none && fresh && at >= carried {
			s.next, s.timed, fresh = p.PTS, true, false
		}
		switch {
		case form == short, form == whole && at+size > len(b):
			s.rest = bytes.Clone(b[at:])
			return nil
		case form == none:
			bad()
			for form == none && at < len(b)-1 {
				at++
				_, form = s.head(b[at:])
			}
			if form == none {
				return nil
			}
			continue
		}
		if err := s.frame(b[at:at+size], take, bad); err != nil {
			return err
		}
		at += size
	}
	return nil
}

// join puts what was left over before b, if b goes on with it. Where a packet was lost in
// between it does not, and then what was left over is worth nothing.
func (s *sound) join(b []byte, bad func()) (joined []byte, carried int) {
	if len(s.rest) == 0 {
		return b, 0
	}
	joined, carried = append(s.rest, b...), len(s.rest)
	s.rest = nil
	size, form := s.head(joined)
	if form == whole && size < len(joined) {
		_, form = s.head(joined[size:]) // of the frame after it
	}
	if form == none {
		bad()
		return b, 0
	}
	return joined, carried
}

// A form is what bytes look like.
type form uint8

const (
	none  form = iota // no frame begins here
	short             // one may, but there is too little to tell
	whole             // one does
)

const loasHead = 3 // bytes: a sync word of 11 bits, a length of 13

// head looks for a frame at the begin of b, which is not empty. Its size may be more than b has.
func (s *sound) head(b []byte) (size int, f form) {
	if s.latm {
		switch {
		case b[0] != 0x56 || len(b) > 1 && b[1]&0xe0 != 0xe0:
			return 0, none
		case len(b) < loasHead:
			return 0, short
		}
		return loasHead + (int(b[1]&0x1f)<<8 | int(b[2])), whole
	}
	const adtsHead = 7
	switch {
	case b[0] != 0xff || len(b) > 1 && b[1]&0xf6 != 0xf0:
		return 0, none
	case len(b) < adtsHead:
		return 0, short
	}
	if _, _, size, err := mpegts.ParseADTS(b); err == nil {
		return size, whole
	}
	return 0, none
}

// frame takes one ADTS frame, or one element of LOAS, which may hold several.
func (s *sound) frame(b []byte, take func(frame) error, bad func()) error {
	if s.latm {
		config, frames, err := s.mux.Read(b[loasHead:])
		if err != nil {
			bad()
			return nil
		}
		for _, data := range frames {
			if err := s.give(config, data, take, bad); err != nil {
				return err
			}
		}
		return nil
	}
	h, head, _, err := mpegts.ParseADTS(b)
	if err != nil {
		bad()
		return nil
	}
	return s.give(h.Config(), bytes.Clone(b[head:]), take, bad)
}

func (s *sound) give(config, data []byte, take func(frame) error, bad func()) error {
	if !bytes.Equal(config, s.asc) {
		t, err := media.NewAACTrack(config)
		if err != nil {
			return errors.Join(errTrack, err)
		}
		s.track, s.asc = t, config
	}
	if !s.timed {
		bad()
		return nil
	}
	at := s.next
	s.next += media.SamplesPerFrame * 90000 / s.track.Timescale
	return take(frame{s.track, at, data})
}

// errTrack means AAC of a kind that is not taken.
var errTrack = errors.New("srt: AAC configuration")
