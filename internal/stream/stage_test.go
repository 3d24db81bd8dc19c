package stream

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/ingest"
	ingestrtmp "github.com/sluice-live/sluice/internal/ingest/rtmp"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/roster"
	"github.com/sluice-live/sluice/internal/rtmp"
)

// A stage is a node with an RTMP server, one channel, and the encoders of a scenario,
// which reach the server over connections in memory: on synctest's clock, which real
// sockets do not know.
type stage struct {
	*node
	t        *testing.T
	line     *line
	arn      live.ARN
	request  ingest.Request
	encoders map[string]*publisher
	drain    func() // shuts the node's streams down
}

// setting changes what a stage begins with.
type setting struct {
	node    func(*Config)
	channel func(*live.Channel)
}

// play runs a scenario. It must be called in a bubble.
func play(t *testing.T, with setting, scenes []scene) *stage {
	t.Helper()
	if with.node == nil {
		with.node = func(*Config) {}
	}
	if with.channel == nil {
		with.channel = func(*live.Channel) {}
	}
	s := &stage{node: build(t, with.node), t: t, line: newLine(), encoders: map[string]*publisher{}}
	s.drain = s.run(t)
	t.Cleanup(s.drain)
	s.arn, s.request = s.create(t, with.channel)
	server := ingestrtmp.New(s.line, ingestrtmp.Config{Log: slog.New(slog.DiscardHandler)}, s.Streams)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server: %v", err)
		}
		for _, e := range s.encoders {
			_ = e.client.Abort()
		}
	})
	for _, next := range scenes {
		next(s)
		synctest.Wait()
		if t.Failed() {
			break
		}
	}
	for _, e := range s.encoders { // whoever is left says goodbye
		e.leave()
		synctest.Wait()
	}
	time.Sleep(settle)
	synctest.Wait()
	return s
}

// A scene is one thing that happens.
type scene func(*stage)

// A publisher is an encoder that speaks RTMP.
type publisher struct {
	client *rtmp.Client
	camera *camera
	quiet  bool // sends no sound
	begun  bool // has sent its parameter sets
	left   sync.Once
	over   chan struct{} // closed when the server has ended the connection
}

// connects lets an encoder connect, by a query of the publish name and changes.
func connects(name, query string, with ...func(*publisher)) scene {
	return func(s *stage) {
		s.t.Helper()
		e, err := s.dial(s.request.Key+query, with)
		if err != nil {
			s.t.Errorf("%s is refused: %v", name, err)
			return
		}
		s.encoders[name] = e
	}
}

// refused lets an encoder connect that must not be taken.
func refused(query string) scene { return refusedKey(func(key string) string { return key + query }) }

