package cmaf

// Event is an ID3 tag and the moment that it is for.
type Event struct {
	ID        uint32 // the same on every rendition, different from any other's
	Timescale uint32 // ticks per second
	Time      uint64 // on the timeline of tfdt, in ticks
	Delta     uint32 // Time less the presentation time of the fragment that follows, in ticks
	Tag       []byte
}

// Schemes of emsg that carry ID3. The IVS player reads nothing but the first, in a box
// of version 0; hls.js and others read the second.
const (
	schemeTwitch = "urn:twitch:id3"
	schemeAOM    = "https://aomedia.org/emsg/ID3"
)

// eventUnknown is the duration of an event of which nobody knows how long it lasts. What
// was seen to work with the IVS player has 16 bits of it.
const (
	eventUnknown       = 1<<32 - 1
	eventUnknownTwitch = 1<<16 - 1
)

// Size is the length of what Append appends.
func (e *Event) Size() int {
	return 2*(fullBoxHeader+2+len(e.Tag)) + len(schemeTwitch) + 4*4 + len(schemeAOM) + 3*4 + 8
}

// Append appends the event twice, as an emsg of each version (ISO 23009-1 5.10.3.3).
func (e *Event) Append(b []byte) []byte {
	b, at := openFull(b, "emsg", 0, 0)
	b = append(append(b, schemeTwitch...), 0)
	b = append(b, 0) // no value
	b = u32(b, e.Timescale)
	b = u32(b, e.Delta)
	b = u32(b, eventUnknownTwitch)
	b = u32(b, e.ID)
	b = append(b, e.Tag...)
	b = end(b, at)

	b, at = openFull(b, "emsg", 1, 0)
	b = u32(b, e.Timescale)
	b = u64(b, e.Time)
	b = u32(b, eventUnknown)
	b = u32(b, e.ID)
	b = append(append(b, schemeAOM...), 0)
	b = append(b, 0) // no value
	b = append(b, e.Tag...)
	return end(b, at)
}
