package iam

import (
	"fmt"
	"strings"
)

// managedPrefix begins the ARNs of the policies that AWS keeps.
const managedPrefix = "arn:aws:iam::aws:policy/"

// readOnly are the actions of IVSReadOnlyAccess. It has none that return a secret
// (GetStreamKey, BatchGetStreamKey).
const readOnly = `BatchGetChannel GetChannel GetComposition GetEncoderConfiguration GetIngestConfiguration GetParticipant
GetPlaybackKeyPair GetPlaybackRestrictionPolicy GetPublicKey GetRecordingConfiguration GetStage GetStageSession
GetStorageConfiguration GetStream GetStreamSession ListChannels ListCompositions ListEncoderConfigurations
ListIngestConfigurations ListParticipants ListParticipantReplicas ListParticipantEvents ListPlaybackKeyPairs
ListPlaybackRestrictionPolicies ListPublicKeys ListRecordingConfigurations ListStages ListStageSessions
ListStorageConfigurations ListStreamKeys ListStreams ListStreamSessions ListTagsForResource`

// Managed compiles the built-in policies and returns them by ARN.
func Managed() (map[string]*Policy, error) {
	allow := func(actions string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["` + actions + `"],"Resource":"*"}]}`
	}
	out := map[string]*Policy{}
	for name, doc := range map[string]string{
		"AdministratorAccess": allow("*"),
		"IVSFullAccess":       allow(`ivs:*","ivschat:*`),
		"IVSReadOnlyAccess":   allow("ivs:" + strings.Join(strings.Fields(readOnly), `","ivs:`)),
	} {
		p, err := Parse([]byte(doc))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[managedPrefix+name] = p
	}
	return out, nil
}
