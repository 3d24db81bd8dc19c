package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
)

// AnnexB walks the NAL units of a byte stream (H.264 annex B): what lies between start
// codes, without the zeros that may fill up its end. None is empty.
func AnnexB(b []byte) iter.Seq[[]byte] {
	startCode := []byte{0, 0, 1}
	return func(yield func([]byte) bool) {
		i := bytes.Index(b, startCode)
		for i >= 0 {
			b = b[i+len(startCode):]
			i = bytes.Index(b, startCode)
			nal := b
			if i >= 0 {
				nal = b[:i]
			}
			for len(nal) > 0 && nal[len(nal)-1] == 0 {
				nal = nal[:len(nal)-1]
			}
			if len(nal) > 0 && !yield(nal) {
				return
			}
		}
	}
}

// Errors of H264Reader.Read.
var (
	// ErrNoParameterSets means a picture before the sequence and picture parameter sets.
	ErrNoParameterSets = errors.New("media: picture before its parameter sets")
	// ErrNoPicture means an access unit of nothing but parameter sets and SEI.
	ErrNoPicture = errors.New("media: access unit without a picture")
)

// An H264Reader reads H.264 that has its parameter sets within, as MPEG-TS and RTP carry
// it. The zero value is ready.
type H264Reader struct {
	sps, pps [][]byte
	track    *Track // of those; nil before both are there
	changed  bool   // they are not those of track
	nals     [][]byte
}

// Read takes one access unit in the form of annex B. The picture is fresh memory, without
// delimiters and parameter sets: those are the track's. Another track than before means
// that they changed. An error other than the two above is about the parameter sets.
func (r *H264Reader) Read(b []byte) (Picture, *Track, error) {
	return r.ReadNALs(AnnexB(b))
}

// ReadNALs is Read of NAL units that were found otherwise.
func (r *H264Reader) ReadNALs(nals iter.Seq[[]byte]) (Picture, *Track, error) {
	var p Picture
	var sps, pps [][]byte
	size := 0
	r.nals = r.nals[:0]
	for nal := range nals {
		switch typ := nal[0] & 0x1f; {
		case typ == nalSPS:
			sps = append(sps, nal)
			continue
		case typ == nalPPS:
			pps = append(pps, nal)
			continue
		case typ == nalAUD:
			continue
		case typ == nalIDR:
			p.IDR, p.Slices = true, true
		case typ >= nalSlice && typ < nalIDR:
			p.Slices = true
		}
		r.nals = append(r.nals, nal)
		size += 4 + len(nal)
	}
	r.renew(sps, pps)
	switch {
	case !p.Slices:
		return Picture{}, nil, ErrNoPicture
	case len(r.sps) == 0 || len(r.pps) == 0:
		return Picture{}, nil, ErrNoParameterSets
	case r.changed:
		t, err := NewH264Track(slices.Clone(r.sps), slices.Clone(r.pps))
		if err != nil {
			return Picture{}, nil, err
		}
		r.track, r.changed = t, false
	}
	p.Data = make([]byte, 0, size)
	for _, nal := range r.nals {
		p.Data = binary.BigEndian.AppendUint32(p.Data, uint32(len(nal)))
		p.Data = append(p.Data, nal...)
	}
	return p, r.track, nil
}

// renew takes the parameter sets of an access unit. Sequence parameter sets begin a new
// list of both kinds; a picture parameter set alone replaces the one of its number.
func (r *H264Reader) renew(sps, pps [][]byte) {
	if len(sps) > 0 {
		r.replace(&r.sps, sps)
		if len(pps) > 0 {
			r.replace(&r.pps, pps)
		}
		return
	}
	for _, s := range pps {
		if slices.ContainsFunc(r.pps, func(o []byte) bool { return bytes.Equal(o, s) }) {
			continue
		}
		same := slices.IndexFunc(r.pps, func(o []byte) bool { return setNumber(o) == setNumber(s) })
		switch {
		case same >= 0:
			r.pps[same], r.changed = bytes.Clone(s), true
		case len(r.pps) < maxSets:
			r.pps, r.changed = append(r.pps, bytes.Clone(s)), true
		}
	}
}

// replace makes *list the sets, without those that come twice.
func (r *H264Reader) replace(list *[][]byte, sets [][]byte) {
	sets = sets[:min(len(sets), maxSets)]
	sets = slices.DeleteFunc(slices.Clone(sets), func(s []byte) bool {
		first := slices.IndexFunc(sets, func(o []byte) bool { return bytes.Equal(o, s) })
		return &sets[first][0] != &s[0]
	})
	if slices.EqualFunc(*list, sets, bytes.Equal) {
		return
	}
	r.changed = true
	*list = nil
	for _, s := range sets {
		*list = append(*list, bytes.Clone(s))
	}
}

// setNumber is the pic_parameter_set_id, which a PPS begins with (H.264 7.3.2.2).
func setNumber(pps []byte) uint64 {
	if len(pps) < 2 {
		return 0
	}
	var bits uint64
	for i := range min(len(pps)-1, 8) {
		bits |= uint64(pps[1+i]) << (56 - 8*i)
	}
	zeros := 0
	for zeros < 31 && bits<<zeros>>63 == 0 {
		zeros++
	}
	return bits << zeros >> (63 - zeros)
}
