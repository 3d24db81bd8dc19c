package webrtc

import (
	"bytes"
	"slices"
	"time"

	pion "github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
)

// A feed turns the packets of one peer into units for its session. It belongs to the
// peer's goroutine, and knows nothing of connections.
type feed struct {
	session ingest.Session
	metrics *metrics
	encode  func(opusPacket) // hands over sound to be encoded; nil for a peer without sound
	rate    float64          // frames per second that the peer announced; 0 when it did not

	clock    *sessionClock
	pictures reorderer
	sounds   reorderer
	assemble assembler
	keys     keyframes
	hold     *holder

	sps, pps [][]byte     // the newest that came
	video    *media.Track // nil before the first keyframe; made of the above
	audio    *media.Track
	config   [2]byte // that audio was made of

	heard                   time.Time // when the newest packet came
	packets, bytes, dropped int64
	counted                 figures
}

// figures are what a feed has counted.
type figures struct{ packets, bytes, dropped, lostPictures, lostSounds int64 }

func newFeed(s ingest.Session, m *metrics, encode func(opusPacket)) *feed {
	f := &feed{
		session: s, metrics: m, encode: encode, clock: newSessionClock(),
		pictures: reorderer{wait: waitForPictures}, sounds: reorderer{wait: waitForSound},
	}
	f.hold = newHolder(s.Write, encode != nil)
	return f
}

// videoPacket takes a packet of pictures.
func (f *feed) videoPacket(p packet) error {
	f.note(p)
	f.pictures.push(p)
	return f.drainPictures(p.at)
}

// audioPacket takes a packet of sound.
func (f *feed) audioPacket(p packet) {
	f.note(p)
	f.sounds.push(p)
	f.drainSounds(p.at)
}

func (f *feed) note(p packet) {
	f.heard = p.at
	f.packets++
	f.bytes += int64(len(p.payload))
}

func (f *feed) drainPictures(now time.Time) (err error) {
	for err == nil {
		p, lost, ok := f.pictures.pop(now)
		if !ok {
			return nil
		}
		f.assemble.push(p, lost, func(au accessUnit) {
			if err == nil {
				err = f.picture(au, now)
			}
		})
	}
	return err
}

func (f *feed) drainSounds(now time.Time) {
	for {
		p, _, ok := f.sounds.pop(now)
		if !ok {
			return
		}
		if len(p.payload) > 0 && f.encode != nil {
			f.encode(opusPacket{f.clock.soundAt(p.ts, p.at), p.payload})
		}
	}
}

// picture takes a whole picture.
func (f *feed) picture(au accessUnit, now time.Time) error {
	if len(au.sps) > 0 {
		f.sps = au.sps
	}
	if len(au.pps) > 0 {
		f.pps = au.pps
	}
	if len(au.data) == 0 {
		return nil
	}
	if au.idr {
		f.keys.arrived(now)
		if err := f.describe(); err != nil {
			return err
		}
	}
	if f.video == nil {
		f.dropped++
		return nil
	}
	ts, ok := f.clock.pictureAt(au.ts, au.first)
	if !ok {
		f.dropped++
		return nil
	}
	return f.hold.picture(media.Unit{Track: f.video, DTS: ts, PTS: ts, Key: au.idr, Data: au.data, Received: au.received}, now)
}

// describe makes a track of the parameter sets, if they are others than before: a
// browser changes the size of its pictures as it likes.
func (f *feed) describe() error {
	same := func(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }
	if len(f.sps) == 0 || len(f.pps) == 0 || f.video != nil && same(f.sps, f.video.SPS) && same(f.pps, f.video.PPS) {
		return nil
	}
	t, err := media.NewH264Track(f.sps, f.pps)
	if err != nil {
		return &live.Error{Kind: live.Unsupported, Detail: "The H.264 parameter sets are not usable.", Err: err}
	}
	if t.FrameRate == 0 {
		t.FrameRate = f.rate
	}
	f.video = t
	return nil
}

// encoded takes a frame of sound that was encoded.
func (f *feed) encoded(a aacFrame, now time.Time) error {
	if f.audio == nil || a.config != f.config {
		t, err := media.NewAACTrack(a.config[:])
		if err != nil {
			return &live.Error{Kind: live.Unavailable, Detail: "The sound could not be encoded.", Err: err}
		}
		f.audio, f.config = t, a.config
	}
	if a.ts < 0 {
		return nil
	}
	return f.hold.heardSound(media.Unit{Track: f.audio, DTS: a.ts, PTS: a.ts, Key: true, Data: a.data, Received: now}, now)
}

// tick does what is due without a packet. It is called ten times a second.
func (f *feed) tick(now time.Time) error {
	f.drainSounds(now)
	if err := f.drainPictures(now); err != nil {
		return err
	}
	return f.hold.release(now)
}

// needKey reports whether to ask for a keyframe now.
func (f *feed) needKey(now time.Time) bool {
	return f.keys.ask(now, !f.assemble.decodable || f.video == nil)
}

// report takes a sender report.
func (f *feed) report(r trackReport) {
	t := &f.clock.audio
	if r.kind == pion.RTPCodecTypeVideo {
		t = &f.clock.video
	}
	f.clock.report(t, r.ts, r.ntp)
}

// count moves what was counted since the last time into the metrics, which all peers
// share.
func (f *feed) count() {
	now := figures{f.packets, f.bytes, f.dropped + f.assemble.dropped, f.pictures.gone, f.sounds.gone}
	f.metrics.packets.Add(float64(now.packets - f.counted.packets))
	f.metrics.bytes.Add(float64(now.bytes - f.counted.bytes))
	f.metrics.dropped.Add(float64(now.dropped - f.counted.dropped))
	f.metrics.lost.WithLabelValues("video").Add(float64(now.lostPictures - f.counted.lostPictures))
	f.metrics.lost.WithLabelValues("audio").Add(float64(now.lostSounds - f.counted.lostSounds))
	f.counted = now
}

// finish counts the rest; tc has ended, or is nil.
func (f *feed) finish(tc *transcoder) {
	f.count()
	if tc != nil {
		f.metrics.encoder.Add(float64(tc.starts.Load()))
		f.metrics.muted.Add(float64(tc.dropped.Load()))
	}
}
