package control

import (
	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

// A rule says what a policy must allow for an operation: the tables of AWS's service
// authorization reference (low-latency.md 14, chat.md 7). A test holds the tables
// against the models, so that no operation is without a rule.
type rule struct {
	named      func(in any) []string // ARNs that the request names
	keys       bool                  // and the stream keys of the channels among them
	batch      bool                  // each of which is refused by itself
	kinds      []string              // types of which any resource is meant
	noResource bool                  // the action has none: only a policy for * allows it

	tags    func(in any) map[string]string // of the request
	tagged  string                         // type that gets them; with some, TagResource is needed too
	tagKeys func(in any) []string          // of the request that removes tags
}

const (
	serviceChat = "ivschat"
	typeRoom    = "room"
	typeLogging = "logging-configuration"
)

// on is an operation on the resource that its request names.
func on[I any](arn func(in *I) string) rule {
	return rule{named: func(in any) []string { return []string{arn(in.(*I))} }}
}

// onEach is a batch.
func onEach[I any](arns func(in *I) []string) rule {
	return rule{batch: true, named: func(in any) []string { return arns(in.(*I)) }}
}

// creates is an operation that makes a resource of each type; the first gets the tags.
func creates[I any](tags func(in *I) map[string]string, types ...string) rule {
	return rule{kinds: types, tagged: types[0], tags: func(in any) map[string]string { return tags(in.(*I)) }}
}

// lists is an operation that lists resources of these types.
func lists(types ...string) rule { return rule{kinds: types} }

// tags is an operation on the tags of the resource that its request names.
func (r rule) withTags(tags func(in any) map[string]string) rule {
	r.tags = tags
	return r
}

func (r rule) withTagKeys(keys func(in any) []string) rule {
	r.tagKeys = keys
	return r
}

func (r rule) withKeys() rule {
	r.keys = true
	return r
}

func (r rule) withKinds(types ...string) rule {
	r.kinds = types
	return r
}

// ivsRules is the table of service ivs.
func ivsRules() map[string]rule {
	return map[string]rule{
		"BatchGetChannel":   onEach(func(in *ivsapi.BatchGetChannelRequest) []string { return in.Arns }),
		"BatchGetStreamKey": onEach(func(in *ivsapi.BatchGetStreamKeyRequest) []string { return in.Arns }),
		"BatchStartViewerSessionRevocation": onEach(func(in *ivsapi.BatchStartViewerSessionRevocationRequest) []string {
			channels := make([]string, len(in.ViewerSessions))
			for i, v := range in.ViewerSessions {
				channels[i] = v.ChannelArn
			}
			return channels
		}),

		"CreateAdConfiguration": creates(func(in *ivsapi.CreateAdConfigurationRequest) map[string]string { return in.Tags },
			live.TypeAdConfiguration),
		"CreateChannel": creates(func(in *ivsapi.CreateChannelRequest) map[string]string { return in.Tags },
			live.TypeChannel, live.TypeStreamKey),
		"CreatePlaybackRestrictionPolicy": creates(func(in *ivsapi.CreatePlaybackRestrictionPolicyRequest) map[string]string { return in.Tags },
			live.TypePlaybackRestrictionPolicy),
		"CreateRecordingConfiguration": creates(func(in *ivsapi.CreateRecordingConfigurationRequest) map[string]string { return in.Tags },
			live.TypeRecordingConfiguration),
		"CreateStreamKey": creates(func(in *ivsapi.CreateStreamKeyRequest) map[string]string { return in.Tags },
			live.TypeStreamKey),
		"ImportPlaybackKeyPair": creates(func(in *ivsapi.ImportPlaybackKeyPairRequest) map[string]string { return in.Tags },
			live.TypePlaybackKey),

		"DeleteAdConfiguration":           on(func(in *ivsapi.DeleteAdConfigurationRequest) string { return in.Arn }),
		"DeleteChannel":                   on(func(in *ivsapi.DeleteChannelRequest) string { return in.Arn }).withKeys(),
		"DeletePlaybackKeyPair":           on(func(in *ivsapi.DeletePlaybackKeyPairRequest) string { return in.Arn }),
		"DeletePlaybackRestrictionPolicy": on(func(in *ivsapi.DeletePlaybackRestrictionPolicyRequest) string { return in.Arn }),
		"DeleteRecordingConfiguration":    on(func(in *ivsapi.DeleteRecordingConfigurationRequest) string { return in.Arn }),
		"DeleteStreamKey":                 on(func(in *ivsapi.DeleteStreamKeyRequest) string { return in.Arn }),

		"GetAdConfiguration":           on(func(in *ivsapi.GetAdConfigurationRequest) string { return in.Arn }),
		"GetChannel":                   on(func(in *ivsapi.GetChannelRequest) string { return in.Arn }),
		"GetPlaybackKeyPair":           on(func(in *ivsapi.GetPlaybackKeyPairRequest) string { return in.Arn }),
		"GetPlaybackRestrictionPolicy": on(func(in *ivsapi.GetPlaybackRestrictionPolicyRequest) string { return in.Arn }),
		"GetRecordingConfiguration":    on(func(in *ivsapi.GetRecordingConfigurationRequest) string { return in.Arn }),
		"GetStream":                    on(func(in *ivsapi.GetStreamRequest) string { return in.ChannelArn }),
		"GetStreamKey":                 on(func(in *ivsapi.GetStreamKeyRequest) string { return in.Arn }),
		"GetStreamSession":             on(func(in *ivsapi.GetStreamSessionRequest) string { return in.ChannelArn }),

		"ListAdConfigurations":            {noResource: true},
		"ListChannels":                    lists(live.TypeChannel),
		"ListPlaybackKeyPairs":            lists(live.TypePlaybackKey),
		"ListPlaybackRestrictionPolicies": {noResource: true},
		"ListRecordingConfigurations":     lists(live.TypeRecordingConfiguration),
		"ListStreamKeys":                  on(func(in *ivsapi.ListStreamKeysRequest) string { return in.ChannelArn }).withKinds(live.TypeStreamKey),
		"ListStreamSessions":              on(func(in *ivsapi.ListStreamSessionsRequest) string { return in.ChannelArn }),
		"ListStreams":                     lists(live.TypeChannel),

		"InsertAdBreak":                   on(func(in *ivsapi.InsertAdBreakRequest) string { return in.ChannelArn }),
		"PutMetadata":                     on(func(in *ivsapi.PutMetadataRequest) string { return in.ChannelArn }),
		"StartViewerSessionRevocation":    on(func(in *ivsapi.StartViewerSessionRevocationRequest) string { return in.ChannelArn }),
		"StopStream":                      on(func(in *ivsapi.StopStreamRequest) string { return in.ChannelArn }),
		"UpdateAdConfiguration":           {noResource: true},
		"UpdateChannel":                   on(func(in *ivsapi.UpdateChannelRequest) string { return in.Arn }),
		"UpdatePlaybackRestrictionPolicy": on(func(in *ivsapi.UpdatePlaybackRestrictionPolicyRequest) string { return in.Arn }),

		"ListTagsForResource": on(func(in *ivsapi.ListTagsForResourceRequest) string { return in.ResourceArn }),
		"TagResource": on(func(in *ivsapi.TagResourceRequest) string { return in.ResourceArn }).
			withTags(func(in any) map[string]string { return in.(*ivsapi.TagResourceRequest).Tags }),
		"UntagResource": on(func(in *ivsapi.UntagResourceRequest) string { return in.ResourceArn }).
			withTagKeys(func(in any) []string { return in.(*ivsapi.UntagResourceRequest).TagKeys }),
	}
}

// chatRules is the table of service ivschat.
func chatRules() map[string]rule {
	return map[string]rule{
		"CreateLoggingConfiguration": creates(func(in *chatapi.CreateLoggingConfigurationRequest) map[string]string { return in.Tags }, typeLogging),
		"CreateRoom":                 creates(func(in *chatapi.CreateRoomRequest) map[string]string { return in.Tags }, typeRoom),

		"CreateChatToken":            on(func(in *chatapi.CreateChatTokenRequest) string { return in.RoomIdentifier }),
		"DeleteLoggingConfiguration": on(func(in *chatapi.DeleteLoggingConfigurationRequest) string { return in.Identifier }),
		"DeleteMessage":              on(func(in *chatapi.DeleteMessageRequest) string { return in.RoomIdentifier }),
		"DeleteRoom":                 on(func(in *chatapi.DeleteRoomRequest) string { return in.Identifier }),
		"DisconnectUser":             on(func(in *chatapi.DisconnectUserRequest) string { return in.RoomIdentifier }),
		"GetLoggingConfiguration":    on(func(in *chatapi.GetLoggingConfigurationRequest) string { return in.Identifier }),
		"GetRoom":                    on(func(in *chatapi.GetRoomRequest) string { return in.Identifier }),
		"SendEvent":                  on(func(in *chatapi.SendEventRequest) string { return in.RoomIdentifier }),
		"UpdateLoggingConfiguration": on(func(in *chatapi.UpdateLoggingConfigurationRequest) string { return in.Identifier }),
		"UpdateRoom":                 on(func(in *chatapi.UpdateRoomRequest) string { return in.Identifier }),

		"ListLoggingConfigurations": {noResource: true},
		"ListRooms":                 {noResource: true},

		"ListTagsForResource": on(func(in *chatapi.ListTagsForResourceRequest) string { return in.ResourceArn }),
		"TagResource": on(func(in *chatapi.TagResourceRequest) string { return in.ResourceArn }).
			withTags(func(in any) map[string]string { return in.(*chatapi.TagResourceRequest).Tags }),
		"UntagResource": on(func(in *chatapi.UntagResourceRequest) string { return in.ResourceArn }).
			withTagKeys(func(in any) []string { return in.(*chatapi.UntagResourceRequest).TagKeys }),
	}
}
