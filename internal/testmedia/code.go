package testmedia

import (
	"encoding/binary"
	"fmt"
	"time"
)

// The code is a field of blocks across the top eighth of the picture: 3 rows of 32,
// read left to right and top to bottom, white for 1. It holds 48 bits of Unix time in
// milliseconds, 32 bits of frame number, and a CRC-16 of both. At 640x360 a block is
// 20x15 pixels.
const (
	codeCols = 32
	codeRows = 3
	codeLine = 24 // blocks of the code's height in the picture's
	codeSize = codeCols * codeRows / 8
)

// Luma of the blocks, in the range that video uses.
const (
	black = 16
	white = 235
)

// A Code is what a frame says of itself.
type Code struct {
	Time  time.Time // when it was made; whole milliseconds
	Frame uint32    // its number, from 0
}

func (c Code) String() string {
	return fmt.Sprintf("frame %d of %s", c.Frame, c.Time.UTC().Format("15:04:05.000"))
}

func (c Code) bytes() [codeSize]byte {
	var b [codeSize]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(c.Time.UnixMilli()))
	copy(b[:6], ms[2:])
	binary.BigEndian.PutUint32(b[6:], c.Frame)
	binary.BigEndian.PutUint16(b[10:], crc16(b[:10]))
	return b
}

// crc16 is CRC-16/CCITT-FALSE: a picture of one colour never passes.
func crc16(b []byte) uint16 {
	crc := uint16(0xffff)
	for _, c := range b {
		crc ^= uint16(c) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

// paint draws the code into the luma plane of a width by height picture.
func (c Code) paint(luma []byte, width, height int) {
	b := c.bytes()
	for row := range codeRows {
		top, bottom := row*height/codeLine, (row+1)*height/codeLine
		line := luma[top*width : (top+1)*width]
		for col := range codeCols {
			v := byte(black)
			if bit := row*codeCols + col; b[bit/8]>>(7-bit%8)&1 == 1 {
				v = white
			}
			for x := col * width / codeCols; x < (col+1)*width/codeCols; x++ {
				line[x] = v
			}
		}
		for y := top + 1; y < bottom; y++ {
			copy(luma[y*width:(y+1)*width], line)
		}
	}
}

// Read finds the code in the luma plane of a width by height picture. It reports
// false for a picture that holds none, or one too damaged to trust.
func Read(luma []byte, width, height int) (Code, bool) {
	if width < 2*codeCols || height < 2*codeLine || len(luma) < width*height {
		return Code{}, false
	}
	return readField(luma, width, height*codeRows/codeLine)
}

// readField reads the code from a field that it fills.
func readField(luma []byte, width, height int) (Code, bool) {
	var b [codeSize]byte
	for bit := range codeRows * codeCols {
		row, col := bit/codeCols, bit%codeCols
		// The middle of a block: its edges are blurred by scaling and encoding.
		x0, x1 := middle(col*width/codeCols, (col+1)*width/codeCols)
		y0, y1 := middle(row*height/codeRows, (row+1)*height/codeRows)
		sum := 0
		for y := y0; y < y1; y++ {
			for _, v := range luma[y*width+x0 : y*width+x1] {
				sum += int(v)
			}
		}
		if sum > (black+white)/2*(x1-x0)*(y1-y0) {
			b[bit/8] |= 1 << (7 - bit%8)
		}
	}
	if crc16(b[:10]) != binary.BigEndian.Uint16(b[10:]) {
		return Code{}, false
	}
	ms := binary.BigEndian.Uint64(append([]byte{0, 0}, b[:6]...))
	return Code{Time: time.UnixMilli(int64(ms)), Frame: binary.BigEndian.Uint32(b[6:])}, true
}

// middle is the inner half of [from, to), and at least one.
func middle(from, to int) (int, int) {
	quarter := (to - from) / 4
	return from + quarter, max(from+quarter+1, to-quarter)
}

// Continuous reports the first place where codes are not one frame after another.
func Continuous(codes []Code) error {
	for i := 1; i < len(codes); i++ {
		if codes[i].Frame != codes[i-1].Frame+1 {
			return fmt.Errorf("testmedia: picture %d is %v, after %v", i, codes[i], codes[i-1])
		}
	}
	return nil
}
