package packager

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/mpegts/codecs"
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/media"
	"github.com/sluice-live/sluice/internal/testmedia"
)

// encode has x264 make a clip of 6.5 s, with options, and returns it as units.
func encode(t *testing.T, options ...string) (clip string, units []media.Unit) {
	t.Helper()
	clip = filepath.Join(t.TempDir(), "clip.ts")
	args := []string{
		"-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:r=30", "-f", "lavfi", "-i", "sine=440:r=48000",
		"-t", "6.5", "-c:v", "libx264", "-preset", "ultrafast", "-threads", "1", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k",
	}
	run(t, append(append(args, options...), clip)...)
	data, err := os.ReadFile(clip)
	if err != nil {
		t.Fatal(err)
	}
	return clip, demux(t, data)
}

// run runs ffmpeg and returns what it wrote; what it said must be nothing.
func run(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), testmedia.FFmpeg(t), append([]string{"-nostdin", "-hide_banner"}, args...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || said.Len() > 0 {
		t.Fatalf("ffmpeg %s: %v, and it said:\n%s", strings.Join(args, " "), err, said.Bytes())
	}
	return out
}

// demux reads units from a transport stream with an independent reader.
func demux(t *testing.T, data []byte) (units []media.Unit) {
	t.Helper()
	r := &mpegts.Reader{R: bytes.NewReader(data)}
	if err := r.Initialize(); err != nil {
		t.Fatal(err)
	}
	r.OnDecodeError(func(err error) { t.Errorf("demux: %v", err) })
	var video, audio *media.Track
	start := time.Now()
	for _, track := range r.Tracks() {
		switch track.Codec.(type) {
		case *codecs.H264:
			r.OnDataH264(track, func(pts, dts int64, au [][]byte) error {
				u := media.Unit{DTS: dts, PTS: pts, Received: start}
				var sps, pps [][]byte
				for _, n := range au {
					switch n[0] & 0x1f {
					case 7:
						sps = append(sps, n)
						continue // as in RTMP, where they come apart
					case 8:
						pps = append(pps, n)
						continue
					case 5:
						u.Key = true
					}
					u.Data = append(binary.BigEndian.AppendUint32(u.Data, uint32(len(n))), n...)
				}
				if video == nil {
					var err error
					if video, err = media.NewH264Track(sps, pps); err != nil {
						return err
					}
				}
				u.Track = video
				units = append(units, u)
				return nil
			})
		case *codecs.MPEG4Audio:
			config := track.Codec.(*codecs.MPEG4Audio).Config
			r.OnDataMPEG4Audio(track, func(pts int64, aus [][]byte) error {
				if audio == nil {
					asc, err := config.Marshal()
					if err != nil {
						return err
					}
					if audio, err = media.NewAACTrack(asc); err != nil {
						return err
					}
				}
				at := (pts*audio.Timescale + media.VideoTimescale/2) / media.VideoTimescale
				for i, au := range aus {
					at := at + int64(i)*media.SamplesPerFrame
					units = append(units, media.Unit{Track: audio, DTS: at, PTS: at, Key: true, Data: au, Received: start})
				}
				return nil
			})
		}
	}
	for {
		if err := r.Read(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	slices.SortStableFunc(units, func(a, b media.Unit) int {
		return int(media.Time(a.DTS, a.Track.Timescale) - media.Time(b.DTS, b.Track.Timescale))
	})
	return units
}

// decoded lists the frames of one stream as ffmpeg decodes them.
type decoded struct {
	times  []int64 // presentation, in ticks of its time base
	hashes []string
}

func decode(t *testing.T, input, stream string) (d decoded) {
	t.Helper()
	out := run(t, "-v", "warning", "-i", input, "-map", "0:"+stream, "-fps_mode", "passthrough", "-copyts",
		"-enc_time_base", "1:90000", "-f", "framemd5", "-")
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		if strings.HasPrefix(line, "#") || len(f) < 6 {
			continue
		}
		at, err := strconv.ParseInt(strings.TrimSpace(f[2]), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		d.times, d.hashes = append(d.times, at), append(d.hashes, strings.TrimSpace(f[5]))
	}
	return d
}

// save writes the rendition's playlist and all that it names into a directory.
func save(t *testing.T, r *Rendition) (playlist, joined string) {
	t.Helper()
	dir := t.TempDir()
	m := now(t, r)
	var all []byte
	write := func(name string, b Blob, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), join(b), 0o644); err != nil {
			t.Fatal(err)
		}
		all = append(all, join(b)...)
	}
	if m.Segments[0].Map != "" {
		b, err := r.Init(0)
		write(m.Segments[0].Map, b, err)
	}
	for i, s := range m.Segments {
		b, err := r.Segment(t.Context(), m.Sequence+int64(i))
		write(s.URI, b, err)
	}
	playlist, joined = filepath.Join(dir, "index.m3u8"), filepath.Join(dir, "all."+r.Extension())
	for name, b := range map[string][]byte{playlist: text(t, r, plain), joined: all} {
		if err := os.WriteFile(name, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return playlist, joined
}

// Every frame that was encoded is decoded from the segments, in order, at its time,
// and the decoder has nothing to say.
func TestEveryFrameComesThrough(t *testing.T) {
	for name, options := range map[string][]string{
		"baseline, GOP of 1 s":              {"-bf", "0", "-g", "30", "-profile:v", "baseline"},
		"B-frames, GOP of 2 s":              {"-bf", "3", "-b_strategy", "0", "-g", "60", "-sc_threshold", "0", "-profile:v", "main"},
		"B-frames, GOP of half a second":    {"-bf", "2", "-b_strategy", "0", "-g", "15", "-profile:v", "high"},
		"a GOP longer than any segment":     {"-bf", "2", "-g", "250", "-sc_threshold", "0"},
		"29.97, 44.1 kHz and an open slice": {"-r", "30000/1001", "-g", "30", "-ar", "44100", "-slices", "3"},
	} {
		t.Run(name, func(t *testing.T) {
			clip, units := encode(t, options...)
			wantVideo := decode(t, clip, "v")
			var sound []int64 // times of the audio frames from the first picture on
			for i, u := range units[slices.IndexFunc(units, func(u media.Unit) bool { return u.Track.Kind == media.Video }):] {
				if i > 0 && u.Track.Kind == media.Audio {
					sound = append(sound, clock(u.PTS, u.Track.Timescale))
				}
			}
			if n := len(wantVideo.hashes); n < 190 {
				t.Fatalf("the clip has %d pictures", n)
			}
			for _, container := range []string{live.ContainerTS, live.ContainerMP4} {
				t.Run(container, func(t *testing.T) {
					r := newRendition(t, Config{LowLatency: true, Container: container})
					for _, u := range units {
						if err := r.Write(u); err != nil {
							t.Fatal(err)
						}
					}
					r.Close()
					playlist, joined := save(t, r)
					for _, input := range []string{joined, playlist} {
						video, audio := decode(t, input, "v"), decode(t, input, "a")
						if diff := gocmp.Diff(wantVideo.hashes, video.hashes); diff != "" {
							t.Errorf("%s: pictures (-encoded +decoded):\n%s", filepath.Base(input), diff)
						}
						const shift = origin * media.VideoTimescale
						for i := range min(len(video.times), len(wantVideo.times)) {
							if d := video.times[i] - wantVideo.times[i] - shift; d != 0 {
								t.Fatalf("%s: picture %d is %d ticks off", filepath.Base(input), i, d)
							}
						}
						// Audio before the first and after the last picture is not kept.
						if n := len(audio.times); n > len(sound) || n < len(sound)-10 {
							t.Errorf("%s: %d of %d audio frames", filepath.Base(input), n, len(sound))
						}
						for i := range min(len(audio.times), len(sound)) {
							if d := audio.times[i] - sound[i] - shift; max(d, -d) > 2 {
								t.Fatalf("%s: audio frame %d is %d ticks off", filepath.Base(input), i, d)
							}
						}
					}
				})
			}
		})
	}
}

// Part by part, the timestamps of fragmented MP4 run on without overlap.
func TestFragmentsFollowEachOther(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true, Container: live.ContainerMP4})
	feed(t, r, &source{Num: 30000, Den: 1001, GOP: 30, Audio: true, Reorder: 1}, 5*time.Second)
	next := map[int]uint64{}
	for msn := range int64(4) {
		b, err := r.Segment(t.Context(), msn)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range b.Chunks {
			var parts fmp4.Parts
			if err := parts.Unmarshal(c); err != nil || len(parts) != 1 {
				t.Fatalf("part %d.%d: %d fragments, %v", msn, i, len(parts), err)
			}
			for _, track := range parts[0].Tracks {
				if want, ok := next[track.ID]; ok && track.BaseTime != want {
					t.Errorf("part %d.%d: track %d starts at %d, want %d", msn, i, track.ID, track.BaseTime, want)
				}
				next[track.ID] = track.BaseTime
				for _, s := range track.Samples {
					next[track.ID] += uint64(s.Duration)
				}
				if key := i == 0; track.ID == videoID && track.Samples[0].IsNonSyncSample == key {
					t.Errorf("part %d.%d: first picture is a sync sample: %t", msn, i, !key)
				}
			}
		}
	}
	if len(next) != 2 {
		t.Errorf("%d tracks", len(next))
	}
}

