package stub

import (
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// stream is one live stream. Frames are in boxes or packets already.
type stream struct {
	cfg Config

	mu      sync.Mutex // guards the rest
	segs    []*segment // never shortened: tests are short
	ended   bool
	changed chan struct{} // closed and replaced with every change
}

type segment struct{ parts []*part }

type part struct {
	frames [][]byte
	done   bool
}

func newStream(cfg Config) *stream { return &stream{cfg: cfg, changed: make(chan struct{})} }

func (s *stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// add takes one access unit.
func (s *stream) add(au []byte, key bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.notify()
	if key {
		s.finishPart()
		s.segs = append(s.segs, &segment{})
	}
	if s.ended || len(s.segs) == 0 {
		return
	}
	seg := s.segs[len(s.segs)-1]
	if n := len(seg.parts); n == 0 || seg.parts[n-1].done {
		seg.parts = append(seg.parts, &part{})
	}
	p := seg.parts[len(seg.parts)-1]
	if s.cfg.TS {
		p.frames = append(p.frames, packets(au))
	} else {
		p.frames = append(p.frames, append(box("moof", make([]byte, 60)), box("mdat", au)...))
	}
	p.done = len(p.frames) == framesPerPart
}

func (s *stream) finishPart() {
	if n := len(s.segs); n > 0 {
		if k := len(s.segs[n-1].parts); k > 0 {
			s.segs[n-1].parts[k-1].done = true
		}
	}
}

func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finishPart()
	s.ended = true
	s.notify()
}

func box(typ string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(body)))
	return append(append(b, typ...), body...)
}

// packets makes one PES packet of unknown length, in MPEG-TS packets on PID 256.
func packets(au []byte) []byte {
	u := append([]byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0, 0}, au...)
	var ts []byte
	for start := byte(0x40); len(u) > 0; start = 0 {
		p := []byte{0x47, start | 1, 0, 0x10}
		n := min(184, len(u))
		if pad := 184 - n; pad > 0 {
			p[3] = 0x30
			p = append(p, byte(pad-1))
			p = append(p, make([]byte, pad-1)...)
		}
		ts = append(append(ts, p...), u[:n]...)
		u = u[n:]
	}
	return ts
}

// serveHTTP answers /live/KEY/index.m3u8, /live/KEY/v/media.m3u8 and the media that
// it lists, by relative URIs.
func (s *Server) serveHTTP(w http.ResponseWriter, r *http.Request) {
	f := strings.Split(r.URL.Path, "/")
	var st *stream
	if len(f) >= 4 {
		st = s.stream(f[2], false)
	}
	if st == nil {
		http.NotFound(w, r)
		return
	}
	switch name := f[len(f)-1]; name {
	case "index.m3u8":
		fmt.Fprint(w, "#EXTM3U\n#EXT-X-MEDIA:TYPE=VIDEO,GROUP-ID=\"720p30\",NAME=\"720p30\"\n"+
			"#EXT-X-STREAM-INF:BANDWIDTH=2500000,RESOLUTION=1280x720,VIDEO=\"720p30\"\nv/media.m3u8\n")
	case "media.m3u8":
		st.servePlaylist(w, r)
	case "init.mp4":
		w.Write(box("ftyp", nil))
	default:
		msn, idx := -1, -1
		if _, err := fmt.Sscanf(name, "s%d.%d.", &msn, &idx); err != nil {
			idx = -1
		}
		st.serveMedia(w, r, msn, idx)
	}
}

func (s *stream) servePlaylist(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if msn, err := strconv.Atoi(q.Get("_HLS_msn")); err == nil {
		idx, err := strconv.Atoi(q.Get("_HLS_part"))
		if err != nil {
			idx = -1
		}
		s.wait(r, func() bool { return s.holds(msn, idx) })
	}
	body := s.playlist(q.Get("_HLS_skip") == "YES")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		fmt.Fprint(w, body)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	z := gzip.NewWriter(w)
	fmt.Fprint(z, body)
	_ = z.Close() // only a client that left makes it fail
}

