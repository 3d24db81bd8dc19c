package e2e

import (
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
)

// mayGrow is how much memory all attacks together may cost the server at their worst,
// in bytes. One that was not bounded could take gigabytes.
const mayGrow = 128 << 20

// TestHostileInput attacks a server on every side while one channel is live and one
// viewer watches it. The attacks get clear refusals; the stream and its viewer do not
// notice, and memory stays bounded.
func TestHostileInput(t *testing.T) {
	t.Parallel()
	srv := serve(t, dataDir(t))
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	id := streamID(t, srv.IVS(), ch)
	v := watch(t, *ch.PlaybackUrl)
	v.more(t, 2)
	before := peakMemory(t, srv)

	holdOpen(t, srv)
	t.Run("RTMP", func(t *testing.T) { attackRTMP(t, srv) })
	t.Run("publisher", func(t *testing.T) { attackAsPublisher(t, srv) })
	t.Run("API", func(t *testing.T) { attackAPI(t, srv) })
	t.Run("HTTP", func(t *testing.T) { attackHTTP(t, srv) })
	t.Run("playback", func(t *testing.T) { attackPlayback(t, srv, ch) })

	v.more(t, 3)
	if got := streamID(t, srv.IVS(), ch); got != id || !e.live() {
		t.Errorf("the channel's stream is %s, encoder connected: %t, want %s to go on", got, e.live(), id)
	}
	after := peakMemory(t, srv)
	t.Logf("peak resident memory: %d MiB before, %d MiB after", before>>20, after>>20)
	if after > before+mayGrow {
		t.Errorf("the attacks took %d MiB of memory, want at most %d", (after-before)>>20, mayGrow>>20)
	}
	e.finish()
	v.untilEnd(t)
	v.check(t)
}

var peak = regexp.MustCompile(`(?m)^VmHWM:\s+([0-9]+) kB$`)

// peakMemory is the most that the process has had resident, in bytes.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("no figures of memory here: %v", err)
	}
	m := peak.FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	kB, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kB << 10
}

// holdOpen opens connections that say half a sentence, and keeps them for the test.
// They are fewer than one address may have before it publishes.
func holdOpen(t *testing.T, srv *process) {
	t.Helper()
	const size = 1536 // of each packet of RTMP's handshake
	unfinished := "\x03" + string(make([]byte, 2*size))
	for id := range 2 { // all that may be open before publish: two messages of 60 KB, each less a byte
		unfinished += string([]byte{byte(3 + id), 0, 0, 0, 0, 60000 >> 8, 60000 & 0xff, byte(rtmp.TypeCommand), 0, 0, 0, 0}) + string(make([]byte, 128))
		for left := 60000 - 128 - 1; left > 0; left -= 128 {
			unfinished += string([]byte{0xc0 | byte(3+id)}) + string(make([]byte, min(left, 128)))
		}
	}
	post := "POST /CreateChannel HTTP/1.1\r\nHost: x\r\nContent-Length: 250000\r\n\r\n"
	for addr, say := range map[string][]string{
		srv.RTMP:  {"", "\x03", "\x03" + string(make([]byte, size)), unfinished},
		srv.RTMPS: {"", "\x16\x03\x01\x02\x00\x01"},
		srv.HTTP:  {"", "G", "GET / HTTP/1.1\r\nHost: x\r\nX: ", post, post + string(make([]byte, 200_000))},
	} {
		for i := range 60 {
			c := connect(t, addr)
			if _, err := c.Write([]byte(say[i%len(say)])); err != nil {
				t.Fatalf("half-open connection to %s: %v", addr, err)
			}
		}
	}
}

// connect opens a connection that lives as long as the test. Nothing on it takes
// longer than the server's longest patience.
func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(time.Minute))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// metric reads one sample of /metrics.
func metric(t *testing.T, srv *process, sample string) float64 {
	t.Helper()
	_, _, body := servertest.Get(t, srv.Base+"/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(sample) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		t.Fatalf("no metric %s", sample)
	}
	f, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}
