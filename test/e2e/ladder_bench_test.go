package e2e

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sluice-live/sluice/internal/servertest"
	"github.com/sluice-live/sluice/internal/testmedia"
	"github.com/sluice-live/sluice/test/e2e/browser"
)

var ladderTime = flag.Duration("ladder.time", time.Minute, "length of the broadcasts of BenchmarkLadder and BenchmarkTranscode")

// ladderSources are what the benchmarks of ladders send to a STANDARD channel: one that a
// small machine encodes with room to spare, and the full five renditions.
var ladderSources = map[string]testmedia.Source{
	"480p30":  {Width: 640, Height: 480, GOP: 60, BitRate: 1_500_000, Audio: true},
	"1080p30": {Width: 1920, Height: 1080, GOP: 60, BitRate: 6_000_000, Audio: true},
}

// lively is a clip in an FLV file that is not easy to encode: shapes that move, under noise.
func lively(b *testing.B, src testmedia.Source) (file string) {
	b.Helper()
	file = filepath.Join(b.TempDir(), "lively.flv")
	seconds, rate := fmt.Sprint(ladderTime.Seconds()), strconv.Itoa(src.BitRate)
	out, err := exec.CommandContext(b.Context(), testmedia.FFmpeg(b), "-v", "error", "-nostdin",
		"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=%dx%d:r=30,noise=alls=8:allf=t", src.Width, src.Height),
		"-f", "lavfi", "-i", "sine=r=48000", "-t", seconds,
		"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", strconv.Itoa(src.GOP), "-sc_threshold", "0",
		"-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-c:a", "aac", "-f", "flv", file).CombinedOutput()
	if err != nil {
		b.Fatalf("make a clip: %v: %s", err, out)
	}
	return file
}

// BenchmarkLadder has viewers fetch all of every rendition of a broadcast, and reports how
// far pictures and keyframes are from those of the source, in frames, how many are missing,
// and the structural similarity to the source scaled to the same size. It says nothing of
// time per operation.
func BenchmarkLadder(b *testing.B) {
	for size, src := range ladderSources {
		b.Run(size, func(b *testing.B) {
			clip := lively(b, src)
			for b.Loop() {
				s := servertest.Start(b, x264)
				ch := s.NewChannel(b)
				replay(b, clip, s.RTMPURL(ch))
				s.WaitLive(b, ch)
				names, urls := variants(b, *ch.PlaybackUrl)
				source := names[0]
				if src.Height <= 720 {
					source = "chunked" // it is not listed
					urls[source] = resolve(urls[names[0]], "../chunked/index.m3u8")
				} else {
					names = names[1:]
				}
				files := fetchAll(b, urls)
				want := timesOf(b, files[source])
				for _, n := range names {
					got := timesOf(b, files[n])
					b.ReportMetric(apart(got.pictures, want.pictures)*30, n+"-apart-frames")
					b.ReportMetric(apart(got.keys, want.keys)*30, n+"-keys-apart-frames")
					b.ReportMetric(float64(missing(want.pictures, got.pictures)), n+"-missing-frames")
					b.ReportMetric(similarity(b, files[n], files[source]), n+"-SSIM")
				}
			}
			b.ReportMetric(0, "ns/op") // how long it took was chosen
		})
	}
}

