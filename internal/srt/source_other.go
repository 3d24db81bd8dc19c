//go:build !linux

package srt

import "net"

// A source would name the address to answer from; here the routes decide.
type source []byte

const sourceRoom = 0

func wantSource(*net.UDPConn) {}

func sourceOf([]byte) source { return nil }
