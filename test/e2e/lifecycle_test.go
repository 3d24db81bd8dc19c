package e2e

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

func TestBadStreamKeysAreRefused(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()

	revoked := srv.NewChannel(t)
	keys, err := c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: revoked.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: keys.StreamKeys[0].Arn}); err != nil {
		t.Fatal(err)
	}
	gone := srv.NewChannel(t)
	if _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: gone.Arn}); err != nil {
		t.Fatal(err)
	}
	secure := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.InsecureIngest = false })
	good := srv.NewChannel(t)

	for name, tt := range map[string]struct{ url, why string }{
		"a key nobody has":            {"rtmp://" + srv.RTMP + "/app/sk_us-west-2_AbsentAbsent_nothing", "the stream key is not valid"},
		"no key at all":               {"rtmp://" + srv.RTMP + "/app/", "the stream key is not valid"},
		"a key cut short":             {strings.TrimSuffix(srv.RTMPURL(good), good.Key[len(good.Key)-1:]), "the stream key is not valid"},
		"a key over RTMPS":            {"rtmps://" + srv.RTMPS + "/app/sk_us-west-2_AbsentAbsent_nothing", "the stream key is not valid"},
		"a deleted key":               {srv.RTMPURL(revoked), "the stream key is not valid"},
		"a deleted channel's key":     {srv.RTMPURL(gone), "the stream key is not valid"},
		"RTMP without insecureIngest": {srv.RTMPURL(secure), "does not allow RTMP in the clear"},
	} {
		t.Run(name, func(t *testing.T) {
			if s := refused(t, tt.url); s.Level != "error" || s.Code != rtmp.CodeBadName || !strings.Contains(s.Description, tt.why) {
				t.Errorf("refused with %+v, want %s: %s", s, rtmp.CodeBadName, tt.why)
			}
		})
	}
	t.Run("ffmpeg fails and says why", func(t *testing.T) {
		p := testmedia.Publish(t, testmedia.Source{URL: srv.RTMPURL(revoked), Width: 320, Height: 180, FPS: 15})
		if err := p.Wait(); err == nil || !strings.Contains(p.Stderr(), "the stream key is not valid") {
			t.Errorf("ffmpeg ended with %v, %q, want a failure that names the key", err, p.Stderr())
		}
	})
	t.Run("the same channel over RTMPS", func(t *testing.T) {
		e := broadcast(t, srv.RTMPSURL(secure))
		srv.WaitLive(t, secure)
		e.finish()
	})
	servertest.Eventually(t, "no stream is left of refusals and a broadcast that ended", func() bool {
		out, err := c.ListStreams(t.Context(), &ivs.ListStreamsInput{})
		return err == nil && len(out.Streams) == 0
	})
}

// liveStream is what GetStream says of a channel that plays. Players may be a moment
// ahead of the API.
func liveStream(t testing.TB, c *ivs.Client, ch servertest.Channel) (s *types.Stream) {
	t.Helper()
	servertest.Eventually(t, "GetStream shows the stream", func() bool {
		out, err := c.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
		if err == nil {
			s = out.Stream
		} else if _, ok := errors.AsType[*types.ChannelNotBroadcasting](err); !ok {
			t.Fatal(err)
		}
		return err == nil
	})
	return s
}

// streamID is the id of a channel's live stream.
func streamID(t testing.TB, c *ivs.Client, ch servertest.Channel) string {
	t.Helper()
	return *liveStream(t, c, ch).StreamId
}

