package webrtc

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/pion/rtcp"
	pion "github.com/pion/webrtc/v4"

	"github.com/sluice-live/sluice/internal/ingest"
)

// Queues of a peer. A full one makes pion's own buffer fill, which then drops.
const (
	packetQueue = 512
	reportQueue = 8
)

// stopChannel is the data channel on which the broadcast SDK says goodbye, by any
// message at all.
const stopChannel = "stopStream"

// A peer is one publication over WebRTC. Its fields are for the goroutine of
// Server.serve, and channels for everybody.
type peer struct {
	id   string            // random; the end of a WHIP session's URL
	key  [sha256.Size]byte // hash of the stream key
	kind ingest.Announcement
	pc   *pion.PeerConnection

	packets chan trackPacket
	reports chan trackReport
	end     chan string   // why the peer is over; holds the first
	up      chan struct{} // closed when it is connected
	isUp    func()        // closes up, once

	gone    chan struct{}  // closed when nobody takes packets any more
	readers sync.WaitGroup // those that read; added to under mu while not closing
	mu      sync.Mutex     // guards all below
	closing bool
	tracks  map[pion.RTPCodecType]bool // those that are read
}

type trackPacket struct {
	kind pion.RTPCodecType
	packet
}

// A trackReport is a sender report.
type trackReport struct {
	kind pion.RTPCodecType
	ts   uint32
	ntp  uint64
}

func newPeer(id, key string) *peer {
	p := &peer{
		id: id, key: sha256.Sum256([]byte(key)),
		packets: make(chan trackPacket, packetQueue), reports: make(chan trackReport, reportQueue),
		end: make(chan string, 1), up: make(chan struct{}), gone: make(chan struct{}),
		tracks: map[pion.RTPCodecType]bool{},
	}
	p.isUp = sync.OnceFunc(func() { close(p.up) })
	return p
}

// finish ends the peer; only the first reason counts.
func (p *peer) finish(reason string) {
	select {
	case p.end <- reason:
	default:
	}
}

// handle makes the connection tell the peer what happens.
func (p *peer) handle(pc *pion.PeerConnection) {
	p.pc = pc
	pc.OnConnectionStateChange(func(state pion.PeerConnectionState) {
		switch state {
		case pion.PeerConnectionStateConnected:
			p.isUp()
		case pion.PeerConnectionStateFailed:
			p.finish(endDisconnected)
		case pion.PeerConnectionStateClosed: // by the other side, as a browser does that is told to
			p.finish(endUnpublished)
		}
	})
	pc.OnDataChannel(func(d *pion.DataChannel) {
		if d.Label() == stopChannel {
			d.OnMessage(func(pion.DataChannelMessage) { p.finish(endUnpublished) })
		}
	})
	pc.OnTrack(func(t *pion.TrackRemote, r *pion.RTPReceiver) {
		if p.claim(t.Kind()) {
			p.start(func() { p.readPackets(t) })
			p.start(func() { p.readReports(t.Kind(), r) })
		}
	})
}

// claim reports whether a track is the first of its kind.
func (p *peer) claim(kind pion.RTPCodecType) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.tracks[kind]
	p.tracks[kind] = true
	return first
}

// start runs a reader, which ends with the connection.
func (p *peer) start(read func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closing {
		p.readers.Go(read)
	}
}

func (p *peer) readPackets(t *pion.TrackRemote) {
	for {
		r, _, err := t.ReadRTP()
		if err != nil {
			return // the connection is over, and says so itself
		}
		in := trackPacket{t.Kind(), packet{
			seq: r.SequenceNumber, ts: r.Timestamp, marker: r.Marker, payload: r.Payload, at: time.Now(),
		}}
		select {
		case p.packets <- in:
		case <-p.gone:
			return
		}
	}
}

func (p *peer) readReports(kind pion.RTPCodecType, r *pion.RTPReceiver) {
	b := make([]byte, 1500)
	for {
		n, _, err := r.Read(b)
		if err != nil {
			return // the connection is over
		}
		all, err := rtcp.Unmarshal(b[:n])
		if err != nil {
			continue // one that cannot be read is not the end
		}
		for _, one := range all {
			sr, ok := one.(*rtcp.SenderReport)
			if !ok {
				continue
			}
			select {
			case p.reports <- trackReport{kind, sr.RTPTime, sr.NTPTime}:
			case <-p.gone:
				return
			}
		}
	}
}