// fetchAll plays each rendition until its end into a file.
func fetchAll(b *testing.B, urls map[string]string) (files map[string]string) {
	viewers := map[string]*viewer{}
	for n, u := range urls {
		viewers[n] = follow(b, u)
	}
	files = map[string]string{}
	dir := b.TempDir()
	for n, v := range viewers {
		<-v.done
		if err := v.failure(); err != nil {
			b.Errorf("%s: %v", n, err)
		}
		files[n] = filepath.Join(dir, n)
		if err := os.WriteFile(files[n], v.media.Bytes(), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	return files
}

// times are those that pictures are shown at, and keyframes of them, in seconds, in order.
type times struct{ pictures, keys []float64 }

func timesOf(b *testing.B, file string) (ts times) {
	b.Helper()
	bin := filepath.Join(filepath.Dir(testmedia.FFmpeg(b)), "ffprobe")
	out, err := exec.CommandContext(b.Context(), bin, "-v", "error", "-select_streams", "v:0",
		"-show_entries", "packet=pts_time,flags", "-of", "csv=p=0", file).Output()
	if err != nil {
		b.Fatalf("ffprobe: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		at, flags, _ := strings.Cut(strings.TrimSpace(line), ",")
		f, err := strconv.ParseFloat(at, 64)
		if err != nil {
			continue
		}
		ts.pictures = append(ts.pictures, f)
		if strings.HasPrefix(flags, "K") {
			ts.keys = append(ts.keys, f)
		}
	}
	slices.Sort(ts.pictures)
	return ts
}

// apart is how far that one of at is from its nearest of the sorted from which is furthest,
// in seconds.
func apart(at, from []float64) (most float64) {
	for _, x := range at {
		i, _ := slices.BinarySearch(from, x)
		d := math.Inf(1)
		for _, k := range []int{i - 1, i} {
			if k >= 0 && k < len(from) {
				d = min(d, math.Abs(from[k]-x))
			}
		}
		most = max(most, d)
	}
	return most
}

// missing is how many of want, after the first of got, are not in got: a picture is there
// when one is within half of its length.
func missing(want, got []float64) (n int) {
	for _, x := range want {
		if len(got) == 0 || x >= got[0] && apart([]float64{x}, got) > 1.0/60 {
			n++
		}
	}
	return n
}

var ssimAll = regexp.MustCompile(`SSIM .*All:([0-9.]+)`)

// similarity is the mean SSIM of the pictures of a rendition against those of the source at
// the same times, scaled to their size.
func similarity(b *testing.B, rendition, source string) float64 {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), testmedia.FFmpeg(b), "-hide_banner", "-nostdin", "-copyts", "-i", rendition, "-i", source,
		"-filter_complex", "[1:v:0][0:v:0]scale2ref=flags=bicubic[ref][main];[main][ref]ssim=shortest=1", "-an", "-f", "null", "-").CombinedOutput()
	m := ssimAll.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("ssim: %v: %s", err, out)
	}
	x, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return x
}

// BenchmarkTranscode reports what a ladder costs: CPU seconds of the program and its
// ffmpeg for a broadcast, over those of the same ffmpeg command alone on the same media,
// in real time as well.
func BenchmarkTranscode(b *testing.B) {
	for size, src := range ladderSources {
		b.Run(size, func(b *testing.B) {
			clip := lively(b, src)
			for b.Loop() {
				p := serve(b, b.TempDir(), "--transcode", "x264")
				ch := p.NewChannel(b)
				before := cpu(b, p.cmd.Process.Pid)
				began := time.Now()
				sent := replay(b, clip, p.RTMPURL(ch))
				p.WaitLive(b, ch)
				pids := children(b, p.cmd.Process.Pid, "pipe:3")
				if len(pids) != 1 {
					b.Fatalf("%d ffmpegs run for one stream", len(pids))
				}
				line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pids[0]))
				if err != nil {
					b.Fatal(err)
				}
				<-sent
				if now := children(b, p.cmd.Process.Pid, "pipe:3"); !slices.Equal(now, pids) && len(now) > 0 {
					b.Fatal("ffmpeg was replaced: this machine is too slow for the ladder")
				}
				servertest.Eventually(b, "ffmpeg has ended", func() bool { return len(children(b, p.cmd.Process.Pid, "pipe:3")) == 0 })
				whole := cpu(b, p.cmd.Process.Pid) - before
				wall := time.Since(began)
				alone := encodeAlone(b, clip, strings.Split(strings.TrimSuffix(string(line), "\x00"), "\x00"))
				b.ReportMetric(whole.Seconds()/wall.Seconds(), "cores")
				b.ReportMetric(alone.Seconds()/wall.Seconds(), "ffmpeg-alone-cores")
				b.ReportMetric(whole.Seconds()/alone.Seconds(), "times-ffmpeg-alone")
			}
			b.ReportMetric(0, "ns/op") // how long it took was chosen
		})
	}
}

