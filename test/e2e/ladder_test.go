package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/config"
	"github.com/sluice-live/sluice/internal/hls"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// x264 turns the ladder on.
func x264(c *config.Config) { c.Transcode = "x264" }

// variants are the renditions at a playback URL: group names, and URLs of playlists.
func variants(t testing.TB, playbackURL string) (names []string, urls map[string]string) {
	t.Helper()
	_, _, body := servertest.Get(t, playbackURL)
	m, err := hls.ParseMultivariant(body)
	if err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	urls = map[string]string{}
	for _, v := range m.Variants {
		names = append(names, v.Group)
		urls[v.Group] = resolve(playbackURL, v.URI)
	}
	return names, urls
}

// mediaPlaylist fetches and parses one.
func mediaPlaylist(t testing.TB, url string) *hls.Media {
	t.Helper()
	status, _, body := servertest.Get(t, url)
	m, err := hls.Parse(body)
	if err != nil {
		t.Fatalf("GET %s: %d: %v", url, status, err)
	}
	return m
}

// Every rung of a ladder shows the same pictures at the same times behind the same
// segment numbers, with keyframes at the same times: so a player can switch anywhere.
func TestLadderIsAligned(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		container string
		source    testmedia.Source
		halved    bool
	}{
		"30 fps to TS":                 {"TS", testmedia.Source{FPS: 30, GOP: 60}, false},
		"60 fps with B-frames, to MP4": {"fragmented MP4", testmedia.Source{FPS: 60, GOP: 60, BFrames: 2}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const seconds = 10
			s := servertest.Start(t, x264)
			ch := containers[tt.container](t, s)
			src := tt.source
			src.Width, src.Height, src.BitRate, src.Audio = 640, 480, 500_000, true
			frames := seconds * src.FPS
			done := replay(t, testmedia.ClipFile(t, src, frames), s.RTMPURL(ch))
			s.WaitLive(t, ch)
			names, urls := variants(t, *ch.PlaybackUrl)
			if diff := cmp.Diff([]string{"480p30", "360p30", "160p30"}, names); diff != "" {
				t.Fatalf("renditions: -want +got:\n%s", diff)
			}
			<-done
			servertest.Eventually(t, "every playlist ends", func() bool {
				return !slices.ContainsFunc(names, func(n string) bool { return !mediaPlaylist(t, urls[n]).EndList })
			})
			top := mediaPlaylist(t, urls[names[0]])
			keys := keyframes(t, urls[names[0]])
			for _, n := range names {
				m := mediaPlaylist(t, urls[n])
				if m.Sequence != top.Sequence || len(m.Segments) != len(top.Segments) {
					t.Errorf("%s: segments %d+%d, %s has %d+%d", n, m.Sequence, len(m.Segments), names[0], top.Sequence, len(top.Segments))
					continue
				}
				for i, x := range m.Segments {
					y := top.Segments[i]
					if !x.ProgramDateTime.Equal(y.ProgramDateTime) || x.Gap || x.Discontinuity || i < len(m.Segments)-1 && x.Duration != y.Duration {
						t.Errorf("%s: segment %d is %+v, %s has %+v", n, i, x, names[0], y)
					}
				}
				if got := keyframes(t, urls[n]); !slices.Equal(keys, got) {
					t.Errorf("%s: keyframes at %v, %s has them at %v", n, got, names[0], keys)
				}
				d := testmedia.Decode(t, urls[n], fromTheStart...)
				step := 1
				if tt.halved {
					step = 2
				}
				if len(d.Codes) < frames/step-3 || len(d.Codes) > frames/step {
					t.Errorf("%s: %d frames, want %d", n, len(d.Codes), frames/step)
				}
				for i, c := range d.Codes {
					if want := testmedia.ClipCode(src, i*step); c != want {
						t.Fatalf("%s: frame %d shows %v, want %v", n, i, c, want)
					}
				}
			}
		})
	}
}

// keyframes are the times of a stream's keyframes, in seconds.
func keyframes(t testing.TB, url string) (at []string) {
	t.Helper()
	bin := filepath.Join(filepath.Dir(testmedia.FFmpeg(t)), "ffprobe")
	out, err := exec.CommandContext(t.Context(), bin, "-v", "error", "-live_start_index", "0", "-select_streams", "v:0",
		"-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", url).Output()
	if err != nil {
		t.Fatalf("ffprobe: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		time, flags, _ := strings.Cut(strings.TrimSpace(line), ",")
		if f, err := strconv.ParseFloat(time, 64); err == nil && strings.HasPrefix(flags, "K") {
			at = append(at, fmt.Sprintf("%.3f", f))
		}
	}
	return at
}

// children are the processes that pid started, by a word on their command line.
func children(t testing.TB, pid int, word string) (pids []int) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range stats {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		var parent int
		_, rest, _ := bytes.Cut(b, []byte(") "))
		if _, err := fmt.Sscanf(string(rest), "%c %d", new(rune), &parent); err != nil || parent != pid {
			continue
		}
		line, err := os.ReadFile(filepath.Join(filepath.Dir(f), "cmdline"))
		if err != nil || !bytes.Contains(line, []byte(word)) {
			continue
		}
		if n, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			pids = append(pids, n)
		}
	}
	return pids
}