func TestLiveStreamOverTheAPI(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t)
	began := time.Now().Add(-time.Second) // the wire has whole seconds or less
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)

	s := liveStream(t, c, ch)
	if s.State != types.StreamStateStreamLive || *s.ChannelArn != *ch.Arn || *s.PlaybackUrl != *ch.PlaybackUrl ||
		len(*s.StreamId) != 26 || !strings.HasPrefix(*s.StreamId, "st-") || s.StartTime.Before(began) || s.StartTime.After(time.Now()) {
		t.Errorf("GetStream = %+v: id %s, started %v, playback %s", s, *s.StreamId, s.StartTime, *s.PlaybackUrl)
	}
	list, n := pages(t, ivs.NewListStreamsPaginator(c, &ivs.ListStreamsInput{MaxResults: aws.Int32(1)}),
		func(o *ivs.ListStreamsOutput) []types.StreamSummary { return o.Streams })
	if n != 1 || len(list) != 1 || *list[0].StreamId != *s.StreamId || *list[0].ChannelArn != *ch.Arn ||
		list[0].State != types.StreamStateStreamLive || !list[0].StartTime.Equal(*s.StartTime) {
		t.Errorf("ListStreams = %+v in %d pages, want the stream of GetStream", list, n)
	}

	t.Run("a second publisher is refused", func(t *testing.T) {
		if s := refused(t, srv.RTMPURL(ch)); s.Code != rtmp.CodeBadName || !strings.Contains(s.Description, "already live") {
			t.Errorf("refused with %+v, want %s: already live", s, rtmp.CodeBadName)
		}
		if !e.live() {
			t.Error("and the first one was disconnected")
		}
	})
	t.Run("a live channel keeps its configuration", func(t *testing.T) {
		_, err := c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: ch.Arn, Name: aws.String("changed")})
		wantErr[*types.ConflictException](t, "UpdateChannel", err, 409)
		_, err = c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: ch.Arn})
		wantErr[*types.ConflictException](t, "DeleteChannel", err, 409)
	})
	t.Run("a live channel takes tags", func(t *testing.T) {
		if _, err := c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: ch.Arn, Tags: map[string]string{"a": "b"}}); err != nil {
			t.Error(err)
		}
	})
	t.Run("health and viewers", func(t *testing.T) {
		watch(t, *ch.PlaybackUrl)
		servertest.Eventually(t, "the stream is healthy and has one viewer", func() bool {
			out, err := c.ListStreams(t.Context(), &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: types.StreamHealthStreamHealthy}})
			if err != nil {
				t.Fatal(err)
			}
			return len(out.Streams) == 1 && out.Streams[0].ViewerCount == 1
		})
		out, err := c.ListStreams(t.Context(), &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: types.StreamHealthStarving}})
		if err != nil || len(out.Streams) != 0 {
			t.Errorf("ListStreams by STARVING = %+v, %v, want none", out, err)
		}
	})

	v := watch(t, *ch.PlaybackUrl)
	if _, err := c.StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Fatal(err)
	}
	_, err := c.GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: ch.Arn})
	wantErr[*types.ChannelNotBroadcasting](t, "GetStream after StopStream", err, 404)
	if s := e.ended(t); s.Code != rtmp.CodeUnpublished {
		t.Errorf("StopStream told the encoder %+v, want %s", s, rtmp.CodeUnpublished)
	}
	v.untilEnd(t)
	if _, err := c.UpdateChannel(t.Context(), &ivs.UpdateChannelInput{Arn: ch.Arn, Name: aws.String("changed")}); err != nil {
		t.Errorf("UpdateChannel after StopStream: %v", err)
	}
	if _, err := c.DeleteChannel(t.Context(), &ivs.DeleteChannelInput{Arn: ch.Arn}); err != nil {
		t.Errorf("DeleteChannel after StopStream: %v", err)
	}
}

