package store

import (
	"fmt"

	"github.com/sluice-live/sluice/internal/live"
)

// Relations of a channel: what its links are named.
const (
	LinkRecording = live.TypeRecordingConfiguration
	LinkPolicy    = live.TypePlaybackRestrictionPolicy
	LinkAds       = live.TypeAdConfiguration
)

// ChannelOf reads a channel from its row.
func ChannelOf(r Row) (live.Channel, error) {
	ch := live.Channel{}
	if err := decodeChannel(r.Body, &ch); err != nil {
		return live.Channel{}, fmt.Errorf("store: body of %s: %w", r, err)
	}
	ch.ARN, ch.Tags = r.ARN, r.Tags
	return ch, nil
}

// RowOfChannel is the row of a channel at version 0; an update needs the version it read.
func RowOfChannel(ch live.Channel) (Row, error) {
	return encode(Item[live.Channel]{Value: ch, Row: Row{
		ARN: ch.ARN, Name: ch.Name, Tags: ch.Tags, Created: ch.Created,
		Links: map[string]string{
			LinkRecording: ch.RecordingConfiguration, LinkPolicy: ch.PlaybackRestrictionPolicy, LinkAds: ch.AdConfiguration,
		},
	}})
}

// StreamKeyOf reads a stream key from its row.
func StreamKeyOf(r Row) (live.StreamKey, error) {
	it, err := Decode[live.StreamKey](r)
	if err != nil {
		return live.StreamKey{}, err
	}
	if r.Parent.Type != live.TypeChannel {
		return live.StreamKey{}, fmt.Errorf("store: %s belongs to no channel", r)
	}
	it.Value.ARN, it.Value.Channel, it.Value.Tags = r.ARN, r.Parent, r.Tags
	return it.Value, nil
}

// RowOfStreamKey is the row of a stream key, found by its value's digest.
func RowOfStreamKey(k live.StreamKey) (Row, error) {
	return encode(Item[live.StreamKey]{Value: k, Row: Row{
		ARN: k.ARN, Parent: k.Channel, Lookup: live.StreamKeyLookup(k.Value), Tags: k.Tags,
	}})
}