// wait blocks until ok, the end of the stream or of the request. ok is called locked.
func (s *stream) wait(r *http.Request, ok func() bool) {
	for {
		s.mu.Lock()
		ready, changed := ok() || s.ended, s.changed
		s.mu.Unlock()
		if ready {
			return
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// holds reports whether a playlist made now lists the part, or the whole segment for
// index -1; a part past the last of its segment means the next segment's first.
func (s *stream) holds(msn, idx int) bool {
	switch last := len(s.segs) - 1; {
	case msn < last:
		seg := s.segs[msn]
		return idx < len(seg.parts) || len(s.segs[msn+1].parts) > 0 && s.segs[msn+1].parts[0].done
	case msn > last || idx < 0:
		return false
	default:
		return idx < len(s.segs[msn].parts) && s.segs[msn].parts[idx].done
	}
}

func (s *stream) playlist(skip bool) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	ext := "mp4"
	if s.cfg.TS {
		ext = "ts"
	}
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:1\n")
	if !s.cfg.Plain {
		b.WriteString("#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.3,CAN-SKIP-UNTIL=6\n#EXT-X-PART-INF:PART-TARGET=0.1\n")
	}
	last := len(s.segs) - 1 // still open
	first := max(0, last-window)
	fmt.Fprintf(&b, "#EXT-X-MEDIA-SEQUENCE:%d\n", first)
	if ext == "mp4" {
		b.WriteString("#EXT-X-MAP:URI=\"init.mp4\"\n")
	}
	if n := last - first - skipUntil; skip && n > 0 && !s.cfg.Plain {
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", n)
		first += n
	}
	var next string
	for msn := first; msn <= last; msn++ {
		for i, p := range s.segs[msn].parts {
			if s.cfg.Plain || !p.done {
				break
			}
			fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.1,URI=\"s%d.%d.%s\"", msn, i, ext)
			if i == 0 {
				b.WriteString(",INDEPENDENT=YES")
			}
			b.WriteString("\n")
			next = fmt.Sprintf("s%d.%d.%s", msn, i+1, ext)
			if i == 4 { // five parts to a segment
				next = fmt.Sprintf("s%d.0.%s", msn+1, ext)
			}
		}
		if msn < last || s.ended {
			fmt.Fprintf(&b, "#EXTINF:0.5,\ns%d.%s\n", msn, ext)
		}
	}
	switch {
	case s.ended:
		b.WriteString("#EXT-X-ENDLIST\n")
	case !s.cfg.Plain && next != "":
		fmt.Fprintf(&b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=%q\n#EXT-X-PREFETCH:s%d.%s\n#EXT-X-PREFETCH:s%d.%s\n", next, last, ext, last+1, ext)
	}
	return b.String()
}

// serveMedia sends a part, or for index -1 a segment, frame by frame as it grows.
func (s *stream) serveMedia(w http.ResponseWriter, r *http.Request, msn, idx int) {
	if msn < 0 || msn > 1e6 {
		http.NotFound(w, r)
		return
	}
	for sent := 0; r.Context().Err() == nil; sent++ {
		var frame []byte
		whole := false
		s.wait(r, func() bool {
			frame, whole = s.frame(msn, idx, sent)
			return frame != nil || whole
		})
		if frame == nil {
			return
		}
		w.Write(frame)
		w.(http.Flusher).Flush()
	}
}

// frame returns the n-th frame of a part or segment, or whether there will be none.
func (s *stream) frame(msn, idx, n int) (frame []byte, whole bool) {
	if msn >= len(s.segs) {
		return nil, s.ended
	}
	closed := msn < len(s.segs)-1 || s.ended
	for i, p := range s.segs[msn].parts {
		switch {
		case idx >= 0 && i != idx:
		case n < len(p.frames):
			return p.frames[n], false
		case idx >= 0:
			return nil, p.done
		default:
			n -= len(p.frames)
		}
	}
	return nil, closed
}
