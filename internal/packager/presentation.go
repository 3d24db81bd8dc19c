package packager

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/sluice-live/sluice/internal/hls"
)

// Presentation is the renditions of one stream. Its methods may be called at any time
// from anywhere.
type Presentation struct {
	mu       sync.Mutex // serializes Add; readers do without. Guards pending and marked
	all      atomic.Pointer[[]*Rendition]
	pending  []mark      // for the next picture of the first rendition
	marked   uint32      // how many there were, for their ids
	waiting  atomic.Bool // pending is not empty
	postRoll *Break      // set before the first Add
}

// NewPresentation returns one without renditions.
func NewPresentation() *Presentation { return new(Presentation) }

// Add appends a rendition; players see them in that order, so the source comes first.
// One of the same name takes the place of the earlier one.
func (p *Presentation) Add(r *Rendition) {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := slices.Clone(p.Renditions())
	if i := slices.IndexFunc(all, func(o *Rendition) bool { return o.name == r.name }); i >= 0 {
		all[i] = r
	} else {
		all = append(all, r)
	}
	p.all.Store(&all)
	for _, o := range all {
		o.home.Store(p)
	}
}

// Renditions returns all renditions, which the caller must not reorder.
func (p *Presentation) Renditions() []*Rendition {
	if all := p.all.Load(); all != nil {
		return *all
	}
	return nil
}

// Rendition returns the rendition of the given name.
func (p *Presentation) Rendition(name string) (*Rendition, bool) {
	for _, r := range p.Renditions() {
		if r.name == name {
			return r, true
		}
	}
	return nil, false
}

// Multivariant renders the multivariant playlist of the renditions that have a
// segment, false while there is none. base stands before <rendition>/index.m3u8.
func (p *Presentation) Multivariant(base string, session ...hls.SessionData) ([]byte, bool) {
	body := Multivariant(p.Listed(), base, session...)
	return body, body != nil
}

// Multivariant renders a multivariant playlist of renditions, nil if there is none. base
// stands before <rendition>/index.m3u8.
func Multivariant(renditions []Info, base string, session ...hls.SessionData) []byte {
	if len(renditions) == 0 {
		return nil
	}
	m := hls.Multivariant{Session: session}
	for _, i := range renditions {
		m.Variants = append(m.Variants, hls.Variant{
			URI:   base + i.Name + "/index.m3u8",
			Group: i.Name, Name: groupName(i.Name),
			Bandwidth: i.Bandwidth, AverageBandwidth: i.AverageBandwidth,
			Width: i.Width, Height: i.Height, Codecs: i.Codecs, FrameRate: i.FrameRate,
		})
	}
	return m.Append(nil)
}

// Listed describes the renditions that players should know of and can play.
func (p *Presentation) Listed() []Info {
	var all []Info
	for _, r := range p.playable() {
		if i, ok := r.Info(); ok {
			all = append(all, i)
		}
	}
	return all
}

// playable returns the renditions that players should know of: those that stand in for
// others only while these are missing.
func (p *Presentation) playable() []*Rendition {
	all := p.Renditions()
	tallest := 0
	for _, r := range all {
		if i, ok := r.Info(); ok && r.cfg.Fallback == 0 {
			tallest = max(tallest, min(i.Width, i.Height))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(r *Rendition) bool {
		return r.cfg.Fallback > 0 && r.cfg.Fallback <= tallest
	})
}

// groupName is the NAME that IVS gives a group: "720p60" as it is, "480p" for "480p30".
func groupName(group string) string {
	if s, ok := strings.CutSuffix(group, "p30"); ok {
		return s + "p"
	}
	return group
}
