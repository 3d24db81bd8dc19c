package edge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/packager"
	"github.com/sluice-live/sluice/internal/playback"
)

// LivePrefix begins the paths of media: LivePrefix <stream id> "/" <rendition> "/" <file>.
const LivePrefix = "/v1/live/"

// AboutFile is where a stream tells other nodes about itself, below its id. No rendition
// has such a name.
const AboutFile = "about.json"

// AudioOnlyQuery asks AboutFile for the rendition that is the sound alone.
const AudioOnlyQuery = "allow_audio_only=true"

// Fields of the answers to nodes.
const (
	// DurationHeader says how long a file plays, in nanoseconds.
	DurationHeader = "Sluice-Duration"
	// AboutMaxAge is for how many seconds an About is good.
	AboutMaxAge = "1"
)

// About is what a node has to know of a stream to serve it.
type About struct {
	Stream         string       `json:"stream"`
	Channel        live.ARN     `json:"channel"`
	Authorized     bool         `json:"authorized,omitempty"`
	LatencyMode    string       `json:"latencyMode"`
	Restriction    *Restriction `json:"restriction,omitempty"`
	ListsAudioOnly bool         `json:"listsAudioOnly,omitempty"`
	Renditions     []Described  `json:"renditions"` // those that can be played
}

// A Restriction is the channel's playback restriction policy as it was at go-live.
type Restriction struct {
	Countries []string `json:"countries,omitempty"`
	Origins   []string `json:"origins,omitempty"`
	Strict    bool     `json:"strict,omitempty"`
}

// A Described is a rendition.
type Described struct {
	packager.Info
	Extension string `json:"extension"`        // of its media
	Listed    bool   `json:"listed,omitempty"` // in the multivariant playlist
}

// known is an About, ready to be asked.
type known struct {
	object      *object // that it was read from
	channel     live.Channel
	restriction *playback.Restriction
	about       About
	at          time.Time // when it was heard
}

func read(o *object, id string) (*known, error) {
	k := &known{object: o}
	if err := json.Unmarshal(o.join(), &k.about); err != nil {
		return nil, fmt.Errorf("edge: about a stream: %w", err)
	}
	a := &k.about
	if a.Stream != id {
		return nil, fmt.Errorf("edge: asked about %s, told about %q", id, a.Stream)
	}
	k.channel = live.Channel{ARN: a.Channel, Authorized: a.Authorized, LatencyMode: a.LatencyMode}
	if r := a.Restriction; r != nil {
		k.restriction = playback.NewRestriction(live.RestrictionPolicy{Countries: r.Countries, Origins: r.Origins, Strict: r.Strict})
	}
	return k, nil
}

func (k *known) rendition(name string) (Described, bool) {
	for _, d := range k.about.Renditions {
		if d.Name == name {
			return d, true
		}
	}
	return Described{}, false
}
