package quota

// A Limit is the most there may be of something. The zero Limit is none at all.
type Limit int64

// None is no limit.
const None Limit = 0

// Allows reports whether one more fits when there are n.
func (l Limit) Allows(n int64) bool { return l == None || n < int64(l) }

// Rates are requests a second by operation. What is not there has no limit.
type Rates map[string]Limit

// A Profile is a limit for everything that has one. A limit counts per account and
// region, unless its name says of what it counts. The tags of a field are its name in a
// file, what it means, and the highest limit if not every number makes sense; such a
// field cannot be without one.
type Profile struct {
	IVS  IVS  `yaml:"ivs"`
	Chat Chat `yaml:"ivschat"`
}

// IVS are the limits of the ivs service (low-latency.md 12).
type IVS struct {
	Rates              Rates `yaml:"requests-per-second" doc:"API requests a second, by operation; a burst may be one second's worth."`
	MetadataPerChannel Limit `yaml:"put-metadata-per-second-and-channel" doc:"PutMetadata requests a second for one channel."`

	Channels                Limit `yaml:"channels" doc:"Channels."`
	StreamKeysPerChannel    Limit `yaml:"stream-keys-per-channel" doc:"Stream keys of one channel. Clients rely on 1."`
	ConcurrentStreams       Limit `yaml:"concurrent-streams" doc:"Streams at once; one more encoder is refused."`
	RecordingConfigurations Limit `yaml:"recording-configurations" doc:"Recording configurations."`
	RestrictionPolicies     Limit `yaml:"playback-restriction-policies" doc:"Playback restriction policies."`
	PlaybackKeys            Limit `yaml:"playback-key-pairs" doc:"Playback key pairs. Clients rely on 3."`
	AdConfigurations        Limit `yaml:"ad-configurations" doc:"Ad configurations."`
	TagsPerResource         Limit `yaml:"tags-per-resource" max:"50" doc:"Tags of one resource."`
	MetadataBytes           Limit `yaml:"metadata-bytes" max:"32768" doc:"Size of the metadata of one PutMetadata, in bytes. Players are known to take 1024."`

	ConcurrentViews    Limit `yaml:"concurrent-views" doc:"Viewers at once, as the owners of streams count them every two seconds; one more gets no playlist."`
	TakeoversPerStream Limit `yaml:"takeovers-per-stream" doc:"Times that an encoder may take over one stream."`
	PlaybackTokenBytes Limit `yaml:"playback-token-bytes" max:"65536" doc:"Size of a playback token, in bytes."`
}

// Chat are the limits of the ivschat service (chat.md 6).
type Chat struct {
	Rates Rates `yaml:"requests-per-second" doc:"API requests a second, by operation; a burst may be one second's worth."`

	Rooms                 Limit `yaml:"rooms" doc:"Chat rooms. Not enforced by this version, which has no chat, as all below."`
	LoggingConfigurations Limit `yaml:"logging-configurations" doc:"Logging configurations."`
	Connections           Limit `yaml:"concurrent-connections" doc:"Connections at once, in all rooms."`
	Messages              Limit `yaml:"messages-per-second" doc:"Messages a second, in all rooms."`
	MessagesPerRoom       Limit `yaml:"messages-per-second-and-room" max:"100" doc:"Messages a second in one room; a room may have a lower limit."`
	RequestsPerConnection Limit `yaml:"requests-per-second-and-connection" doc:"Requests a second on one connection."`
	ReviewMilliseconds    Limit `yaml:"review-milliseconds" max:"60000" doc:"How long a message review handler may take."`
}

// SelfHosted is the profile of a server that its owner runs: only what clients rely on.
func SelfHosted() Profile {
	return Profile{
		IVS: IVS{
			Rates: Rates{}, StreamKeysPerChannel: 1, PlaybackKeys: 3, TagsPerResource: 50, MetadataBytes: 1024,
			TakeoversPerStream: 100, PlaybackTokenBytes: 2048,
		},
		Chat: Chat{Rates: Rates{}, MessagesPerRoom: 100, RequestsPerConnection: 10, ReviewMilliseconds: 200},
	}
}

// AWS is the profile with the numbers that AWS publishes.
func AWS() Profile {
	return Profile{
		IVS: IVS{
			Rates: published(ivsRates()), MetadataPerChannel: 5,
			Channels: 5000, StreamKeysPerChannel: 1, ConcurrentStreams: 100, RecordingConfigurations: 20, RestrictionPolicies: 3,
			PlaybackKeys: 3, AdConfigurations: 20, TagsPerResource: 50, MetadataBytes: 1024,
			ConcurrentViews: 15000, TakeoversPerStream: 100, PlaybackTokenBytes: 2048,
		},
		Chat: Chat{
			Rates: published(chatRates()), Rooms: 50000, LoggingConfigurations: 10, Connections: 50000, Messages: 1000,
			MessagesPerRoom: 100, RequestsPerConnection: 10, ReviewMilliseconds: 200,
		},
	}
}

// tier is the operations that share a published rate.
type tier struct {
	perSecond  Limit
	operations []string
}

func ivsRates() []tier {
	return []tier{
		{1, []string{"InsertAdBreak"}},
		{2, []string{"BatchStartViewerSessionRevocation"}},
		{3, []string{
			"CreateAdConfiguration", "DeleteAdConfiguration", "GetAdConfiguration", "ListAdConfigurations",
			"UpdateAdConfiguration", // in no published table; as its siblings
			"DeletePlaybackKeyPair", "GetPlaybackKeyPair", "ImportPlaybackKeyPair", "ListPlaybackKeyPairs",
			"CreateRecordingConfiguration", "DeleteRecordingConfiguration", "GetRecordingConfiguration", "ListRecordingConfigurations",
		}},
		{5, []string{
			"BatchGetChannel", "CreateChannel", "DeleteChannel", "GetChannel", "ListChannels", "UpdateChannel",
			"CreatePlaybackRestrictionPolicy", "DeletePlaybackRestrictionPolicy", "GetPlaybackRestrictionPolicy",
			"ListPlaybackRestrictionPolicies", "UpdatePlaybackRestrictionPolicy",
			"GetStream", "GetStreamSession", "ListStreams", "ListStreamSessions", "StopStream",
			"BatchGetStreamKey", "CreateStreamKey", "DeleteStreamKey", "GetStreamKey", "ListStreamKeys",
		}},
		{10, []string{"StartViewerSessionRevocation", "ListTagsForResource", "TagResource", "UntagResource"}},
		{155, []string{"PutMetadata"}},
	}
}

func chatRates() []tier {
	return []tier{
		{3, []string{
			"CreateLoggingConfiguration", "GetLoggingConfiguration", "UpdateLoggingConfiguration",
			"DeleteLoggingConfiguration", "ListLoggingConfigurations",
		}},
		{5, []string{"CreateRoom", "GetRoom", "UpdateRoom", "DeleteRoom", "ListRooms"}},
		{10, []string{"ListTagsForResource", "TagResource", "UntagResource"}},
		{100, []string{"SendEvent", "DeleteMessage", "DisconnectUser"}},
		{200, []string{"CreateChatToken"}},
	}
}

func published(tiers []tier) Rates {
	r := Rates{}
	for _, t := range tiers {
		for _, op := range t.operations {
			r[op] = t.perSecond
		}
	}
	return r
}