func refusedKey(key func(string) string) scene {
	return func(s *stage) {
		s.t.Helper()
		_, err := s.dial(key(s.request.Key), nil)
		if _, ok := errors.AsType[*rtmp.StatusError](err); !ok {
			s.t.Errorf("an encoder is taken, or hears nothing: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), "sk_") {
			s.t.Errorf("the refusal repeats the key: %v", err)
		}
	}
}

func (s *stage) dial(name string, with []func(*publisher)) (*publisher, error) {
	conn, err := s.line.dial()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	c, err := rtmp.NewClient(ctx, conn, "rtmp://server.example/app/"+name, rtmp.ClientConfig{})
	if err != nil {
		conn.Close()
		return nil, err
	}
	e := &publisher{client: c, camera: newCamera(), over: make(chan struct{})}
	for _, f := range with {
		f(e)
	}
	go func() { // ends with the connection
		defer close(e.over)
		_ = c.Wait()
	}()
	return e, nil
}

// Kinds of encoder.
func mute(e *publisher) { e.quiet = true }

func sized(w, h int) func(*publisher) {
	return func(e *publisher) {
		e.camera.track.Width, e.camera.track.Height = w, h
		e.camera.track.SPS = [][]byte{spsOf(w, h)}
	}
}

// spsOf is a baseline SPS for a size in whole macroblocks.
func spsOf(w, h int) []byte {
	var bits []byte
	put := func(v uint32, n int) {
		for i := n - 1; i >= 0; i-- {
			bits = append(bits, byte(v>>i&1))
		}
	}
	ue := func(v uint32) {
		n := 0
		for x := v + 1; x > 1; x >>= 1 {
			n++
		}
		put(0, n)
		put(v+1, n+1)
	}
	ue(0)                // seq_parameter_set_id
	ue(0)                // log2_max_frame_num - 4
	ue(2)                // pic_order_cnt_type
	ue(1)                // max_num_ref_frames
	put(0, 1)            // gaps in frame_num
	ue(uint32(w/16 - 1)) // width in macroblocks - 1
	ue(uint32(h/16 - 1)) // height in map units - 1
	put(1, 1)            // frame_mbs_only_flag
	put(0, 3)            // direct_8x8_inference, no cropping, no VUI
	put(1, 1)            // stop bit
	for len(bits)%8 != 0 {
		bits = append(bits, 0)
	}
	sps := []byte{0x67, 0x42, 0xc0, 0x28}
	for i := 0; i < len(bits); i += 8 {
		b := byte(0)
		for _, x := range bits[i : i+8] {
			b = b<<1 | x
		}
		sps = append(sps, b)
	}
	return sps
}

// sends lets an encoder send in real time for d. It may be disconnected meanwhile.
func sends(name string, d time.Duration) scene {
	return func(s *stage) {
		e := s.encoders[name]
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second / 30) {
			if err := e.send(); err != nil {
				return
			}
		}
	}
}

// send sends the next picture, and the sound until then.
func (e *publisher) send() error {
	if !e.begun {
		if err := e.begin(); err != nil {
			return err
		}
	}
	u := e.camera.next()
	ms := uint32(media.Time(u.DTS, media.VideoTimescale).Milliseconds())
	body := rtmp.AppendVideo(nil, rtmp.Tag{Codec: rtmp.AVC, Packet: rtmp.PacketFrames, Key: u.Key, Data: u.Data})
	if err := e.client.WriteVideo(ms, body); err != nil || e.quiet {
		return err
	}
	for ; media.Time(e.camera.heard, 48000) <= media.Time(u.DTS, media.VideoTimescale); e.camera.heard += media.SamplesPerFrame {
		frame := e.camera.sound(e.camera.heard)
		body := rtmp.AppendAudio(nil, rtmp.Tag{Codec: rtmp.AAC, Packet: rtmp.PacketFrames, Data: frame.Data})
		if err := e.client.WriteAudio(uint32(media.Time(frame.DTS, 48000).Milliseconds()), body); err != nil {
			return err
		}
	}
	return nil
}

// begin sends what comes before media: the announcement and the parameter sets.
func (e *publisher) begin() error {
	e.begun = true
	t := e.camera.track
	avcC := []byte{1, t.SPS[0][1], t.SPS[0][2], t.SPS[0][3], 0xff, 0xe1}
	avcC = append(binary.BigEndian.AppendUint16(avcC, uint16(len(t.SPS[0]))), t.SPS[0]...)
	avcC = append(binary.BigEndian.AppendUint16(append(avcC, 1), uint16(len(t.PPS[0]))), t.PPS[0]...)
	err := errors.Join(
		e.client.WriteMetadata(rtmp.Object{{Name: "encoder", Value: "test"}, {Name: "width", Value: float64(t.Width)}, {Name: "height", Value: float64(t.Height)}, {Name: "framerate", Value: 30.0}}),
		e.client.WriteVideo(0, rtmp.AppendVideo(nil, rtmp.Tag{Codec: rtmp.AVC, Packet: rtmp.PacketConfig, Data: avcC})),
	)
	if e.quiet {
		return err
	}
	return errors.Join(err, e.client.WriteAudio(0, rtmp.AppendAudio(nil, rtmp.Tag{Codec: rtmp.AAC, Packet: rtmp.PacketConfig, Data: []byte{0x11, 0x90}})))
}

// leave says goodbye, once.
func (e *publisher) leave() { e.left.Do(func() { _ = e.client.Close() }) }

