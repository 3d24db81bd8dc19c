package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/edge"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/playback"
	"github.com/sluice-live/sluice/internal/servertest"
)

// counted is the sum of a counter of a node over all its labels.
func counted(t testing.TB, node *process, name string) (sum float64) {
	t.Helper()
	_, _, body := servertest.Get(t, node.Base+"/metrics")
	for s := bufio.NewScanner(bytes.NewReader(body)); s.Scan(); {
		metric, value, _ := strings.Cut(s.Text(), " ")
		if i := strings.IndexByte(metric, '{'); i >= 0 {
			_, value, _ = strings.Cut(s.Text(), "} ")
			metric = metric[:i]
		}
		if metric == name {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// through is the playback URL of a channel at a node, where it must play.
func through(t testing.TB, node *process, url string) string {
	t.Helper()
	i := strings.Index(url, "/live-video.net/")
	if i < 0 {
		t.Fatalf("playback URL %s", url)
	}
	url = node.Base + url[i:]
	servertest.Eventually(t, "the channel plays at "+node.Base, func() bool {
		status, _, _ := servertest.Get(t, url)
		return status == http.StatusOK
	})
	return url
}

// views waits until a node says that so many watch a channel.
func views(t testing.TB, node *process, ch servertest.Channel, want int64) {
	t.Helper()
	var got int64
	defer func() {
		if got != want {
			t.Errorf("GetStream at %s has %d viewers, want %d", node.Base, got, want)
		}
	}()
	servertest.Eventually(t, "all viewers are counted", func() bool {
		out, err := node.IVS().GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		got = out.Stream.ViewerCount
		return got == want
	})
}

// One node has the encoders, the other one the viewers.
func TestEdge(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	dir := dataDir(t)
	a := c.join(t, dir, "--roles", "control,media")
	b := c.join(t, dataDir(t), "--roles", "control,edge")
	if b.RTMP != "" || b.SRT != "" {
		t.Errorf("a node without the media role takes encoders at %q and %q", b.RTMP, b.SRT)
	}

	ts, mp4 := a.NewChannel(t), a.NewChannel(t, servertest.MP4)
	lost := broadcast(t, a.RTMPURL(ts))
	broadcast(t, a.RTMPURL(mp4))
	url := through(t, b, *ts.PlaybackUrl)
	first := watch(t, url)

	t.Run("every frame, in both containers", func(t *testing.T) {
		v := watch(t, through(t, b, *mp4.PlaybackUrl))
		v.more(t, 4)
		first.more(t, 1)
		for _, v := range []*viewer{v, first} {
			v.check(t)
			if !strings.HasPrefix(v.playlist, b.Base+"/") {
				t.Errorf("the viewer was sent to %s", v.playlist)
			}
		}
	})

	t.Run("many viewers are one to the origin", func(t *testing.T) {
		const many, segments = 200, 5
		requests := func() float64 { return counted(t, a, "sluice_playback_node_requests_total") }
		before := requests()
		first.more(t, segments)
		alone := requests() - before
		all := make([]*viewer, many)
		for i := range all {
			all[i] = follow(t, first.playlist)
		}
		have := func(n int) {
			servertest.Eventually(t, "all viewers have "+strconv.Itoa(n)+" segments", func() bool {
				return !slices.ContainsFunc(all, func(v *viewer) bool { return v.segments() < n })
			})
		}
		have(2)
		before = requests()
		first.more(t, segments)
		crowd := requests() - before
		have(2 + segments)
		t.Logf("%d segments took %v requests to the origin for one viewer, %v for %d", segments, alone, crowd, many+1)
		if crowd > alone+2*segments { // the mp4 channel's viewer has come and gone meanwhile, and the clock is not exact
			t.Errorf("%d segments took %v requests to the origin for one viewer, %v for %d", segments, alone, crowd, many+1)
		}
		if n := counted(t, a, "sluice_playback_refused_total"); n > 0 {
			t.Errorf("the origin refused %v requests", n)
		}
	})

	t.Run("low latency, through an edge that is nothing else", func(t *testing.T) {
		alone := c.join(t, dataDir(t), "--roles", "edge")
		far := variantURL(t, through(t, alone, *ts.PlaybackUrl))
		near := a.Base + strings.TrimPrefix(far, alone.Base)
		_, _, text := servertest.Get(t, far)
		pl, err := hls.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		// What is still to come: the end of a playlist, one part of a segment, and the next
		// segment from its first part on.
		next := pl.Sequence + int64(len(pl.Segments)) + 1
		for _, file := range []string{
			fmt.Sprintf("index.m3u8?_HLS_msn=%d&_HLS_part=1", next),
			fmt.Sprintf("%d.1.ts", next),
			fmt.Sprintf("%d.ts", next+1),
		} {
			got := make(chan []byte, 2)
			for _, base := range []string{far, near} {
				go func() { // ends with its answer
					status, body, err := fetch(t.Context(), resolve(base, file))
					if err != nil || status != http.StatusOK || len(body) == 0 {
						t.Errorf("%s: %d, %v", resolve(base, file), status, err)
					}
					got <- body
				}()
			}
			one, two := <-got, <-got
			if strings.HasSuffix(file, ".ts") && !bytes.Equal(one, two) {
				t.Errorf("%s has %d bytes at one node and %d at the other", file, len(one), len(two))
			}
			if strings.HasPrefix(file, "index") && !bytes.Contains(one, []byte("#EXT-X-PART:")) {
				t.Errorf("%s at one of the nodes:\n%s", file, one)
			}
		}
	})

	t.Run("a private channel", func(t *testing.T) {
		key := signer(t, a.IVS())
		ch := a.NewChannel(t, private)
		broadcast(t, a.RTMPURL(ch))
		var v *viewer
		servertest.Eventually(t, "the private channel plays", func() bool {
			status, _, _ := servertest.Get(t, withToken(t, key, ch))
			return status == http.StatusOK
		})
		viewer := func(id string) func(*playback.Claims) { return func(c *playback.Claims) { c.Viewer = id } }
		for _, id := range []string{"ann", "bob", "cid"} {
			v = watch(t, through(t, b, withToken(t, key, ch, viewer(id))))
			v.more(t, 1)
		}
		bare := b.Base + (*ch.PlaybackUrl)[strings.Index(*ch.PlaybackUrl, "/live-video.net/"):]
		if status, _, _ := servertest.Get(t, bare); status != http.StatusForbidden {
			t.Errorf("without a token: %d, want 403", status)
		}
		views(t, a, ch, 3)
		views(t, b, ch, 3)

		// Who is no node gets nothing by saying that he is one.
		media := v.playlist[len(b.Base)+len(edge.LivePrefix):]
		_, media, _ = strings.Cut(media, "/") // the session
		for name, header := range map[string]string{
			"nothing":  "",
			"a guess":  "v1 " + strconv.FormatInt(time.Now().Unix(), 10) + " " + strings.Repeat("00", 32),
			"no time":  "v1 x " + strings.Repeat("00", 32),
			"no words": "node",
		} {
			for _, node := range []*process{a, b} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.Base+edge.LivePrefix+media, http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header[edge.Header] = []string{header}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != http.StatusForbidden {
					t.Errorf("the header of a node with %s: %d, want 403", name, resp.StatusCode)
				}
			}
		}
	})

	t.Run("the origin dies and comes back", func(t *testing.T) {
		a.kill(t)
		<-lost.over
		began := time.Now()
		a = c.join(t, dir, "--roles", "control,media")
		broadcast(t, a.RTMPURL(ts))
		servertest.Eventually(t, "the channel plays again", func() bool {
			status, _, body := servertest.Get(t, url)
			return status == http.StatusOK && !bytes.Contains(body, []byte(strings.Split(first.playlist[len(b.Base):], "/")[3]))
		})
		t.Logf("plays again after %v", time.Since(began))
		v := watch(t, url)
		v.more(t, 3)
		v.check(t)
	})
}
