// Package flv reads a pre-encoded FLV file into memory so that a publisher can replay
// it in a seamless loop. It also writes tags, which tests use to make small files.
package flv

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Type is what a tag carries.
type Type byte

// Tag types.
const (
	Audio  Type = 8
	Video  Type = 9
	Script Type = 18
)

// maxFile bounds what Load reads into memory, in bytes.
const maxFile = 1 << 30

// A Tag is one FLV tag. Its timestamp counts from the first media tag.
type Tag struct {
	Type Type
	MS   uint32 // decoding time in milliseconds
	Data []byte
}

// config tells codec configuration (AVC, HEVC, AAC) from coded frames.
func (t Tag) config() bool {
	switch {
	case len(t.Data) < 2:
		return false
	case t.Type == Video && t.Data[0]&0x80 != 0: // enhanced RTMP: packet type 0 is the sequence start
		return t.Data[0]&0x0f == 0
	case t.Type == Video:
		return t.Data[0]&0x0f == 7 && t.Data[1] == 0
	case t.Type == Audio:
		return t.Data[0]>>4 == 10 && t.Data[1] == 0
	}
	return false
}

// endOfSequence is a marker without media.
func (t Tag) endOfSequence() bool {
	return t.Type == Video && len(t.Data) == 5 && t.Data[0]&0x8f == 7 && t.Data[1] == 2
}

// AVC reports whether the tag is an H.264 access unit in the legacy form: five bytes
// of header, then NAL units with four-byte lengths.
func (t Tag) AVC() bool {
	return t.Type == Video && len(t.Data) > 5 && t.Data[0]&0x8f == 7 && t.Data[1] == 1
}

// A File is a parsed FLV.
type File struct {
	Meta   []byte        // body of the first script tag; nil if there is none
	Config []Tag         // codec configuration
	Media  []Tag         // coded frames in file order; the first is at 0 ms
	Loop   time.Duration // after this the file can start again without a seam
}

// Load reads the file at path.
func Load(path string) (*File, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("flv: %w", err)
	}
	if fi.Size() > maxFile {
		return nil, fmt.Errorf("flv: %s is over %d bytes", path, maxFile)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("flv: %w", err)
	}
	f, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return f, nil
}

// Parse reads an FLV; the File refers to b. A tag that is cut off at the end is left
// out, as encoders that were stopped leave one.
func Parse(b []byte) (*File, error) {
	if len(b) < 13 || string(b[:3]) != "FLV" {
		return nil, errors.New("flv: no FLV header")
	}
	f := &File{}
	var video []uint32 // timestamps of video frames
	header := uint64(binary.BigEndian.Uint32(b[5:])) + 4
	if header > uint64(len(b)) {
		return nil, errors.New("flv: header past the end")
	}
	for b = b[header:]; len(b) >= 11; {
		n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if 11+n > len(b) {
			break
		}
		t := Tag{
			Type: Type(b[0] & 0x1f),
			MS:   uint32(b[4])<<16 | uint32(b[5])<<8 | uint32(b[6]) | uint32(b[7])<<24,
			Data: b[11 : 11+n],
		}
		b = b[min(len(b), 11+n+4):]
		switch {
		case t.Type == Script && f.Meta == nil:
			f.Meta = t.Data
		case n == 0 || t.Type != Audio && t.Type != Video || t.endOfSequence():
		case t.config():
			f.Config = append(f.Config, t)
		default:
			f.Media = append(f.Media, t)
			if t.Type == Video {
				video = append(video, t.MS)
			}
		}
	}
	if len(f.Media) == 0 {
		return nil, errors.New("flv: no media tags")
	}
	first := f.Media[0].MS
	for i := range f.Media {
		f.Media[i].MS -= min(first, f.Media[i].MS)
	}
	f.close(video)
	return f, nil
}

// close sets Loop: a whole number of video frames where it can tell, so that keyframes
// stay on their grid. Encoders flush an audio frame or two past the last picture;
// those would overlap the next turn and are dropped.
func (f *File) close(video []uint32) {
	var d uint64 // milliseconds
	if n := uint64(len(video)); n > 1 && video[n-1] > video[0] {
		span := uint64(video[n-1] - video[0])
		d = (span*n + (n-1)/2) / (n - 1)
		f.Media = slices.DeleteFunc(f.Media, func(t Tag) bool { return t.Type == Audio && t.MS > 0 && uint64(t.MS) >= d })
	}
	for _, t := range f.Media { // time never runs backwards
		d = max(d, uint64(t.MS)+1)
	}
	f.Loop = time.Duration(d) * time.Millisecond
}

// AppendHeader appends the header of a file with audio and video.
func AppendHeader(b []byte) []byte {
	return append(b, 'F', 'L', 'V', 1, 5, 0, 0, 0, 9, 0, 0, 0, 0)
}

// AppendTag appends t, whose Data is under 16 MiB, with its size trailer.
func AppendTag(b []byte, t Tag) []byte {
	n := len(t.Data)
	b = append(b, byte(t.Type), byte(n>>16), byte(n>>8), byte(n),
		byte(t.MS>>16), byte(t.MS>>8), byte(t.MS), byte(t.MS>>24), 0, 0, 0)
	b = append(b, t.Data...)
	return binary.BigEndian.AppendUint32(b, uint32(11+n))
}
