package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/store"
)

// written is what one writer knows of a channel from the answers it got.
type written struct {
	arn, key string
	tag      int // the newest value of tag "n" that was acknowledged; -1 for none
}

func TestKillLosesNoAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)

	const writers, enough = 8, 300
	var (
		mu   sync.Mutex // guards all and acks
		all  []*written
		acks int
		busy sync.WaitGroup
	)
	ack := func(f func()) {
		mu.Lock()
		defer mu.Unlock()
		f()
		acks++
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for w := range writers {
		busy.Go(func() {
			c := srv.IVS()
			for i := 0; ctx.Err() == nil; i++ {
				out, err := c.CreateChannel(ctx, &ivs.CreateChannelInput{Name: aws.String(fmt.Sprintf("w%d-%d", w, i))})
				if err != nil {
					return // the server is dead
				}
				x := &written{arn: *out.Channel.Arn, key: *out.StreamKey.Value, tag: -1}
				ack(func() { all = append(all, x) })
				for n := range 3 {
					if _, err := c.TagResource(ctx, &ivs.TagResourceInput{ResourceArn: &x.arn, Tags: map[string]string{"n": strconv.Itoa(n)}}); err != nil {
						return
					}
					ack(func() { x.tag = n })
				}
			}
		})
	}
	servertest.Eventually(t, "writes are acknowledged", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return acks >= enough
	})
	srv.kill(t)
	busy.Wait()

	srv = serve(t, dir)
	c := srv.IVS()
	for _, x := range all {
		out, err := c.GetChannel(t.Context(), &ivs.GetChannelInput{Arn: &x.arn})
		if err != nil {
			t.Errorf("an acknowledged channel: %v", err)
			continue
		}
		n, err := strconv.Atoi(cmp.Or(out.Channel.Tags["n"], "-1"))
		if err != nil || n < x.tag || n > x.tag+1 { // one more may have been under way
			t.Errorf("%s has tags %v, and n=%d was acknowledged", x.arn, out.Channel.Tags, x.tag)
		}
	}
	keys := map[string]bool{}
	for _, x := range all[max(0, len(all)-50):] { // the last ones are the ones in danger
		list, err := c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: &x.arn})
		if err != nil || len(list.StreamKeys) != 1 {
			t.Errorf("keys of %s: %+v, %v, want one", x.arn, list, err)
			continue
		}
		k, err := c.GetStreamKey(t.Context(), &ivs.GetStreamKeyInput{Arn: list.StreamKeys[0].Arn})
		if err != nil || *k.StreamKey.Value != x.key || keys[x.key] {
			t.Errorf("key of %s: %v, want the one that was acknowledged", x.arn, err)
		}
		keys[x.key] = true
	}
	t.Logf("%d writes acknowledged before the kill, %d channels", acks, len(all))
}

func TestKillDuringAStream(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	interrupted := streamID(t, srv.IVS(), ch)
	st := openStore(t, dir)
	servertest.Eventually(t, "the start of the stream is recorded", func() bool {
		return slices.Contains(eventsOf(t, st, interrupted), "Stream Start")
	})
	srv.kill(t)
	<-e.over

	srv = serve(t, dir)
	got, err := srv.IVS().GetChannel(t.Context(), &ivs.GetChannelInput{Arn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	ch.Channel = *got.Channel // its playback URL has the new port
	broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	resumed := streamID(t, srv.IVS(), ch)
	if resumed == interrupted {
		t.Errorf("the stream after the restart has the id of the one before, %s", resumed)
	}
	v := watch(t, *ch.PlaybackUrl)
	v.more(t, 2)

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
	servertest.Eventually(t, "the start of the second stream is recorded", func() bool {
		return slices.Contains(eventsOf(t, st, resumed), "Stream Start")
	})
	all, err := st.ListSessions(t.Context(), arn, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].ID != resumed || !all[0].Ended.IsZero() || all[0].Started.IsZero() ||
		all[1].ID != interrupted || all[1].Started.IsZero() || all[1].Ended.Before(all[1].Started) || all[0].Generation <= all[1].Generation {
		t.Errorf("sessions %+v, want %s running after %s, which ended", all, resumed, interrupted)
	}
	for id, want := range map[string][]string{
		interrupted: {"Session Created", "Session Ended", "Stream End", "Stream Start"},
		resumed:     {"Session Created", "Stream Start"},
	} {
		names := eventsOf(t, st, id)
		if slices.Sort(names); !slices.Equal(names, want) {
			t.Errorf("events of %s: %v, want %v", id, names, want)
		}
	}
}

// eventsOf lists the names of a session's events.
func eventsOf(t testing.TB, st *store.Store, id string) (names []string) {
	t.Helper()
	events, err := st.Events(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		names = append(names, e.Name)
	}
	return names
}

func TestTerminateDrains(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	srv := serve(t, dir)
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	id := streamID(t, srv.IVS(), ch)
	v := watch(t, *ch.PlaybackUrl)
	v.more(t, 1)

	// Parked for a segment that is more than a second away: it is answered by the drain.
	playlist := variantURL(t, *ch.PlaybackUrl)
	_, _, text := servertest.Get(t, playlist)
	now, err := hls.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	type reply struct {
		status int
		body   []byte
		err    error
	}
	parked, sent := make(chan reply, 1), make(chan struct{})
	go func() { // ends with the server
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			WroteRequest: func(httptrace.WroteRequestInfo) { close(sent) },
		})
		status, body, err := fetch(ctx, fmt.Sprintf("%s?_HLS_msn=%d", playlist, now.Sequence+int64(len(now.Segments))+1))
		parked <- reply{status, body, err}
	}()
	<-sent
	servertest.Get(t, playlist) // asked for later and answered: by now the other one is waiting

	if err := srv.terminate(); err != nil {
		t.Errorf("sluice stopped with %v, want exit code 0", err)
	}
	r := <-parked
	if pl, err := hls.Parse(r.body); r.err != nil || r.status != http.StatusOK || err != nil || !pl.EndList {
		t.Errorf("the parked request got %d %v, want a playlist with an ENDLIST:\n%s", r.status, errors.Join(r.err, err), r.body)
	}
	v.untilEnd(t)
	v.check(t)
	if s := e.ended(t); s.Code != rtmp.CodeUnpublished && s.Code != rtmp.CodeConnectClosed {
		t.Errorf("the encoder was told %+v, want a goodbye", s)
	}

	st := openStore(t, dir)
	arn, err := live.ParseARN(*ch.Arn)
	if err != nil {
		t.Fatal(err)
	}
	s, err := st.Session(t.Context(), arn.Account, arn.Region, id)
	if err != nil || s.Ended.IsZero() {
		t.Errorf("session after the drain: %+v, %v, want it ended", s, err)
	}
	if _, err := st.LeaseOf(t.Context(), *ch.Arn, time.Now()); err == nil {
		t.Error("the channel's lease is still held after the drain")
	}
}

// TestStopWithoutWork ends a server that does nothing, as every other test does with
// one that did something.
func TestStopWithoutWork(t *testing.T) {
	t.Parallel()
	if err := serve(t, dataDir(t)).terminate(); err != nil {
		t.Errorf("sluice stopped with %v, want exit code 0", err)
	}
}
