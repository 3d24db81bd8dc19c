package srt

import (
	"net/url"
	"strings"
	"unicode/utf8"

	wire "github.com/sluice-live/sluice/internal/srt"
)

// A streamID is what a caller's stream id says.
type streamID struct {
	key    string // secret, never logged
	params url.Values
}

const (
	accessControl = "#!::" // what a stream id begins with that is a list of keys and values
	maxParams     = 16
)

// parseStreamID reads a stream id (low-latency.md 3.3): a stream key, a stream key with a
// query as over RTMP, or the list of SRT's access control, in which u is the key. Some
// encoders send its percent-encoded form as it stands in their URL, which has nothing to
// do with the key: those have no percent sign.
func parseStreamID(s string) (id streamID, refuse wire.Reason) {
	if strings.Contains(s, "%") {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return streamID{}, wire.BadRequest
		}
		s = plain
	}
	if !utf8.ValidString(s) {
		return streamID{}, wire.BadRequest
	}
	id.params = url.Values{}
	if list, ok := strings.CutPrefix(s, accessControl); ok {
		if refuse := id.access(list); refuse != 0 {
			return streamID{}, refuse
		}
	} else {
		id.plain(s)
	}
	if id.key == "" || strings.HasPrefix(id.key, "#!") || len(id.params) > maxParams {
		return streamID{}, wire.BadRequest
	}
	delete(id.params, "passphrase") // some append the whole query of their URL
	return id, 0
}

// access reads the keys and values of access control.
func (id *streamID) access(list string) wire.Reason {
	resource := ""
	for pair := range strings.SplitSeq(list, ",") {
		name, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || name == "":
			return wire.BadRequest
		case name == "u":
			id.key = value
		case name == "r":
			resource = value
		case name == "m" && value != "publish":
			return wire.BadMode
		case name == "m", name == "h", name == "s", name == "t":
		default:
			id.params.Set(name, value)
		}
	}
	if id.key == "" {
		id.key = resource // where some put what is published
	}
	return 0
}

// plain reads a key, with the application's name before it and a query behind it, or not.
func (id *streamID) plain(s string) {
	s, query, _ := strings.Cut(strings.TrimLeft(s, "/"), "?")
	if query == "" {
		s, query, _ = strings.Cut(s, "&")
	}
	s, _ = strings.CutPrefix(s, "app/")
	id.key = strings.TrimLeft(s, "/")
	for pair := range strings.SplitSeq(query, "&") {
		if name, value, ok := strings.Cut(pair, "="); ok && name != "" {
			id.params.Set(name, value)
		}
	}
}
