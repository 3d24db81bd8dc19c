package cmaf

// Init is an initialization section: nothing but ftyp and moov, since the IVS player
// fails on anything else in it. A nil track is left out. There are no edit lists:
// fragments say where their samples are.
type Init struct {
	Video *Video
	Audio *Audio
}

// Video describes the H.264 or H.265 track.
type Video struct {
	ID            uint32 // track_ID, not 0
	Timescale     uint32 // ticks per second
	Width, Height int    // pixels
	SPS, PPS      [][]byte
	VPS           [][]byte // H.265 has them, H.264 has none
}

// Audio describes the AAC track.
type Audio struct {
	ID         uint32 // track_ID, not 0
	Timescale  uint32 // ticks per second
	SampleRate int    // Hz
	Channels   int
	Config     []byte // AudioSpecificConfig; at most 64 bytes are of use to anyone
}

// identity is the unity transformation matrix of mvhd and tkhd.
var identity = [9]uint32{0: 0x10000, 4: 0x10000, 8: 0x40000000}

// Append appends the section to b.
func (i Init) Append(b []byte) []byte {
	b, ftyp := open(b, "ftyp")
	b = append(b, "iso6"...)
	b = u32(b, 0)
	b = append(b, "iso6mp41"...)
	b = end(b, ftyp)

	b, moov := open(b, "moov")
	b, mvhd := openFull(b, "mvhd", 0, 0)
	b = zero(b, 8)     // creation and modification time
	b = u32(b, 1000)   // timescale
	b = u32(b, 0)      // duration: fragments hold it
	b = u32(b, 1<<16)  // rate 1.0
	b = u16(b, 1<<8)   // volume 1.0
	b = zero(b, 2+2*4) // reserved
	b = matrix(b)
	b = zero(b, 6*4)
	b = u32(b, i.nextID())
	b = end(b, mvhd)
	if i.Video != nil {
		b = i.Video.trak(b)
	}
	if i.Audio != nil {
		b = i.Audio.trak(b)
	}
	b, mvex := open(b, "mvex")
	if i.Video != nil {
		b = trex(b, i.Video.ID)
	}
	if i.Audio != nil {
		b = trex(b, i.Audio.ID)
	}
	b = end(b, mvex)
	return end(b, moov)
}

func (i Init) nextID() uint32 {
	id := uint32(0)
	if i.Video != nil {
		id = i.Video.ID
	}
	if i.Audio != nil {
		id = max(id, i.Audio.ID)
	}
	return id + 1
}

func matrix(b []byte) []byte {
	for _, v := range identity {
		b = u32(b, v)
	}
	return b
}

func trex(b []byte, id uint32) []byte {
	b, at := openFull(b, "trex", 0, 0)
	b = u32(b, id)
	b = u32(b, 1)    // default_sample_description_index
	b = zero(b, 3*4) // defaults come with each fragment
	return end(b, at)
}

func (v *Video) trak(b []byte) []byte {
	b, trak := open(b, "trak")
	b = tkhd(b, v.ID, 0, v.Width, v.Height)
	b, mdia := open(b, "mdia")
	b = mdhd(b, v.Timescale)
	b = hdlr(b, "vide", "VideoHandler")
	b, minf := open(b, "minf")
	b, vmhd := openFull(b, "vmhd", 0, 1)
	b = zero(b, 8)
	b = end(b, vmhd)
	b = dinf(b)
	b = stbl(b, v.entry)
	b = end(b, minf)
	b = end(b, mdia)
	return end(b, trak)
}

func (a *Audio) trak(b []byte) []byte {
	b, trak := open(b, "trak")
	b = tkhd(b, a.ID, 1<<8, 0, 0)
	b, mdia := open(b, "mdia")
	b = mdhd(b, a.Timescale)
	b = hdlr(b, "soun", "SoundHandler")
	b, minf := open(b, "minf")
	b, smhd := openFull(b, "smhd", 0, 0)
	b = zero(b, 4)
	b = end(b, smhd)
	b = dinf(b)
	b = stbl(b, a.entry)
	b = end(b, minf)
	b = end(b, mdia)
	return end(b, trak)
}

func tkhd(b []byte, id uint32, volume uint16, width, height int) []byte {
	b, at := openFull(b, "tkhd", 0, 3) // enabled, in movie
	b = zero(b, 8)                     // creation and modification time
	b = u32(b, id)
	b = zero(b, 4+4+8+2+2) // reserved, duration, reserved, layer, alternate group
	b = u16(b, volume)
	b = zero(b, 2)
	b = matrix(b)
	b = u32(b, uint32(width)<<16)
	b = u32(b, uint32(height)<<16)
	return end(b, at)
}

func mdhd(b []byte, timescale uint32) []byte {
	b, at := openFull(b, "mdhd", 0, 0)
	b = zero(b, 8)
	b = u32(b, timescale)
	b = u32(b, 0)
	b = u16(b, 0x55c4) // language "und"
	b = u16(b, 0)
	return end(b, at)
}

