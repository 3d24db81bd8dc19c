package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MaxSRTLatency is the longest delay of media over SRT that can be asked for, here or by
// an encoder.
const MaxSRTLatency = 10 * time.Second

// MinHLSPart is the shortest part target that can be asked for.
const MinHLSPart = 100 * time.Millisecond

// Validate returns nil or every rule that c breaks, each with its key and value.
func (c *Config) Validate() error {
	var errs []error
	rule := func(ok bool, key string, value any, want string) {
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %q: want %s", key, fmt.Sprint(value), want))
		}
	}

	rule(c.DataDir != "", "data-dir", c.DataDir, "a directory")
	rule(address(c.HTTP), "http", c.HTTP, "host:port")
	rule((c.TLSCert == "") == (c.TLSKey == ""), "tls-cert", c.TLSCert, "tls-cert and tls-key both or neither")
	rule(c.RTMP == "" || address(c.RTMP), "rtmp", c.RTMP, "host:port or nothing")
	rule(c.RTMPS == "" || address(c.RTMPS), "rtmps", c.RTMPS, "host:port or nothing")
	rule(c.RTMPURL == "" || ingestBase(c.RTMPURL, "rtmp"), "rtmp-url", Redact(string(c.RTMPURL)), "rtmp://host[:port]/app")
	rule(c.RTMPSURL == "" || ingestBase(c.RTMPSURL, "rtmps"), "rtmps-url", Redact(string(c.RTMPSURL)), "rtmps://host[:port]/app")
	rule(c.SRT == "" || address(c.SRT), "srt", c.SRT, "host:port or nothing")
	within(rule, "srt-latency", c.SRTLatency, 20*time.Millisecond, MaxSRTLatency)
	rule(c.WebRTC == "" || address(c.WebRTC), "webrtc", c.WebRTC, "host:port or nothing")
	rule(c.WebRTCTCP == "" || address(c.WebRTCTCP), "webrtc-tcp", c.WebRTCTCP, "host:port or nothing")
	rule(c.PublicURL == "" || base(c.PublicURL), "public-url", Redact(string(c.PublicURL)), "http(s)://host[:port][/path]")
	rule(c.CountryHeader == "" || only(c.CountryHeader, lower+upper+digits+"-"), "country-header", c.CountryHeader, "a header's name or nothing")
	rule(c.CountryHeader == "" || len(c.TrustedProxies) > 0, "country-header", c.CountryHeader, "trusted-proxies with it: nobody else is believed")
	within(rule, "max-connections", c.MaxConnections, 1, 1<<20)
	within(rule, "max-viewer-connections", c.MaxViewerConnections, 0, 1<<20)
	within(rule, "max-viewer-bandwidth", c.MaxViewerBandwidth, 0, 1<<20)
	within(rule, "max-publishers", c.MaxPublishers, 1, 1<<20)

	rule(len(c.Account) == 12 && only(c.Account, digits), "account", c.Account, "12 digits")
	rule(len(c.Region) <= 32 && only(c.Region, lower+digits+"-"), "region", c.Region, "1 to 32 lower-case letters, digits and -")

	rule(c.Store == "" || remote(c.Store, "postgres", "postgresql"), "store", Redact(c.Store), "postgres://... or nothing")
	rule(c.Bus == "" || cluster(c.Bus), "bus", Redact(c.Bus), "nats://host[,host...] or tls://host[,host...] or nothing")
	rule(c.Blob == "" || remote(c.Blob, "s3"), "blob", Redact(c.Blob), "s3://bucket?... or nothing")

	rule(c.Quotas != "", "quotas", c.Quotas, "self-hosted, aws or a file")

	rule(c.IngestLimits == "ivs" || c.IngestLimits == "off", "ingest-limits", c.IngestLimits, "ivs or off")
	within(rule, "metric-channels", c.MetricChannels, 0, 100000)

	rule(c.Audit != "", "audit", c.Audit, "on, off or a directory")
	within(rule, "store-cache", c.StoreCache, 0, 64<<30)
	within(rule, "edge-cache", c.EdgeCache, 1<<20, 1<<40)
	within(rule, "audit-max-size", c.AuditMaxSize, 64<<10, 16<<30)
	within(rule, "audit-max-files", c.AuditMaxFiles, 2, 100000)

	rule(len(c.Roles) > 0, "roles", "", "at least one role")
	for _, r := range c.Roles {
		rule(every().Has(r), "roles", r, "all or a list of "+join(every()))
	}
	rule(c.Node == "" || len(c.Node) <= 63 && only(c.Node, lower+upper+digits+"-_"), "node", c.Node, "1 to 63 letters, digits, - and _")
	rule(c.OriginURL == "" || base(c.OriginURL), "origin-url", Redact(string(c.OriginURL)), "http(s)://host[:port][/path]")

	within(rule, "hls-part", c.HLSPart, MinHLSPart, 2*time.Second)
	within(rule, "hls-window", c.HLSWindow, 6*time.Second, 10*time.Minute)
	within(rule, "hls-keep", c.HLSKeep, time.Second, 10*time.Minute)
	rule(slices.Contains([]string{"x264", "vaapi", "nvenc", "qsv", "off"}, c.Transcode), "transcode", c.Transcode, "x264, vaapi, nvenc, qsv or off")
	within(rule, "transcode-capacity", c.TranscodeCapacity, 0, 1<<20)
	rule(c.PlaybackURLForm == "ivs" || c.PlaybackURLForm == "short", "playback-url-form", c.PlaybackURLForm, "ivs or short")

	within(rule, "drain-timeout", c.DrainTimeout, time.Second, 10*time.Minute)
	rule(slices.Contains([]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}, c.LogLevel), "log-level", c.LogLevel, "DEBUG, INFO, WARN or ERROR")
	rule(c.LogFormat == "json" || c.LogFormat == "text", "log-format", c.LogFormat, "json or text")
	return errors.Join(errs...)
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

func only(s, set string) bool { return s != "" && strings.Trim(s, set) == "" }

func within[T cmp.Ordered](rule func(bool, string, any, string), key string, v, low, high T) {
	rule(low <= v && v <= high, key, v, fmt.Sprintf("%v to %v", low, high))
}

// address reports whether s is something to listen on.
func address(s string) bool {
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func base(s URL) bool {
	u, err := url.Parse(string(s))
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery
}

// ingestBase reports whether s is the URL of our application, without a stream key.
func ingestBase(s URL, scheme string) bool {
	u, err := url.Parse(string(s))
	return err == nil && u.Scheme == scheme && u.Hostname() != "" && u.Path == "/app" &&
		u.User == nil && u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery
}

func remote(s string, schemes ...string) bool {
	u, err := url.Parse(s)
	return err == nil && slices.Contains(schemes, u.Scheme) && u.Host != ""
}

// cluster reports whether s is a list of NATS servers; only the first needs a scheme.
func cluster(s string) bool {
	for i, one := range strings.Split(s, ",") {
		if i > 0 && !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		if !remote(one, "nats", "tls") {
			return false
		}
	}
	return true
}
