package ivsapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

// exchange sends one request and returns what went over the wire, and between it what
// the operation was given.
func exchange(t *testing.T, ops ivsapi.Operations, method, target, body string) []byte {
	t.Helper()
	var seen any
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{ops.Service()},
		Authenticate: func(*http.Request, []byte) (restjson.Caller, error) {
			return restjson.Caller{Account: "111122223333", Region: "us-west-2", Service: ivsapi.Name}, nil
		},
		RequestID: func(context.Context) string { return "7c1f0e0a-6b0d-4c55-9a52-1f2d3c4b5a69" },
		Steps:     []restjson.Step{func(_ context.Context, c *restjson.Call) error { seen = c.Request; return nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, httptest.NewRequest(method, target, strings.NewReader(body)))
	decoded, err := json.Marshal(seen)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s\n%s\n\n-- the operation sees --\n%s\n\n-- answer --\n%d\n", method, target, body, decoded, w.Code)
	for _, k := range slices.Sorted(maps.Keys(w.Header())) {
		fmt.Fprintf(&b, "%s: %s\n", k, strings.Join(w.Header()[k], " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", w.Body)
	return b.Bytes()
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}

func TestWire(t *testing.T) {
	at := time.Date(2026, 3, 4, 6, 6, 7, 890e6, time.FixedZone("", 3600))
	stream := &ivsapi.Stream{
		ChannelArn: new(arn), Health: new(ivsapi.StreamHealthHealthy), PlaybackUrl: new("https://h/x.m3u8"), StartTime: &at,
		State: new(ivsapi.StreamStateLive), StreamId: new("st-1Ab2Cd3Ef4Gh5Ij6Kl7Mn8O"), ViewerCount: new(int64(0)),
	}
	keyArn := "arn:aws:ivs:us-west-2:111122223333:stream-key/Vn8cRd4LhT1y"
	ops := ivsapi.Operations{
		CreateChannel: func(_ context.Context, in *ivsapi.CreateChannelRequest) (*ivsapi.CreateChannelResponse, error) {
			return &ivsapi.CreateChannelResponse{
				Channel: &ivsapi.Channel{
					AdConfigurationArn: new(""), Arn: new(arn), Authorized: new(false), ContainerFormat: new(ivsapi.ContainerFormatTs),
					IngestEndpoint: new("ingest.example"), InsecureIngest: in.InsecureIngest, LatencyMode: new(ivsapi.ChannelLatencyModeLow),
					MultitrackInputConfiguration: in.MultitrackInputConfiguration, Name: in.Name, PlaybackRestrictionPolicyArn: new(""),
					PlaybackUrl: new("https://h/x.m3u8"), Preset: new(""), RecordingConfigurationArn: new(""),
					Srt:  &ivsapi.Srt{Endpoint: new("srt.example"), Passphrase: new(restjson.Secret("p4ss"))},
					Tags: in.Tags, Type: in.Type,
				},
				StreamKey: &ivsapi.StreamKey{Arn: &keyArn, ChannelArn: new(arn), Tags: map[string]string{}, Value: new(restjson.Secret("sk_us-west-2_Vn8cRd4LhT1y_x"))},
			}, nil
		},
		GetStream: func(context.Context, *ivsapi.GetStreamRequest) (*ivsapi.GetStreamResponse, error) {
			return &ivsapi.GetStreamResponse{Stream: stream}, nil
		},
		ListChannels: func(context.Context, *ivsapi.ListChannelsRequest) (*ivsapi.ListChannelsResponse, error) {
			return &ivsapi.ListChannelsResponse{}, nil
		},
		BatchGetChannel: func(_ context.Context, in *ivsapi.BatchGetChannelRequest) (*ivsapi.BatchGetChannelResponse, error) {
			return &ivsapi.BatchGetChannelResponse{Channels: []ivsapi.Channel{}, Errors: []ivsapi.BatchError{{Arn: &in.Arns[0], Code: new("ResourceNotFoundException"), Message: new("none")}}}, nil
		},
		DeleteChannel: func(context.Context, *ivsapi.DeleteChannelRequest) error {
			return live.Errorf(live.Conflict, "Channel \"lobby\" is live.")
		},
		DeleteStreamKey: func(context.Context, *ivsapi.DeleteStreamKeyRequest) error { return nil },
		UntagResource: func(context.Context, *ivsapi.UntagResourceRequest) (*ivsapi.UntagResourceResponse, error) {
			return &ivsapi.UntagResourceResponse{}, nil
		},
		PutMetadata: func(context.Context, *ivsapi.PutMetadataRequest) error { return nil },
	}
	for name, tt := range map[string]struct{ method, target, body string }{
		"create channel": {"POST", "/CreateChannel", `{"name":"lobby","type":"BASIC","insecureIngest":true,"tags":{"b":"x/@=\u2028","a":"é"},` +
			`"multitrackInputConfiguration":{"enabled":false,"policy":"ALLOW","maximumResolution":"FULL_HD"},"notInTheModel":[1]}`},
		"create channel with nothing":   {"POST", "/CreateChannel", ""},
		"get stream":                    {"POST", "/GetStream", `{"channelArn":"` + arn + `"}`},
		"list of none":                  {"POST", "/ListChannels", `{"maxResults":100}`},
		"batch with headers":            {"POST", "/BatchGetChannel", `{"arns":["` + arn + `"]}`},
		"error of the model":            {"POST", "/DeleteChannel", `{"arn":"` + arn + `"}`},
		"error of the front end":        {"POST", "/DeleteChannel", `{"arn":1}`},
		"error of validation":           {"POST", "/ListChannels", `{"maxResults":101,"filterByName":"a b"}`},
		"no content":                    {"POST", "/DeleteStreamKey", `{"arn":"` + keyArn + `"}`},
		"untag resource":                {"DELETE", "/tags/arn%3Aaws%3Aivs%3Aus-west-2%3A111122223333%3Achannel%2FKq3ZtB7xWm2P?tagKeys=a&tagKeys=b%20c", ""},
		"secret value in no message":    {"POST", "/PutMetadata", `{"channelArn":"` + arn + `","metadata":""}`},
		"secret value seen but hidden":  {"POST", "/PutMetadata", `{"channelArn":"` + arn + `","metadata":"geheim"}`},
		"operation without a behaviour": {"POST", "/GetChannel", `{"arn":"` + arn + `"}`},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, exchange(t, ops, tt.method, tt.target, tt.body)) })
	}
}
