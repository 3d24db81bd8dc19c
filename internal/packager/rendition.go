package packager

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// Config is what an operator may tune. Zero means the default named on each field.
type Config struct {
	// Part is the longest part to make; 0 means 200ms. PART-TARGET becomes the largest
	// whole number of pictures that fits, so that parts are all of one length.
	Part       time.Duration
	Window     time.Duration // length of the playlist, at least 3 target durations; 0 means 16s
	Keep       time.Duration // how much media stays fetchable after it left the playlist; 0 means 30s
	LowLatency bool          // parts, blocking reload and segments that grow; without it, segments only
	Fallback   int           // players get it only while no other with that short an edge, in pixels, can be played; 0 means always
	AudioOnly  bool          // the sound alone; it needs a rendition to follow
	Bandwidth  int64         // bits per second that its encoder may use: playlists say at least that
	Container  string        // live.ContainerTS or live.ContainerMP4
}

// Bounds of Config.
const (
	maxPart   = 2 * time.Second // the shortest target duration
	maxWindow = 10 * time.Minute
	maxName   = 64 // bytes
)

var (
	// ErrBadRequest means a playlist request that the protocol forbids.
	ErrBadRequest = errors.New("packager: playlist request not allowed")
	// ErrNotFound means a segment, part or section that is gone or will never be.
	ErrNotFound = errors.New("packager: no such media")
	// ErrClosed means a Write after Close.
	ErrClosed = errors.New("packager: closed")
)

// Rendition is one rendition of one stream, from its access units to its playlist.
type Rendition struct {
	name  string
	cfg   Config
	ext   string                       // of segments and parts, without dot
	home  atomic.Pointer[Presentation] // nil before Add
	marks inbox

	source *Rendition // whose cuts it follows; nil for one that cuts by itself
	line   timeline   // its own cuts, for those that follow it

	w     writer // Write's and Close's own
	snap  atomic.Pointer[snapshot]
	ready chan struct{} // closed by the writer with the first complete segment
}

// New returns a rendition that waits for its first keyframe. The name is its place in
// URLs and its group in the multivariant playlist: "720p60".
func New(cfg Config, name string) (*Rendition, error) {
	cfg.Part = cmp.Or(cfg.Part, 200*time.Millisecond)
	cfg.Window = cmp.Or(cfg.Window, 16*time.Second)
	cfg.Keep = cmp.Or(cfg.Keep, 30*time.Second)
	switch {
	case cfg.Part < 0 || cfg.Part > maxPart:
		return nil, fmt.Errorf("packager: part of %v, want at most %v", cfg.Part, maxPart)
	case cfg.Window < 0 || cfg.Window > maxWindow || cfg.Keep < 0 || cfg.Keep > maxWindow:
		return nil, fmt.Errorf("packager: window %v and %v, want at most %v each", cfg.Window, cfg.Keep, maxWindow)
	case name == "" || len(name) > maxName || strings.Trim(name, nameSet) != "":
		return nil, fmt.Errorf("packager: %q cannot name a rendition", name)
	}
	r := &Rendition{name: name, cfg: cfg, ready: make(chan struct{})}
	switch cfg.Container {
	case live.ContainerTS:
		r.ext, r.w.format = extTS, &tsFormat{}
	case live.ContainerMP4:
		r.ext, r.w.format = extMP4, &mp4Format{}
	default:
		return nil, fmt.Errorf("packager: container %q", cfg.Container)
	}
	r.w.waiting, r.w.shown = true, unstamped
	r.snap.Store(&snapshot{wake: make(chan struct{})})
	return r, nil
}

// Extensions of media names, by container.
const (
	extTS  = "ts"
	extMP4 = "mp4"
)

// nameSet is what a name is made of: it stands unescaped in URLs and in quotes.
const nameSet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"

// Name is the name given to New.
func (r *Rendition) Name() string { return r.name }

// Extension is that of segment and part names: "ts" or "mp4".
func (r *Rendition) Extension() string { return r.ext }

// Ready is closed when the first segment is complete: the stream is live. It stays
// open when the encoder leaves before that.
func (r *Rendition) Ready() <-chan struct{} { return r.ready }

// Info describes a rendition in a multivariant playlist.
type Info struct {
	Name             string
	Width, Height    int     // pixels
	FrameRate        float64 // frames per second; measured when the encoder did not tell
	Codecs           string  // RFC 6381, video first
	Bandwidth        int64   // of the fastest segment so far, or Config.Bandwidth; bits per second
	AverageBandwidth int64   // since the start, bits per second
}

// Info returns false until the first segment is complete.
func (r *Rendition) Info() (Info, bool) {
	s := r.snap.Load()
	return s.info, s.live
}