// A player may take parts of a transport stream one by one: each is whole packets and
// starts with a PES packet, and one to start at has the tables.
func TestPartsOfTransportStreamsStandAlone(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true})
	feed(t, r, &source{Num: 30, GOP: 15, Audio: true}, 4*time.Second)
	for msn := range int64(3) {
		b, err := r.Segment(t.Context(), msn)
		if err != nil {
			t.Fatal(err)
		}
		seg := r.snap.Load().segment(msn)
		for i, c := range b.Chunks {
			if len(c)%188 != 0 {
				t.Fatalf("part %d.%d has %d bytes", msn, i, len(c))
			}
			started := map[uint16]bool{}
			for p := range slices.Chunk(c, 188) {
				pid := binary.BigEndian.Uint16(p[1:]) & 0x1fff
				if p[1]&0x40 == 0 && !started[pid] {
					t.Fatalf("part %d.%d: pid %x goes on from the part before", msn, i, pid)
				}
				started[pid] = true
			}
			if want := i == 0 || seg.tags.Parts[i].Independent; started[0] != want {
				t.Errorf("part %d.%d has tables: %t, want %t", msn, i, started[0], want)
			}
			if !started[0x100] {
				t.Errorf("part %d.%d has no picture", msn, i)
			}
		}
	}
}
