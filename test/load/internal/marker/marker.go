// Package marker stamps H.264 access units with the wall clock and finds the stamps
// again in what a server delivers, which is how latency is measured here without a
// player model and without trust in the server's own timestamps.
//
// A stamp is an SEI user_data_unregistered NAL unit (ISO 14496-10 D.1.7), which
// packagers pass through and decoders ignore. Its payload is ASCII, so that emulation
// prevention never changes it. A transcoder drops it.
package marker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
)

const (
	// uuid is the user data identifier: 16 bytes.
	uuid = "LIVEBENCH-MARKER"
	// payloadLen is uuid, 8 hexadecimal digits of sequence number and 16 of Unix time
	// in nanoseconds.
	payloadLen = len(uuid) + 8 + 16
	// nalLen is one byte NAL header, two of SEI header and the trailing bits.
	nalLen = 1 + 2 + payloadLen + 1

	nalAUD = 9 // access unit delimiter: nothing may come before it
)

// A Mark is one stamp.
type Mark struct {
	Seq  uint32
	Sent time.Time
}

// AppendSEI appends the NAL unit for m, without length prefix or start code.
func AppendSEI(b []byte, m Mark) []byte {
	b = append(b, 6, 5, byte(payloadLen))
	b = append(b, uuid...)
	b = fmt.Appendf(b, "%08x%016x", m.Seq, uint64(m.Sent.UnixNano()))
	return append(b, 0x80)
}

// AppendAVC appends the length-prefixed access unit au with m in front of its first
// NAL unit, or after the access unit delimiter if it starts with one.
func AppendAVC(b, au []byte, m Mark) []byte {
	if len(au) > 4 && au[4]&0x1f == nalAUD {
		if n := 4 + uint64(binary.BigEndian.Uint32(au)); n <= uint64(len(au)) {
			b = append(b, au[:n]...)
			au = au[n:]
		}
	}
	b = binary.BigEndian.AppendUint32(b, uint32(nalLen))
	b = AppendSEI(b, m)
	return append(b, au...)
}

// find calls emit for each mark in b.
func find(b []byte, emit func(Mark)) {
	for {
		i := bytes.Index(b, []byte(uuid))
		if i < 0 || i+payloadLen > len(b) {
			return
		}
		p := b[i+len(uuid) : i+payloadLen]
		b = b[i+payloadLen:]
		seq, err1 := strconv.ParseUint(string(p[:8]), 16, 32)
		ns, err2 := strconv.ParseUint(string(p[8:]), 16, 63)
		if err1 == nil && err2 == nil {
			emit(Mark{Seq: uint32(seq), Sent: time.Unix(0, int64(ns))})
		}
	}
}
