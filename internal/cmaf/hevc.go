package cmaf

// Parameter sets as NAL unit types (H.265 table 7-1).
const (
	typeVPS = 32
	typeSPS = 33
	typePPS = 34
)

// hvcC appends the HEVCDecoderConfigurationRecord (ISO 14496-15 8.3.3.1) with the four
// byte NAL unit sizes that a Sample has. An SPS that cannot be read leaves the record
// without what it says.
func (v *Video) hvcC(b []byte) []byte {
	b, at := open(b, "hvcC")
	var f hevcFormat
	if len(v.SPS) > 0 {
		f, _ = parseHEVC(v.SPS[0])
	}
	b = append(b, 1)
	b = append(b, f.profile[:]...)
	b = u16(b, 0xf000)  // min_spatial_segmentation_idc: unknown
	b = append(b, 0xfc) // parallelismType: unknown
	b = append(b, 0xfc|f.chroma, 0xf8|f.luma8, 0xf8|f.chroma8)
	b = u16(b, 0) // avgFrameRate: not said
	b = append(b, f.layers<<3|f.nested<<2|3)
	b = append(b, 3)
	for _, array := range []struct {
		typ  byte
		sets [][]byte
	}{{typeVPS, v.VPS}, {typeSPS, v.SPS}, {typePPS, v.PPS}} {
		const complete = 0x80 // no sets of the type in samples: "hvc1" promises that
		b = append(b, complete|array.typ)
		b = u16(b, uint16(min(len(array.sets), 255)))
		b = parameterSets(b, array.sets, 255)
	}
	return end(b, at)
}

// hevcFormat is what an hvcC repeats from the sequence parameter set.
type hevcFormat struct {
	profile                [12]byte // the general part of profile_tier_level
	chroma, luma8, chroma8 byte     // chroma_format_idc, bit depths less 8
	layers, nested         byte     // temporal ones, and whether they are nested
}

// parseHEVC reads the first fields of an SPS (H.265 7.3.2.2.1, 7.3.3).
func parseHEVC(sps []byte) (f hevcFormat, ok bool) {
	r := bitReader{b: sps}
	r.skip(2*8 + 4) // NAL header, sps_video_parameter_set_id
	sub := r.bits(3)
	f.layers, f.nested = byte(sub)+1, byte(r.bits(1))
	for i := range f.profile {
		f.profile[i] = byte(r.bits(8))
	}
	r.sublayers(int(sub))
	_ = r.ue() // sps_seq_parameter_set_id
	chroma := r.ue()
	if chroma == 3 {
		r.skip(1) // separate_colour_plane_flag
	}
	_, _ = r.ue(), r.ue() // width, height
	if r.bit() == 1 {     // conformance_window_flag
		_, _, _, _ = r.ue(), r.ue(), r.ue(), r.ue()
	}
	luma8, chroma8 := r.ue(), r.ue()
	if r.bad || chroma > 3 || luma8 > 7 || chroma8 > 7 {
		return hevcFormat{}, false
	}
	f.chroma, f.luma8, f.chroma8 = byte(chroma), byte(luma8), byte(chroma8)
	return f, true
}

// sublayers skips the parts of profile_tier_level for n temporal sub-layers.
func (r *bitReader) sublayers(n int) {
	const profileBits, levelBits, most = 88, 8, 8
	skip := 0
	for range n {
		skip += int(r.bit()) * profileBits
		skip += int(r.bit()) * levelBits
	}
	if n > 0 {
		r.skip(2 * (most - n)) // reserved_zero_2bits
	}
	r.skip(skip)
}

func (r *bitReader) bits(n int) uint32 {
	v := uint32(0)
	for range n {
		v = v<<1 | r.bit()
	}
	return v
}
