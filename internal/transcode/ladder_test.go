package transcode

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
)

// short writes a ladder as low-latency.md 2.2 does: name, size, Mbit/s, audio.
func describe(rungs []Rung) string {
	var lines []string
	for _, r := range rungs {
		video, audio := "src", "src"
		if !r.Source {
			video = fmt.Sprintf("%g", float64(r.Video)/1e6)
		}
		if r.Audio > 0 {
			audio = fmt.Sprintf("%dk", r.Audio/1000)
		}
		if r.AudioOnly {
			lines = append(lines, r.Name+" "+audio)
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %dx%d %s/%s", r.Name, r.Width, r.Height, video, audio))
	}
	return strings.Join(lines, "\n")
}

func TestLadderIsThatOfTheChannelType(t *testing.T) {
	const low = "\n360p30 640x360 0.63/64k\n160p30 284x160 0.23/48k"
	const high = "\n480p30 852x480 1.3/128k\n360p30 640x360 0.7/64k\n160p30 284x160 0.27/48k\naudio_only 64k"
	const tight = "\n480p30 852x480 0.8/128k\n360p30 640x360 0.4/64k\n160p30 284x160 0.22/48k\naudio_only 64k"
	hbd, cbd := live.PresetHigher, live.PresetConstrained
	for name, tt := range map[string]struct {
		typ, preset string
		in          Input
		want        string
	}{
		"BASIC passes the source":                       {live.TypeBasic, "", Input{1280, 720, 30}, "720p30 1280x720 src/src"},
		"STANDARD 1080p60 passes the source":            {live.TypeStandard, "", Input{1920, 1080, 60}, "1080p60 1920x1080 src/src\n720p60 1280x720 3.4/src\n480p30 852x480 1.4/src" + low},
		"STANDARD 1080p30 has less at 720p":             {live.TypeStandard, "", Input{1920, 1080, 30}, "1080p30 1920x1080 src/src\n720p30 1280x720 2.4/src\n480p30 852x480 1.4/src" + low},
		"STANDARD above 720p counts as 1080p":           {live.TypeStandard, "", Input{1600, 900, 30}, "900p30 1600x900 src/src\n720p30 1280x720 2.4/src\n480p30 852x480 1.4/src" + low},
		"STANDARD 720p60 is encoded again":              {live.TypeStandard, "", Input{1280, 720, 60}, "720p60 1280x720 3.4/src\n480p30 852x480 1.4/src" + low},
		"STANDARD 720p30 is encoded again":              {live.TypeStandard, "", Input{1280, 720, 30}, "720p30 1280x720 2.4/src\n480p30 852x480 1.4/src" + low},
		"STANDARD between 480p and 720p starts at 480p": {live.TypeStandard, "", Input{960, 540, 60}, "480p30 852x480 1.4/src" + low},
		"STANDARD 480p":                                 {live.TypeStandard, "", Input{854, 480, 30}, "480p30 854x480 1.4/src\n360p30 640x360 0.63/64k\n160p30 284x160 0.23/48k"},
		"STANDARD under 480p passes the source":         {live.TypeStandard, "", Input{640, 360, 30}, "360p30 640x360 src/src\n160p30 284x160 0.23/48k"},
		"STANDARD is never made larger":                 {live.TypeStandard, "", Input{160, 90, 15}, "90p15 160x90 src/src"},
		"portrait swaps the edges":                      {live.TypeStandard, "", Input{720, 1280, 30}, "720p30 720x1280 2.4/src\n480p30 480x852 1.4/src\n360p30 360x640 0.63/64k\n160p30 160x284 0.23/48k"},
		"25 frames per second stay 25":                  {live.TypeStandard, "", Input{1920, 1080, 25}, "1080p25 1920x1080 src/src\n720p25 1280x720 2.4/src\n480p25 852x480 1.4/src\n360p25 640x360 0.63/64k\n160p25 284x160 0.23/48k"},
		"50 frames per second are halved below 720p":    {live.TypeStandard, "", Input{1280, 720, 50}, "720p50 1280x720 3.4/src\n480p25 852x480 1.4/src\n360p25 640x360 0.63/64k\n160p25 284x160 0.23/48k"},
		"59.94 is of the 60 class":                      {live.TypeStandard, "", Input{1280, 720, 60000.0 / 1001}, "720p60 1280x720 3.4/src\n480p30 852x480 1.4/src" + low},
		"square pictures":                               {live.TypeStandard, "", Input{1080, 1080, 30}, "1080p30 1080x1080 src/src\n720p30 720x720 2.4/src\n480p30 480x480 1.4/src\n360p30 360x360 0.63/64k\n160p30 160x160 0.23/48k"},
		"wide pictures keep their shape":                {live.TypeStandard, "", Input{1920, 800, 24}, "800p24 1920x800 src/src\n720p24 1728x720 2.4/src\n480p24 1152x480 1.4/src\n360p24 864x360 0.63/64k\n160p24 384x160 0.23/48k"},
		"an unknown rate counts as 30":                  {live.TypeStandard, "", Input{1280, 720, 0}, "720p30 1280x720 2.4/src\n480p30 852x480 1.4/src" + low},
		"ADVANCED_HD 1080p60, more bandwidth":           {live.TypeAdvancedHD, hbd, Input{1920, 1080, 60}, "720p60 1280x720 3/128k" + high},
		"ADVANCED_HD 1080p60, less bandwidth":           {live.TypeAdvancedHD, cbd, Input{1920, 1080, 60}, "720p60 1280x720 2.2/128k" + tight},
		"ADVANCED_HD 720p30, more bandwidth":            {live.TypeAdvancedHD, hbd, Input{1280, 720, 30}, "720p30 1280x720 2.3/128k" + high},
		"ADVANCED_HD 720p30, less bandwidth":            {live.TypeAdvancedHD, cbd, Input{1280, 720, 30}, "720p30 1280x720 1.9/128k" + tight},
		"ADVANCED_HD above 480p keeps its size":         {live.TypeAdvancedHD, hbd, Input{960, 540, 60}, "540p30 960x540 2.3/128k" + high},
		"ADVANCED_HD above 480p, less bandwidth":        {live.TypeAdvancedHD, cbd, Input{960, 540, 30}, "540p30 960x540 1.9/128k" + tight},
		"ADVANCED_HD 480p60":                            {live.TypeAdvancedHD, hbd, Input{852, 480, 60}, strings.TrimPrefix(high, "\n")},
		"ADVANCED_HD under 480p keeps its size":         {live.TypeAdvancedHD, hbd, Input{710, 400, 30}, "400p30 710x400 0.7/64k\n360p30 640x360 0.7/64k\n160p30 284x160 0.27/48k\naudio_only 64k"},
		"ADVANCED_SD 1080p60, more bandwidth":           {live.TypeAdvancedSD, hbd, Input{1920, 1080, 60}, strings.TrimPrefix(high, "\n")},
		"ADVANCED_SD 480p30, less bandwidth":            {live.TypeAdvancedSD, cbd, Input{852, 480, 30}, strings.TrimPrefix(tight, "\n")},
		"ADVANCED_SD under 160p":                        {live.TypeAdvancedSD, hbd, Input{160, 90, 30}, "90p30 160x90 0.27/48k\naudio_only 64k"},
		"no picture, no ladder":                         {live.TypeStandard, "", Input{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := describe(Ladder(&live.Channel{Type: tt.typ, Preset: tt.preset}, tt.in))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestBudgetGivesUpTheTopRungFirst(t *testing.T) {
	rungs := Ladder(&live.Channel{Type: live.TypeStandard}, Input{1920, 1080, 30})
	b := NewBudget(rungs[2].Cost() + rungs[3].Cost() + rungs[4].Cost())
	got, release := b.Admit(rungs)
	if diff := cmp.Diff([]bool{true, false, true, true, true}, got); diff != "" {
		t.Errorf("the source stays, 720p goes: -want +got:\n%s", diff)
	}
	if none, _ := b.Admit(rungs); none[4] {
		t.Error("a second stream got a rung of a budget that was spent")
	}
	release()
	release()
	if b.Used() != 0 {
		t.Errorf("%g pixels per second are still taken", b.Used())
	}
}
