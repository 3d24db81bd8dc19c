package testmedia

import "time"

// picture is one yuv420p frame, painted over and over: a grey ramp with a bar that
// moves a little in each frame, and the code. Painting costs next to nothing, so that
// the machine's time goes to what is tested.
type picture struct {
	width, height int
	data          []byte // luma, then both chroma planes
	ramp          []byte // one line of the background
	bar           int    // where the bar was drawn last
}

func newPicture(width, height int) *picture {
	p := &picture{width: width, height: height, ramp: make([]byte, width)}
	p.data = make([]byte, width*height*3/2)
	for x := range p.ramp {
		p.ramp[x] = byte(60 + 110*x/width)
	}
	for y := range height {
		copy(p.data[y*width:], p.ramp)
	}
	for i := width * height; i < len(p.data); i++ {
		p.data[i] = 128 // no colour
	}
	return p
}

// draw makes the picture that of frame n at time now, and returns its bytes until the
// next draw.
func (p *picture) draw(now time.Time, n uint32) []byte {
	width := max(8, p.width/20)
	at := int(n) * max(2, p.width/120) % (p.width - width)
	for y := p.height / 4; y < p.height*3/4; y++ {
		line := p.data[y*p.width : (y+1)*p.width]
		copy(line[p.bar:p.bar+width], p.ramp[p.bar:])
		for x := at; x < at+width; x++ {
			line[x] = white
		}
	}
	p.bar = at
	Code{Time: now, Frame: n}.paint(p.data, p.width, p.height)
	return p.data
}
