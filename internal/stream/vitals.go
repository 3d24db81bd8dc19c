package stream

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/meter"
	"github.com/sluice-live/sluice/internal/series"
)

// Times of measuring.
const (
	measureEvery = time.Second
	countEvery   = 10 // measurements: who is live, and who watches
)

// vitals is what was last measured of a stream.
type vitals struct {
	delivered atomic.Int64 // nanoseconds of media that viewers were given since it was last read

	mu       sync.Mutex // guards the fields below
	state    live.Health
	last     meter.Second  // the newest one that is over
	interval time.Duration // between the newest two keyframes of the first track; 0 before
}

func (v *vitals) health() live.Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	return cmp.Or(v.state, live.Unknown)
}

func (v *vitals) latest() (last meter.Second, interval time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last, v.interval
}

// Delivered takes note that a viewer was given media that plays for d.
func (st *Stream) Delivered(d time.Duration) { st.vitals.delivered.Add(int64(d)) }

// measure looks at every stream, once a second. count says that it is time to count
// streams and viewers too.
func (s *Streams) measure(ctx context.Context, now time.Time, count bool) {
	open := s.open()
	for _, st := range open {
		if st.judge(now) {
			_ = st.announce(ctx) // the next one repeats it
		}
		st.sample(now)
	}
	if count {
		s.count(open, now)
	}
}

// open is every stream whose record is open, until it is closed.
func (s *Streams) open() []*Stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.DeleteFunc(slices.Collect(maps.Values(s.channel)), func(st *Stream) bool {
		_, ok := s.id[st.id]
		return !ok
	})
}

// judge brings the health up to date, and tells the world of what it must hear.
func (st *Stream) judge(now time.Time) (changed bool) {
	st.mu.Lock()
	a, ended := st.encoder.announced, st.ended
	st.mu.Unlock()
	if ended { // nothing comes, and nobody waits for it
		return false
	}
	health := st.meter.Health(now, a.VideoBitRate+a.AudioBitRate)
	v := &st.vitals
	v.mu.Lock()
	was := cmp.Or(v.state, live.Unknown)
	v.state = health
	v.mu.Unlock()
	switch {
	case health == was:
		return false
	case health == live.Starving:
		st.emit(event.Health{Starving: true})
	case was == live.Starving:
		st.emit(event.Health{})
	}
	return true
}

func (st *Stream) scope() series.Scope {
	a := st.channel.ARN
	return series.Scope{Account: a.Account, Region: a.Region, Channel: a.ID}
}

// sample records what came in the seconds that are over.
func (st *Stream) sample(now time.Time) {
	v := &st.vitals
	for _, s := range st.meter.Drain(now) {
		v.mu.Lock()
		v.last = s
		for _, t := range s.Tracks {
			if t.Kind == media.Video && t.ID == 0 && len(t.Intervals) > 0 {
				v.interval = t.Intervals[len(t.Intervals)-1]
			}
		}
		v.mu.Unlock()
		st.owner.record(st.scope(), time.Unix(s.Unix, 0), samples(s)...)
	}
	if d := time.Duration(v.delivered.Swap(0)); d > 0 {
		st.owner.record(st.scope(), now, series.Sample{Metric: series.LiveDeliveredTime, Value: d.Seconds()})
	}
}

// samples are those of one second (low-latency.md 11). A bit rate of the channel is that
// of all its tracks together; of frame rates and keyframe intervals the channel has
// those of each track.
func samples(s meter.Second) []series.Sample {
	var all []series.Sample
	var video, audio float64
	for _, t := range s.Tracks {
		track, bits := "Track"+strconv.Itoa(t.ID), float64(t.Bits)
		if t.Kind == media.Audio {
			audio += bits
			all = append(all, series.Sample{Metric: series.IngestAudioBitrate, Label: track, Value: bits})
			continue
		}
		video += bits
		all = append(all, series.Sample{Metric: series.IngestVideoBitrate, Label: track, Value: bits})
		for _, label := range []string{"", track} {
			all = append(all, series.Sample{Metric: series.IngestFramerate, Label: label, Value: float64(t.Pictures)})
			for _, d := range t.Intervals {
				all = append(all, series.Sample{Metric: series.KeyframeInterval, Label: label, Value: d.Seconds()})
			}
		}
	}
	all = append(all,
		series.Sample{Metric: series.IngestBitrate, Value: video + audio},
		series.Sample{Metric: series.IngestVideoBitrate, Value: video},
		series.Sample{Metric: series.IngestAudioBitrate, Value: audio},
	)
	if video+audio > 0 {
		all = append(all, series.Sample{Metric: series.LiveInputTime, Value: 1})
	}
	return all
}

// count records the viewers of each stream, and what is of a whole account and region.
// Of all nodes that have a stream of those, the first one by name does that.
func (s *Streams) count(open []*Stream, now time.Time) {
	wholes := map[series.Scope]bool{}
	for _, st := range open {
		of := st.scope()
		of.Channel = ""
		wholes[of] = true
	}
	for of := range wholes {
		all := s.roster.List(of.Account, of.Region, "", "", math.MaxInt)
		first := s.cfg.Node
		var views float64
		health := map[live.Health]int{}
		for _, x := range all {
			first = min(first, x.Node)
			views += float64(max(x.Viewers, 0))
			health[x.Health]++
			if x.Node == s.cfg.Node && x.Viewers >= 0 {
				channel := series.Scope{Account: of.Account, Region: of.Region, Channel: x.Channel.ID}
				s.record(channel, now, series.Sample{Metric: series.ConcurrentViews, Value: float64(x.Viewers)})
			}
		}
		if first != s.cfg.Node || len(all) == 0 {
			continue
		}
		s.record(of, now,
			series.Sample{Metric: series.ConcurrentViews, Value: views},
			series.Sample{Metric: series.ConcurrentStreams, Value: float64(len(all))},
		)
		for h, n := range health {
			s.record(of, now, series.Sample{Metric: series.ConcurrentStreams, Label: string(h), Value: float64(n)})
		}
	}
}

func (s *Streams) record(of series.Scope, at time.Time, samples ...series.Sample) {
	if s.cfg.Record != nil {
		s.cfg.Record(of, at, samples...)
	}
}