// close ends the connection and returns when nothing of it is left.
func (p *peer) close() error {
	p.mu.Lock()
	p.closing = true
	p.mu.Unlock()
	close(p.gone)
	err := p.pc.GracefulClose()
	p.readers.Wait()
	return err
}

// askKeyframe asks the sender of pictures for a keyframe.
func (p *peer) askKeyframe() {
	for _, r := range p.pc.GetReceivers() {
		t := r.Track()
		if t == nil || t.Kind() != pion.RTPCodecTypeVideo || t.SSRC() == 0 {
			continue
		}
		_ = p.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: uint32(t.SSRC())}}) // asked again soon
	}
}

// serve runs a peer to its end.
func (s *Server) serve(ctx context.Context, log *slog.Logger, p *peer, session ingest.Session, place *ingest.Slot, tc *transcoder) {
	s.metrics.peers.Inc()
	defer s.metrics.peers.Dec()
	ctx, cancel := context.WithCancel(ctx)
	var children sync.WaitGroup
	var encode func(opusPacket)
	if tc != nil {
		encode = tc.put
		children.Go(func() { tc.run(ctx) })
	}
	f := newFeed(session, s.metrics, encode)
	f.rate = p.kind.FrameRate
	session.Announce(p.kind)
	started := time.Now()

	reason, err := s.pump(p, f, tc, place)
	if reason != endStopped && reason != endRefused {
		err = errors.Join(err, f.hold.flush())
	}
	session.Close(reason == endUnpublished)
	cancel()
	closed := p.close()
	children.Wait()
	f.finish(tc)
	s.metrics.ended.WithLabelValues(reason).Inc()
	log.LogAttrs(ctx, slog.LevelInfo, "publication ended", slog.String("reason", reason), slog.Any("err", errors.Join(err, closed)),
		slog.Duration("after", time.Since(started)), slog.Int64("packets", f.packets), slog.Int64("bytes", f.bytes),
		slog.Int64("lost", f.pictures.gone+f.sounds.gone), slog.Int64("dropped", f.dropped+f.assemble.dropped))
}

// pump hands the peer's media to the session until one of them ends it, and says which;
// err is nil when it was not an accident.
func (s *Server) pump(p *peer, f *feed, tc *transcoder, place *ingest.Slot) (reason string, err error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	count := time.NewTicker(time.Second)
	defer count.Stop()
	late := time.NewTimer(s.cfg.Connect)
	defer late.Stop()
	var frames <-chan aacFrame
	if tc != nil {
		frames = tc.out
	}
	up := p.up
	connected := false
	for err == nil {
		select {
		case in := <-p.packets:
			if in.kind == pion.RTPCodecTypeVideo {
				err = f.videoPacket(in.packet)
			} else {
				f.audioPacket(in.packet)
			}
		case r := <-p.reports:
			f.report(r)
		case a := <-frames:
			err = f.encoded(a, time.Now())
		case now := <-tick.C:
			err = f.tick(now)
		case <-count.C:
			f.count()
		case <-up:
			up, connected = nil, true
			place.Publish()
			late.Reset(s.cfg.Idle)
			f.heard = time.Now()
		case now := <-late.C:
			if !connected {
				return endUnconnected, nil
			}
			if left := f.heard.Add(s.cfg.Idle).Sub(now); left > 0 {
				late.Reset(left)
				continue
			}
			return endIdle, nil
		case reason := <-p.end:
			if !connected && reason != endUnpublished {
				reason = endUnconnected
			}
			return reason, nil
		case <-f.session.Done():
			return endStopped, nil
		case <-s.quit:
			return endShutdown, nil
		}
		if connected && err == nil && f.needKey(time.Now()) {
			s.metrics.asked.Inc()
			p.askKeyframe()
		}
	}
	select {
	case <-f.session.Done(): // which may also have failed a write
		return endStopped, nil
	default:
		return endRefused, err
	}
}
