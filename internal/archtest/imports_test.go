package archtest

import (
	"slices"
	"strings"
	"testing"
)

// levels is the tree of docs/architecture.md. A package imports only packages of a
// lower level, and a subpackage its parent as well; a package that is neither here nor
// for tests only fails. Level 0 imports nothing but the standard library.
var levels = map[string]int{
	"internal/live":      0,
	"internal/hls":       0,
	"internal/cmaf":      0,
	"internal/mpegts":    0,
	"internal/id3":       0,
	"internal/rtmp":      0,
	"internal/srt":       0,
	"internal/lifecycle": 0,
	"internal/audience":  0,
	"internal/leanhttp":  0,

	"internal/config":     1,
	"internal/httpserver": 1,
	"internal/restjson":   1,
	"internal/sigv4":      1,
	"internal/iam":        1,
	"internal/quota":      1,
	"internal/apigen":     1,
	"internal/cert":       1,
	"internal/store":      1,
	"internal/bus":        1,
	"internal/blob":       1,
	"internal/ffmpeg":     1,
	"internal/media":      1,

	"internal/ivsapi":     2,
	"internal/audit":      2,
	"internal/chatapi":    2,
	"internal/event":      2,
	"internal/roster":     2,
	"internal/principal":  2,
	"internal/ingest":     2,
	"internal/meter":      2,
	"internal/series":     2,
	"internal/playback":   2,
	"internal/apigen/gen": 2, // the generator's command

	"internal/control":       3,
	"internal/sts":           3,
	"internal/packager":      3,
	"internal/multitrack":    3,
	"internal/ingest/rtmp":   3,
	"internal/ingest/srt":    3,
	"internal/demo":          3,
	"internal/transcode":     3,
	"internal/ingest/webrtc": 3,

	"internal/stream": 4,
	"internal/edge":   4,

	"internal/origin": 5,
	"internal/watch":  5,

	"internal/node": 6,

	"cmd/sluice": 7,
}

// owners names the packages that may know a technology: everything else reaches it
// through them, so that replacing it is a change in one place.
var owners = map[string][]string{
	"github.com/alecthomas/kong":            {"cmd/sluice", "internal/config"},
	"github.com/aws/aws-sdk-go-v2":          {"internal/blob"},
	"github.com/aws/smithy-go":              {"internal/sigv4", "internal/blob"},
	"github.com/jackc/pgx":                  {"internal/store"},
	"github.com/knadh/koanf":                {"internal/config"},
	"github.com/nats-io":                    {"internal/bus"},
	"github.com/pressly/goose":              {"internal/store"},
	"github.com/pion":                       {"internal/ingest/webrtc"},
	"github.com/golang-jwt":                 {"internal/playback"},
	"github.com/oschwald":                   {"internal/playback"},
	"gocloud.dev":                           {"internal/blob"},
	"modernc.org":                           {"internal/store"},
	"github.com/google/go-cmp":              nil,
	"github.com/bluenviron/mediacommon/v2/": {"internal/media"},
}

func TestImports(t *testing.T) {
	for _, p := range packages(t) {
		if isTestOnly(p.path) {
			continue
		}
		level, ok := levels[p.path]
		if !ok {
			t.Errorf("%s is in no level: put it into docs/architecture.md and levels", p.path)
			continue
		}
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module+"/")
			switch {
			case !ours && level == 0 && !standard(imp):
				t.Errorf("%s imports %s: level 0 has only the standard library", p.path, imp)
			case !ours:
			case isTestOnly(to):
				t.Errorf("%s imports %s, which is for tests", p.path, to)
			case strings.HasPrefix(p.path, to+"/"): // its parent
			case levels[to] >= level:
				t.Errorf("%s (level %d) imports %s (level %d): imports go to lower levels only", p.path, level, to, levels[to])
			}
		}
	}
}

// TestLevelsExist keeps levels from naming packages that are gone.
func TestLevelsExist(t *testing.T) {
	var have []string
	for _, p := range packages(t) {
		have = append(have, p.path)
	}
	for path := range levels {
		if !slices.Contains(have, path) {
			t.Errorf("levels names %s, which does not exist", path)
		}
	}
}

func TestTechnologyHasOneHome(t *testing.T) {
	for _, p := range packages(t) {
		if isTestOnly(p.path) {
			continue
		}
		for _, imp := range p.Imports {
			for tech, homes := range owners {
				if !strings.HasPrefix(imp, tech) {
					continue
				}
				if !slices.ContainsFunc(homes, func(home string) bool {
					return p.path == home || strings.HasPrefix(p.path, home+"/")
				}) {
					t.Errorf("%s imports %s, which is for %v", p.path, imp, homes)
				}
			}
		}
	}
}

// isTestOnly reports whether a package exists for tests: its name says so. It may
// import anything, and nothing but a test or another of its kind may import it.
func isTestOnly(path string) bool {
	return strings.HasSuffix(path, "test") || path == "internal/testmedia" || strings.HasPrefix(path, "test/")
}

// standard reports whether an import path is the standard library's: no dot in its
// first element.
func standard(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return !strings.Contains(first, ".")
}
