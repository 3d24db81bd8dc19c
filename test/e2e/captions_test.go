package e2e

import (
	"bytes"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"

	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/rtmp"
	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// popOn is CEA-608 of field 1 that shows text: pairs of bytes, one for each picture.
func popOn(text string) (pairs [][2]byte) {
	command := func(b byte) { pairs = append(pairs, [2]byte{0x14, b}, [2]byte{0x14, b}) } // twice, as they all are
	command(0x20)                                                                         // resume caption loading
	command(0x2e)                                                                         // erase what is loaded
	command(0x70)                                                                         // row 15
	for len(text)%2 != 0 {
		text += " "
	}
	for ; text != ""; text = text[2:] {
		pairs = append(pairs, [2]byte{text[0], text[1]})
	}
	command(0x2f) // show it
	return pairs
}

// userData is ATSC user data with a pair of CEA-608.
func userData(pair [2]byte) []byte {
	odd := func(b byte) byte { // the eighth bit makes the parity odd
		if bits.OnesCount8(b)%2 == 0 {
			b |= 0x80
		}
		return b
	}
	return []byte{0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0x40 | 1, 0xff, 0xfc, odd(pair[0]), odd(pair[1]), 0xff}
}

// Captions come to viewers the same whether the encoder sends them in the video or
// beside it, in both containers.
func TestCaptions(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	for name, tt := range map[string]struct {
		with func(*ivs.CreateChannelInput)
		// send puts user data at a picture, before which it may write to c.
		send func(c *rtmp.Client, ts uint32, picture, userData []byte) ([]byte, error)
	}{
		"onCaptionInfo, MPEG-TS": {func(*ivs.CreateChannelInput) {}, beside},
		"onCaptionInfo, MP4":     {servertest.MP4, beside},
		"SEI, MPEG-TS":           {func(*ivs.CreateChannelInput) {}, within},
		"SEI, MP4":               {servertest.MP4, within},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ch := srv.NewChannel(t, tt.with)
			c, err := dial(t, srv.RTMPURL(ch))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Abort()
			r, err := rtmp.NewFileReader(bytes.NewReader(clip(t)))
			if err != nil {
				t.Fatal(err)
			}
			const length = 5000 // ms
			pairs, header := popOn("SLUICE 608"), true
			for ts := uint32(0); ts < length; {
				tag, err := r.Next()
				if err != nil {
					t.Fatal(err)
				}
				ts = tag.Timestamp
				switch {
				case tag.Type == rtmp.TypeAudio:
					err = c.WriteAudio(ts, tag.Body)
				case tag.Type != rtmp.TypeVideo:
					continue
				case header:
					header, err = false, c.WriteVideo(ts, tag.Body)
				default:
					body := tag.Body
					if ts > 1000 && len(pairs) > 0 {
						body, err = tt.send(c, ts, body, userData(pairs[0]))
						pairs = pairs[1:]
					}
					if err == nil {
						err = c.WriteVideo(ts, body)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			srv.WaitLive(t, ch)
			v := watch(t, *ch.PlaybackUrl)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			v.untilEnd(t)
			v.check(t)
			if got := v.captions(t); !strings.Contains(got, "SLUICE 608") {
				t.Errorf("the viewer reads %q", got)
			}
		})
	}
}

func beside(c *rtmp.Client, ts uint32, picture, data []byte) ([]byte, error) {
	return picture, c.WriteCaptions(ts, data)
}

func within(_ *rtmp.Client, _ uint32, picture, data []byte) ([]byte, error) {
	const head = 5 // of an FLV video tag
	sei, err := media.CaptionSEI(media.H264, data)
	return append(bytes.Clone(picture[:head]), media.InsertSEI(media.H264, picture[head:], sei)...), err
}

// captions is what ffmpeg reads of the captions in what the viewer has.
func (v *viewer) captions(t *testing.T) string {
	t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seen"), v.media.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), "-v", "error", "-f", "lavfi", "-i", "movie=seen[out0+subcc]", "-map", "0:s", "-f", "srt", "-")
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("ffmpeg: %v", err)
	}
	return string(out)
}

// An encoder that stays connected and sends nothing starves its channel, which is found
// by that.
func TestStarvingStreamsAreFound(t *testing.T) {
	t.Parallel()
	srv := servertest.Start(t)
	ch, healthy := srv.NewChannel(t), srv.NewChannel(t)
	broadcast(t, srv.RTMPURL(healthy))
	c, err := dial(t, srv.RTMPURL(ch))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Abort()
	r, err := rtmp.NewFileReader(bytes.NewReader(clip(t)))
	if err != nil {
		t.Fatal(err)
	}
	began, next := time.Now(), rtmp.FileTag{}
	send := func(length uint32) {
		t.Helper()
		for stop := next.Timestamp + length; next.Timestamp < stop; {
			if next, err = r.Next(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Until(began.Add(time.Duration(next.Timestamp) * time.Millisecond)))
			switch next.Type {
			case rtmp.TypeVideo:
				err = c.WriteVideo(next.Timestamp, next.Body)
			case rtmp.TypeAudio:
				err = c.WriteAudio(next.Timestamp, next.Body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	send(2000)
	srv.WaitLive(t, ch)
	found := func(h types.StreamHealth) (arns []string) {
		out, err := srv.IVS().ListStreams(t.Context(), &ivs.ListStreamsInput{FilterBy: &types.StreamFilters{Health: h}})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range out.Streams {
			arns = append(arns, *s.ChannelArn)
		}
		return arns
	}
	servertest.Eventually(t, "the channel starves and the other one does not", func() bool {
		s, h := found(types.StreamHealthStarving), found(types.StreamHealthStreamHealthy)
		return len(s) == 1 && s[0] == *ch.Arn && len(h) == 1 && h[0] == *healthy.Arn
	})
	began = time.Now().Add(-time.Duration(next.Timestamp) * time.Millisecond)
	send(6000)
	servertest.Eventually(t, "both are healthy", func() bool { return len(found(types.StreamHealthStreamHealthy)) == 2 })
	out, err := srv.IVS().GetStreamSession(t.Context(), &ivs.GetStreamSessionInput{ChannelArn: ch.Arn})
	if err != nil {
		t.Fatal(err)
	}
	var events []string
	for _, e := range out.StreamSession.TruncatedEvents {
		events = append(events, *e.Type+": "+*e.Name)
	}
	if got := strings.Join(events, ", "); !strings.Contains(got, "IVS Stream Health Change: Starvation End, IVS Stream Health Change: Starvation Start") || strings.Count(got, "Starvation") != 2 {
		t.Errorf("events, newest first: %s", got)
	}
}