func hdlr(b []byte, typ, name string) []byte {
	b, at := openFull(b, "hdlr", 0, 0)
	b = zero(b, 4)
	b = append(b, typ...)
	b = zero(b, 12)
	b = append(b, name...)
	b = append(b, 0)
	return end(b, at)
}

func dinf(b []byte) []byte {
	b, dinf := open(b, "dinf")
	b, dref := openFull(b, "dref", 0, 0)
	b = u32(b, 1)
	b, url := openFull(b, "url ", 0, 1) // in this file
	b = end(b, url)
	b = end(b, dref)
	return end(b, dinf)
}

// stbl appends a sample table with one description and no samples.
func stbl(b []byte, entry func([]byte) []byte) []byte {
	b, stbl := open(b, "stbl")
	b, stsd := openFull(b, "stsd", 0, 0)
	b = u32(b, 1)
	b = entry(b)
	b = end(b, stsd)
	for _, typ := range []string{"stts", "stsc", "stco"} {
		var at int
		b, at = openFull(b, typ, 0, 0)
		b = u32(b, 0)
		b = end(b, at)
	}
	b, stsz := openFull(b, "stsz", 0, 0)
	b = zero(b, 8)
	b = end(b, stsz)
	return end(b, stbl)
}

func (v *Video) entry(b []byte) []byte {
	entry, config := "avc1", v.avcC
	if len(v.VPS) > 0 {
		entry, config = "hvc1", v.hvcC
	}
	b, at := open(b, entry)
	b = zero(b, 6)
	b = u16(b, 1) // data_reference_index
	b = zero(b, 16)
	b = u16(b, uint16(v.Width))
	b = u16(b, uint16(v.Height))
	b = u32(b, 72<<16) // dots per inch, both ways
	b = u32(b, 72<<16)
	b = zero(b, 4)
	b = u16(b, 1)   // frame_count
	b = zero(b, 32) // compressorname
	b = u16(b, 24)  // depth
	b = u16(b, 1<<16-1)
	b = config(b)
	return end(b, at)
}

// avcC appends the AVCDecoderConfigurationRecord (ISO 14496-15 5.3.3.1) with the four
// byte NAL unit sizes that a Sample has.
func (v *Video) avcC(b []byte) []byte {
	b, at := open(b, "avcC")
	profile, compat, level := byte(0), byte(0), byte(0)
	if len(v.SPS) > 0 && len(v.SPS[0]) >= 4 {
		profile, compat, level = v.SPS[0][1], v.SPS[0][2], v.SPS[0][3]
	}
	b = append(b, 1, profile, compat, level, 0xfc|3)
	b = append(b, 0xe0|byte(min(len(v.SPS), 31)))
	b = parameterSets(b, v.SPS, 31)
	b = append(b, byte(min(len(v.PPS), 255)))
	b = parameterSets(b, v.PPS, 255)
	switch profile {
	case 100, 110, 122, 144:
		if f, ok := parseFormat(v.SPS[0]); ok {
			b = append(b, 0xfc|f.chroma, 0xf8|f.luma8, 0xf8|f.chroma8, 0)
		}
	}
	return end(b, at)
}

func parameterSets(b []byte, sets [][]byte, limit int) []byte {
	for _, s := range sets[:min(len(sets), limit)] {
		s = s[:min(len(s), 1<<16-1)]
		b = u16(b, uint16(len(s)))
		b = append(b, s...)
	}
	return b
}

func (a *Audio) entry(b []byte) []byte {
	b, mp4a := open(b, "mp4a")
	b = zero(b, 6)
	b = u16(b, 1) // data_reference_index
	b = zero(b, 8)
	b = u16(b, uint16(a.Channels))
	b = u16(b, 16) // samplesize
	b = zero(b, 4)
	rate := uint32(a.SampleRate)
	if rate > 1<<16-1 {
		rate = 0 // does not fit; the AudioSpecificConfig counts
	}
	b = u32(b, rate<<16)

	config := a.Config[:min(len(a.Config), 64)]
	b, esds := openFull(b, "esds", 0, 0)
	b = append(b, 0x03, byte(3+5+13+len(config)+3)) // ES_Descriptor
	b = u16(b, uint16(a.ID))
	b = append(b, 0)
	b = append(b, 0x04, byte(13+2+len(config))) // DecoderConfigDescriptor
	b = append(b, 0x40, 0x15)                   // AAC; audio stream
	b = zero(b, 3+4+4)                          // buffer size and bit rates: unknown
	b = append(b, 0x05, byte(len(config)))      // DecoderSpecificInfo
	b = append(b, config...)
	b = append(b, 0x06, 1, 2) // SLConfigDescriptor: as in MP4
	b = end(b, esds)
	return end(b, mp4a)
}
