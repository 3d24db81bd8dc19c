package cmaf

import "encoding/binary"

// Fragment is one moof and mdat: a part of a segment.
type Fragment struct {
	Sequence uint32 // mfhd sequence_number; grows with each fragment
	Runs     []Run  // at most one per track
}

// Run is the consecutive samples of one track in a Fragment.
type Run struct {
	Track    uint32 // track_ID
	BaseTime uint64 // decode time of the first sample, in the track's timescale
	Samples  []Sample
}

// Sample is one access unit.
type Sample struct {
	Data     []byte // H.264 or H.265 with four byte sizes, or a raw AAC frame
	Duration uint32 // ticks
	Offset   int32  // presentation less decode time, ticks; not 0 with B-frames
	Sync     bool   // decoding can start here
}

// Bits of tfhd, of trun and of sample flags (ISO 14496-12 8.8).
const (
	tfhdDuration  = 0x08
	tfhdFlags     = 0x20
	tfhdBaseMoof  = 0x020000
	trunData      = 0x001
	trunDuration  = 0x100
	trunSize      = 0x200
	trunFlags     = 0x400
	trunOffset    = 0x800
	flagsSync     = 0x02000000 // depends on no other
	flagsNotSync  = 0x01010000 // depends on others; is not a sync sample
	boxHeader     = 8
	fullBoxHeader = 12
)

// layout says which fields a run needs: what is the same for all samples is said once.
type layout struct {
	trun uint32 // flags of trun
	dflt uint32 // default_sample_flags
	per  int    // bytes per sample in trun
}

func (r *Run) layout() layout {
	l := layout{trun: trunData | trunSize, dflt: flagsSync, per: 4}
	first := &r.Samples[0]
	sync := 0
	for i := range r.Samples {
		s := &r.Samples[i]
		if s.Duration != first.Duration {
			l.trun |= trunDuration
		}
		if s.Offset != 0 {
			l.trun |= trunOffset
		}
		if s.Sync {
			sync++
		}
	}
	switch sync {
	case len(r.Samples):
	case 0:
		l.dflt = flagsNotSync
	default: // not first-sample-flags: some readers do not know them
		l.trun |= trunFlags
	}
	for _, f := range []uint32{trunDuration, trunFlags, trunOffset} {
		if l.trun&f != 0 {
			l.per += 4
		}
	}
	return l
}

func (r *Run) trafSize(l layout) int {
	return boxHeader + (fullBoxHeader + 3*4) + (fullBoxHeader + 8) +
		(fullBoxHeader + 2*4 + l.per*len(r.Samples)) // traf, tfhd, tfdt, trun
}

// Size is the length of what Append appends, so that a caller can allocate it at once.
func (f *Fragment) Size() int {
	n := boxHeader + (fullBoxHeader + 4) + boxHeader
	for i := range f.Runs {
		r := &f.Runs[i]
		if len(r.Samples) == 0 {
			continue
		}
		n += r.trafSize(r.layout())
		for j := range r.Samples {
			n += len(r.Samples[j].Data)
		}
	}
	return n
}

// Append appends the fragment to b. Runs without samples are left out.
func (f *Fragment) Append(b []byte) []byte {
	b, moof := open(b, "moof")
	b, mfhd := openFull(b, "mfhd", 0, 0)
	b = u32(b, f.Sequence)
	b = end(b, mfhd)
	size := boxHeader + fullBoxHeader + 4
	for i := range f.Runs {
		if r := &f.Runs[i]; len(r.Samples) > 0 {
			size += r.trafSize(r.layout())
		}
	}
	data := size + boxHeader // offset of the next run's first byte, from the start of moof
	for i := range f.Runs {
		r := &f.Runs[i]
		if len(r.Samples) == 0 {
			continue
		}
		b = r.traf(b, data)
		for j := range r.Samples {
			data += len(r.Samples[j].Data)
		}
	}
	b = end(b, moof)

	b, mdat := open(b, "mdat")
	for i := range f.Runs {
		for j := range f.Runs[i].Samples {
			b = append(b, f.Runs[i].Samples[j].Data...)
		}
	}
	return end(b, mdat)
}

func (r *Run) traf(b []byte, data int) []byte {
	l := r.layout()
	b, traf := open(b, "traf")
	b, tfhd := openFull(b, "tfhd", 0, tfhdBaseMoof|tfhdDuration|tfhdFlags)
	b = u32(b, r.Track)
	b = u32(b, r.Samples[0].Duration)
	b = u32(b, l.dflt)
	b = end(b, tfhd)
	b, tfdt := openFull(b, "tfdt", 1, 0)
	b = u64(b, r.BaseTime)
	b = end(b, tfdt)
	b, trun := openFull(b, "trun", 1, l.trun) // version 1: signed composition offsets
	b = u32(b, uint32(len(r.Samples)))
	b = u32(b, uint32(data))
	for i := range r.Samples {
		s := &r.Samples[i]
		if l.trun&trunDuration != 0 {
			b = u32(b, s.Duration)
		}
		b = u32(b, uint32(len(s.Data)))
		if l.trun&trunFlags != 0 {
			v := uint32(flagsNotSync)
			if s.Sync {
				v = flagsSync
			}
			b = u32(b, v)
		}
		if l.trun&trunOffset != 0 {
			b = binary.BigEndian.AppendUint32(b, uint32(s.Offset))
		}
	}
	b = end(b, trun)
	return end(b, traf)
}
