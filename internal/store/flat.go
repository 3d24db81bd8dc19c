package store

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/live"
)

// flat reads a JSON object of the plain form in which this package writes most: strings
// without escapes, true and false, no space and nothing nested. member gets each name
// and value, the quotes removed, and says whether it knows it. Anything else makes flat
// return false, and is for encoding/json, which takes ten times as long: a page of
// channels is a hundred bodies, tags and links.
func flat(object []byte, member func(name, value []byte, text bool) bool) bool {
	rest, ok := bytes.CutPrefix(object, []byte{'{'})
	if !ok || !utf8.Valid(rest) {
		return false
	}
	if string(rest) == "}" {
		return true
	}
	for {
		var name, value []byte
		if name, rest, ok = plain(rest); !ok || len(rest) < 2 || rest[0] != ':' {
			return false
		}
		rest = rest[1:]
		text := rest[0] == '"'
		switch {
		case text:
			if value, rest, ok = plain(rest); !ok {
				return false
			}
		case bytes.HasPrefix(rest, []byte("true")):
			value, rest = rest[:4], rest[4:]
		case bytes.HasPrefix(rest, []byte("false")):
			value, rest = rest[:5], rest[5:]
		default:
			return false
		}
		if !member(name, value, text) || len(rest) == 0 {
			return false
		}
		switch rest[0] {
		case ',':
			rest = rest[1:]
		case '}':
			return len(rest) == 1
		default:
			return false
		}
	}
}

// plain cuts a string without escapes off text.
func plain(text []byte) (value, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return nil, nil, false
	}
	text = text[1:]
	end := bytes.IndexByte(text, '"')
	if end < 0 {
		return nil, nil, false
	}
	for _, c := range text[:end] {
		if c < ' ' || c == '\\' {
			return nil, nil, false
		}
	}
	return text[:end], text[end+1:], true
}

// textMap reads a JSON object of strings.
func textMap(object string) (map[string]string, error) {
	m := map[string]string{}
	if object == "{}" {
		return m, nil
	}
	if flat([]byte(object), func(name, value []byte, text bool) bool {
		m[string(name)] = string(value)
		return text
	}) {
		return m, nil
	}
	m = nil
	err := json.Unmarshal([]byte(object), &m)
	return m, err
}

// decodeChannel is json.Unmarshal for a channel's body.
func decodeChannel(body []byte, ch *live.Channel) error {
	if flat(body, func(name, value []byte, text bool) bool { return channelMember(ch, string(name), value, text) }) {
		return nil
	}
	*ch = live.Channel{}
	return json.Unmarshal(body, ch)
}

// channelMember sets one field of a channel. TestChannelsAreReadAsJSON holds it against
// the tags of live.Channel.
func channelMember(ch *live.Channel, name string, value []byte, text bool) bool {
	var to *string
	switch name {
	case "name":
		to = &ch.Name
	case "latencyMode":
		to = &ch.LatencyMode
	case "type":
		to = &ch.Type
	case "preset":
		to = &ch.Preset
	case "containerFormat":
		to = &ch.ContainerFormat
	case "srtPassphrase":
		to = &ch.SRTPassphrase
	case "recordingConfiguration":
		to = &ch.RecordingConfiguration
	case "playbackRestrictionPolicy":
		to = &ch.PlaybackRestrictionPolicy
	case "adConfiguration":
		to = &ch.AdConfiguration
	case "created":
		return text && ch.Created.UnmarshalText(value) == nil
	case "authorized":
		ch.Authorized = len(value) == len("true")
		return !text
	case "insecureIngest":
		ch.InsecureIngest = len(value) == len("true")
		return !text
	default:
		return false
	}
	if *to = known(value); *to == "" {
		*to = string(value)
	}
	return text
}

// known returns the values that most channels share without a copy of their own.
func known(value []byte) string {
	switch string(value) {
	case live.LatencyLow:
		return live.LatencyLow
	case live.LatencyNormal:
		return live.LatencyNormal
	case live.TypeStandard:
		return live.TypeStandard
	case live.TypeBasic:
		return live.TypeBasic
	case live.ContainerTS:
		return live.ContainerTS
	case live.ContainerMP4:
		return live.ContainerMP4
	}
	return ""
}
