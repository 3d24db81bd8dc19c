package packager

import (
	"fmt"
	"strconv"
	"strings"
)

// Bounds of a query.
const (
	maxQuery  = 8 << 10 // bytes; a playback token is up to 2 KB
	maxDigits = 15
)

// ParsePlaylistQuery reads the delivery directives of a media playlist's URL
// (rfc8216bis 6.2.5). Other parameters are ignored. It fails with ErrBadRequest.
func ParsePlaylistQuery(raw string) (PlaylistRequest, error) {
	req := PlaylistRequest{MSN: -1, Part: -1}
	if len(raw) > maxQuery {
		return req, fmt.Errorf("%w: query of %d bytes", ErrBadRequest, len(raw))
	}
	skip := false
	for p := range strings.SplitSeq(raw, "&") {
		name, v, _ := strings.Cut(p, "=")
		again := false
		switch name {
		case "_HLS_msn":
			n, ok := number(v)
			if again = req.MSN >= 0; !ok {
				return req, fmt.Errorf("%w: _HLS_msn is not a number", ErrBadRequest)
			}
			req.MSN = n
		case "_HLS_part":
			n, ok := number(v)
			if again = req.Part >= 0; !ok || n > 1<<30 {
				return req, fmt.Errorf("%w: _HLS_part is not a number", ErrBadRequest)
			}
			req.Part = int(n)
		case "_HLS_skip":
			if again = skip; v != "YES" && v != "v2" {
				return req, fmt.Errorf("%w: _HLS_skip is neither YES nor v2", ErrBadRequest)
			}
			skip, req.Skip, req.SkipDateRanges = true, true, v == "v2"
		}
		if again {
			return req, fmt.Errorf("%w: %s twice", ErrBadRequest, name)
		}
	}
	if req.Part >= 0 && req.MSN < 0 {
		return req, fmt.Errorf("%w: _HLS_part without _HLS_msn", ErrBadRequest)
	}
	return req, nil
}

// number reads plain decimal digits.
func number(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
