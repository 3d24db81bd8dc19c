// Package mpegts writes MPEG transport streams (ISO 13818-1) of one H.264 and at most
// one AAC track, as HLS wants them: tables on demand, an access unit delimiter first in
// every picture, parameter sets before every IDR picture, PCR on the video PID. It
// appends whole packets to the caller's buffer and does no I/O.
//
// It also takes apart what encoders send: a Demuxer finds the program and joins its PES
// packets. It trusts nothing in them, does not look at PCR, and knows no codec.
//
// The tables always announce timed metadata (ID3), whether or not there will be any:
// nothing changes for a player when the first tag comes.
package mpegts

import "encoding/binary"

// PacketSize is the length of every packet, in bytes.
const PacketSize = 188

const (
	pidPAT   = 0x0000
	pidPMT   = 0x1000
	pidVideo = 0x0100 // also the PCR
	pidAudio = 0x0101
	pidID3   = 0x0102

	typeH264 = 0x1b
	typeADTS = 0x0f
	typeID3  = 0x15

	// pcrLead is how far PCR runs before DTS, in 90 kHz ticks: time for a decoder to fill.
	pcrLead = 9000
)

// Muxer holds what runs on across segments: the continuity counters and the version of
// the tables. It belongs to one goroutine.
type Muxer struct {
	audio   bool
	alone   bool  // there is no video
	version uint8 // of the PMT, 5 bits
	pat     uint8 // continuity counters, 4 bits
	pmt     uint8
	video   uint8
	sound   uint8
	id3     uint8
	pes     []byte // scratch
}

// New returns a muxer of a stream with video, and with audio if told.
func New(audio bool) *Muxer { return &Muxer{audio: audio} }

// NewAudio returns a muxer of a stream with audio and no video.
func NewAudio() *Muxer { return &Muxer{audio: true, alone: true} }

// SetAudio says whether the stream has audio from the next tables on.
func (m *Muxer) SetAudio(audio bool) {
	if audio != m.audio {
		m.audio, m.version = audio, (m.version+1)&0x1f
	}
}

// AppendTables appends PAT and PMT: two packets. A segment starts with them, and so
// does every part that a player may start at.
func (m *Muxer) AppendTables(b []byte) []byte {
	var s [64]byte
	pat := append(s[:0], 0x00, 0xb0, 0, // table id, length
		0, 1, // transport stream id
		0xc1, 0, 0, // version 0, current, section 0 of 0
		0, 1, 0xe0|pidPMT>>8, pidPMT&0xff) // program 1
	b = appendSection(b, pidPAT, &m.pat, pat)

	clock := pidVideo // the PCR's
	if m.alone {
		clock = pidAudio
	}
	pmt := append(s[:0], 0x02, 0xb0, 0,
		0, 1, // program 1
		0xc1|m.version<<1, 0, 0,
		0xe0|byte(clock>>8), byte(clock),
		0xf0, byte(len(metadataPointer)))
	pmt = append(pmt, metadataPointer...)
	if !m.alone {
		pmt = append(pmt, typeH264, 0xe0|pidVideo>>8, pidVideo&0xff, 0xf0, 0)
	}
	if m.audio {
		pmt = append(pmt, typeADTS, 0xe0|pidAudio>>8, pidAudio&0xff, 0xf0, 0)
	}
	pmt = append(pmt, typeID3, 0xe0|pidID3>>8, pidID3&0xff, 0xf0, byte(len(metadataDescriptor)))
	pmt = append(pmt, metadataDescriptor...)
	return appendSection(b, pidPMT, &m.pmt, pmt)
}

// What the PMT says of the ID3 stream, byte for byte as Apple's "Timed Metadata for HTTP
// Live Streaming" has it (ISO 13818-1 2.6.58, 2.6.60).
const (
	metadataPointer    = "\x25\x0f\xff\xffID3 \xffID3 \x00\x1f\x00\x01" // of the program: metadata of program 1
	metadataDescriptor = "\x26\x0d\xff\xffID3 \xffID3 \x00\x0f"         // of the stream
)

