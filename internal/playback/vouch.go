package playback

import (
	"encoding/binary"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// A browser that follows a redirect to another host says "null" for the origin of the
// page that asked (Fetch, 4.4). So the node that sends a viewer on to the owner of a
// channel vouches for the origin that it has seen.

// Bounds of what is vouched for.
const (
	vouchTime = 30 * time.Second // between the two requests; clocks of nodes may differ
	maxOrigin = 512              // bytes
)

// Vouch returns a word for the owner of a channel: it was asked for by a page of that
// origin. Of no origin, or one that cannot be, it is empty.
func (g *Gate) Vouch(channel live.ARN, origin string) (string, error) {
	if origin == "" || origin == "null" || len(origin) > maxOrigin {
		return "", nil
	}
	text := binary.BigEndian.AppendUint64(nil, uint64(g.now().Unix()))
	return g.sealer.seal("origin "+channel.String(), append(text, origin...))
}

// Vouched returns the origin that another node vouched for a moment ago, "" if none did.
func (g *Gate) Vouched(channel live.ARN, word string) (origin string, err error) {
	if word == "" || len(word) > 2*maxOrigin {
		return "", nil
	}
	text, _, ok, err := g.sealer.open("origin "+channel.String(), word)
	if err != nil || !ok || len(text) < 8 {
		return "", err
	}
	age := g.now().Sub(time.Unix(int64(binary.BigEndian.Uint64(text)), 0))
	if age.Abs() > vouchTime {
		return "", nil
	}
	return string(text[8:]), nil
}
