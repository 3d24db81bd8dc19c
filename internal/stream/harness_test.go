package stream

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/store"
)

// Names of events.
const (
	sessionCreated  = string(event.SessionCreated)
	sessionEnded    = string(event.SessionEnded)
	streamStart     = string(event.StreamStart)
	streamEnd       = string(event.StreamEnd)
	adBreakInserted = "Ad Break Inserted"
)

const ttl = 10 * time.Second // of leases, as by default

// A node is Streams with a real database, behind a wire that can fail, and a bus that
// is a map. Tests run it on synctest's clock.
type node struct {
	*Streams
	db     *database
	bus    *loop
	roster *roster.Roster
	log    *lines
	reg    *prometheus.Registry
}

// start makes a node that runs until the test ends. It must be called in a bubble.
func start(t *testing.T, with ...func(*Config)) *node {
	t.Helper()
	n := build(t, with...)
	stop := n.run(t)
	t.Cleanup(stop)
	return n
}

// build makes a node whose Run is up to the test.
func build(t *testing.T, with ...func(*Config)) *node {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sluice.db")
	empty, err := schema()
	if err == nil {
		err = os.WriteFile(name, empty, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	cfg := Config{Node: "a", Origin: "http://a.example", LeaseTTL: ttl}
	for _, f := range with {
		f(&cfg)
	}
	n := &node{db: &database{Store: st}, bus: newLoop(), log: &lines{}, reg: prometheus.NewRegistry()}
	n.roster = roster.New(n.bus, time.Now)
	n.Streams = New(slog.New(slog.NewTextHandler(n.log, nil)), n.db, n.roster, n.reg, cfg)
	return n
}

// schema is the file of a database without rows: making one takes longer than a test.
var schema = sync.OnceValues(func() (file []byte, err error) {
	dir, err := os.MkdirTemp("", "sluice-stream-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "sluice.db")
	st, err := store.Open(context.Background(), name)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(st.Migrate(context.Background()), st.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
})

// run starts Run; stop ends it and waits.
func (n *node) run(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	synctest.Wait()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

// create makes a channel, changed by with, and returns a request to publish to it.
func (n *node) create(t *testing.T, with ...func(*live.Channel)) (live.ARN, ingest.Request) {
	t.Helper()
	arn := func(typ string) live.ARN {
		return live.ARN{Service: live.ServiceIVS, Region: "us-west-2", Account: "123456789012", Type: typ, ID: live.NewID(12)}
	}
	ch := live.Channel{
		ARN: arn(live.TypeChannel), Name: "n", LatencyMode: live.LatencyLow, Type: live.TypeStandard,
		ContainerFormat: live.ContainerTS, InsecureIngest: true, Created: time.Now(),
	}
	for _, f := range with {
		f(&ch)
	}
	key := live.StreamKey{ARN: arn(live.TypeStreamKey), Channel: ch.ARN}
	key.Value = live.NewStreamKeyValue(ch.ARN.Region, key.ARN.ID)
	err := n.db.Tx(t.Context(), func(tx *store.Tx) error {
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
	return ch.ARN, ingest.Request{Protocol: ingest.RTMP, Key: key.Value, Remote: "192.0.2.1:1234", Agent: "test"}
}

// deleteKey deletes the stream key of a request.
func (n *node) deleteKey(t *testing.T, r ingest.Request) {
	t.Helper()
	row, err := n.db.Store.ByLookup(t.Context(), live.ServiceIVS, live.TypeStreamKey, live.StreamKeyLookup(r.Key))
	if err == nil {
		err = n.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), row.ARN) })
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A connection is an encoder's, with the stream that it publishes into.
type connection struct {
	ingest.Session
	*Stream
}

func connected(s ingest.Session) *connection { return &connection{s, s.(*encoder).Stream()} }

// publish connects an encoder that must be taken.
func (n *node) publish(t *testing.T, r ingest.Request) *connection {
	t.Helper()
	s, err := n.Publish(t.Context(), r)
	if err != nil {
		t.Fatalf("Publish: %v", err)
	}
	return connected(s)
}

// counted is what a counter stands at, or how much a histogram has seen; label is the value
// of its label, "" for one without.
func (n *node) counted(t *testing.T, name, label string) float64 {
	t.Helper()
	all, err := n.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() != name || len(l) > 0 && l[0].GetValue() != label {
				continue
			}
			return m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	t.Fatalf("no metric %s of %q", name, label)
	return 0
}

// session is the record of a stream.
func (n *node) session(t *testing.T, st *connection) live.Session {
	t.Helper()
	s, err := n.db.Session(t.Context(), "123456789012", "us-west-2", st.ID())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// events are the names of a stream's events, in the order they were recorded.
func (n *node) events(t *testing.T, st *connection) []string {
	t.Helper()
	all, err := n.db.Events(t.Context(), st.ID())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range slices.Backward(all) {
		names = append(names, e.Name)
	}
	return names
}

// free reports whether nobody holds the channel.
func (n *node) free(t *testing.T, channel live.ARN) bool {
	t.Helper()
	_, err := n.db.LeaseOf(t.Context(), channel.String(), time.Now())
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		t.Fatal(err)
	}
	return err != nil
}

// A database is a Store that can be out of reach.
type database struct {
	*store.Store

	mu    sync.Mutex
	fault func(op string) fault // nil for none
}

// A fault is how an operation goes wrong.
type fault int

const (
	fine    fault = iota
	refuses       // fails at once
	hangs         // fails when its context ends
	deaf          // does its work, and the answer is lost
)

var errDown = errors.New("database is down")

// down makes every operation fail in one way, until it is fine again.
func (d *database) down(f fault) { d.breaks(func(string) fault { return f }) }

func (d *database) breaks(f func(op string) fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

func (d *database) do(ctx context.Context, op string, f func() error) error {
	d.mu.Lock()
	how := d.fault
	d.mu.Unlock()
	if how == nil {
		return f()
	}
	switch how(op) {
	case refuses:
		return errDown
	case hangs:
		<-ctx.Done()
		return ctx.Err()
	case deaf:
		return errors.Join(f(), errDown)
	default:
		return f()
	}
}

func (d *database) ByLookup(ctx context.Context, service, typ, lookup string) (r store.Row, err error) {
	return r, d.do(ctx, "ByLookup", func() error { r, err = d.Store.ByLookup(ctx, service, typ, lookup); return err })
}

func (d *database) Get(ctx context.Context, arn live.ARN) (r store.Row, err error) {
	return r, d.do(ctx, "Get", func() error { r, err = d.Store.Get(ctx, arn); return err })
}

func (d *database) Acquire(ctx context.Context, channel, node, origin string, now time.Time, ttl time.Duration) (l store.Lease, err error) {
	return l, d.do(ctx, "Acquire", func() error { l, err = d.Store.Acquire(ctx, channel, node, origin, now, ttl); return err })
}

func (d *database) Renew(ctx context.Context, l store.Lease, now time.Time, ttl time.Duration) (r store.Lease, err error) {
	return r, d.do(ctx, "Renew", func() error { r, err = d.Store.Renew(ctx, l, now, ttl); return err })
}

func (d *database) Release(ctx context.Context, l store.Lease) error {
	return d.do(ctx, "Release", func() error { return d.Store.Release(ctx, l) })
}

func (d *database) CreateSession(ctx context.Context, s live.Session, notes ...store.Note) error {
	return d.do(ctx, "CreateSession", func() error { return d.Store.CreateSession(ctx, s, notes...) })
}

func (d *database) UpdateSession(ctx context.Context, s live.Session, notes ...store.Note) error {
	return d.do(ctx, "UpdateSession", func() error { return d.Store.UpdateSession(ctx, s, notes...) })
}

func (d *database) EndSession(ctx context.Context, id string, generation int64, ended time.Time, notes ...store.Note) error {
	return d.do(ctx, "EndSession", func() error { return d.Store.EndSession(ctx, id, generation, ended, notes...) })
}

func (d *database) AppendEvents(ctx context.Context, id string, generation int64, notes ...store.Note) error {
	return d.do(ctx, "AppendEvents", func() error { return d.Store.AppendEvents(ctx, id, generation, notes...) })
}

// A loop is a bus in one goroutine: who publishes runs the subscribers.
type loop struct {
	mu   sync.Mutex
	gone bool // no connection
	subs map[string]map[*func(context.Context, bus.Msg)]bool
	sent map[string][][]byte // what was published, by subject
}

func newLoop() *loop {
	return &loop{subs: map[string]map[*func(context.Context, bus.Msg)]bool{}, sent: map[string][][]byte{}}
}

func (l *loop) cut(gone bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gone = gone
}

func (l *loop) take(subject string, data []byte) ([]func(context.Context, bus.Msg), error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil, bus.ErrDisconnected
	}
	l.sent[subject] = append(l.sent[subject], data)
	var all []func(context.Context, bus.Msg)
	for f := range l.subs[subject] {
		all = append(all, *f)
	}
	return all, nil
}

func (l *loop) Publish(ctx context.Context, subject string, data []byte) error {
	all, err := l.take(subject, data)
	for _, f := range all {
		f(ctx, bus.Msg{Subject: subject, Data: data, Respond: func([]byte) error { return nil }})
	}
	return err
}

func (l *loop) Request(ctx context.Context, subject string, data []byte) (answer []byte, err error) {
	all, err := l.take(subject, data)
	if err == nil && len(all) == 0 {
		err = bus.ErrNoResponders
	}
	if err != nil {
		return nil, err
	}
	all[0](ctx, bus.Msg{Subject: subject, Data: data, Respond: func(b []byte) error { answer = b; return nil }})
	return answer, nil
}

func (l *loop) Subscribe(_ context.Context, subject, _ string, f func(context.Context, bus.Msg)) (stop func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone {
		return nil, bus.ErrDisconnected
	}
	if l.subs[subject] == nil {
		l.subs[subject] = map[*func(context.Context, bus.Msg)]bool{}
	}
	l.subs[subject][&f] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.subs[subject], &f)
	}, nil
}

// lines collects a log.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// count is how many lines have said what.
func (l *lines) count(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), what)
}

// A camera sends 30 pictures a second with a keyframe each second, and no sound.
type camera struct {
	track   *media.Track
	picture int64
	heard   int64 // sound sent so far; samples
}

func newCamera() *camera {
	sps, _ := hex.DecodeString("6742c01ed900a02ff970110000030001000003003c0f162e48")
	pps, _ := hex.DecodeString("68cb83cb20")
	return &camera{track: &media.Track{
		Kind: media.Video, Codec: media.H264, Timescale: media.VideoTimescale,
		SPS: [][]byte{sps}, PPS: [][]byte{pps}, Width: 640, Height: 360, FrameRate: 30,
	}}
}

func (c *camera) next() media.Unit {
	key := c.picture%30 == 0
	data := append(binary.BigEndian.AppendUint32(nil, 100), bytes.Repeat([]byte{0x41}, 100)...)
	if key {
		data[4] = 0x65
	}
	at := c.picture * media.VideoTimescale / 30
	c.picture++
	return media.Unit{Track: c.track, DTS: at, PTS: at, Key: key, Data: data, Received: time.Now()}
}

// play sends in real time for d, or until the stream refuses.
func (c *camera) play(st *connection, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second / 30) {
		if err := st.Write(c.next()); err != nil {
			return err
		}
	}
	synctest.Wait()
	return nil
}

// golive publishes and plays until viewers can watch.
func (n *node) golive(t *testing.T, r ingest.Request) (*connection, *camera) {
	t.Helper()
	st, e := n.publish(t, r), newCamera()
	if err := e.play(st, 2*time.Second); err != nil {
		t.Fatalf("Write: %v", err)
	}
	if got, ok := n.Live(st.channel.ARN); !ok || got != st.Stream {
		t.Fatalf("the channel is not live after 2 s of media")
	}
	return st, e
}

// ended waits until the stream has closed its record, d at most.
func ended(t *testing.T, st *connection, d time.Duration) {
	t.Helper()
	synctest.Wait()
	select {
	case <-st.finished:
	case <-time.After(d + 1):
		t.Fatalf("the stream has not ended after %v", d)
	}
	synctest.Wait()
}