func TestDeletedKeyLetsItsStreamRun(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	id := streamID(t, c, ch)
	v := watch(t, *ch.PlaybackUrl)

	keys, err := c.ListStreamKeys(t.Context(), &ivs.ListStreamKeysInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.DeleteStreamKey(t.Context(), &ivs.DeleteStreamKeyInput{Arn: keys.StreamKeys[0].Arn}); err != nil {
		t.Fatal(err)
	}
	v.more(t, 3)
	if got := streamID(t, c, ch); got != id || !e.live() {
		t.Errorf("after DeleteStreamKey: stream %s, encoder connected: %t, want %s to go on", got, e.live(), id)
	}
	if _, err := c.StopStream(t.Context(), &ivs.StopStreamInput{ChannelArn: ch.Arn}); err != nil {
		t.Fatal(err)
	}
	_ = e.ended(t)
	if s := refused(t, srv.RTMPURL(ch)); !strings.Contains(s.Description, "the stream key is not valid") {
		t.Errorf("reconnecting with the deleted key: %+v", s)
	}

	// The channel takes its new key at once.
	made, err := c.CreateStreamKey(t.Context(), &ivs.CreateStreamKeyInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	ch.Key = *made.StreamKey.Value
	broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
}

func TestStreamEndsAndComesBack(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	for name, with := range map[string]func(*ivs.CreateChannelInput){
		"TS":             func(*ivs.CreateChannelInput) {},
		"fragmented MP4": servertest.MP4,
		"normal latency": func(in *ivs.CreateChannelInput) { in.LatencyMode = types.ChannelLatencyModeNormalLatency },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := srv.IVS()
			ch := srv.NewChannel(t, with)
			wantOffline(t, ch)
			e := broadcast(t, srv.RTMPURL(ch))
			srv.WaitLive(t, ch)
			first, firstID := variantURL(t, *ch.PlaybackUrl), streamID(t, c, ch)
			v := watch(t, *ch.PlaybackUrl)
			v.more(t, 2)
			e.finish()
			v.untilEnd(t)
			v.check(t)
			servertest.Eventually(t, "the channel is offline", func() bool {
				status, _, _ := servertest.Get(t, *ch.PlaybackUrl)
				return status == http.StatusNotFound
			})
			wantOffline(t, ch)
			// Who comes late still reads the end.
			status, _, body := servertest.Get(t, first)
			if pl, err := hls.Parse(body); status != http.StatusOK || err != nil || !pl.EndList || pl.Hint != "" {
				t.Errorf("the first stream's playlist after its end: %d, %v, want an ENDLIST and no hint:\n%s", status, err, body)
			}

			e = broadcast(t, srv.RTMPURL(ch))
			srv.WaitLive(t, ch)
			second, secondID := variantURL(t, *ch.PlaybackUrl), streamID(t, c, ch)
			if second == first || secondID == firstID {
				t.Errorf("a second broadcast has playlist %s and id %s, want others than %s and %s", second, secondID, first, firstID)
			}
			v = watch(t, *ch.PlaybackUrl)
			v.more(t, 2)
			e.finish()
			v.untilEnd(t)
			v.check(t)
		})
	}
}

// wantOffline checks what players are told of a channel that is not live.
func wantOffline(t *testing.T, ch servertest.Channel) {
	t.Helper()
	status, header, body := servertest.Get(t, *ch.PlaybackUrl)
	e := playbackError(t, body)
	if status != http.StatusNotFound || e.Code != "transcode_does_not_exist" || e.Type != "error" ||
		header.Get("Content-Type") != "application/json" || header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("playback of an idle channel: %d %v %s", status, header, body)
	}
}

// A playbackFailure is the body that IVS players read.
type playbackFailure struct {
	URL   string `json:"url"`
	Error string `json:"error"`
	Code  string `json:"error_code"`
	Type  string `json:"type"`
}

func playbackError(t testing.TB, body []byte) playbackFailure {
	t.Helper()
	var list []playbackFailure
	if err := json.Unmarshal(body, &list); err != nil || len(list) != 1 {
		t.Errorf("body %q is not an array of one error: %v", body, err)
		return playbackFailure{}
	}
	return list[0]
}

func TestPrivateChannelIsClosedWithoutAToken(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Authorized = true })
	broadcast(t, srv.RTMPURL(ch))
	id := streamID(t, c, ch)
	for _, url := range []string{
		*ch.PlaybackUrl, *ch.PlaybackUrl + "?token=a.b.c",
		srv.Base + "/v1/live/" + id + "/180p15/index.m3u8", srv.Base + "/v1/live/" + id + "/180p15/0.ts",
	} {
		status, _, body := servertest.Get(t, url)
		if e := playbackError(t, body); status != http.StatusForbidden || e.Code != "invalid_playback_auth_token" {
			t.Errorf("GET %s: %d %s, want 403 invalid_playback_auth_token", url, status, body)
		}
	}
}

func TestLostConnectionEndsTheStream(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	ch := srv.NewChannel(t)
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	v := watch(t, *ch.PlaybackUrl)
	if err := e.conn.Abort(); err != nil {
		t.Fatal(err)
	}
	v.untilEnd(t)
	v.check(t)
	broadcast(t, srv.RTMPURL(ch)) // at once, with the same key
	srv.WaitLive(t, ch)
}
