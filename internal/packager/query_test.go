package packager

import (
	"errors"
	"strings"
	"testing"
)

func TestParsePlaylistQuery(t *testing.T) {
	for name, tt := range map[string]struct {
		query string
		want  PlaylistRequest
		ok    bool
	}{
		"nothing":                       {"", PlaylistRequest{MSN: -1, Part: -1}, true},
		"segment and part":              {"_HLS_msn=12&_HLS_part=3", PlaylistRequest{MSN: 12, Part: 3}, true},
		"segment alone":                 {"_HLS_msn=0", PlaylistRequest{MSN: 0, Part: -1}, true},
		"any order, others ignored":     {"token=a%3Db&_HLS_part=0&x&_HLS_skip=YES&_HLS_msn=7&=", PlaylistRequest{MSN: 7, Part: 0, Skip: true}, true},
		"skip with date ranges":         {"_HLS_skip=v2", PlaylistRequest{MSN: -1, Part: -1, Skip: true, SkipDateRanges: true}, true},
		"a directive of tomorrow":       {"_HLS_report=x", PlaylistRequest{MSN: -1, Part: -1}, true},
		"part without segment":          {"_HLS_part=1", PlaylistRequest{}, false},
		"a negative segment":            {"_HLS_msn=-1", PlaylistRequest{}, false},
		"a segment with a sign":         {"_HLS_msn=%2B1", PlaylistRequest{}, false},
		"an empty segment":              {"_HLS_msn=", PlaylistRequest{}, false},
		"a segment beyond counting":     {"_HLS_msn=9999999999999999", PlaylistRequest{}, false},
		"a part beyond counting":        {"_HLS_msn=1&_HLS_part=2000000000", PlaylistRequest{}, false},
		"a segment twice":               {"_HLS_msn=1&_HLS_msn=2", PlaylistRequest{}, false},
		"skip twice":                    {"_HLS_skip=YES&_HLS_skip=YES", PlaylistRequest{}, false},
		"a skip we do not know":         {"_HLS_skip=NO", PlaylistRequest{}, false},
		"a query longer than any token": {"token=" + strings.Repeat("a", maxQuery), PlaylistRequest{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePlaylistQuery(tt.query)
			if (err == nil) != tt.ok || tt.ok && got != tt.want || err != nil && !errors.Is(err, ErrBadRequest) {
				t.Errorf("ParsePlaylistQuery(%q) = %+v, %v; want %+v, ok=%t", tt.query, got, err, tt.want, tt.ok)
			}
		})
	}
}

// Whatever a client sends is refused as a bad request, or asks for something that a
// playlist can be compared with.
func FuzzParsePlaylistQuery(f *testing.F) {
	for _, q := range []string{
		"", "_HLS_msn=12&_HLS_part=3&_HLS_skip=v2", "_HLS_part=3", "_HLS_msn=\x00", "&&&===", "_HLS_msn=%31", "_HLS_msn=٣",
	} {
		f.Add(q)
	}
	r := newRendition(f, Config{LowLatency: true})
	src := &source{Num: 30, GOP: 30}
	feed(f, r, src, 3_000_000_000)
	s := r.snap.Load()
	f.Fuzz(func(t *testing.T, raw string) {
		req, err := ParsePlaylistQuery(raw)
		if err != nil {
			if !errors.Is(err, ErrBadRequest) {
				t.Errorf("ParsePlaylistQuery(%q): %v", raw, err)
			}
			return
		}
		if req.MSN < -1 || req.Part < -1 || req.Part >= 0 && req.MSN < 0 || req.SkipDateRanges && !req.Skip {
			t.Errorf("ParsePlaylistQuery(%q) = %+v", raw, req)
		}
		if req.MSN >= 0 {
			if _, err := s.has(req.MSN, req.Part); err != nil && !errors.Is(err, ErrBadRequest) {
				t.Errorf("has(%+v): %v", req, err)
			}
		}
	})
}
