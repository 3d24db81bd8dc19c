package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// starved is a directory with an ffmpeg that keeps up with everything but pictures of a size, as on a
// machine that is too slow for them.
func starved(t testing.TB, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *scale=%s:*) exec %[2]s -readrate 0.2 \"$@\";; esac\nexec %[2]s \"$@\"\n", size, testmedia.FFmpeg(t))
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(script), 0o700); err != nil { //nolint:gosec // it has to be run
		t.Fatal(err)
	}
	return dir
}

// A machine that is too slow for the whole ladder makes what it can: the top rung is given
// up, which players are told of, and the source goes on as if nothing were.
func TestTranscoderIsStarved(t *testing.T) {
	t.Parallel()
	path := "PATH=" + starved(t, "320:180") + string(os.PathListSeparator) + os.Getenv("PATH")
	s := serveIn(t, t.TempDir(), t.Output(), []string{path}, "--transcode", "x264")
	ch := s.NewChannel(t, func(in *ivs.CreateChannelInput) { in.Type = types.ChannelTypeAdvancedSDChannelType })
	broadcast(t, s.RTMPURL(ch))
	s.WaitLive(t, ch)
	began := time.Now()
	names, urls := variants(t, *ch.PlaybackUrl)
	source := follow(t, resolve(urls[names[0]], "../chunked/index.m3u8"))
	servertest.Eventually(t, "the top rung has left the playlist", func() bool {
		names, urls = variants(t, *ch.PlaybackUrl)
		return slices.Equal(names, []string{"160p15", "audio_only"})
	})
	t.Logf("the top rung was given up %v after the stream went live", time.Since(began).Round(10*time.Millisecond))
	rung := mediaPlaylist(t, urls["160p15"])
	last := rung.Sequence + int64(len(rung.Segments))
	servertest.Eventually(t, "the other rung goes on", func() bool {
		m := mediaPlaylist(t, urls["160p15"])
		return m.Sequence+int64(len(m.Segments)) > last+2
	})
	t.Logf("three more segments of a second of the other %v after it went live", time.Since(began).Round(10*time.Millisecond))
	if status, _, _ := servertest.Get(t, resolve(urls["160p15"], "../180p15/index.m3u8")); status != http.StatusNotFound {
		t.Errorf("the playlist of the top rung: %d, want 404", status)
	}
	source.more(t, 1)
	if err := source.failure(); err != nil {
		t.Errorf("the source was interrupted: %v", err)
	}
	if diff := cmp.Diff([]string{"160p15", "audio_only"}, names); diff != "" {
		t.Errorf("renditions: -want +got:\n%s", diff)
	}
}
