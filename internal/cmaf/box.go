// Package cmaf writes the ISO base media boxes that a live stream of H.264 or H.265
// with AAC needs: an initialization section (ftyp and moov) and fragments (moof and mdat), both
// tracks in one file. It appends to the caller's buffer, reads nothing and does no I/O.
//
// Event messages (emsg) stand before the moof they belong to: a caller appends them to
// the same buffer before Fragment.Append, whose offsets count from its own moof.
package cmaf

import "encoding/binary"

// open appends the header of a box whose size end fills in.
func open(b []byte, typ string) (out []byte, at int) {
	at = len(b)
	return append(append(b, 0, 0, 0, 0), typ...), at
}

// openFull appends the header of a full box: version and 24 bits of flags.
func openFull(b []byte, typ string, version uint8, flags uint32) (out []byte, at int) {
	b, at = open(b, typ)
	return u32(b, uint32(version)<<24|flags), at
}

// end closes the box that began at at.
func end(b []byte, at int) []byte {
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at))
	return b
}

func u16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }
func u32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
func u64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func zero(b []byte, n int) []byte {
	for range n {
		b = append(b, 0)
	}
	return b
}