// Whatever happens to ffmpeg, what the encoder sends is not interrupted, and the rest is
// back within seconds.
func TestTranscoderIsReplaced(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "stopped": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := serve(t, t.TempDir(), "--transcode", "x264")
			ch := p.NewChannel(t)
			broadcast(t, p.RTMPURL(ch))
			p.WaitLive(t, ch)
			names, urls := variants(t, *ch.PlaybackUrl)
			if diff := cmp.Diff([]string{"180p15", "160p15"}, names); diff != "" {
				t.Fatalf("renditions: -want +got:\n%s", diff)
			}
			source := follow(t, urls["180p15"])
			source.more(t, 2)
			old := children(t, p.cmd.Process.Pid, "pipe:3")
			if len(old) != 1 {
				t.Fatalf("%d ffmpegs run for one stream", len(old))
			}
			before := mediaPlaylist(t, urls["160p15"])
			last := before.Sequence + int64(len(before.Segments))
			if err := syscall.Kill(old[0], signal); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			var after *hls.Media
			servertest.Eventually(t, "the rung has segments of another ffmpeg", func() bool {
				after = mediaPlaylist(t, urls["160p15"])
				return after.Sequence+int64(len(after.Segments)) > last+3
			})
			t.Logf("three more segments of a second after %v", time.Since(began).Round(10*time.Millisecond))
			if now := children(t, p.cmd.Process.Pid, "pipe:3"); len(now) != 1 || now[0] == old[0] {
				t.Errorf("ffmpegs %v run, before it was %v", now, old)
			}
			source.more(t, 2)
			if err := source.failure(); err != nil {
				t.Errorf("the source was interrupted: %v", err)
			}
			top := mediaPlaylist(t, urls["180p15"])
			for i, s := range after.Segments {
				n := after.Sequence + int64(i) - top.Sequence
				if n >= 0 && n < int64(len(top.Segments)) && !s.ProgramDateTime.Equal(top.Segments[n].ProgramDateTime) {
					t.Errorf("segment %d has another date than that of the source", after.Sequence+int64(i))
				}
			}
		})
	}
}

// The sound alone can be had of every channel: on ADVANCED ones it is listed, on others
// for those who ask.
func TestAudioOnly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		typ       types.ChannelType
		container string
		query     string
		want      []string
	}{
		"ADVANCED_SD lists it":                 {types.ChannelTypeAdvancedSDChannelType, "TS", "", []string{"180p15", "160p15", "audio_only"}},
		"BASIC does not":                       {types.ChannelTypeBasicChannelType, "TS", "", []string{"180p15"}},
		"BASIC does when asked, in TS":         {types.ChannelTypeBasicChannelType, "TS", "?allow_audio_only=true", []string{"180p15", "audio_only"}},
		"BASIC does when asked, in fragmented": {types.ChannelTypeBasicChannelType, "fragmented MP4", "?allow_audio_only=true", []string{"180p15", "audio_only"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := servertest.Start(t, x264)
			ch := s.NewChannel(t, func(in *ivs.CreateChannelInput) {
				in.Type = tt.typ
				if tt.container != "TS" {
					servertest.MP4(in)
				}
			})
			broadcast(t, s.RTMPURL(ch))
			s.WaitLive(t, ch)
			names, urls := variants(t, *ch.PlaybackUrl+tt.query)
			if diff := cmp.Diff(tt.want, names); diff != "" {
				t.Fatalf("renditions: -want +got:\n%s", diff)
			}
			url, ok := urls["audio_only"]
			if !ok {
				return
			}
			bin := filepath.Join(filepath.Dir(testmedia.FFmpeg(t)), "ffprobe")
			out, err := exec.CommandContext(t.Context(), bin, "-v", "error", "-show_entries", "stream=codec_name,sample_rate,channels", "-of", "csv=p=0", url).Output()
			if err != nil {
				t.Fatal(err)
			}
			for _, stream := range strings.Fields(string(out)) { // programs list their streams again
				if stream != "aac,48000,2" && stream != "timed_id3" {
					t.Errorf("ffprobe sees %q beside the sound", stream)
				}
			}
		})
	}
}