func leaves(name string) scene { return func(s *stage) { s.encoders[name].leave() } }

// breaksOff ends an encoder's connection without a word.
func breaksOff(name string) scene {
	return func(s *stage) {
		e := s.encoders[name]
		e.left.Do(func() { _ = e.client.Abort() })
	}
}

// nothing happens for d.
func nothing(d time.Duration) scene { return func(*stage) { time.Sleep(d) } }

// isOut makes sure that the server has disconnected an encoder, isIn that it has not.
func isOut(name string) scene { return func(s *stage) { s.t.Helper(); s.connected(name, false) } }
func isIn(name string) scene  { return func(s *stage) { s.t.Helper(); s.connected(name, true) } }

func (s *stage) connected(name string, want bool) {
	s.t.Helper()
	select {
	case <-s.encoders[name].over:
		if want {
			s.t.Errorf("%s was disconnected", name)
		}
	default:
		if !want {
			s.t.Errorf("%s is still connected", name)
		}
	}
}

// stops is StopStream.
func stops(s *stage) {
	if err := s.roster.Send(s.t.Context(), s.arn, roster.Command{Op: roster.OpStop}); err != nil {
		s.t.Errorf("StopStream: %v", err)
	}
}

// unbroken makes sure that viewers of the channel see no discontinuity.
func unbroken(s *stage) {
	st, ok := s.Live(s.arn)
	if !ok {
		s.t.Error("the channel is not live")
		return
	}
	if m := playlist(s.t, &connection{nil, st}); breaks(m) != 0 {
		s.t.Errorf("%d discontinuities in\n%s", breaks(m), m.Append(nil))
	}
}

// history is the events of all sessions of the channel in the order they happened, as
// GetStreamSession shows them.
func (s *stage) history() []string {
	all, err := s.db.ListSessions(s.t.Context(), s.arn, "", 100)
	var names []string
	for _, x := range slices.Backward(all) {
		events, eerr := s.db.Events(s.t.Context(), x.ID)
		err = errors.Join(err, eerr)
		for _, e := range slices.Backward(events) {
			names = append(names, strings.TrimSuffix(e.Name+" "+e.Code, " "))
		}
	}
	if err != nil {
		s.t.Error(err)
	}
	return names
}

// A line is a listener in memory.
type line struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	count int
}

func newLine() *line { return &line{conns: make(chan net.Conn), done: make(chan struct{})} }

func (l *line) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *line) Close() error { l.once.Do(func() { close(l.done) }); return nil }

func (l *line) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1935} }

// dial connects an encoder of an address of its own.
func (l *line) dial() (net.Conn, error) {
	client, server := net.Pipe()
	l.count++
	select {
	case l.conns <- &from{server, &net.TCPAddr{IP: net.IPv4(198, 51, 100, byte(l.count)), Port: 50000}}:
		return client, nil
	case <-l.done:
		return nil, fmt.Errorf("nobody listens: %w", net.ErrClosed)
	}
}

// from is a connection that says where it comes from.
type from struct {
	net.Conn
	addr net.Addr
}

func (c *from) RemoteAddr() net.Addr { return c.addr }

// ages makes the channel's stream older, without the media of that time.
func ages(d time.Duration) scene {
	return func(s *stage) {
		st, _ := s.Live(s.arn)
		st.mu.Lock()
		defer st.mu.Unlock()
		st.born = st.born.Add(-d)
		st.heard += d
	}
}

// losesLease lets another node find the owner dead, and end its session.
func losesLease(s *stage) {
	later := time.Now().Add(time.Hour) // the clock of another node
	if _, err := s.db.CloseAbandoned(s.t.Context(), later, event.Abandoned(later)); err != nil {
		s.t.Error(err)
	}
}

// deafTo loses the first answer of each operation.
func deafTo(ops ...string) func(string) fault {
	var mu sync.Mutex
	return func(op string) fault {
		mu.Lock()
		defer mu.Unlock()
		if i := slices.Index(ops, op); i >= 0 {
			ops = slices.Delete(ops, i, i+1)
			return deaf
		}
		return fine
	}
}
