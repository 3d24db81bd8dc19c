package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/pgtest"
)

// requireNATS names the environment variable that turns a missing nats-server from a
// reason to skip into a failure. CI sets it.
const requireNATS = "SLUICE_TEST_REQUIRE_NATS"

// natsServer starts the NATS server of this machine on a free port and returns its URL.
// The end of the test stops it.
func natsServer(t *testing.T) string {
	t.Helper()
	binary := ""
	for _, name := range []string{"nats-server", "/usr/sbin/nats-server"} { // Debian's is not in every PATH
		if path, err := exec.LookPath(name); err == nil {
			binary = path
			break
		}
	}
	if binary == "" && os.Getenv(requireNATS) != "" {
		t.Fatalf("no nats-server on this machine, and %s is set", requireNATS)
	} else if binary == "" {
		t.Skip("no nats-server on this machine (Debian: apt-get install nats-server)")
	}
	dir := t.TempDir()
	cmd := exec.Command(binary, "-a", "127.0.0.1", "-p", "-1", "-js", "-sd", dir, "--ports_file_dir", dir)
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // reports the kill
	})
	file := filepath.Join(dir, fmt.Sprintf("%s_%d.ports", filepath.Base(binary), cmd.Process.Pid))
	var ports struct{ Nats []string }
	servertest.Eventually(t, "nats-server listens", func() bool {
		b, err := os.ReadFile(file)
		return err == nil && json.Unmarshal(b, &ports) == nil && len(ports.Nats) > 0
	})
	return ports.Nats[0]
}

// A cluster is what nodes share.
type cluster struct{ database, bus string }

func newCluster(t *testing.T) cluster {
	t.Helper()
	return cluster{bus: natsServer(t), database: pgtest.Start(t).Database(t)}
}

// join starts a node on a data directory.
func (c cluster) join(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return serve(t, dir, append([]string{"--store", c.database, "--bus", c.bus}, args...)...)
}

func (c cluster) store(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(t.Context(), c.database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// owner asks a node for a playback URL of a channel that is live on another, and
// returns where that leads.
func owner(t *testing.T, node *process, playbackURL string) string {
	t.Helper()
	u, err := url.Parse(playbackURL)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, node.Base+u.Path+"?pbac=true&token=a%2Bb", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req) // which follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	to := resp.Header.Get("Location")
	if resp.StatusCode != http.StatusTemporaryRedirect || !strings.HasSuffix(to, u.Path+"?pbac=true&token=a%2Bb") ||
		resp.Header.Get("Access-Control-Allow-Origin") != "*" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("playback at a node that is not the owner: %d to %q, want 307 with path and query", resp.StatusCode, to)
	}
	return to
}

