package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/servertest"
)

var update = flag.Bool("update", false, "write the tables of docs/compatibility.md; then review the diff")

// notes go into the table of operations as they are.
var notes = map[string]map[string]string{
	"ivs": {
		"BatchStartViewerSessionRevocation": "as `StartViewerSessionRevocation`; errors have the codes `403`, `404`, `400`",
		"CreateAdConfiguration":             "MediaTailor is AWS's: whether a playback configuration exists cannot be checked, only that its ARN is of the caller's account",
		"CreatePlaybackRestrictionPolicy":   "the model's 128 characters of an origin are 256, as IVS's quotas say",
		"CreateRecordingConfiguration":      "the bucket must be there on the configured S3, in whatever region; a directory makes it. Nothing is recorded yet",
		"GetStreamSession":                  "also of a channel that was deleted, for 60 days",
		"InsertAdBreak":                     "begins with the next picture; the playlists tell of it by `EXT-X-DATERANGE`, and the programme goes on: nothing fills it here",
		"ListChannels":                      "with its four filters",
		"ListPlaybackRestrictionPolicies":   "one a page by default, as on IVS",
		"ListStreamSessions":                "newest first; also of a channel that was deleted, for 60 days",
		"PutMetadata":                       "in the next part of every rendition, at one media time: ID3 `PRIV` in MPEG-TS, `emsg` in fragmented MP4. 1 KB are bytes of UTF-8",
		"StartViewerSessionRevocation":      "for channels with `authorized`; kept for 72 hours; ends sessions on every node within two seconds",
	},
}

// partial lists operations that answer and do not yet do all that they promise.
var partial = map[string]map[string]bool{}

// A tableRow is what TestConformance found of one operation.
type tableRow struct {
	operation, state string
	cases            int // requests whose answers showed it
}

// checkTable holds the table of a service in docs/compatibility.md against rows.
func checkTable(t *testing.T, service string, rows []tableRow) {
	t.Helper()
	var b bytes.Buffer
	fmt.Fprintf(&b, "| operation | state | cases | notes |\n|---|---|---:|---|\n")
	for _, r := range rows {
		note := notes[service][r.operation]
		if note != "" {
			note += " "
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s|\n", r.operation, r.state, r.cases, note)
	}
	const file = "../../docs/compatibility.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := []byte("<!-- operations of "+service+": written by test/e2e -->\n"), []byte("<!-- end -->\n")
	before, rest, ok := bytes.Cut(doc, begin)
	old, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("docs/compatibility.md has no %s...%s", begin, end)
	}
	if *update {
		doc = bytes.Join([][]byte{before, begin, b.Bytes(), end, after}, nil)
		if err := os.WriteFile(file, doc, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(string(old), b.String()); d != "" {
		t.Errorf("docs/compatibility.md; `go test ./test/e2e -run TestConformance -update` writes it (-want +got):\n%s", d)
	}
}

func TestUnknownPathsAreUnknownOperations(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	for name, c := range map[string]call{
		"no such operation":          {path: "/DropDatabase", body: []byte(`{}`)},
		"another case":               {path: "/createchannel", body: []byte(`{}`)},
		"another method":             {method: http.MethodGet, path: "/CreateChannel"},
		"a path below one":           {path: "/CreateChannel/x", body: []byte(`{}`)},
		"an operation of ivschat":    {path: "/CreateRoom", body: []byte(`{}`)},
		"tags of nothing":            {method: http.MethodGet, path: "/tags/"},
		"the root, signed":           {path: "/", body: []byte(`{}`)},
		"a path with a NUL":          {path: "/%00", body: []byte(`{}`)},
		"an operation with a slash":  {path: "/%2FCreateChannel", body: []byte(`{}`)},
		"ivs's operation in ivschat": {path: "/CreateChannel", body: []byte(`{}`), service: "ivschat"},
	} {
		t.Run(name, func(t *testing.T) {
			a := send(t, c.sign(t, srv, admin(srv)))
			if a.status != http.StatusNotFound || a.exception() != "UnknownOperationException" {
				t.Errorf("%d %s %s, want 404 UnknownOperationException", a.status, a.exception(), a.body)
			}
		})
	}
}
