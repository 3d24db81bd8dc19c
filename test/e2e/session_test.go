package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/bus"
	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/event"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// What `aws ivs get-stream-session` prints of a stream from ffmpeg that had a recording
// configuration attached: every member that is documented, and no other
// (low-latency.md 3.5).
func cliSession(t *testing.T, c cli) {
	var recording struct{ RecordingConfiguration struct{ Arn string } }
	c.must(t, &recording, "create-recording-configuration", "--name", "archive", "--destination-configuration", "s3={bucketName=session-cli}",
		"--recording-reconnect-window-seconds", "60", "--tags", "team=live")
	rc := recording.RecordingConfiguration.Arn
	servertest.Eventually(t, "the recording configuration is active", func() bool {
		var got struct{ RecordingConfiguration struct{ State string } }
		c.must(t, &got, "get-recording-configuration", "--arn", rc)
		return got.RecordingConfiguration.State == "ACTIVE"
	})
	var made struct {
		Channel   map[string]any
		StreamKey struct{ Value string }
	}
	c.must(t, &made, "create-channel", "--name", "lobby", "--insecure-ingest", "--recording-configuration-arn", rc, "--tags", "room=1")
	arn, url := made.Channel["arn"].(string), made.Channel["playbackUrl"].(string)
	p := testmedia.Publish(t, testmedia.Source{
		URL: "rtmp://" + c.srv.RTMP + "/app/" + made.StreamKey.Value, Audio: true,
		Format: []string{"-fflags", "-bitexact", "-f", "flv"}, // so that it says who it is
	})
	servertest.Eventually(t, "the channel plays", func() bool {
		status, _, _ := servertest.Get(t, url)
		return status == http.StatusOK
	})

	// Field by field. What differs from run to run is checked and replaced.
	delete(made.Channel["srt"].(map[string]any), "passphrase") // a secret that history has no use for
	video := map[string]any{
		"avcProfile": "Baseline", "avcLevel": "3.0", "codec": "avc1.42C01E", "encoder": "<encoder>", "targetBitrate": 976562.0, "targetFramerate": 30.0,
		"videoHeight": 360.0, "videoWidth": 640.0, "level": "3.0", "profile": "Baseline", "track": "Track0",
	}
	every := map[string]any{"avcProfile": "", "avcLevel": ""}
	for k, v := range video {
		if _, ok := every[k]; !ok {
			every[k] = v
		}
	}
	audio := map[string]any{"codec": "mp4a.40.2", "targetBitrate": 93750.0, "sampleRate": 48000.0, "channels": 2.0, "track": "Track0"}
	event := func(name string) any {
		return map[string]any{"name": name, "type": "IVS Stream State Change", "eventTime": "<time>"}
	}
	want := map[string]any{
		"streamId": "<stream>", "startTime": "<time>", "channel": made.Channel,
		"ingestConfiguration":  map[string]any{"video": video, "audio": audio},
		"ingestConfigurations": map[string]any{"videoConfigurations": []any{every}, "audioConfigurations": []any{audio}},
		"recordingConfiguration": map[string]any{
			"arn": rc, "name": "archive", "state": "ACTIVE", "tags": map[string]any{"team": "live"},
			"destinationConfiguration":        map[string]any{"s3": map[string]any{"bucketName": "session-cli"}},
			"thumbnailConfiguration":          map[string]any{"recordingMode": "INTERVAL", "targetIntervalSeconds": 60.0, "storage": []any{"SEQUENTIAL"}},
			"recordingReconnectWindowSeconds": 60.0, "renditionConfiguration": map[string]any{"renditionSelection": "ALL"},
		},
		"truncatedEvents": []any{event("Stream Start"), event("Session Created")},
	}
	check := func(when string, args ...string) (id string) {
		t.Helper()
		var got struct{ StreamSession map[string]any }
		c.must(t, &got, append([]string{"get-stream-session", "--channel-arn", arn}, args...)...)
		id, _ = got.StreamSession["streamId"].(string)
		// Whether the input starves for a moment is up to the speed of this machine.
		got.StreamSession["truncatedEvents"] = slices.DeleteFunc(got.StreamSession["truncatedEvents"].([]any), func(e any) bool {
			return e.(map[string]any)["type"] == "IVS Stream Health Change"
		})
		var unlike []string
		mask(got.StreamSession, "", &unlike)
		if diff := cmp.Diff(want, got.StreamSession); diff != "" || len(unlike) > 0 {
			t.Errorf("%s: bad %q, (-want +got):\n%s", when, unlike, diff)
		}
		return id
	}
	servertest.Eventually(t, "the start is in the record", func() bool {
		var got struct {
			StreamSession struct{ TruncatedEvents []any }
		}
		c.must(t, &got, "get-stream-session", "--channel-arn", arn)
		return len(got.StreamSession.TruncatedEvents) >= 2
	})
	id := check("live")
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	servertest.Eventually(t, "the end is in the record", func() bool {
		var list struct{ StreamSessions []map[string]any }
		c.must(t, &list, "list-stream-sessions", "--channel-arn", arn)
		if len(list.StreamSessions) != 1 || list.StreamSessions[0]["streamId"] != id || list.StreamSessions[0]["hasErrorEvent"] != false {
			t.Fatalf("list-stream-sessions printed %v", list)
		}
		return list.StreamSessions[0]["endTime"] != nil
	})
	want["endTime"] = "<time>"
	want["truncatedEvents"] = []any{event("Stream End"), event("Session Ended"), event("Stream Start"), event("Session Created")}
	check("ended", "--stream-id", id)
	// The session shows the channel as it was, also when there is none any more.
	c.must(t, nil, "delete-channel", "--arn", arn)
	check("of a deleted channel")
}

