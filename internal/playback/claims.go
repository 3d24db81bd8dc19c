package playback

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sluice-live/sluice/internal/live"
)

// Names of the claims of a playback token (low-latency.md 5.1).
const (
	claimChannel    = "aws:channel-arn"
	claimExpires    = "exp"
	claimNotBefore  = "nbf"
	claimOrigins    = "aws:access-control-allow-origin"
	claimStrict     = "aws:strict-origin-enforcement"
	claimSingleUse  = "aws:single-use-uuid"
	claimViewer     = "aws:viewer-id"
	claimVersion    = "aws:viewer-session-version"
	claimResolution = "aws:maximum-resolution"
	claimAdsOptOut  = "aws:ads-opt-out"
	claimAdsParams  = "aws:ads-player-params"
	claimAdsConfig  = "aws:ads-playback-config-name"
	claimAdsReports = "aws:ads-reporting-mode"
)

// Limits of claims.
const (
	maxViewer        = 40               // characters
	maxStrictOrigins = 5                // entries; without strict enforcement there is no limit
	maxAdsParams     = 1000             // bytes of keys and values together
	maxBound         = 10 * time.Minute // of a token that is bound to a viewer or to one use, until its end
	skew             = 5 * time.Second  // that maxBound allows between the clock of the signer and ours
)

// Claims are what a playback token says. Unset ones have their zero value.
type Claims struct {
	Channel       live.ARN
	Expires       int64    // seconds since 1970
	NotBefore     int64    // the same; not of IVS but of RFC 7519
	Origins       []string // where the player's page may be from; none means anywhere
	Strict        bool     // asks every request for its origin, not the first only
	SingleUse     string   // UUID in lower case; the token is good once
	Viewer        string   // whose sessions can be revoked together
	Version       int64    // of the viewer's session
	MaxResolution string   // SD, HD or FULL_HD
	Ads           Ads
}

// Ads is what a token says of ads. They are checked and carried; nothing inserts ads yet.
type Ads struct {
	OptOut       bool
	PlayerParams map[string]string
	ConfigName   string
	Reporting    string // CLIENT or SERVER
}

// Values of Claims.
const (
	SD     = "SD"
	HD     = "HD"
	FullHD = "FULL_HD"

	ReportClient = "CLIENT"
	ReportServer = "SERVER"
)

// heights are the resolution classes by the shorter edge of their largest picture, in
// pixels (low-latency.md 2.2).
func height(class string) int {
	switch class {
	case SD:
		return 480
	case HD:
		return 720
	case FullHD:
		return 1080
	}
	return math.MaxInt
}

// UnmarshalJSON reads the payload of a token. It is stricter than encoding/json: names
// count as they are written, and none comes twice. Claims that it does not know are the
// signer's own.
func (c *Claims) UnmarshalJSON(text []byte) error {
	all, err := members(text)
	if err != nil {
		return err
	}
	*c = Claims{}
	for _, name := range slices.Sorted(maps.Keys(all)) { // the same fault is told each time
		if err := c.set(name, all[name]); err != nil {
			return err
		}
	}
	if _, ok := all[claimExpires]; !ok {
		return refuse(BadToken, "%s is required", claimExpires)
	}
	if _, ok := all[claimChannel]; !ok {
		return refuse(BadToken, "%s is required", claimChannel)
	}
	return c.rules()
}

func (c *Claims) set(name string, value json.RawMessage) error {
	switch name {
	case claimChannel:
		s, err := text(name, value)
		if err != nil {
			return err
		}
		if c.Channel, err = live.ParseARN(s); err != nil {
			return refuse(BadToken, "%s is not the ARN of a channel", name)
		}
		return nil
	case claimExpires:
		return seconds(name, value, &c.Expires)
	case claimNotBefore:
		return seconds(name, value, &c.NotBefore)
	case claimOrigins:
		s, err := text(name, value)
		for origin := range strings.SplitSeq(s, ",") {
			if origin = strings.TrimSpace(origin); origin != "" {
				c.Origins = append(c.Origins, origin)
			}
		}
		return err
	case claimStrict:
		return boolean(name, value, &c.Strict)
	case claimSingleUse:
		s, err := text(name, value)
		if err == nil && !isUUID(s) {
			err = refuse(BadToken, "%s is not a UUID", name)
		}
		c.SingleUse = strings.ToLower(s)
		return err
	case claimViewer:
		s, err := text(name, value)
		if err == nil && (s == "" || utf8.RuneCountInString(s) > maxViewer || strings.ContainsRune(s, 0)) {
			err = refuse(BadToken, "%s must have 1 to %d characters, none of them U+0000", name, maxViewer)
		}
		c.Viewer = s
		return err
	case claimVersion:
		n, err := strconv.ParseInt(strings.Trim(string(value), `"`), 10, 64)
		if err != nil {
			return refuse(BadToken, "%s is not a 64-bit integer", name)
		}
		c.Version = n
		return nil
	case claimResolution:
		return oneOf(name, value, &c.MaxResolution, SD, HD, FullHD)
	}
	return c.Ads.set(name, value)
}

func (a *Ads) set(name string, value json.RawMessage) (err error) {
	switch name {
	case claimAdsOptOut:
		return boolean(name, value, &a.OptOut)
	case claimAdsConfig:
		a.ConfigName, err = text(name, value)
	case claimAdsReports:
		return oneOf(name, value, &a.Reporting, ReportClient, ReportServer)
	case claimAdsParams:
		params, err := members(value)
		if err != nil {
			return refuse(BadToken, "%s is not an object of strings", name)
		}
		a.PlayerParams = make(map[string]string, len(params))
		for k, v := range params {
			if a.PlayerParams[k], err = text(name, v); err != nil {
				return refuse(BadToken, "%s is not an object of strings", name)
			}
		}
	}
	return err
}

