package multitrack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/media"
)

func TestLadder(t *testing.T) {
	any1080 := wish{width: 1920, height: 1080, frameRate: 60, limit: classOf(""), codec: media.H264}
	with := func(f func(*wish)) wish {
		w := any1080
		f(&w)
		return w
	}
	for name, tt := range map[string]struct {
		wish wish
		want string // width x height at frame rate, kbit/s; "" for none
	}{
		"1080p60":                        {any1080, "1920x1080@60:6000 1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"1080p30":                        {with(func(w *wish) { w.frameRate = 30 }), "1920x1080@30:4500 1280x720@30:2000 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"50 becomes 25 below 720p":       {with(func(w *wish) { w.frameRate, w.tracks = 50, 3 }), "1920x1080@50:6000 1280x720@50:2500 852x480@25:1000"},
		"48 becomes 24":                  {with(func(w *wish) { w.frameRate, w.tracks = 48, 3 }), "1920x1080@48:6000 1280x720@48:2500 852x480@24:1000"},
		"H.265 takes two thirds":         {with(func(w *wish) { w.codec = media.H265 }), "1920x1080@60:4000 1280x720@60:1650 852x480@30:650 640x360@30:300 284x160@30:100"},
		"a limit of HD":                  {with(func(w *wish) { w.limit = classOf("HD") }), "1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"a limit of SD":                  {with(func(w *wish) { w.limit = classOf("SD") }), "852x480@30:1000 640x360@30:500 284x160@30:200"},
		"two tracks at most":             {with(func(w *wish) { w.tracks = 2 }), "1920x1080@60:6000 1280x720@60:2500"},
		"a track more than there are":    {with(func(w *wish) { w.tracks = 99 }), "1920x1080@60:6000 1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"bandwidth takes the top away":   {with(func(w *wish) { w.bitRate = 10_000 }), "1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"bandwidth that just fits":       {with(func(w *wish) { w.bitRate = 10_360 }), "1920x1080@60:6000 1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"two tracks in little bandwidth": {with(func(w *wish) { w.bitRate, w.tracks = 2000, 2 }), "852x480@30:1000 640x360@30:500"},
		"the least there is":             {with(func(w *wish) { w.bitRate = 860 }), "640x360@30:500 284x160@30:200"},
		"less than that":                 {with(func(w *wish) { w.bitRate = 859 }), ""},
		"one track, if it is wished":     {with(func(w *wish) { w.bitRate, w.tracks = 400, 1 }), "284x160@30:200"},
		"nothing is scaled up":           {with(func(w *wish) { w.width, w.height = 1600, 900 }), "1280x720@60:2500 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"540p":                           {with(func(w *wish) { w.width, w.height = 960, 540 }), "960x540@30:1300 852x480@30:1000 640x360@30:500 284x160@30:200"},
		"240p":                           {with(func(w *wish) { w.width, w.height = 426, 240 }), "426x240@30:300 284x160@30:200"},
		"smaller than two rungs":         {with(func(w *wish) { w.width, w.height = 284, 160 }), ""},
		"portrait":                       {with(func(w *wish) { w.width, w.height, w.tracks = 1080, 1920, 2 }), "1080x1920@60:6000 720x1280@60:2500"},
		"a canvas that is no multiple":   {with(func(w *wish) { w.width, w.height, w.tracks = 854, 480, 2 }), "854x480@30:1000 640x360@30:500"},
		"4:3":                            {with(func(w *wish) { w.width, w.height, w.tracks = 1440, 1080, 2 }), "1440x1080@60:6000 960x720@60:2500"},
		"wider than the limit":           {with(func(w *wish) { w.width, w.height, w.tracks = 3440, 1440, 2 }), "1920x804@60:6000 1720x720@60:2500"},
		"wider than the limit of HD":     {with(func(w *wish) { w.width, w.height, w.tracks, w.limit = 3440, 1440, 2, classOf("HD") }), "1280x536@60:2500 1148x480@30:1000"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, tr := range tt.wish.ladder() {
				got = append(got, fmt.Sprintf("%dx%d@%d:%d", tr.Width, tr.Height, tr.FrameRate, tr.BitRate))
				if tr.Codec != tt.wish.codec {
					t.Errorf("codec %s", tr.Codec)
				}
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("got  %s\nwant %s", s, tt.want)
			}
		})
	}
}

func TestEngine(t *testing.T) {
	gpu := func(vendor, memory int64) []graphics { return []graphics{{vendor, memory}} }
	for name, tt := range map[string]struct {
		gpus     []graphics
		index    int64
		physical int64
		logical  int64
		want     string // encoder id, most tracks, shorter edge; "" for none
		warns    bool
	}{
		"NVIDIA":                           {gpu(0x10de, 8<<30), 0, 2, 4, "jim_nvenc 5 1080", false},
		"AMD":                              {gpu(0x1002, 8<<30), 0, 2, 4, "h264_texture_amf 5 1080", false},
		"Intel, which shares the memory":   {gpu(0x8086, 0), 0, 2, 4, "obs_qsv11_v2 5 1080", false},
		"Apple":                            {gpu(0x106b, 0), 0, 2, 4, "com.apple.videotoolbox.videoencoder.ave.avc 5 1080", false},
		"the GPU that composes":            {[]graphics{{0x8086, 0}, {0x10de, 8 << 30}}, 1, 2, 4, "jim_nvenc 5 1080", false},
		"an index of nothing is the first": {[]graphics{{0x8086, 0}, {0x10de, 8 << 30}}, 7, 2, 4, "obs_qsv11_v2 5 1080", false},
		"a negative one as well":           {[]graphics{{0x8086, 0}}, -1, 2, 4, "obs_qsv11_v2 5 1080", false},
		"16 cores":                         {nil, 0, 16, 32, "obs_x264 3 1080", true},
		"8 cores":                          {nil, 0, 8, 16, "obs_x264 3 720", true},
		"4 cores":                          {nil, 0, 4, 8, "obs_x264 2 480", true},
		"8 threads of cores unknown":       {nil, 0, 0, 8, "obs_x264 2 480", true},
		"3 cores":                          {nil, 0, 3, 6, "", false},
		"an old GPU and 8 cores":           {gpu(0x10de, 512<<20), 0, 8, 16, "obs_x264 3 720", true},
	} {
		t.Run(name, func(t *testing.T) {
			e, warning, err := engineOf(capabilities{CPU: &processor{tt.physical, tt.logical}, GPU: tt.gpus}, tt.index)
			got := fmt.Sprintf("%s %d %d", e.h264, e.tracks, e.limit.short)
			if err != nil {
				got = ""
			}
			if got != tt.want || (warning != "") != tt.warns {
				t.Errorf("got %q, warning %q, %v; want %q", got, warning, err, tt.want)
			}
		})
	}
}
