package store

import "github.com/sluice-live/sluice/internal/live"

// LinkPending is the relation of rows that something is still to be done for; what that
// is, is the link's target, which is no ARN. So a list by link finds them.
const LinkPending = "pending"

// PendingBucket marks recording configurations whose bucket is not checked yet.
const PendingBucket = "bucket"

// RecordingConfigurationOf reads a recording configuration from its row.
func RecordingConfigurationOf(r Row) (live.RecordingConfiguration, error) {
	it, err := Decode[live.RecordingConfiguration](r)
	it.Value.ARN, it.Value.Tags = r.ARN, r.Tags
	return it.Value, err
}

// RowOfRecordingConfiguration is the row of a recording configuration at version 0, as
// for all that follow; an update needs the version it read.
func RowOfRecordingConfiguration(c live.RecordingConfiguration) (Row, error) {
	row := Row{ARN: c.ARN, Name: c.Name, Tags: c.Tags, Created: c.Created}
	if c.State == live.RecordingCreating {
		row.Links = map[string]string{LinkPending: PendingBucket}
	}
	return encode(Item[live.RecordingConfiguration]{Value: c, Row: row})
}

// PlaybackKeyOf reads a playback key from its row.
func PlaybackKeyOf(r Row) (live.PlaybackKey, error) {
	it, err := Decode[live.PlaybackKey](r)
	it.Value.ARN, it.Value.Tags = r.ARN, r.Tags
	return it.Value, err
}

// RowOfPlaybackKey is the row of a playback key, found by PlaybackKeyLookup.
func RowOfPlaybackKey(k live.PlaybackKey) (Row, error) {
	return encode(Item[live.PlaybackKey]{Value: k, Row: Row{
		ARN: k.ARN, Name: k.Name, Lookup: PlaybackKeyLookup(k), Tags: k.Tags, Created: k.Created,
	}})
}

// PlaybackKeyLookup is the same for the same public key in the same account and region.
func PlaybackKeyLookup(k live.PlaybackKey) string {
	return k.ARN.Account + "/" + k.ARN.Region + "/" + live.StreamKeyLookup(string(k.SPKI))
}

// RestrictionPolicyOf reads a playback restriction policy from its row.
func RestrictionPolicyOf(r Row) (live.RestrictionPolicy, error) {
	it, err := Decode[live.RestrictionPolicy](r)
	it.Value.ARN, it.Value.Tags = r.ARN, r.Tags
	return it.Value, err
}

// RowOfRestrictionPolicy is the row of a playback restriction policy.
func RowOfRestrictionPolicy(p live.RestrictionPolicy) (Row, error) {
	return encode(Item[live.RestrictionPolicy]{Value: p, Row: Row{ARN: p.ARN, Name: p.Name, Tags: p.Tags, Created: p.Created}})
}

// AdConfigurationOf reads an ad configuration from its row.
func AdConfigurationOf(r Row) (live.AdConfiguration, error) {
	it, err := Decode[live.AdConfiguration](r)
	it.Value.ARN, it.Value.Tags = r.ARN, r.Tags
	return it.Value, err
}

// RowOfAdConfiguration is the row of an ad configuration.
func RowOfAdConfiguration(c live.AdConfiguration) (Row, error) {
	return encode(Item[live.AdConfiguration]{Value: c, Row: Row{ARN: c.ARN, Name: c.Name, Tags: c.Tags, Created: c.Created}})
}
