// Package browser plays a stream in Chromium, from a Go test, with hls.js, Shaka Player,
// the stock IVS player or on our own watch page, and says how it went. The work is done
// by play.mjs, which can be run by hand too; README.md describes both. It knows
// nothing of the server: it is given a URL.
package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/e2e/npm"
)

// Require is the environment variable that turns a missing browser, node or npm
// package from a skipped test into a failed one.
const Require = "SLUICE_TEST_REQUIRE_CHROMIUM"

// The players.
const (
	HLSJS = "hlsjs" // hls.js with its low-latency mode
	Shaka = "shaka" // Shaka Player with its low-latency mode
	IVS   = "ivs"   // amazon-ivs-player
	Watch = "watch" // our own page; the URL is that of the page
)

// Options say what to play. Zero means the default named on each field.
type Options struct {
	Player  string          // HLSJS, Shaka, IVS or Watch
	URL     string          // playback URL, or the page's for Watch
	Seconds int             // to measure after the first frame; 0 means 10
	Timeout int             // seconds until the first frame; 0 means 20
	Clock   bool            // read testmedia's code from the picture
	Rate    int             // frames per second of the encoder; 0 when not known
	Until   string          // end when the player went through these states, "live,offline"; or at its "error"
	Config  string          // JSON, merged into the options of hls.js or Shaka Player
	Steps   []Step          // what to do to the player meanwhile, in order of time
	Started chan<- struct{} // closed at the first frame, or at the end without one; may be nil
	Shot    string          // write a PNG of the page here at the end
	Size    string          // of the page, "1280x960"; "" means that
	Page    *Page           // serves the page; nil means one of another origin each time
}

// A Step is something done to a player that plays.
type Step struct {
	At     float64 `json:"at"`               // seconds after the first frame
	Height *int    `json:"height,omitempty"` // choose the quality of that shorter edge; 0 leaves it to the player; nil changes nothing
	Kbps   *int    `json:"kbps,omitempty"`   // let the page load no faster than that; 0 ends it; nil changes nothing. The IVS player's worker is out of reach
}

// A Page is where pages are served, for tests of what depends on their origin.
type Page struct {
	Origin string   // "http://127.0.0.1:1234"
	socket *os.File // that listens
}

// NewPage returns a Page on a free port, until the test ends.
func NewPage(t testing.TB) *Page {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // the file is another handle on it
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return &Page{"http://" + ln.Addr().String(), f}
}

// A Result is what happened. Times are from the start of the page's load.
type Result struct {
	Player   string
	Chromium string
	Reached  *bool // whether Until was reached; nil without one

	StartMs       *float64 // first frame on screen; nil when there was none
	PlayingMs     *float64
	PlayedSeconds float64 // since the first frame

	Waiting   int // times the picture stopped for lack of data, after the start
	Stalls    []Stall
	StalledMs float64
	Ended     bool
	Errors    []Fault

	Latency  *Latency // from the picture; nil without Clock
	Reported struct {
		Samples                                int
		MedianSeconds, P95Seconds, LastSeconds *float64
	} `json:"reportedLatency"` // by the player itself
	Frames Frames
	Sizes  []Size // of the picture, each time they changed
	// DriftFrames is by how much the numbers in the pictures and their places on the player's
	// timeline moved against each other: nothing, where renditions are aligned and every
	// picture is where it belongs. It is nil without Clock and Rate.
	DriftFrames *float64
	LowLatency  *bool
	Qualities   []Quality
	States      []State

	Cues      []Cue
	SyncAgeMs *float64 // how old the picture was at the end, by the IVS player's sync time; nil without one

	External []string // hosts beyond this machine that the page asked for; none was reached
	Console  []string // errors of the page
}

// String is the result as JSON, for a test's log.
func (r Result) String() string {
	b, err := json.Marshal(r)
	if err != nil {
		return err.Error()
	}
	return string(b)
}

// Latency is how old frames were when they came on screen.
type Latency struct {
	Samples, Unread               int // Unread: frames without a readable code
	MedianMs, P95Ms, MinMs, MaxMs *float64
	PerSecondMs                   []*float64 // medians
}

// Frames counts pictures. First, Last, Backwards and Skipped are by the numbers in
// the pictures; Skipped includes those that the page had no time to look at.
type Frames struct {
	Presented, Decoded, Dropped int
	Width, Height               int
	LastAt                      int64   // when the last one came on screen; milliseconds since 1970
	MaxGapMs                    float64 // longest time between two on screen
	First, Last                 *uint32
	Backwards, Skipped          int
}

