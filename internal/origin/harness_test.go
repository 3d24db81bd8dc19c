package origin

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/stream"
)

const self = "http://a.example" // base URL of the node under test

// A site is the playback of one node, with a real store, packager and stream.
type site struct {
	*Origin
	streams *stream.Streams
	roster  *roster.Roster
	db      *store.Store
	reg     *prometheus.Registry
}

func newSite(t testing.TB, with ...func(*Config)) *site {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "sluice.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := &site{db: db, roster: roster.New(nobody{}, time.Now), reg: prometheus.NewRegistry()}
	reg, quiet := s.reg, slog.New(slog.DiscardHandler)
	s.streams = stream.New(quiet, db, s.roster, reg, stream.Config{Node: "a", Origin: self})
	cfg := Config{Self: self}
	for _, f := range with {
		f(&cfg)
	}
	gate := playback.New(quiet, make([]byte, 32), db, s.roster, reg, playback.Config{})
	s.Origin = New(quiet, s.streams, s.roster, gate, reg, cfg)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.streams.Run(ctx) }()
	go func() { done <- gate.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	return s
}

// nobody is a bus without other nodes.
type nobody struct{}

func (nobody) Publish(context.Context, string, []byte) error { return nil }
func (nobody) Request(context.Context, string, []byte) ([]byte, error) {
	return nil, bus.ErrNoResponders
}

func (nobody) Subscribe(context.Context, string, string, func(context.Context, bus.Msg)) (func(), error) {
	return func() {}, nil
}

// publish makes a channel, changed by with, and an encoder that publishes to it.
func (s *site) publish(t testing.TB, with ...func(*live.Channel)) *encoder {
	t.Helper()
	arn := func(typ string) live.ARN {
		return live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: typ, ID: live.NewID(12)}
	}
	ch := live.Channel{
		ARN: arn(live.TypeChannel), LatencyMode: live.LatencyLow, Type: live.TypeStandard,
		ContainerFormat: live.ContainerTS, InsecureIngest: true, Created: time.Now(),
	}
	for _, f := range with {
		f(&ch)
	}
	key := live.StreamKey{ARN: arn(live.TypeStreamKey), Channel: ch.ARN}
	key.ARN.Region = ch.ARN.Region
	key.Value = live.NewStreamKeyValue(ch.ARN.Region, key.ARN.ID)
	err := s.db.Tx(t.Context(), func(tx *store.Tx) error {
		a, err := store.RowOfChannel(ch)
		b, err2 := store.RowOfStreamKey(key)
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return errors.Join(tx.Insert(t.Context(), a), tx.Insert(t.Context(), b))
	})
	if err != nil {
		t.Fatal(err)
	}
	session, err := s.streams.Publish(t.Context(), ingest.Request{Protocol: ingest.RTMP, Key: key.Value})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close(true) })
	sps, _ := hex.DecodeString("6742c01ed900a02ff970110000030001000003003c0f162e48")
	pps, _ := hex.DecodeString("68cb83cb20")
	return &encoder{
		arn: ch.ARN, session: session, id: session.(interface{ Stream() *stream.Stream }).Stream().ID(),
		track: &media.Track{
			Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale,
			SPS: [][]byte{sps}, PPS: [][]byte{pps}, Width: 640, Height: 360, FrameRate: 30,
		},
	}
}

// An encoder makes 30 pictures a second with a keyframe each second.
type encoder struct {
	arn     live.ARN
	id      string // of the stream
	session ingest.Session
	track   *media.Track
	picture int64
}

// send sends so many pictures at once. A second of them is a segment of 5 parts, and
// a segment is complete with the first picture after it.
func (e *encoder) send(t testing.TB, pictures int) {
	t.Helper()
	for range pictures {
		data := append(binary.BigEndian.AppendUint32(nil, 1000), bytes.Repeat([]byte{0x41}, 1000)...)
		key := e.picture%30 == 0
		if key {
			data[4] = 0x65
		}
		at := e.picture * media.VideoTimescale / 30
		e.picture++
		if err := e.session.Write(media.Unit{Track: e.track, DTS: at, PTS: at, Key: key, Data: data, Received: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
}

// golive sends pictures, more than one segment, and waits until viewers can play.
func (s *site) golive(t testing.TB, e *encoder, pictures int) {
	t.Helper()
	e.send(t, pictures)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the stream's own goroutine takes note
		if _, ok := s.streams.Live(e.arn); ok {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the channel is not live")
		}
	}
}

// playback is the path of the encoder's channel.
func (e *encoder) playback() string { return PlaybackPath(e.arn, true) }

// path is that of a file of its one rendition.
func (e *encoder) path(file string) string { return LivePrefix + e.id + "/360p30/" + file }

// do sends a request with header fields, given as name and value in turn.
func (s *site) do(method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func (s *site) get(target string, header ...string) *httptest.ResponseRecorder {
	return s.do(http.MethodGet, target, header...)
}

// serve answers a request.
func (s *site) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// counted is the value of a counter, of the given reason if it has reasons.
func (s *site) counted(t testing.TB, name, reason string) float64 {
	t.Helper()
	families, err := s.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if reason == "" || m.GetLabel()[0].GetValue() == reason {
				return m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s of %q", name, reason)
	return 0
}

// delete removes a resource.
func (s *site) delete(t testing.TB, arn live.ARN) error {
	t.Helper()
	return s.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), arn) })
}

// stream is the encoder's.
func (s *site) stream(t testing.TB, e *encoder) *stream.Stream {
	t.Helper()
	st, ok := s.streams.Stream(e.id)
	if !ok {
		t.Fatal("the stream is gone")
	}
	return st
}
