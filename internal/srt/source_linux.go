package srt

import (
	"encoding/binary"
	"net"
	"syscall"
	"unsafe"
)

// A source is the control message that makes the kernel send from the address that a
// datagram came to. A machine with several addresses else answers from the one that its
// routes prefer, and the caller does not know who that is.
type source []byte

// sourceRoom is the most that a source takes.
const sourceRoom = 64

// Sizes of in_pktinfo and in6_pktinfo.
const (
	info4 = 12 // interface, local address, destination
	info6 = 20 // address, interface
)

// wantSource asks for the address that each datagram came to.
func wantSource(pc *net.UDPConn) {
	raw, err := pc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) { // one of the two fits the socket; without it, answers go by the routes
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
	})
}

// sourceOf turns what came with a datagram into what goes with the answers; nil when it
// does not say.
func sourceOf(oob []byte) source {
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= info6:
			var info [info6]byte
			copy(info[:16], m.Data) // and no interface: the routes know
			return controlMessage(m.Header.Level, m.Header.Type, info[:])
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= info4:
			var info [info4]byte
			copy(info[4:8], m.Data[8:12])
			return controlMessage(m.Header.Level, m.Header.Type, info[:])
		}
	}
	return nil
}

func controlMessage(level, typ int32, data []byte) source {
	b := make(source, syscall.CmsgSpace(len(data)))
	word := int(unsafe.Sizeof(uintptr(0))) // of the length, which comes first
	if n := uint64(syscall.CmsgLen(len(data))); word == 8 {
		binary.NativeEndian.PutUint64(b, n)
	} else {
		binary.NativeEndian.PutUint32(b, uint32(n))
	}
	binary.NativeEndian.PutUint32(b[word:], uint32(level))
	binary.NativeEndian.PutUint32(b[word+4:], uint32(typ))
	copy(b[syscall.CmsgLen(0):], data)
	return b
}
