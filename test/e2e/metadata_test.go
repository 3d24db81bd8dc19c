package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/id3"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

// texts are what metadata can be: a byte, a kilobyte, and more than ASCII. Each begins
// with the sender's letter.
func texts(sender string) []string {
	return []string{
		sender,
		sender + strings.Repeat("k", 1023),
		sender + strings.Repeat("é", 510) + "!!!", // 1024 bytes
		sender + `{"q":"日本語 \"😀\"","n":[1,2,3]}`,
	}
}

func put(t testing.TB, c *ivs.Client, channel servertest.Channel, text string) {
	t.Helper()
	if _, err := c.PutMetadata(t.Context(), &ivs.PutMetadataInput{ChannelArn: channel.Arn, Metadata: &text}); err != nil {
		t.Errorf("PutMetadata of %d bytes: %v", len(text), err)
	}
}

// What the API takes and what the encoder sends within its stream is in the media, once,
// in order, and the media is as clean as without.
func TestMetadataIsInTheMedia(t *testing.T) {
	t.Parallel()
	for container, create := range containers {
		t.Run(container, func(t *testing.T) {
			t.Parallel()
			srv := servertest.Start(t)
			ch, c := create(t, srv), srv.IVS()
			e := broadcast(t, srv.RTMPURL(ch))
			srv.WaitLive(t, ch)
			v := watch(t, *ch.PlaybackUrl)
			v.more(t, 1)
			var want [][]byte
			for _, text := range texts("a") {
				put(t, c, ch, text)
				want = append(want, id3.Private(id3.OwnerAPI, text))
			}
			v.more(t, 2) // so that what the encoder sends comes later
			for _, text := range texts("e") {
				e.say(t, text)
				want = append(want, id3.Private(id3.OwnerInband, text))
			}
			v.more(t, 2)
			e.finish()
			v.untilEnd(t)
			v.check(t)

			v.mu.Lock()
			media := bytes.Clone(v.media.Bytes())
			v.mu.Unlock()
			got := slices.Concat(messages(t, media)...)
			if ch.ContainerFormat != types.ContainerFormatFragmentedMP4 {
				got = timedID3(t, media)
			}
			at := 0
			for i, tag := range want {
				tag = tag[skipped:]
				n := bytes.Index(got[at:], tag)
				if n < 0 || bytes.Count(got, tag) != 1 {
					t.Fatalf("tag %d is there %d times, or not in its place", i, bytes.Count(got, tag))
				}
				at += n + len(tag)
			}
			absent(t, srv.Dir, "日本語")
		})
	}
}

// skipped is how much of a tag ffmpeg 5 takes for a header that other kinds of metadata
// stream have, in bytes; that it is there, the tests of package mpegts show.
const skipped = 5

// timedID3 is what ffmpeg finds in the stream that it takes for timed ID3.
func timedID3(t *testing.T, ts []byte) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "seen.ts")
	if err := os.WriteFile(file, ts, 0o600); err != nil {
		t.Fatal(err)
	}
	kinds, err := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(testmedia.FFmpeg(t)), "ffprobe"), "-v", "error",
		"-show_entries", "stream=codec_name,codec_type", "-of", "csv=p=0", file).Output()
	if err != nil || !strings.Contains(string(kinds), "timed_id3,data") {
		t.Fatalf("ffprobe sees %q, %v; want timed_id3 among them", kinds, err)
	}
	out, err := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), "-v", "error", "-i", file, "-map", "0:d", "-c", "copy", "-f", "data", "pipe:1").Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// messages are the contents of the event messages of version 1.
func messages(t *testing.T, mp4 []byte) (all [][]byte) {
	t.Helper()
	if len(mp4) > 0 && mp4[0] == 0x47 {
		return nil // a transport stream
	}
	const scheme = "https://aomedia.org/emsg/ID3\x00\x00"
	for len(mp4) >= 8 {
		n := int(uint32(mp4[0])<<24 | uint32(mp4[1])<<16 | uint32(mp4[2])<<8 | uint32(mp4[3]))
		if n < 8 || n > len(mp4) {
			t.Fatalf("a box of %d bytes in %d", n, len(mp4))
		}
		if box := mp4[:n]; string(box[4:8]) == "emsg" && box[8] == 1 {
			_, tag, ok := bytes.Cut(box, []byte(scheme))
			if !ok {
				t.Fatalf("emsg %q", box)
			}
			all = append(all, tag)
		}
		mp4 = mp4[n:]
	}
	return all
}

