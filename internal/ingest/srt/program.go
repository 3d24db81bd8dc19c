package srt

import (
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/mpegts"
)

// Stream types (ISO 13818-1 table 2-34) that are taken.
const (
	typeH264 = 0x1b
	typeADTS = 0x0f
	typeLATM = 0x11

	typePrivate = 0x06 // what it is, its registration descriptor says
)

// A foreign is a stream of media that is not taken.
type foreign struct {
	video bool
	name  string
}

// foreignOf says what media a stream of another type is; ok is false for what is none,
// such as timed metadata, subtitles and private data.
func foreignOf(s mpegts.Stream) (f foreign, ok bool) {
	switch s.Type {
	case 0x01, 0x02:
		return foreign{true, "MPEG-2"}, true
	case 0x10:
		return foreign{true, "MPEG-4 part 2"}, true
	case 0x24:
		return foreign{true, "H.265"}, true
	case 0x33:
		return foreign{true, "H.266"}, true
	case 0x03, 0x04:
		return foreign{false, "MPEG audio"}, true
	case 0x81:
		return foreign{false, "AC-3"}, true
	case 0x87:
		return foreign{false, "E-AC-3"}, true
	case typePrivate:
		switch s.Format {
		case "HEVC":
			return foreign{true, "H.265"}, true
		case "AV01":
			return foreign{true, "AV1"}, true
		case "VP09":
			return foreign{true, "VP9"}, true
		case "Opus":
			return foreign{false, "Opus"}, true
		case "AC-3":
			return foreign{false, "AC-3"}, true
		case "EAC3":
			return foreign{false, "E-AC-3"}, true
		}
	}
	return foreign{}, false
}

// Program implements mpegts.Handler: it wants the first H.264 and the first AAC stream.
func (f *feed) Program(streams []mpegts.Stream) (wanted []uint16, err error) {
	var video, audio mpegts.Stream
	var others []foreign
	for _, s := range streams {
		switch s.Type {
		case typeH264:
			if video.PID == 0 {
				video = s
			}
		case typeADTS, typeLATM:
			if audio.PID == 0 {
				audio = s
			}
		default:
			if o, ok := foreignOf(s); ok {
				others = append(others, o)
			}
		}
	}
	for _, o := range others {
		kind, taken := "audio", audio.PID != 0
		if o.video {
			kind, taken = "video", video.PID != 0
		}
		if !taken { // else it is beside one that is
			return nil, live.Errorf(live.Unsupported, "The %s codec (%s) is not supported over SRT; send H.264 and AAC.", kind, o.name)
		}
	}
	if audio != f.audio {
		f.sound = sound{latm: audio.Type == typeLATM}
	}
	f.video, f.audio = video, audio
	for _, s := range []mpegts.Stream{video, audio} {
		if s.PID != 0 {
			wanted = append(wanted, s.PID)
		}
	}
	return wanted, nil
}
