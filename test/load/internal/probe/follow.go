package probe

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/hls"
	"github.com/sluice-live/sluice/test/load/internal/pace"
)

const (
	maxQueue    = 1024 // items listed and not yet fetched; more are given up
	maxParallel = 16   // requests for media that does not exist yet
)

// follower reloads one media playlist and fetches what it lists.
type follower struct {
	cfg   Config
	fetch *fetcher
	media string // URL of the media playlist

	// Owned by reload.
	last          hls.Pos
	joined        bool
	mapped        string          // URI of the initialisation section that was fetched
	hinted        map[string]bool // URIs requested ahead and not yet listed
	firstPlaylist []byte
	info          hls.Info
	partTargets   map[time.Duration]bool
	deltas        int
	prefetched    int
}

// units fetches until ctx is done or the stream ends, and sends what came. The caller
// must read to the end; then all that units started has ended, and report may be
// called.
func (f *follower) units(ctx context.Context) <-chan unit {
	out := make(chan unit, 256)
	queue := make(chan item, maxQueue)
	var wg sync.WaitGroup
	f.partTargets = map[time.Duration]bool{}
	f.last = hls.Before(f.cfg.Mode.kind())
	one := func(url string) {
		u, err := f.fetch.media(ctx, url)
		switch {
		case err == nil:
			out <- u
		case ctx.Err() == nil: // else it was cut off at the end of the run
			f.fetch.fail(err)
		}
	}
	wg.Go(func() {
		defer close(queue)
		f.reload(ctx, queue)
	})
	wg.Go(func() {
		ahead := make(chan struct{}, maxParallel)
		for it := range queue {
			if !it.growing {
				one(it.url) // in order, as a player does
				continue
			}
			select {
			case ahead <- struct{}{}:
				wg.Go(func() {
					defer func() { <-ahead }()
					one(it.url)
				})
			default:
				f.fetch.fail(errors.New("probe: too many requests for media to come"))
			}
		}
	})
	go func() {
		wg.Wait()
		close(out)
	}()
	return out
}

// item is media to fetch; growing means that the answer may take as long as the media.
type item struct {
	url     string
	growing bool
}

// reload follows the playlist and queues what is new.
func (f *follower) reload(ctx context.Context, queue chan<- item) {
	kind := f.cfg.Mode.kind()
	var ask string // delivery directives
	for ctx.Err() == nil {
		p, err := f.fetch.playlist(ctx, withQuery(f.media, ask))
		if err != nil {
			if ctx.Err() != nil {
				return
			}
			f.fetch.fail(err)
			ask = ""
			pace.Sleep(ctx, 100*time.Millisecond)
			continue
		}
		in, items := hls.Scan(p.body, kind, f.last, nil)
		f.note(p, in)
		if in.ByteRanges {
			f.fetch.fail(errors.New("probe: byte ranges are not supported"))
			return
		}
		if !f.joined {
			items = nearEdge(items, kind)
			f.joined = len(items) > 0
		}
		if in.Map != f.mapped {
			f.mapped = in.Map
			f.enqueue(queue, p.url, in.Map, false)
		}
		for _, it := range items {
			f.last = it.Pos
			if f.hinted[it.URI] {
				delete(f.hinted, it.URI)
				continue
			}
			if it.Prefetch {
				f.prefetched++
			}
			f.enqueue(queue, p.url, it.URI, it.Prefetch)
		}
		if f.cfg.Mode == Hint && in.Hint != "" && !f.hinted[in.Hint] {
			if len(f.hinted) > maxParallel { // hints that were never listed
				clear(f.hinted)
			}
			f.hinted[in.Hint] = true
			f.enqueue(queue, p.url, in.Hint, true)
		}
		if in.Ended {
			return
		}
		idle := ask != "" && len(items) == 0 // a reload that did not block until there was news
		if ask = f.directives(kind, in); ask == "" || idle {
			pace.Sleep(ctx, f.cfg.Poll)
		}
	}
}

// directives asks for the playlist that comes next (rfc8216bis 6.2.5); empty where the
// playlist must be polled.
func (f *follower) directives(kind hls.Kind, in hls.Info) string {
	var ask string
	switch {
	case !in.CanBlock || kind == hls.Prefetch:
		return ""
	case kind == hls.Parts:
		ask = "_HLS_msn=" + strconv.Itoa(in.NextPart.MSN) + "&_HLS_part=" + strconv.Itoa(in.NextPart.Part)
	case in.LastSegment < 0:
		return ""
	default:
		ask = "_HLS_msn=" + strconv.Itoa(in.LastSegment+1)
	}
	if f.cfg.Skip && in.CanSkip {
		ask += "&_HLS_skip=YES"
	}
	return ask
}

func (f *follower) note(p playlist, in hls.Info) {
	if f.firstPlaylist == nil {
		f.firstPlaylist = p.body
	}
	if in.Skipped > 0 {
		f.deltas++
	}
	if in.PartTarget > 0 && len(f.partTargets) < 100 {
		f.partTargets[in.PartTarget] = true
	}
	f.info = in
}

func (f *follower) enqueue(queue chan<- item, base, ref string, growing bool) {
	if ref == "" {
		return
	}
	u, err := resolve(base, ref)
	if err != nil {
		f.fetch.fail(err)
		return
	}
	select {
	case queue <- item{u, growing}:
	default:
		f.fetch.fail(errors.New("probe: the client fell behind"))
	}
}

func (f *follower) report(r *Result) {
	r.TargetDuration, r.PartTarget, r.PartHoldBack = f.info.TargetDuration.Seconds(), f.info.PartTarget.Seconds(), f.info.PartHoldBack.Seconds()
	r.PartTargets, r.Deltas, r.Prefetched = len(f.partTargets), f.deltas, f.prefetched
}

// nearEdge leaves the items from the last one a decoder can start with.
func nearEdge(items []hls.Item, kind hls.Kind) []hls.Item {
	k := len(items) - 1
	for kind == hls.Parts && k > 0 && !items[k].Independent {
		k--
	}
	return items[max(0, k):]
}

func withQuery(url, query string) string {
	switch {
	case query == "":
		return url
	case strings.Contains(url, "?"):
		return url + "&" + query
	}
	return url + "?" + query
}
