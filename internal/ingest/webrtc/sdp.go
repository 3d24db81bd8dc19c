package webrtc

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/sluice-live/sluice/internal/live"
)

// Bounds of an offer.
const (
	maxSDP      = 64 << 10 // bytes; that of a browser has 8 kB
	maxSections = 8        // m= lines
	maxFormats  = 64       // of a section
)

// A format is one codec of an offer.
type format struct {
	payload uint8
	fmtp    string
}

// An offer is what a peer wants to send.
type offer struct {
	sdp   string // without candidates
	video format
	audio *format // nil for a peer without sound
}

// parseOffer reads an SDP offer and picks what to take of it: H.264 in packetization
// mode 1, and Opus. Candidates are left out: this side only answers, and so it can be
// made to contact nobody.
func parseOffer(text string) (*offer, error) {
	if len(text) > maxSDP {
		return nil, live.Errorf(live.Invalid, "The SDP offer is longer than %d bytes.", maxSDP)
	}
	d, err := unmarshalSDP(text)
	if err != nil {
		return nil, &live.Error{Kind: live.Invalid, Detail: "The SDP offer cannot be read.", Err: err}
	}
	if len(d.MediaDescriptions) == 0 || len(d.MediaDescriptions) > maxSections {
		return nil, live.Errorf(live.Invalid, "The SDP offer has %d media sections.", len(d.MediaDescriptions))
	}
	d.Attributes = slices.DeleteFunc(d.Attributes, isCandidate)
	o := &offer{}
	pictures := false
	for _, m := range d.MediaDescriptions {
		if len(m.MediaName.Formats) > maxFormats {
			return nil, live.Errorf(live.Invalid, "A media section of the SDP offer has more than %d formats.", maxFormats)
		}
		m.Attributes = slices.DeleteFunc(m.Attributes, isCandidate)
		if !sends(d, m) {
			continue
		}
		if setup, _ := attribute(d, m, "setup"); setup == "passive" {
			return nil, live.Errorf(live.Unsupported, "The peer must be able to start DTLS: setup is passive.")
		}
		switch m.MediaName.Media {
		case "video":
			if pictures {
				return nil, live.Errorf(live.Unsupported, "More than one video track is not supported.")
			}
			if _, ok := m.Attribute("simulcast"); ok {
				return nil, live.Errorf(live.Unsupported, "Simulcast is not supported.")
			}
			if o.video, pictures = pick(m, isH264); !pictures {
				return nil, live.Errorf(live.Unsupported, "The offer has no H.264 video in packetization mode 1.")
			}
		case "audio":
			if o.audio != nil {
				return nil, live.Errorf(live.Unsupported, "More than one audio track is not supported.")
			}
			f, ok := pick(m, isOpus)
			if !ok {
				return nil, live.Errorf(live.Unsupported, "The offer has no Opus audio.")
			}
			o.audio = &f
		}
	}
	if !pictures {
		return nil, live.Errorf(live.Unsupported, "The offer has no video to send.")
	}
	b, err := d.Marshal()
	if err != nil {
		return nil, &live.Error{Kind: live.Invalid, Detail: "The SDP offer cannot be read.", Err: err}
	}
	o.sdp = string(b)
	return o, nil
}

// unmarshalSDP guards the parser: a hostile offer must not cost more than an error.
func unmarshalSDP(text string) (d *sdp.SessionDescription, err error) {
	defer func() {
		if p := recover(); p != nil {
			d, err = nil, fmt.Errorf("webrtc: SDP: %v", p)
		}
	}()
	d = new(sdp.SessionDescription)
	if err := d.UnmarshalString(text); err != nil {
		return nil, fmt.Errorf("webrtc: SDP: %w", err)
	}
	return d, nil
}

func isCandidate(a sdp.Attribute) bool { return a.Key == "candidate" || a.Key == "end-of-candidates" }

// attribute is an attribute of a section, or else of the session.
func attribute(d *sdp.SessionDescription, m *sdp.MediaDescription, key string) (string, bool) {
	if v, ok := m.Attribute(key); ok {
		return v, true
	}
	return d.Attribute(key)
}

// sends reports whether the peer wants to send what the section describes.
func sends(d *sdp.SessionDescription, m *sdp.MediaDescription) bool {
	_, bundled := m.Attribute("bundle-only")
	if m.MediaName.Port.Value == 0 && !bundled {
		return false
	}
	for _, key := range []string{"recvonly", "inactive"} {
		if _, ok := attribute(d, m, key); ok {
			return false
		}
	}
	return true
}

// pick returns the first format of a section that is wanted.
func pick(m *sdp.MediaDescription, wanted func(rtpmap, fmtp string) bool) (format, bool) {
	for _, name := range m.MediaName.Formats {
		payload, err := strconv.ParseUint(name, 10, 7)
		if err != nil {
			continue
		}
		of := func(key string) string {
			for _, a := range m.Attributes {
				if v, ok := strings.CutPrefix(a.Value, name+" "); ok && a.Key == key {
					return v
				}
			}
			return ""
		}
		if fmtp := of("fmtp"); wanted(of("rtpmap"), fmtp) {
			return format{uint8(payload), fmtp}, true
		}
	}
	return format{}, false
}

func isOpus(rtpmap, _ string) bool { return strings.EqualFold(rtpmap, "opus/48000/2") }

// isH264 reports whether a format is H.264 as IVS takes it: in packetization mode 1, of
// a profile from Baseline to High.
func isH264(rtpmap, fmtp string) bool {
	if !strings.EqualFold(rtpmap, "H264/90000") || parameter(fmtp, "packetization-mode") != "1" {
		return false
	}
	profile, err := hex.DecodeString(parameter(fmtp, "profile-level-id"))
	return err == nil && len(profile) == 3 && slices.Contains([]byte{66, 77, 88, 100}, profile[0])
}

// parameter is one parameter of an fmtp attribute.
func parameter(fmtp, name string) string {
	for one := range strings.SplitSeq(fmtp, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(one), "="); ok && strings.EqualFold(key, name) {
			return value
		}
	}
	return ""
}