// rules are those of claims among each other that hold at any time.
func (c *Claims) rules() error {
	if err := c.Channel.Want(live.ServiceIVS, live.TypeChannel); err != nil {
		return refuse(BadToken, "%s is not the ARN of a channel", claimChannel)
	}
	if c.Strict && len(c.Origins) > maxStrictOrigins {
		return refuse(BadToken, "%s may name %d origins with %s", claimOrigins, maxStrictOrigins, claimStrict)
	}
	size := 0
	for k, v := range c.Ads.PlayerParams {
		size += len(k) + len(v)
	}
	if size > maxAdsParams {
		return refuse(BadToken, "%s is larger than %d bytes", claimAdsParams, maxAdsParams)
	}
	return nil
}

// check says whether the token is good for a channel at now.
func (c *Claims) check(channel live.ARN, now time.Time) error {
	left := c.Expires - now.Unix() // neither is so far away that this overflows: exp is positive
	switch {
	case c.Channel == (live.ARN{}): // the payload was null
		return refuse(BadToken, "token has no claims")
	case c.Channel != channel:
		return refuse(WrongChannel, "token is not for this channel")
	case left <= 0:
		return refuse(Expired, "token is expired")
	case c.NotBefore > now.Unix():
		return refuse(BadToken, "token is not valid yet")
	case (c.SingleUse != "" || c.Viewer != "") && left > int64((maxBound+skew)/time.Second):
		return refuse(BadToken, "%s must be at most %v ahead with %s or %s", claimExpires, maxBound, claimViewer, claimSingleUse)
	}
	return nil
}

// MarshalJSON writes the payload of a token, without the claims that are not set.
func (c Claims) MarshalJSON() ([]byte, error) {
	m := map[string]any{claimChannel: c.Channel.String(), claimExpires: c.Expires}
	set := func(name string, value any, isSet bool) {
		if isSet {
			m[name] = value
		}
	}
	set(claimNotBefore, c.NotBefore, c.NotBefore != 0)
	set(claimOrigins, strings.Join(c.Origins, ","), len(c.Origins) > 0)
	set(claimStrict, true, c.Strict)
	set(claimSingleUse, c.SingleUse, c.SingleUse != "")
	set(claimViewer, c.Viewer, c.Viewer != "")
	set(claimVersion, c.Version, c.Version != 0)
	set(claimResolution, c.MaxResolution, c.MaxResolution != "")
	set(claimAdsOptOut, true, c.Ads.OptOut)
	set(claimAdsParams, c.Ads.PlayerParams, len(c.Ads.PlayerParams) > 0)
	set(claimAdsConfig, c.Ads.ConfigName, c.Ads.ConfigName != "")
	set(claimAdsReports, c.Ads.Reporting, c.Ads.Reporting != "")
	return json.Marshal(m)
}

// members reads a JSON object whose names differ from each other.
func members(object []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(object) {
		return nil, refuse(BadToken, "token is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(object))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, refuse(BadToken, "token has something else where an object belongs")
	}
	all := map[string]json.RawMessage{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, refuse(BadToken, "token is not JSON")
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, refuse(BadToken, "token is not JSON")
		}
		key, _ := name.(string) // nothing else names a member
		if _, twice := all[key]; twice {
			return nil, refuse(BadToken, "token has a claim or a header twice")
		}
		all[key] = value
	}
	return all, nil
}

func text(name string, value json.RawMessage) (string, error) {
	var s *string
	if err := json.Unmarshal(value, &s); err != nil || s == nil {
		return "", refuse(BadToken, "%s is not a string", clip(name))
	}
	return *s, nil
}

func boolean(name string, value json.RawMessage, into *bool) error {
	switch string(value) {
	case "true", "false":
		*into = string(value) == "true"
		return nil
	}
	return refuse(BadToken, "%s is not a boolean", name)
}

func oneOf(name string, value json.RawMessage, into *string, values ...string) error {
	s, err := text(name, value)
	if err != nil {
		return err
	}
	for _, v := range values {
		if s == v {
			*into = s
			return nil
		}
	}
	return refuse(BadToken, "%s must be one of %s", name, strings.Join(values, ", "))
}

// seconds reads a NumericDate (RFC 7519 2): a number, however large.
func seconds(name string, value json.RawMessage, into *int64) error {
	if n, err := strconv.ParseInt(string(value), 10, 64); err == nil && n >= 0 {
		*into = n
		return nil
	}
	f, err := strconv.ParseFloat(string(value), 64)
	if err != nil || f < 0 || math.IsNaN(f) || math.IsInf(f, 0) {
		return refuse(BadToken, "%s is not a time in seconds", name)
	}
	if f >= math.MaxInt64 {
		*into = math.MaxInt64
	} else {
		*into = int64(f)
	}
	return nil
}

// isUUID reports whether s is a UUID in its text form (RFC 9562 4).
func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !strings.ContainsRune("0123456789abcdefABCDEF", rune(s[i])) {
				return false
			}
		}
	}
	return true
}

// clip bounds what an error repeats.
func clip(s string) string { return s[:min(len(s), 64)] }