// encodeAlone runs an ffmpeg that takes MPEG-TS from a pipe and writes to many, at the pace
// of the clip, and returns what CPU time it took.
func encodeAlone(b *testing.B, clip string, args []string) time.Duration {
	b.Helper()
	feed := exec.CommandContext(b.Context(), testmedia.FFmpeg(b), "-v", "error", "-nostdin", "-re", "-i", clip, "-c", "copy", "-f", "mpegts", "pipe:1")
	cmd := exec.CommandContext(b.Context(), args[0], args[1:]...)
	in, err := feed.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdin = in
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for range strings.Count(strings.Join(args, " "), "pipe:") - 1 { // all but the input
		cmd.ExtraFiles = append(cmd.ExtraFiles, null)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := errors.Join(feed.Start(), cmd.Start()); err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(cmd.Wait(), feed.Wait()); err != nil {
		b.Fatalf("ffmpeg alone: %v: %s", err, said.String())
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}

// cpu is the CPU time of a process and of its children that have ended.
func cpu(b *testing.B, pid int) time.Duration {
	b.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip(err) // not Linux
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	f := strings.Fields(string(rest))
	var ticks int64
	for _, s := range f[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100 // USER_HZ
}

// BenchmarkLadderPlayers plays a ladder for half a minute: down to the smallest rendition,
// up to the largest, and then as the player likes. It reports switches, stalls, errors, and
// how far the picture moved on the player's timeline.
func BenchmarkLadderPlayers(b *testing.B) {
	for size, src := range ladderSources {
		for container, create := range containers {
			for player, config := range switchers {
				b.Run(size+"/"+container+"/"+player, func(b *testing.B) {
					s := servertest.Start(b, x264)
					ch := create(b, s)
					broadcastLadder(b, s, ch, src)
					for b.Loop() {
						r := browser.Play(b, browser.Options{
							Player: player, URL: *ch.PlaybackUrl, Config: config, Clock: true, Rate: 30, Seconds: 32, Timeout: 40,
							Steps: []browser.Step{{At: 2, Height: aws.Int(160)}, {At: 12, Height: aws.Int(src.Height)}, {At: 22, Height: aws.Int(0)}},
						})
						reportSwitches(b, r)
						b.ReportMetric(float64(r.Latency.Unread+r.Frames.Backwards), "bad-frames")
						b.ReportMetric(*r.DriftFrames, "moved-frames")
					}
					b.ReportMetric(0, "ns/op") // how long it took was chosen
				})
			}
		}
	}
}

// BenchmarkLadderThrottled plays a ladder whose largest renditions do not fit through the
// connection for 20 seconds. It reports the heights shown before, at the end of that, and
// at last, and stalls. The IVS player is not there: its loads cannot be slowed down.
func BenchmarkLadderThrottled(b *testing.B) {
	const begins, ends, seconds = 10, 30, 50
	for size, src := range ladderSources {
		for container, create := range containers {
			for _, player := range []string{browser.HLSJS, browser.Shaka} {
				b.Run(size+"/"+container+"/"+player, func(b *testing.B) {
					clip := lively(b, src)
					for b.Loop() {
						s := servertest.Start(b, x264)
						ch := create(b, s)
						replay(b, clip, s.RTMPURL(ch))
						s.WaitLive(b, ch)
						r := browser.Play(b, browser.Options{
							Player: player, URL: *ch.PlaybackUrl, Config: switchers[player], Seconds: seconds, Timeout: 40,
							Steps: []browser.Step{{At: begins, Kbps: aws.Int(600)}, {At: ends, Kbps: aws.Int(0)}},
						})
						reportSwitches(b, r)
						for name, at := range map[string]float64{"before": begins, "throttled": ends, "after": seconds} {
							height := 0
							for _, x := range r.Sizes {
								if x.AtMs <= *r.StartMs+at*1000 {
									height = x.Height
								}
							}
							b.ReportMetric(float64(height), name+"-height")
						}
					}
					b.ReportMetric(0, "ns/op") // how long it took was chosen
				})
			}
		}
	}
}

func reportSwitches(b *testing.B, r browser.Result) {
	b.Helper()
	if r.StartMs == nil {
		b.Fatalf("no picture: %s", r)
	}
	b.Logf("sizes %+v, errors %+v, stalls %+v", r.Sizes, r.Errors, r.Stalls)
	b.ReportMetric(float64(len(r.Qualities)), "qualities")
	b.ReportMetric(float64(len(r.Sizes)-1), "switches")
	b.ReportMetric(float64(len(r.Stalls)), "stalls")
	b.ReportMetric(r.StalledMs, "stalled-ms")
	b.ReportMetric(float64(len(r.Errors)), "errors")
}