var (
	wireTime     = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+]00:00|Z)$`)
	wireStream   = regexp.MustCompile(`^st-[a-zA-Z0-9]{23}$`)
	lavfIdentity = regexp.MustCompile(`^Lavf[0-9.]+$`)
)

// mask replaces what differs from run to run by what it is, and notes what it is not.
func mask(v any, name string, unlike *[]string) any {
	for suffix, is := range map[string]struct {
		form *regexp.Regexp
		name string
	}{"Time": {wireTime, "<time>"}, "streamId": {wireStream, "<stream>"}, "encoder": {lavfIdentity, "<encoder>"}} {
		if !strings.HasSuffix(name, suffix) {
			continue
		}
		if s, ok := v.(string); !ok || !is.form.MatchString(s) {
			*unlike = append(*unlike, fmt.Sprintf("%s %v", name, v))
		}
		return is.name
	}
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = mask(v[k], k, unlike)
		}
	case []any:
		for i := range v {
			v[i] = mask(v[i], name, unlike)
		}
	}
	return v
}

// A second ffmpeg with a priority takes a live channel over: viewers play on over the
// playlists that they have, and the session is the same.
func TestTakeover(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		server    []func(*config.Config)
		container types.ContainerFormat
		source    testmedia.Source
		variants  int
	}{
		"MPEG-TS":        {nil, types.ContainerFormatTs, testmedia.Source{Width: 320, Height: 180}, 1},
		"fragmented MP4": {nil, types.ContainerFormatFragmentedMP4, testmedia.Source{Width: 320, Height: 180}, 1},
		"a ladder":       {[]func(*config.Config){x264}, types.ContainerFormatTs, testmedia.Source{Width: 640, Height: 480}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := servertest.Start(t, tt.server...)
			ch := srv.NewChannel(t, func(in *ivs.CreateChannelInput) { in.ContainerFormat = tt.container })
			source := tt.source
			source.URL, source.FPS, source.BitRate, source.Audio = srv.RTMPURL(ch), 15, 200_000, true
			first := testmedia.Publish(t, source)
			srv.WaitLive(t, ch)
			id := streamID(t, srv.IVS(), ch)
			names, urls := variants(t, *ch.PlaybackUrl)
			if len(names) != tt.variants {
				t.Fatalf("renditions %q, want %d", names, tt.variants)
			}
			var viewers []*viewer
			for _, n := range names {
				viewers = append(viewers, follow(t, urls[n]))
			}
			for _, v := range viewers {
				v.more(t, 2)
			}

			source.URL += "?priority=1"
			second := testmedia.Publish(t, source)
			<-first.Done() // disconnected
			for _, v := range viewers {
				v.more(t, 3)
			}
			if got := streamID(t, srv.IVS(), ch); got != id {
				t.Errorf("stream %s after the takeover, want %s", got, id)
			}
			if err := second.Stop(); err != nil {
				t.Fatal(err)
			}
			for i, v := range viewers {
				v.untilEnd(t)
				v.checkTakeover(t, names[i])
			}
			servertest.Eventually(t, "the record tells of one session with a takeover", func() bool {
				out, err := srv.IVS().GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, e := range slices.Backward(out.StreamSession.TruncatedEvents) {
					if *e.Type != "IVS Stream Health Change" { // which is up to the speed of this machine
						names = append(names, *e.Name)
					}
				}
				return *out.StreamSession.StreamId == id && slices.Equal(names, []string{"Session Created", "Stream Start", "Stream Takeover", "Session Ended", "Stream End"})
			})
		})
	}
}

// checkTakeover decodes what the viewer has of two encoders: every frame of either, in
// order, and clean.
func (v *viewer) checkTakeover(t *testing.T, rendition string) {
	t.Helper()
	v.mu.Lock()
	media := bytes.Clone(v.media.Bytes())
	v.mu.Unlock()
	file := filepath.Join(t.TempDir(), "seen")
	if err := os.WriteFile(file, media, 0o600); err != nil {
		t.Fatal(err)
	}
	d := testmedia.Decode(t, file)
	if d.Unread > 0 || d.Stderr != "" {
		t.Errorf("%s: %d frames are unreadable; decoder: %q", rendition, d.Unread, d.Stderr)
	}
	at := slices.IndexFunc(d.Codes, func(c testmedia.Code) bool { return c.Frame == 0 && c.Time.After(d.Codes[0].Time) })
	if at < 15 || len(d.Codes)-at < 15 {
		t.Fatalf("%s: %d frames, of the second encoder from %d on", rendition, len(d.Codes), at)
	}
	for _, part := range [][]testmedia.Code{d.Codes[:at], d.Codes[at:]} {
		if err := testmedia.Continuous(part); err != nil {
			t.Errorf("%s: %v", rendition, err)
		}
	}
	if gap := d.Codes[at].Time.Sub(d.Codes[at-1].Time); gap.Abs() > 2*time.Second {
		t.Errorf("%s: %v between the last frame of the first encoder and the first one of the second", rendition, gap)
	}
}

// news is what was told on a bus, without the events of health, which are up to the
// speed of this machine.
type news struct {
	mu  sync.Mutex
	all map[string][]string // names by stream; guarded by mu
}

func (n *news) of(stream string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all[stream])
}

// followEvents reads the log of events on a bus until the test ends.
func followEvents(t *testing.T, url string) *news {
	t.Helper()
	b, err := bus.Open(t.Context(), bus.Config{URL: url, Name: "test", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	n := &news{all: map[string][]string{}}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var follower sync.WaitGroup
	follower.Go(func() {
		err := b.Follow(ctx, event.Log, event.Subject("*", "*"), "test", func(_ context.Context, m bus.Msg) error {
			var e struct {
				ID     string
				Source string
				Type   string `json:"detail-type"`
				Detail struct {
					Event  string `json:"event_name"`
					Stream string `json:"stream_id"`
				}
			}
			if err := json.Unmarshal(m.Data, &e); err != nil || e.ID != m.ID || e.Source != "aws.ivs" {
				t.Errorf("event %s: %v: %s", m.ID, err, m.Data)
			}
			if e.Type != "IVS Stream Health Change" {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.all[e.Detail.Stream] = append(n.all[e.Detail.Stream], e.Detail.Event)
			}
			return nil
		})
		if err != nil {
			t.Errorf("Follow: %v", err)
		}
	})
	t.Cleanup(func() {
		cancel()
		follower.Wait()
		b.Close()
	})
	return n
}
