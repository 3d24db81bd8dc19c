package webrtc

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/sluice-live/sluice/internal/media"
)

// Payloads of RTP, by hand. A NAL unit is its header and what follows.
func many(nals ...[]byte) []byte {
	b := []byte{stapA}
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(n))), n...)
	}
	return b
}

// pieces cuts a NAL unit into fragments of one byte.
func pieces(nal ...byte) (all [][]byte) {
	for i, c := range nal[1:] {
		h := nal[0] & 0x1f
		if i == 0 {
			h |= 0x80
		}
		if i == len(nal)-2 {
			h |= 0x40
		}
		all = append(all, []byte{nal[0]&0xe0 | fuA, h, c})
	}
	return all
}

// avc is NAL units as a Unit has them.
func avc(nals ...[]byte) (b []byte) {
	for _, n := range nals {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(n))), n...)
	}
	return b
}

func TestAssembler(t *testing.T) {
	var (
		sps, pps = []byte{0x67, 1}, []byte{0x68, 2}
		idr      = []byte{0x65, 3, 4}
		slice    = []byte{0x41, 5, 6}
		sei      = []byte{0x06, 7}
		aud      = []byte{0x09, 8}
	)
	type in struct {
		payload []byte
		ts      uint32
		marker  bool
		lost    bool
	}
	type out struct {
		ts     uint32
		data   []byte
		idr    bool
		sets   int
		needed bool // a keyframe, by then
	}
	key := in{many(sps, pps, idr), 1, true, false}
	keyOut := out{1, avc(idr), true, 2, false}
	for name, tt := range map[string]struct {
		in      []in
		want    []out
		needKey bool
		dropped int64
	}{
		"a picture in a packet":                              {in: []in{key, {slice, 2, true, false}}, want: []out{keyOut, {ts: 2, data: avc(slice)}}},
		"parameter sets are not part of a picture":           {in: []in{{sps, 1, false, false}, {pps, 1, false, false}, {many(aud, sei, idr), 1, true, false}}, want: []out{{1, avc(sei, idr), true, 2, false}}},
		"parameter sets ahead of their picture":              {in: []in{{many(sps, pps), 1, true, false}, {idr, 2, true, false}}, want: []out{{ts: 1, sets: 2}, {ts: 2, data: avc(idr), idr: true}}},
		"a picture in pieces":                                {in: []in{key, {pieces(slice...)[0], 2, false, false}, {pieces(slice...)[1], 2, true, false}}, want: []out{keyOut, {ts: 2, data: avc(slice)}}},
		"slices of one picture":                              {in: []in{key, {slice, 2, false, false}, {slice, 2, true, false}}, want: []out{keyOut, {ts: 2, data: avc(slice, slice)}}},
		"without markers the next picture ends one":          {in: []in{{key.payload, 1, false, false}, {slice, 2, false, false}, {slice, 3, false, false}}, want: []out{keyOut, {ts: 2, data: avc(slice)}}},
		"padding is nothing":                                 {in: []in{key, {nil, 1, false, false}, {slice, 2, true, false}}, want: []out{keyOut, {ts: 2, data: avc(slice)}}},
		"nothing before a keyframe":                          {in: []in{{slice, 0, true, false}, key}, want: []out{keyOut}, dropped: 1},
		"after a loss nothing until a keyframe":              {in: []in{key, {slice, 3, true, true}, {slice, 4, true, false}, {idr, 5, true, false}}, want: []out{keyOut, {ts: 5, data: avc(idr), idr: true}}, needKey: true, dropped: 2},
		"a loss in the middle":                               {in: []in{key, {pieces(0x41, 5, 6, 7)[0], 2, false, false}, {pieces(0x41, 5, 6, 7)[2], 2, true, true}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a loss at the end, and of the next one's start":     {in: []in{key, {slice, 2, false, false}, {slice, 3, true, true}}, want: []out{keyOut}, needKey: true, dropped: 2},
		"a loss that padding reveals":                        {in: []in{key, {nil, 1, false, true}, {slice, 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a piece without its start":                          {in: []in{key, {pieces(slice...)[1], 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a piece without its end":                            {in: []in{key, {pieces(slice...)[0], 2, false, false}, {slice, 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a piece that is start and end":                      {in: []in{key, {[]byte{0x5c, 0xc1, 5}, 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"lengths that do not add up":                         {in: []in{key, {[]byte{stapA, 0, 9, 0x41}, 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a packet type of another mode":                      {in: []in{key, {[]byte{25, 0, 0, 0, 1, 0x41}, 2, true, false}}, want: []out{keyOut}, needKey: true, dropped: 1},
		"a keyframe of which a part is lost is not a relief": {in: []in{key, {idr, 2, true, true}, {slice, 3, true, false}}, want: []out{keyOut}, needKey: true, dropped: 2},
	} {
		t.Run(name, func(t *testing.T) {
			var a assembler
			var got []accessUnit
			need := false
			for i, p := range tt.in {
				need = a.push(packet{seq: uint16(i), ts: p.ts, marker: p.marker, payload: p.payload}, p.lost, func(au accessUnit) { got = append(got, au) }) || need
			}
			ok := slices.EqualFunc(got, tt.want, func(g accessUnit, w out) bool {
				return g.ts == w.ts && bytes.Equal(g.data, w.data) && g.idr == w.idr && len(g.sps)+len(g.pps) == w.sets
			})
			if !ok || need != tt.needKey || a.dropped != tt.dropped {
				t.Errorf("got %+v, key needed %t, %d dropped, want %+v, %t, %d", got, need, a.dropped, tt.want, tt.needKey, tt.dropped)
			}
		})
	}
}

func TestAssemblerIsBounded(t *testing.T) {
	var a assembler
	emit := func(accessUnit) { t.Error("a picture over the bounds is taken") }
	start := append([]byte{0x7c, 0x85}, make([]byte, 1200)...)
	middle := append([]byte{0x7c, 0x05}, make([]byte, 1200)...)
	for i := range 2 * maxAccessUnit / 1200 {
		payload := middle
		if i == 0 {
			payload = start
		}
		a.push(packet{ts: 1, payload: payload}, false, emit)
	}
	if cap(a.data) > 2*maxAccessUnit {
		t.Errorf("%d bytes are held for a picture without an end", cap(a.data))
	}
	a.push(packet{ts: 1, payload: []byte{0x7c, 0x45, 1}, marker: true}, false, emit)
	for range maxNALs + 1 {
		a.push(packet{ts: 2, payload: []byte{0x65, 1}}, false, emit)
	}
	a.push(packet{ts: 2, payload: []byte{0x65, 1}, marker: true}, false, emit)
	for range maxParameters + 1 {
		a.push(packet{ts: 3, payload: []byte{0x67, 1}}, false, emit)
	}
	a.push(packet{ts: 3, payload: []byte{0x65, 1}, marker: true}, false, emit)
}

// Whatever packets come, a picture that comes out is one that media can take apart, the
// first is a keyframe, and none is beyond the bounds.
func FuzzAssembler(f *testing.F) {
	add := func(payloads ...[]byte) {
		var b []byte
		for i, p := range payloads {
			b = append(b, byte(len(p)), byte(i&1)<<7|byte(i/2)) // marker; timestamp
			b = append(b, p...)
		}
		f.Add(b)
	}
	idr, slice := []byte{0x65, 3, 4}, []byte{0x41, 5, 6}
	add(many([]byte{0x67, 1}, []byte{0x68, 2}, idr), slice, slice)
	add(append([][]byte{idr}, pieces(0x41, 1, 2, 3)...)...)
	add(pieces(0x65, 1, 2)...)
	f.Fuzz(func(t *testing.T, b []byte) {
		var a assembler
		first := true
		for len(b) >= 2 {
			n, h := int(b[0]), b[1]
			b = b[2:]
			n = min(n, len(b))
			a.push(packet{ts: uint32(h & 0x3f), marker: h&0x80 != 0, payload: b[:n]}, h&0x40 != 0, func(au accessUnit) {
				if len(au.sps) > maxParameters || len(au.pps) > maxParameters || len(au.data) > maxAccessUnit {
					t.Fatalf("a picture beyond the bounds: %d SPS, %d PPS, %d bytes", len(au.sps), len(au.pps), len(au.data))
				}
				if len(au.data) == 0 {
					return
				}
				p, err := media.ParseH264(au.data, 4)
				if err != nil || !p.Slices || p.IDR != au.idr || first && !au.idr {
					t.Fatalf("%x: %+v, %v, first %t", au.data, p, err, first)
				}
				first = false
			})
			b = b[n:]
		}
	})
}
