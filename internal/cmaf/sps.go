package cmaf

// format is what the avcC of the high profiles repeats from the sequence parameter set.
type format struct{ chroma, luma8, chroma8 byte } // chroma_format_idc, bit depths less 8

// parseFormat reads the first fields of an SPS of a high profile (H.264 7.3.2.1.1).
func parseFormat(sps []byte) (f format, ok bool) {
	r := bitReader{b: sps}
	r.skip(4 * 8) // NAL header, profile, constraints, level
	_ = r.ue()    // seq_parameter_set_id
	chroma := r.ue()
	if chroma == 3 {
		r.skip(1) // separate_colour_plane_flag
	}
	luma8, chroma8 := r.ue(), r.ue()
	if r.bad || chroma > 3 || luma8 > 6 || chroma8 > 6 {
		return format{}, false
	}
	return format{byte(chroma), byte(luma8), byte(chroma8)}, true
}

// bitReader reads a NAL unit bit by bit and drops emulation prevention bytes.
type bitReader struct {
	b     []byte
	at    int // bit offset in b
	zeros int // zero bytes in a row before the current byte
	bad   bool
}

func (r *bitReader) bit() uint32 {
	i := r.at / 8
	if r.at%8 == 0 && i < len(r.b) && r.zeros >= 2 && r.b[i] == 3 {
		r.at, r.zeros = r.at+8, 0
		i++
	}
	if i >= len(r.b) {
		r.bad = true
		return 0
	}
	v := r.b[i] >> (7 - r.at%8) & 1
	if r.at++; r.at%8 == 0 {
		if r.b[i] == 0 {
			r.zeros++
		} else {
			r.zeros = 0
		}
	}
	return uint32(v)
}

func (r *bitReader) skip(n int) {
	for range n {
		r.bit()
	}
}

// ue reads an unsigned Exp-Golomb code of at most 32 bits.
func (r *bitReader) ue() uint32 {
	n := 0
	for r.bit() == 0 {
		if n++; r.bad || n > 31 {
			r.bad = true
			return 0
		}
	}
	v := uint32(0)
	for range n {
		v = v<<1 | r.bit()
	}
	return v + 1<<n - 1
}