// offline waits until a node knows that the channel is not live.
func offline(t *testing.T, node *process, ch servertest.Channel) {
	t.Helper()
	servertest.Eventually(t, "the channel is not live for "+node.Base, func() bool {
		_, err := node.IVS().GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
		if _, ok := errors.AsType[*types.ChannelNotBroadcasting](err); err != nil && !ok {
			t.Fatal(err)
		}
		return err != nil
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	news := followEvents(t, c.bus)
	const roles = "control,media" // no edge: viewers are sent to the owner
	a, dir := c.join(t, dataDir(t), "--roles", roles), dataDir(t)
	b := c.join(t, dir, "--roles", roles)

	ch := a.NewChannel(t)
	got, err := b.IVS().GetChannel(t.Context(), &ivs.GetChannelInput{Arn: ch.Arn})
	if err != nil || *got.Channel.Arn != *ch.Arn {
		t.Fatalf("a channel of one node on the other: %+v, %v", got, err)
	}

	e := broadcast(t, b.RTMPURL(ch))
	here, there := liveStream(t, a.IVS(), ch), liveStream(t, b.IVS(), ch)
	if *here.StreamId != *there.StreamId || !here.StartTime.Equal(*there.StartTime) {
		t.Errorf("GetStream: %s at one node, %s at the other", *here.StreamId, *there.StreamId)
	}
	list, err := a.IVS().ListStreams(t.Context(), &ivs.ListStreamsInput{})
	if err != nil || len(list.Streams) != 1 || *list.Streams[0].StreamId != *there.StreamId {
		t.Errorf("ListStreams at the other node: %+v, %v", list, err)
	}

	t.Run("viewers are sent to the owner", func(t *testing.T) {
		to := owner(t, a, *ch.PlaybackUrl)
		if !strings.HasPrefix(to, b.Base+"/") {
			t.Errorf("redirected to %s, want %s", to, b.Base)
		}
		watch(t, to).more(t, 2)
	})
	t.Run("a second publisher is refused on every node", func(t *testing.T) {
		for _, node := range []*process{a, b} {
			if s := refused(t, node.RTMPURL(ch)); s.Code != rtmp.CodeBadName || !strings.Contains(s.Description, "already live") {
				t.Errorf("refused with %+v, want %s: already live", s, rtmp.CodeBadName)
			}
		}
		if s := refused(t, a.RTMPURL(ch)+"?priority=9"); !strings.Contains(s.Description, "on another server") {
			t.Errorf("a takeover at another node is refused with %+v, want the reason", s)
		}
		if !e.live() {
			t.Error("and the first one was disconnected")
		}
	})
	t.Run("a live channel keeps its configuration", func(t *testing.T) {
		for _, node := range []*process{a, b} {
			_, err := node.IVS().UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: ch.Arn, Name: aws.String("changed")})
			wantErr[*types.ConflictException](t, "UpdateChannel", err, 409)
		}
	})
	t.Run("a node that joins hears of it", func(t *testing.T) {
		if s := liveStream(t, c.join(t, dataDir(t)).IVS(), ch); *s.StreamId != *there.StreamId {
			t.Errorf("GetStream at a new node: %s, want %s", *s.StreamId, *there.StreamId)
		}
	})

	v := watch(t, owner(t, a, *ch.PlaybackUrl))
	if _, err := a.IVS().StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Fatalf("StopStream at the other node: %v", err)
	}
	if s := e.ended(t); s.Code != rtmp.CodeUnpublished {
		t.Errorf("StopStream told the encoder %+v, want %s", s, rtmp.CodeUnpublished)
	}
	v.untilEnd(t)
	v.check(t)
	offline(t, a, ch)
	offline(t, b, ch)

	// The owner of a stream dies.
	lost := broadcast(t, b.RTMPURL(ch))
	interrupted := *liveStream(t, a.IVS(), ch).StreamId
	b.kill(t)
	killed := time.Now()
	<-lost.over
	if s := refused(t, a.RTMPURL(ch)); !strings.Contains(s.Description, "already live") {
		t.Errorf("while the dead owner's lease is good: %+v, want already live", s)
	}
	offline(t, a, ch)
	t.Logf("off the roster after %v", time.Since(killed))
	st := c.store(t)
	servertest.Eventually(t, "the dead owner's lease has run out", func() bool {
		_, err := st.LeaseOf(t.Context(), *ch.Arn, time.Now())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		return err != nil
	})
	t.Logf("free after %v", time.Since(killed))
	broadcast(t, a.RTMPURL(ch)) // must be taken
	a.WaitLive(t, ch)
	resumed := *liveStream(t, a.IVS(), ch).StreamId
	watch(t, *ch.PlaybackUrl).more(t, 1)

	arn, err := live.ParseARN(*ch.Arn)
	if err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the interrupted session is closed", func() bool {
		s, err := st.Session(t.Context(), arn.Account, arn.Region, interrupted)
		if err != nil {
			t.Fatal(err)
		}
		return !s.Ended.IsZero()
	})
	// What happened is on the bus, once each and in order, whichever node it was and
	// whichever wrote it down.
	for id, want := range map[string][]string{
		*there.StreamId: {"Session Created", "Stream Start", "Session Ended", "Stream End"},
		interrupted:     {"Session Created", "Stream Start", "Session Ended", "Stream End"},
		resumed:         {"Session Created", "Stream Start"},
	} {
		servertest.Eventually(t, fmt.Sprintf("the bus tells %q of %s", want, id), func() bool { return slices.Equal(news.of(id), want) })
	}

	// The dead node comes back, and leaves the new owner alone.
	b = c.join(t, dir, "--roles", roles)
	if s := liveStream(t, b.IVS(), ch); *s.StreamId != resumed || resumed == interrupted {
		t.Errorf("after the restart: stream %s, want %s, which came after %s", *s.StreamId, resumed, interrupted)
	}
	if to := owner(t, b, *ch.PlaybackUrl); !strings.HasPrefix(to, a.Base+"/") {
		t.Errorf("redirected to %s, want %s", to, a.Base)
	}
	if l, err := st.LeaseOf(t.Context(), *ch.Arn, time.Now()); err != nil || l.Origin != a.Base {
		t.Errorf("lease %+v, %v, want it to be the new owner's", l, err)
	}
}

// Nodes that do one thing each are one server together.
func TestClusterOfRoles(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	control, media := c.join(t, dataDir(t), "--roles", "control"), c.join(t, dataDir(t), "--roles", "media")
	if control.RTMP != "" || control.RTMPS != "" || media.RTMP == "" || media.AccessKeyID != "" {
		t.Errorf("control takes RTMP at %q and RTMPS at %q, media at %q, with access key %q", control.RTMP, control.RTMPS, media.RTMP, media.AccessKeyID)
	}
	for _, node := range []*process{control, media} {
		if status, _, _ := servertest.Get(t, node.Base+"/readyz"); status != http.StatusOK {
			t.Errorf("/readyz answers %d", status)
		}
	}
	if _, err := client(media.Base, media.Region, admin(&control.Server)).ListChannels(t.Context(), &ivs.ListChannelsInput{}); err == nil {
		t.Error("the node without the control role answers the API")
	}

	ch := control.NewChannel(t)
	wantOffline(t, ch)
	e := broadcast(t, media.RTMPURL(ch))
	s := liveStream(t, control.IVS(), ch)
	to := owner(t, control, *ch.PlaybackUrl)
	if !strings.HasPrefix(to, media.Base+"/") {
		t.Errorf("redirected to %s, want %s", to, media.Base)
	}
	v := watch(t, to)
	v.more(t, 2)
	e.finish()
	v.untilEnd(t)
	v.check(t)
	offline(t, control, ch)

	events, err := c.store(t).Events(t.Context(), *s.StreamId)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, x := range events {
		names = append(names, x.Name)
	}
	if slices.Sort(names); !slices.Equal(names, []string{"Session Created", "Session Ended", "Stream End", "Stream Start"}) {
		t.Errorf("events %v", names)
	}
}
