package testmedia

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"testing"
	"time"
)

// Decoded is what a decoder saw.
type Decoded struct {
	Codes  []Code // of the pictures, in the order they are shown
	Unread int    // pictures without a readable code
	Stderr string // what ffmpeg said, from warnings up; "" for a clean stream
}

// decodeTime bounds one Decode.
const decodeTime = 2 * time.Minute

// Field size that Decode scales the code to: few bytes, and several to a block.
const (
	fieldWidth  = 4 * codeCols
	fieldHeight = 4 * codeRows
)

// Decode has ffmpeg decode the video of input, a file or a URL, until its end and
// reads the codes. args are ffmpeg's options for the input, such as "-t", "20".
func Decode(t testing.TB, input string, args ...string) Decoded {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), decodeTime)
	defer cancel()
	d, err := decode(ctx, FFmpeg(t), input, args)
	if err != nil {
		t.Fatalf("testmedia: decode: %v: %s", err, d.Stderr)
	}
	return d
}

func decode(ctx context.Context, ffmpeg, input string, args []string) (d Decoded, err error) {
	log := tail{secret: input}
	all := append([]string{"-hide_banner", "-nostdin", "-loglevel", "warning"}, args...)
	all = append(all, "-i", input, "-map", "0:v:0", "-fps_mode", "passthrough",
		"-vf", fmt.Sprintf("format=gray,crop=iw:ih*%d/%d:0:0,scale=%d:%d:flags=area", codeRows, codeLine, fieldWidth, fieldHeight),
		"-f", "rawvideo", "-pix_fmt", "gray", "pipe:1")
	cmd := exec.CommandContext(ctx, ffmpeg, all...)
	cmd.Stderr = &log
	cmd.WaitDelay = time.Second
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return d, err
	}
	r, field := bufio.NewReader(out), make([]byte, fieldWidth*fieldHeight)
	for {
		if _, err = io.ReadFull(r, field); err != nil {
			break
		}
		if c, ok := readField(field, fieldWidth, fieldHeight); ok {
			d.Codes = append(d.Codes, c)
		} else {
			d.Unread++
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	err = errors.Join(err, cmd.Wait())
	d.Stderr = log.String()
	return d, err
}
