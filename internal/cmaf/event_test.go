package cmaf

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// emsg is one event message box as a reader sees it.
type emsg struct {
	Version   byte
	Scheme    string
	Value     string
	Timescale uint32
	Time      uint64 // presentation_time, or presentation_time_delta
	Duration  uint32
	ID        uint32
	Data      []byte
}

// readEvents takes apart the emsg boxes that b consists of (ISO 23009-1 5.10.3.3).
func readEvents(t *testing.T, b []byte) (all []emsg) {
	t.Helper()
	text := func() string {
		s, rest, ok := bytes.Cut(b, []byte{0})
		if !ok {
			t.Fatal("text without an end")
		}
		b = rest
		return string(s)
	}
	number := func() uint32 {
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		return n
	}
	for len(b) > 0 {
		size := int(binary.BigEndian.Uint32(b))
		if string(b[4:8]) != "emsg" || !bytes.Equal(b[9:12], []byte{0, 0, 0}) {
			t.Fatalf("box %x", b[:12])
		}
		e, rest := emsg{Version: b[8]}, b[size:]
		b = b[12:size]
		switch e.Version {
		case 0:
			e.Scheme, e.Value = text(), text()
			e.Timescale, e.Time, e.Duration, e.ID = number(), uint64(number()), number(), number()
		case 1:
			e.Timescale = number()
			e.Time = uint64(number())<<32 | uint64(number())
			e.Duration, e.ID = number(), number()
			e.Scheme, e.Value = text(), text()
		default:
			t.Fatalf("version %d", e.Version)
		}
		e.Data, b = b, rest
		all = append(all, e)
	}
	return all
}

func TestEventIsWrittenForEveryPlayer(t *testing.T) {
	tag := []byte("ID3 and so on")
	e := Event{ID: 7, Timescale: 90000, Time: 1<<40 + 3, Delta: 3000, Tag: tag}
	b := e.Append([]byte("before"))[len("before"):]
	if e.Size() != len(b) {
		t.Errorf("Size = %d, appended %d", e.Size(), len(b))
	}
	want := []emsg{
		{0, "urn:twitch:id3", "", 90000, 3000, 0xffff, 7, tag},
		{1, "https://aomedia.org/emsg/ID3", "", 90000, 1<<40 + 3, 0xffffffff, 7, tag},
	}
	if diff := cmp.Diff(want, readEvents(t, b)); diff != "" {
		t.Errorf("boxes (-want +got):\n%s", diff)
	}
	f := Fragment{Runs: []Run{{Track: 1, Samples: []Sample{{Data: nal(3, 5), Sync: true}}}}}
	if got, want := boxes(t, f.Append(b)), []string{"emsg", "emsg", "moof", "mdat"}; !cmp.Equal(got, want) {
		t.Errorf("boxes %v, want %v", got, want)
	}
}
