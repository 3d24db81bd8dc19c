//go:build linux

package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/test/load/internal/publish"
)

func TestTable(t *testing.T) {
	var tab table
	for _, x := range []float64{90, 80, 100} {
		tab.add("ours", []value{{title: "latency", unit: "ms", x: x, decimals: 1}, {title: "errors", x: 0}})
	}
	tab.add("theirs", []value{{title: "latency", unit: "ms", x: 120, decimals: 1, noise: 0.5}, {title: "errors", x: 2}})
	tab.add("ours", []value{{title: "join", unit: "ms", x: 9}})
	tab.add("theirs", []value{{title: "join", unit: "ms", x: 3034}})
	tab.add("ours", []value{{title: "only ours", unit: "MB", x: 7}})
	var b strings.Builder
	if err := tab.write(&b, "here and now", []string{"ours", "theirs"}); err != nil {
		t.Fatal(err)
	}
	want := `here and now

| measure | unit | ours | theirs | ours / theirs |
|---|---|---:|---:|---:|
| latency | ms | 90.0 (80.0–100.0) | 120.0 ~ | 0.75 |
| errors |  | 0 | 2 | – |
| join | ms | 9 | 3034 | 0.003 |
| only ours | MB | 7 | – | – |

~ others used more than 0.35 cores of the machine in a run.
`
	if d := cmp.Diff(want, b.String()); d != "" {
		t.Errorf("table (-want +got):\n%s", d)
	}
	path := filepath.Join(t.TempDir(), "out.json")
	if err := tab.save(path); err != nil {
		t.Fatal(err)
	}
	var rows []row
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &rows) != nil || len(rows) != 4 || len(rows[0].Values["ours"]) != 3 {
		t.Errorf("saved %s, %v", text, err)
	}
}

func TestPick(t *testing.T) {
	for name, tt := range map[string]struct {
		only string
		want int // measurements; 0 is an error
	}{
		"all":          {"", len(names())},
		"two":          {"startup,latency", 2},
		"one, unknown": {"startup,speed", 0},
	} {
		t.Run(name, func(t *testing.T) {
			ms, err := pick(tt.only)
			if len(ms) != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("pick(%q) = %d measurements, %v, want %d", tt.only, len(ms), err, tt.want)
			}
		})
	}
}

func TestRunRefusesNothingToDo(t *testing.T) {
	for name, c := range map[string]config{
		"no runs":        {streams: 1, viewers: 1, duration: time.Second},
		"no time":        {runs: 1, streams: 1, viewers: 1},
		"an unknown one": {runs: 1, streams: 1, viewers: 1, duration: time.Second, only: "speed"},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(t.Context(), c, io.Discard, io.Discard); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestTool(t *testing.T) {
	b := &bench{dir: t.TempDir()}
	script(t, filepath.Join(b.dir, "good"), `echo '{"streams":'$N'}'`)
	script(t, filepath.Join(b.dir, "bad"), `echo '{"streams":1}'; echo bad: refused >&2; exit 1`)
	script(t, filepath.Join(b.dir, "silent"), `exit 1`)
	script(t, filepath.Join(b.dir, "interrupted"), `trap 'echo "{\"streams\":9}"; exit 0' INT; touch `+b.dir+`/started; while :; do sleep 0.05; done`)

	if r, err := tool[publish.Result](t.Context(), b, []string{"N=7"}, "good"); err != nil || r.Streams != 7 {
		t.Errorf("a good tool: %+v, %v", r, err)
	}
	if r, err := tool[publish.Result](t.Context(), b, nil, "bad"); err == nil || err.Error() != "bad: refused" || r.Streams != 1 {
		t.Errorf("a failing tool: %+v, %v, want its result and its words", r, err)
	}
	if _, err := tool[publish.Result](t.Context(), b, nil, "silent"); err == nil {
		t.Error("a tool without result: no error")
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for ok := false; !ok && ctx.Err() == nil; ok, _ = exists(filepath.Join(b.dir, "started"))() {
			time.Sleep(time.Millisecond) // the trap is set by a process of its own
		}
	}()
	if r, err := tool[publish.Result](ctx, b, nil, "interrupted"); err != nil || r.Streams != 9 {
		t.Errorf("an interrupted tool: %+v, %v, want what it printed", r, err)
	}
}
