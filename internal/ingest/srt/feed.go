package srt

import (
	"errors"
	"time"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/mpegts"
	wire "github.com/sluice-live/sluice/internal/srt"
)

// A feed turns one encoder's transport stream into units for its session. It belongs to
// the connection's goroutine.
type feed struct {
	session ingest.Session
	metrics *metrics
	demux   *mpegts.Demuxer
	retime  media.Retimer
	noVideo time.Duration

	began    time.Time // first media
	pictured bool      // a picture was handed over
	now      time.Time // of the datagram at hand

	video, audio mpegts.Stream // in the program; PID 0: none
	h264         media.H264Reader
	sound        sound

	dropped int64 // since the start
	counted struct {
		conn  wire.Stats
		demux mpegts.DemuxStats
	}
	countAt time.Time
}

func newFeed(s ingest.Session, m *metrics, noVideo time.Duration) *feed {
	f := &feed{session: s, metrics: m, noVideo: noVideo}
	f.demux = mpegts.NewDemuxer(f)
	return f
}

// take handles the payload of a packet that was delivered at now, before which some were
// lost.
func (f *feed) take(payload []byte, lost int, now time.Time) error {
	f.now = now
	if f.began.IsZero() {
		f.began = now
	}
	if lost > 0 {
		f.demux.Gap()
	}
	if err := f.demux.Write(payload); err != nil {
		return err
	}
	if !f.pictured && now.Sub(f.began) > f.noVideo {
		return live.Errorf(live.Unsupported, "No H.264 video arrived: a stream is MPEG-TS with H.264, and AAC or no audio.")
	}
	return nil
}

// flush ends the stream: what was waiting for more is all there is.
func (f *feed) flush(now time.Time) error {
	f.now = now
	return f.demux.Flush()
}

// due reports, once a second, that it is time to count.
func (f *feed) due(now time.Time) bool {
	if now.Sub(f.countAt) < time.Second {
		return false
	}
	f.countAt = now
	return true
}

// count moves what happened since the last time into the metrics, which all connections
// share.
func (f *feed) count(c wire.Stats) {
	was, m := f.counted.conn, f.metrics
	m.packets.Add(float64(c.Packets - was.Packets))
	m.bytes.Add(float64(c.Bytes - was.Bytes))
	m.lost.Add(float64(c.Lost - was.Lost))
	m.repaired.Add(float64(c.Retransmitted - was.Retransmitted))
	m.useless.Add(float64(c.Useless - was.Useless))
	m.undecrypted.Add(float64(c.Undecryptable - was.Undecryptable))
	d, before := f.demux.Stats(), f.counted.demux
	m.dropped.WithLabelValues(dropDamaged).Add(float64(d.Damaged - before.Damaged))
	m.dropped.WithLabelValues(dropTooLarge).Add(float64(d.TooLarge - before.TooLarge))
	f.dropped += d.Damaged - before.Damaged + d.TooLarge - before.TooLarge
	f.counted.conn, f.counted.demux = c, d
}

func (f *feed) drop(reason string) {
	f.dropped++
	f.metrics.dropped.WithLabelValues(reason).Inc()
}

// PES implements mpegts.Handler.
func (f *feed) PES(p mpegts.PES) error {
	switch p.PID {
	case f.video.PID:
		return f.takeVideo(p)
	case f.audio.PID:
		return f.takeAudio(p)
	}
	return nil
}

func (f *feed) takeVideo(p mpegts.PES) error {
	if !p.Timed {
		f.drop(dropNoTime)
		return nil
	}
	picture, track, err := f.h264.Read(p.Data)
	switch {
	case errors.Is(err, media.ErrNoParameterSets):
		f.drop(dropNoConfig)
		return nil
	case errors.Is(err, media.ErrNoPicture):
		f.drop(dropNoPicture)
		return nil
	case err != nil:
		return &live.Error{Kind: live.Unsupported, Detail: "The H.264 parameter sets are not usable.", Err: err}
	}
	f.pictured = true
	u := media.Unit{Track: track, Key: picture.IDR, Data: picture.Data, Received: f.now}
	u.DTS, u.PTS = f.retime.Video(track, milliseconds(p.DTS), milliseconds(p.PTS-p.DTS))
	return f.session.Write(u)
}

// milliseconds rounds ticks of 90 kHz, as the Retimer takes them; it finds the exact times
// again.
func milliseconds(ticks int64) int64 { return (ticks + 45) / 90 }

func (f *feed) takeAudio(p mpegts.PES) error {
	err := f.sound.cut(p, func(a frame) error {
		u := media.Unit{Track: a.track, Key: true, Data: a.data, Received: f.now}
		u.DTS = f.retime.Audio(a.track, milliseconds(a.at))
		u.PTS = u.DTS
		return f.session.Write(u)
	}, func() { f.drop(dropMalformed) })
	if errors.Is(err, errTrack) {
		return &live.Error{Kind: live.Unsupported, Detail: "The AAC configuration is not usable.", Err: err}
	}
	return err
}