// Size is that of the picture from a time on.
type Size struct {
	AtMs          float64
	Width, Height int
}

// Stall is one stop for lack of data.
type Stall struct{ AtMs, Ms float64 }

// State is a change of the player's state, in its own words.
type State struct {
	AtMs  float64
	State string
}

// Fault is an error of the player, in its own words.
type Fault struct {
	AtMs                  float64
	Type, Source, Message string
	Code                  int
	Fatal                 bool
}

// Cue is a piece of timed metadata that the page got.
type Cue struct {
	At          int64   // Unix ms
	StartTime   float64 // seconds of the player's timeline
	Owner, Text string
}

// Quality is one rendition as the player lists it.
type Quality struct {
	Name, Codecs  string
	Width, Height int
	FrameRate     float64
	BitRate       float64 // bits per second
}

// Play plays and returns what happened, whatever it was; it fails the test only when
// the browser could not be driven. Chromium has ended when it returns.
func Play(t testing.TB, o Options) Result {
	t.Helper()
	if o.Seconds == 0 {
		o.Seconds = 10
	}
	if o.Timeout == 0 {
		o.Timeout = 20
	}
	dir := install(t)
	args := []string{
		"play.mjs", "--player", o.Player, "--url", o.URL,
		"--seconds", strconv.Itoa(o.Seconds), "--timeout", strconv.Itoa(o.Timeout),
	}
	if o.Clock {
		args = append(args, "--clock", "--rate", strconv.Itoa(o.Rate))
	}
	for flag, value := range map[string]string{"--until": o.Until, "--config": o.Config, "--screenshot": o.Shot, "--size": o.Size} {
		if value != "" {
			args = append(args, flag, value)
		}
	}
	if len(o.Steps) > 0 {
		b, err := json.Marshal(o.Steps)
		if err != nil {
			t.Fatal(err)
		}
		args = append(args, "--steps", string(b))
	}
	limit := time.Duration(o.Seconds+o.Timeout+60) * time.Second
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", args...)
	cmd.Dir = dir
	if o.Page != nil {
		cmd.Args = append(cmd.Args, "--fd", "3") // the first of ExtraFiles
		cmd.ExtraFiles = []*os.File{o.Page.socket}
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it takes Chromium with it
	cmd.WaitDelay = 5 * time.Second
	var out bytes.Buffer
	said := &announcer{started: o.Started}
	cmd.Stdout, cmd.Stderr = &out, said
	err := cmd.Run()
	said.announce()
	if err != nil {
		t.Fatalf("browser: %v: %s", err, said.buf.String())
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("browser: result %q: %v", out.String(), err)
	}
	return r
}

// announcer keeps what play.mjs says and closes started at its first line, which
// tells of the first frame. One goroutine writes; it has ended before Play goes on.
type announcer struct {
	started chan<- struct{}
	buf     bytes.Buffer
}

func (a *announcer) Write(b []byte) (int, error) {
	n, err := a.buf.Write(b)
	if bytes.Contains(a.buf.Bytes(), []byte("browser: ")) {
		a.announce()
	}
	return n, err
}

func (a *announcer) announce() {
	if a.started != nil {
		close(a.started)
		a.started = nil
	}
}

// install returns this directory, with its npm packages in place. Without Chromium,
// node or the packages it skips the test.
func install(t testing.TB) string {
	t.Helper()
	dir, err := ready(t.Context())
	if err != nil && os.Getenv(Require) != "" {
		t.Fatalf("browser: %v (%s is set)", err, Require)
	}
	if err != nil {
		t.Skipf("browser: %v", err)
	}
	return dir
}

func ready(ctx context.Context) (string, error) {
	chromium := os.Getenv("CHROMIUM")
	if chromium == "" {
		chromium = "/usr/bin/chromium"
	}
	if _, err := exec.LookPath(chromium); err != nil {
		return "", err
	}
	dir, err := home()
	if err != nil {
		return "", err
	}
	return dir, npm.Install(ctx, dir)
}

// home is this directory, found from that of the test: what the compiler noted of it may
// be trimmed.
func home() (string, error) {
	at, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return filepath.Join(at, "test", "e2e", "browser"), nil
		}
		up := filepath.Dir(at)
		if up == at {
			return "", errors.New("the test runs outside of the module")
		}
		at = up
	}
}
