package id3

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
)

func TestTags(t *testing.T) {
	for name, tt := range map[string]struct {
		tag  []byte
		want string // hexadecimal, up to where the content goes on
	}{
		"PRIV, as the documents have it": {
			Private(OwnerAPI, `{"q":1}`),
			"49443304000000000029" + "505249560000001f0000" + hex.EncodeToString([]byte("metadata.live-video.net\x00{\"q\":1}")),
		},
		"PRIV of bytes":     {Private("o", []byte{0, 0xff}), "4944330400000000000e" + "50524956000000040000" + "6f0000ff"},
		"PRIV of nothing":   {Private("", ""), "4944330400000000000b" + "50524956000000010000" + "00"},
		"TXXX":              {Text("d", "é"), "49443304000000000010" + "54585858000000060000" + "036400c3a900"},
		"a size of 7 bits":  {Private("", strings.Repeat("a", 126)), "49443304000000000109" + "505249560000007f0000" + "0061"},
		"a size of 8 bits":  {Private("", strings.Repeat("a", 127)), "4944330400000000010a" + "50524956000001000000" + "0061"},
		"a size of 16 bits": {Private("", strings.Repeat("a", 1<<15)), "4944330400000002000b" + "50524956000200010000" + "0061"},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := hex.DecodeString(tt.want)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasPrefix(tt.tag, want) || len(tt.tag) < 127 && len(tt.tag) != len(want) {
				t.Errorf("tag\n%x, want\n%x", tt.tag[:min(len(tt.tag), 80)], want)
			}
			if cap(tt.tag) != len(tt.tag) {
				t.Errorf("room for %d bytes, %d used", cap(tt.tag), len(tt.tag))
			}
		})
	}
}

// Whatever the content is, the sizes of tag and frame are right and syncsafe.
func FuzzPrivate(f *testing.F) {
	f.Add("metadata.live-video.net", []byte("hello"))
	f.Add("", bytes.Repeat([]byte{0xff}, 300))
	f.Fuzz(func(t *testing.T, owner string, data []byte) {
		tag := Private(owner, data)
		for _, at := range []int{6, 14} {
			size := 0
			for _, c := range tag[at : at+4] {
				if c&0x80 != 0 {
					t.Fatalf("size %x", tag[at:at+4])
				}
				size = size<<7 | int(c)
			}
			rest := len(tag) - header
			if at > 6 {
				rest -= frameHeader
			}
			if size != rest {
				t.Errorf("the size at %d is %d, want %d", at, size, rest)
			}
		}
		if !bytes.HasSuffix(tag, data) {
			t.Error("the data does not end the tag")
		}
	})
}