// absent makes sure that a text is in no file of a data directory, recordings aside.
func absent(t *testing.T, dir, text string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(name, filepath.Join(dir, "blob")) {
			return err
		}
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it was a moment's
		}
		if bytes.Contains(b, []byte(text)) {
			t.Errorf("%s holds metadata", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// timelineSlack is how far the IVS player may move its timeline when it has read more of
// the stream, in seconds.
const timelineSlack = 0.2

// The players of the field show each text exactly, with the owner that their
// applications look for, also at five a second.
func TestPlayersGetMetadata(t *testing.T) {
	for container, create := range containers {
		t.Run(container, func(t *testing.T) {
			srv := servertest.Start(t)
			ch, c := create(t, srv), srv.IVS()
			encode(t, srv, ch)
			for player, sender := range map[string]string{browser.HLSJS: "h", browser.IVS: "i"} {
				t.Run(player, func(t *testing.T) {
					t.Parallel()
					sent := map[string]time.Time{} // filled before Play returns
					want := texts(sender)
					for i := range 10 {
						want = append(want, fmt.Sprintf("%s %d", sender, i))
					}
					started := make(chan struct{})
					var sending sync.WaitGroup
					sending.Go(func() { // ends before the player does
						select {
						case <-started:
						case <-t.Context().Done():
							return
						}
						pace := time.NewTicker(200 * time.Millisecond)
						defer pace.Stop()
						for i, text := range want {
							if i >= len(want)-10 {
								<-pace.C
							}
							sent[text] = time.Now()
							put(t, c, ch, text)
						}
					})
					r := browser.Play(t, browser.Options{Player: player, URL: *ch.PlaybackUrl, Seconds: 10, Started: started})
					sending.Wait()
					var got []string
					var delays []time.Duration
					last := 0.0
					for _, cue := range r.Cues {
						switch {
						case player == browser.HLSJS && cue.Owner == "segmentmetadata":
							continue // ours, for the IVS player, which hides it
						case cue.Owner != id3.OwnerAPI:
							t.Errorf("a cue of owner %q", cue.Owner)
						case !strings.HasPrefix(cue.Text, sender):
							continue // the other player's
						case cue.StartTime < last-timelineSlack:
							t.Errorf("a cue at %v after one at %v", cue.StartTime, last)
						}
						last = cue.StartTime
						got = append(got, cue.Text)
						delays = append(delays, time.UnixMilli(cue.At).Sub(sent[cue.Text]))
					}
					if !slices.Equal(got, want) {
						t.Errorf("got %d texts, want %d:\n%.60q\n%.60q", len(got), len(want), got, want)
					}
					slices.Sort(delays)
					if len(delays) > 0 {
						t.Logf("from the call of PutMetadata to the cue: median %v, longest %v", delays[len(delays)/2], delays[len(delays)-1])
					}
					for _, e := range r.Errors {
						if e.Fatal || e.Source != "bufferSeekOverHole" { // hls.js begins where the media does
							t.Errorf("the player reports %+v", e)
						}
					}
					if player != browser.IVS {
						return
					}
					if l := r.Reported; l.Samples == 0 || *l.LastSeconds <= 0 || *l.LastSeconds > 20 {
						t.Errorf("getLiveLatency: %d samples", l.Samples)
					} else {
						t.Logf("getLiveLatency %.2f s", *l.LastSeconds)
					}
					if r.SyncAgeMs == nil || *r.SyncAgeMs <= 0 || *r.SyncAgeMs > 20_000 {
						t.Errorf("getSyncTime is not a moment ago: %v", r)
					}
				})
			}
		})
	}
}

func TestPutMetadataRefusals(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t, func(c *config.Config) { c.Quotas = "aws" })
	ch := srv.NewChannel(t)
	c := srv.IVS()
	call := func(text string) error {
		_, err := c.PutMetadata(t.Context(), &ivs.PutMetadataInput{ChannelArn: ch.Arn, Metadata: &text})
		return err
	}
	if err := call("x"); !errors.As(err, new(*types.ChannelNotBroadcasting)) {
		t.Errorf("offline: %v", err)
	}
	broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	if err := call(strings.Repeat("é", 513)); !errors.As(err, new(*types.ValidationException)) {
		t.Errorf("1026 bytes of 513 characters: %v", err)
	}
	if err := call(""); !errors.As(err, new(*types.ValidationException)) {
		t.Errorf("nothing: %v", err)
	}
	var taken, throttled int
	for range 20 { // quicker than five a second, which are the channel's
		switch err := call("x"); {
		case err == nil:
			taken++
		case errors.As(err, new(*types.ThrottlingException)):
			throttled++
		default:
			t.Fatal(err)
		}
	}
	if taken == 0 || throttled == 0 {
		t.Errorf("%d taken, %d throttled", taken, throttled)
	}
}

// The story of an ad break: the playlist and the session's history tell of it, there is
// one at a time, and the stream goes on; a post-roll is at the end.
func TestAdBreaks(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	c := srv.IVS()
	// By hand: the SDK does not know post-rolls yet.
	a := send(t, call{path: "/CreateAdConfiguration", body: fmt.Appendf(nil,
		`{"mediaTailorPlaybackConfigurations":[{"playbackConfigurationArn":"arn:aws:mediatailor:%s:%s:playbackConfiguration/one"}],`+
			`"postRollConfiguration":{"enabled":true,"durationSeconds":15}}`, srv.Region, srv.Account)}.sign(t, srv, admin(srv)))
	var ads struct{ AdConfiguration struct{ Arn string } }
	if err := json.Unmarshal(a.body, &ads); err != nil || ads.AdConfiguration.Arn == "" {
		t.Fatalf("CreateAdConfiguration: %d %s", a.status, a.body)
	}
	insert := func(ch servertest.Channel, seconds int32) (string, error) {
		out, err := c.InsertAdBreak(t.Context(), &ivs.InsertAdBreakInput{ChannelArn: ch.Arn, DurationSeconds: &seconds})
		if err != nil {
			return "", err
		}
		return *out.AdBreakId, nil
	}

	plain := srv.NewChannel(t)
	if _, err := insert(plain, 10); !errors.As(err, new(*types.ChannelNotBroadcasting)) {
		t.Errorf("offline: %v", err)
	}
	other := broadcast(t, srv.RTMPURL(plain))
	srv.WaitLive(t, plain)
	if _, err := insert(plain, 10); !errors.As(err, new(*types.ValidationException)) {
		t.Errorf("without an ad configuration: %v", err)
	}
	other.finish()

	ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.AdConfigurationArn = &ads.AdConfiguration.Arn })
	e := broadcast(t, srv.RTMPURL(ch))
	srv.WaitLive(t, ch)
	v := watch(t, *ch.PlaybackUrl)
	v.more(t, 1)
	id, err := insert(ch, 5)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := insert(ch, 5); !errors.As(err, new(*types.ConflictException)) {
		t.Errorf("while one runs: %v", err)
	}
	v.more(t, 2)
	ranges := playlistNow(t, v.playlist).DateRanges
	if len(ranges) != 1 || ranges[0].AdBreak != id || ranges[0].Duration != 5*time.Second || ranges[0].Class != "live-video-net-stitched-ad" {
		t.Errorf("the playlist tells of %+v, want of break %s", ranges, id)
	}
	v.more(t, 4) // through the break
	e.finish()
	v.untilEnd(t)
	v.check(t)
	last := playlistNow(t, v.playlist)
	if n := len(last.DateRanges); !last.EndList || n == 0 || last.DateRanges[n-1].Duration != 15*time.Second || last.DateRanges[n-1].AdBreak == id {
		t.Errorf("the last playlist tells of %+v, want of a post-roll", last.DateRanges)
	}
	servertest.Eventually(t, "the session's history tells of both breaks", func() bool {
		out, err := c.GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, x := range out.StreamSession.TruncatedEvents {
			if *x.Name == "Ad Break Inserted" && *x.Type == "IVS Ad Break State Change" {
				n++
			}
		}
		return n == 2
	})
}

func playlistNow(t *testing.T, url string) *hls.Media {
	t.Helper()
	status, _, body := servertest.Get(t, url)
	if status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", url, status, body)
	}
	m, err := hls.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
