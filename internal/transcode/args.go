package transcode

import (
	"fmt"
	"strconv"
	"strings"
)

// An Encoder is a row of the table of H.264 encoders that ffmpeg may be told to use.
type Encoder string

// The encoders. Software always works; the others need the hardware and a driver.
const (
	Software Encoder = "x264"
	VAAPI    Encoder = "vaapi"
	NVENC    Encoder = "nvenc"
	QSV      Encoder = "qsv"
)

// encoder is how one of them is told what all of them do: a constant rate within a
// second, no B-frames, no delay, keyframes where they are asked for and nowhere else.
type encoder struct {
	device []string // before the input
	upload string   // filter that takes a picture to the device, with its comma
	scale  string   // filter that scales there, %d for width and height
	codec  []string
}

var encoders = map[Encoder]encoder{
	Software: {
		scale: "scale=%d:%d:flags=bicubic,format=yuv420p",
		codec: []string{"libx264", "-preset", "veryfast", "-tune", "zerolatency", "-sc_threshold", "0", "-forced-idr", "1", "-x264-params", "nal-hrd=none:repeat-headers=1"},
	},
	VAAPI: {
		device: []string{"-vaapi_device", "/dev/dri/renderD128"},
		upload: "format=nv12,hwupload,", scale: "scale_vaapi=%d:%d",
		codec: []string{"h264_vaapi", "-rc_mode", "CBR", "-low_power", "0"},
	},
	NVENC: {
		scale: "scale=%d:%d:flags=bicubic,format=yuv420p",
		codec: []string{"h264_nvenc", "-preset", "p4", "-tune", "ll", "-rc", "cbr", "-zerolatency", "1", "-no-scenecut", "1", "-forced-idr", "1"},
	},
	QSV: {
		device: []string{"-init_hw_device", "qsv=hw", "-filter_hw_device", "hw"},
		upload: "format=nv12,hwupload=extra_hw_frames=16,", scale: "scale_qsv=%d:%d",
		codec: []string{"h264_qsv", "-preset", "veryfast", "-async_depth", "1", "-look_ahead", "0", "-forced_idr", "1"},
	},
}

// An output is one elementary stream that ffmpeg makes, on a pipe of its own: so one
// that is slow never holds up another.
type output struct {
	rung  int   // index in the ladder, of video
	audio int64 // bits per second, of audio; 0 for video
}

// outputs is what rungs need: the video of each that is encoded, and each rate of audio
// once.
func outputs(rungs []Rung) []output {
	var all []output
	rates := map[int64]bool{}
	for i := range rungs {
		if rungs[i].Video > 0 {
			all = append(all, output{rung: i})
		}
	}
	for i := range rungs {
		if a := rungs[i].Audio; a > 0 && !rates[a] {
			rates[a] = true
			all = append(all, output{rung: i, audio: a})
		}
	}
	return all
}

// firstPipe is the number of the file that the first output goes to: after standard
// input, output and error.
const firstPipe = 3

// maxGOP is how far apart keyframes may be when the source has none, in seconds: the
// encoder's own limit must never put one between those of the source.
const maxGOP = 60

// arguments is ffmpeg's whole command line. MPEG-TS comes in on standard input, with the
// timestamps that go out again: nothing is shifted, so that what is encoded stays in time
// with the source.
func arguments(rungs []Rung, outs []output, e Encoder, threads int) []string {
	enc := encoders[e]
	args := []string{"-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning", "-threads", strconv.Itoa(threads)}
	args = append(args, enc.device...)
	args = append(args,
		"-probesize", "2000000", "-analyzeduration", "300000", "-fpsprobesize", "0",
		"-copyts", "-vsync", "passthrough", "-f", "mpegts", "-i", "pipe:0",
		"-filter_complex_threads", "1", "-filter_complex", graph(rungs, outs, enc))
	for i, o := range outs {
		r := &rungs[o.rung]
		args = append(args, "-map", "["+label(i)+"]")
		if o.audio > 0 {
			args = append(args, "-c:a", "aac", "-profile:a", "aac_low", "-b:a", strconv.FormatInt(o.audio, 10))
		} else {
			rate := strconv.FormatInt(r.Video, 10)
			gop := strconv.Itoa(int(r.FrameRate * maxGOP))
			args = append(args, "-c:v")
			args = append(args, enc.codec...)
			args = append(args,
				"-profile:v", "main", "-b:v", rate, "-maxrate", rate, "-bufsize", rate,
				"-bf", "0", "-enc_time_base", "1:90000", "-g", gop, "-force_key_frames", "source")
		}
		args = append(args,
			"-map_metadata", "-1", "-avoid_negative_ts", "disabled", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1",
			"-mpegts_copyts", "1", "-omit_video_pes_length", "0", "-pes_payload_size", "0", "-pat_period", "2",
			"-f", "mpegts", "pipe:"+strconv.Itoa(firstPipe+i))
	}
	return args
}

func label(i int) string { return "o" + strconv.Itoa(i) }

// halve keeps every other picture, counted from each keyframe, so that keyframes stay.
const halve = `select='st(0\,if(key\,0\,ld(0)+1))*0+not(mod(ld(0)\,2))',`

// graph decodes once and shares the pictures: those at the full rate, and those at half
// of it, are each scaled to their sizes.
func graph(rungs []Rung, outs []output, enc encoder) string {
	var full, half, audio []int
	for i, o := range outs {
		switch {
		case o.audio > 0:
			audio = append(audio, i)
		case rungs[o.rung].Halve:
			half = append(half, i)
		default:
			full = append(full, i)
		}
	}
	var chains []string
	video := "[0:v:0]" + enc.upload
	if len(half) > 0 && len(full) > 0 {
		chains = append(chains, "[0:v:0]split=2[full][half]")
		chains = append(chains, fan("[full]"+enc.upload, full, rungs, outs, enc)...)
		chains = append(chains, fan("[half]"+halve+enc.upload, half, rungs, outs, enc)...)
	} else if len(half) > 0 {
		chains = append(chains, fan("[0:v:0]"+halve+enc.upload, half, rungs, outs, enc)...)
	} else if len(full) > 0 {
		chains = append(chains, fan(video, full, rungs, outs, enc)...)
	}
	if n := len(audio); n > 0 {
		chain := "[0:a:0]aresample=async=1"
		if n > 1 {
			chain += ",asplit=" + strconv.Itoa(n)
		}
		for _, i := range audio {
			chain += "[" + label(i) + "]"
		}
		chains = append(chains, chain)
	}
	return strings.Join(chains, ";")
}

// fan splits what from makes to the scalers of outs.
func fan(from string, members []int, rungs []Rung, outs []output, enc encoder) []string {
	scaled := func(i int) string {
		r := &rungs[outs[i].rung]
		return fmt.Sprintf(enc.scale, r.Width, r.Height) + "[" + label(i) + "]"
	}
	if len(members) == 1 {
		return []string{from + scaled(members[0])}
	}
	chains := []string{from + "split=" + strconv.Itoa(len(members))}
	for _, i := range members {
		chains[0] += "[s" + strconv.Itoa(i) + "]"
		chains = append(chains, "[s"+strconv.Itoa(i)+"]"+scaled(i))
	}
	return chains
}