// appendSection appends one packet with the section, whose length and CRC it fills in.
func appendSection(b []byte, pid uint16, counter *uint8, section []byte) []byte {
	section[2] = byte(len(section) - 3 + 4)
	b = appendHeader(b, pid, true, 0x10, counter)
	start := len(b)
	b = append(b, 0) // pointer field
	b = append(b, section...)
	b = binary.BigEndian.AppendUint32(b, crc(section))
	return fill(b, PacketSize-4-(len(b)-start))
}

// Picture is one H.264 access unit. Times are in 90 kHz ticks and may exceed 33 bits.
type Picture struct {
	PTS, DTS int64
	Key      bool     // an IDR picture
	Data     []byte   // NAL units with four byte sizes; it ends at the first one that does not fit
	SPS, PPS [][]byte // written before a Key picture that does not bring its own
}

// AppendVideo appends one picture as one PES packet.
func (m *Muxer) AppendVideo(b []byte, p Picture) []byte {
	pes := appendPESHeader(m.pes[:0], 0xe0, p.PTS, p.DTS)
	pes = append(pes, 0, 0, 0, 1, nalAUD, 0xf0) // any slice type
	if p.Key && !hasSPS(p.Data) {
		for _, s := range p.SPS {
			pes = appendNAL(pes, s)
		}
		for _, s := range p.PPS {
			pes = appendNAL(pes, s)
		}
	}
	for nal, rest := next(p.Data); nal != nil; nal, rest = next(rest) {
		if nal[0]&0x1f != nalAUD { // ours stands first already
			pes = appendNAL(pes, nal)
		}
	}
	m.pes = pes
	return appendPES(b, pidVideo, &m.video, pes, p.DTS-pcrLead, p.Key)
}

// AppendAudio appends AAC frames that follow each other as one PES packet; pts, in
// 90 kHz ticks, is that of the first.
func (m *Muxer) AppendAudio(b []byte, pts int64, h ADTS, frames [][]byte) []byte {
	pes := appendPESHeader(m.pes[:0], 0xc0, pts, pts)
	for _, f := range frames {
		pes = h.append(pes, len(f))
		pes = append(pes, f...)
	}
	m.pes = pes
	if n := len(pes) - 6; n <= 1<<16-1 {
		binary.BigEndian.PutUint16(pes[4:], uint16(n))
	}
	pcr := int64(noPCR)
	if m.alone {
		pcr = pts - pcrLead
	}
	return appendPES(b, pidAudio, &m.sound, pes, pcr, true)
}

// MaxMetadata is the longest ID3 tag that fits into a PES packet, in bytes.
const MaxMetadata = 1<<16 - 1 - 8

// AppendMetadata appends one whole ID3 tag of at most MaxMetadata bytes as one PES packet,
// to be shown at pts, in 90 kHz ticks. It goes before the picture that is shown then.
func (m *Muxer) AppendMetadata(b []byte, pts int64, tag []byte) []byte {
	pes := appendPESHeader(m.pes[:0], 0xbd, pts, pts)
	pes = append(pes, tag[:min(len(tag), MaxMetadata)]...)
	m.pes = pes
	binary.BigEndian.PutUint16(pes[4:], uint16(len(pes)-6)) // only video may leave it open
	return appendPES(b, pidID3, &m.id3, pes, noPCR, false)
}

const (
	nalSPS = 7
	nalAUD = 9
)

// next cuts the first NAL unit off a length-prefixed access unit; nil at its end and
// where a size lies.
func next(data []byte) (nal, rest []byte) {
	if len(data) < 4 {
		return nil, nil
	}
	n := binary.BigEndian.Uint32(data)
	if n == 0 || uint64(n) > uint64(len(data)-4) {
		return nil, nil
	}
	return data[4 : 4+n], data[4+n:]
}

func hasSPS(data []byte) bool {
	for nal, rest := next(data); nal != nil; nal, rest = next(rest) {
		if nal[0]&0x1f == nalSPS {
			return true
		}
	}
	return false
}

func appendNAL(b, nal []byte) []byte { return append(append(b, 0, 0, 0, 1), nal...) }
