package ivsapi_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ivs"
	"github.com/aws/aws-sdk-go-v2/service/ivs/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/sigv4"
)

const (
	keyID   = "AKIDSLUICE0000000001"
	secret  = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	account = "111122223333"
	region  = "us-west-2"
	arn     = "arn:aws:ivs:us-west-2:111122223333:channel/Kq3ZtB7xWm2P"
)

// gateway serves ops behind real signature checks, and records outcomes.
func gateway(t testing.TB, ops ivsapi.Operations) (url string, outcomes func() []restjson.Outcome) {
	t.Helper()
	verifier := sigv4.New(func(_ context.Context, id, _ string) (sigv4.Credential, error) {
		if id != keyID {
			return sigv4.Credential{}, live.Errorf(live.NotFound, "no key %s", id)
		}
		return sigv4.Credential{Secret: secret, Account: account, Principal: "tester"}, nil
	}, time.Now)
	var mu sync.Mutex
	var seen []restjson.Outcome
	g, err := restjson.NewGateway(restjson.Config{
		Authenticate: func(r *http.Request, body []byte) (restjson.Caller, error) {
			id, err := verifier.Verify(r, body)
			return restjson.Caller{
				Account: id.Account, Region: id.Region, Service: id.Service,
				AccessKeyID: id.AccessKeyID, Principal: id.Principal, Admin: id.Admin,
			}, err
		},
		Services: []restjson.Service{ops.Service()},
		Observe: func(_ context.Context, o restjson.Outcome) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, o)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(g)
	t.Cleanup(srv.Close)
	return srv.URL, func() []restjson.Outcome {
		srv.Close() // waits for the handlers, and so for their outcomes
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(seen)
	}
}

func client(url string, mod ...func(*ivs.Options)) *ivs.Client {
	o := ivs.Options{
		Region: region, BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, ""),
	}
	return ivs.New(o, mod...)
}

func TestSDKRoundTrip(t *testing.T) {
	var got *ivsapi.CreateChannelRequest
	var caller restjson.Caller
	url, outcomes := gateway(t, ivsapi.Operations{
		CreateChannel: func(ctx context.Context, in *ivsapi.CreateChannelRequest) (*ivsapi.CreateChannelResponse, error) {
			got, caller = in, restjson.CallerFrom(ctx)
			return &ivsapi.CreateChannelResponse{
				Channel: &ivsapi.Channel{
					Arn: new(arn), Name: in.Name, Authorized: new(false), Tags: map[string]string{},
					Srt: &ivsapi.Srt{Endpoint: new("srt.example"), Passphrase: new(restjson.Secret("passphrase"))},
				},
				StreamKey: &ivsapi.StreamKey{Arn: new("arn:aws:ivs:us-west-2:111122223333:stream-key/Vn8cRd4LhT1y"), ChannelArn: new(arn), Value: new(restjson.Secret("sk_us-west-2_x_y"))},
			}, nil
		},
	})
	out, err := client(url).CreateChannel(t.Context(), &ivs.CreateChannelInput{
		Name: aws.String("lobby"), Type: types.ChannelTypeBasicChannelType, InsecureIngest: true, Tags: map[string]string{"env": "dév 1"},
		MultitrackInputConfiguration: &types.MultitrackInputConfiguration{Enabled: true, Policy: types.MultitrackPolicyAllow},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := &ivsapi.CreateChannelRequest{
		Name: new("lobby"), Type: new("BASIC"), InsecureIngest: new(true), Tags: map[string]string{"env": "dév 1"},
		MultitrackInputConfiguration: &ivsapi.MultitrackInputConfiguration{Enabled: new(true), Policy: new("ALLOW")},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("request as the handler sees it (-want +got):\n%s", d)
	}
	if caller.Account != account || caller.Region != region || caller.Principal != "tester" || caller.Base != url || caller.RequestID == "" {
		t.Errorf("caller = %+v", caller)
	}
	if *out.Channel.Name != "lobby" || *out.Channel.Srt.Passphrase != "passphrase" || *out.StreamKey.Value != "sk_us-west-2_x_y" || out.Channel.Tags == nil {
		t.Errorf("response as the SDK sees it: %+v", out)
	}
	o := outcomes()
	if len(o) != 1 || o[0].Operation != "CreateChannel" || o[0].Service != "ivs" || o[0].Status != 200 || o[0].ErrorType != "" ||
		o[0].AccessKeyID != keyID || o[0].Account != account || o[0].RequestID != caller.RequestID {
		t.Errorf("outcomes = %+v", o)
	}
}

func TestSDKTags(t *testing.T) {
	tags := map[string]string{}
	check := func(got string) error {
		if got != arn {
			return live.Errorf(live.NotFound, "no %s", got)
		}
		return nil
	}
	url, _ := gateway(t, ivsapi.Operations{
		TagResource: func(_ context.Context, in *ivsapi.TagResourceRequest) (*ivsapi.TagResourceResponse, error) {
			maps.Copy(tags, in.Tags)
			return &ivsapi.TagResourceResponse{}, check(in.ResourceArn)
		},
		UntagResource: func(_ context.Context, in *ivsapi.UntagResourceRequest) (*ivsapi.UntagResourceResponse, error) {
			for _, k := range in.TagKeys {
				delete(tags, k)
			}
			return &ivsapi.UntagResourceResponse{}, check(in.ResourceArn)
		},
		ListTagsForResource: func(_ context.Context, in *ivsapi.ListTagsForResourceRequest) (*ivsapi.ListTagsForResourceResponse, error) {
			return &ivsapi.ListTagsForResourceResponse{Tags: tags}, check(in.ResourceArn)
		},
	})
	c := client(url)
	if _, err := c.TagResource(t.Context(), &ivs.TagResourceInput{ResourceArn: aws.String(arn), Tags: map[string]string{"team:a": "1", "team-b": "2", "a b+c/é": "3", "keep": ""}}); err != nil {
		t.Fatal(err)
	}
	// These keys sort one way as they are and another way when encoded.
	if _, err := c.UntagResource(t.Context(), &ivs.UntagResourceInput{ResourceArn: aws.String(arn), TagKeys: []string{"team:a", "team-b", "a b+c/é"}}); err != nil {
		t.Fatal(err)
	}
	out, err := c.ListTagsForResource(t.Context(), &ivs.ListTagsForResourceInput{ResourceArn: aws.String(arn)})
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"keep": ""}, out.Tags); d != "" {
		t.Errorf("tags left (-want +got):\n%s", d)
	}
	_, err = c.ListTagsForResource(t.Context(), &ivs.ListTagsForResourceInput{ResourceArn: aws.String("arn:aws:ivschat:us-west-2:111122223333:room/Qm4Zt81LrXcB")})
	if _, ok := errors.AsType[*types.ValidationException](err); !ok {
		t.Errorf("ListTagsForResource of an ivschat ARN = %v, want a ValidationException", err)
	}
}

func TestSDKErrors(t *testing.T) {
	answer := func(err error) string {
		t.Helper()
		url, _ := gateway(t, ivsapi.Operations{GetStream: func(context.Context, *ivsapi.GetStreamRequest) (*ivsapi.GetStreamResponse, error) { return nil, err }})
		_, got := client(url).GetStream(t.Context(), &ivs.GetStreamInput{ChannelArn: aws.String(arn)})
		// The SDK gives a type only to errors that the operation lists.
		if e, ok := errors.AsType[*types.ChannelNotBroadcasting](got); ok {
			return e.ErrorCode() + ": " + *e.ExceptionMessage
		}
		if e, ok := errors.AsType[*types.ResourceNotFoundException](got); ok {
			return e.ErrorCode() + ": " + *e.ExceptionMessage
		}
		if e, ok := errors.AsType[*types.ValidationException](got); ok {
			return e.ErrorCode() + ": " + *e.ExceptionMessage
		}
		e, _ := errors.AsType[*smithy.GenericAPIError](got)
		return e.Code + ": " + e.Message
	}
	for name, tt := range map[string]struct {
		err  error
		want string
	}{
		"a listed error has its type":       {live.Errorf(live.NotLive, "not live"), "ChannelNotBroadcasting: not live"},
		"not found too":                     {live.Errorf(live.NotFound, "none"), "ResourceNotFoundException: none"},
		"an unlisted one is the next best":  {live.Errorf(live.Quota, "too many"), "ValidationException: too many"},
		"throttling is a common error":      {live.Errorf(live.Throttled, "slow down"), "ThrottlingException: slow down"},
		"an unknown error tells nothing":    {errors.New("sql: secret detail"), "InternalServerException: The service met an internal error. The request id identifies it in the log."},
		"a wrapped kind is still that kind": {errors.Join(errors.New("x"), live.Errorf(live.NotLive, "y")), "ChannelNotBroadcasting: y"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := answer(tt.err); got != tt.want {
				t.Errorf("GetStream failing with %v answers %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}

func TestSDKRefusals(t *testing.T) {
	url, outcomes := gateway(t, ivsapi.Operations{ListChannels: func(context.Context, *ivsapi.ListChannelsRequest) (*ivsapi.ListChannelsResponse, error) {
		return &ivsapi.ListChannelsResponse{}, nil
	}})
	for name, tt := range map[string]struct {
		mod  func(*ivs.Options)
		code string
	}{
		"the right secret passes": {func(*ivs.Options) {}, ""},
		"a wrong secret": {func(o *ivs.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(keyID, "wrong", "")
		}, "InvalidSignatureException"},
		"an unknown key": {func(o *ivs.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider("AKIDUNKNOWN", secret, "")
		}, "UnrecognizedClientException"},
		"a session token with a lasting key": {func(o *ivs.Options) {
			o.Credentials = credentials.NewStaticCredentialsProvider(keyID, secret, "token")
		}, "UnrecognizedClientException"},
		"no signature": {func(o *ivs.Options) { o.Credentials = aws.AnonymousCredentials{} }, "MissingAuthenticationTokenException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client(url, tt.mod).ListChannels(t.Context(), &ivs.ListChannelsInput{})
			code := ""
			if api, ok := errors.AsType[smithy.APIError](err); ok {
				code = api.ErrorCode()
			}
			if code != tt.code || (err == nil) != (tt.code == "") {
				t.Errorf("ListChannels = %v, want code %q", err, tt.code)
			}
		})
	}
	if _, err := client(url).GetChannel(t.Context(), &ivs.GetChannelInput{Arn: aws.String(arn)}); err == nil || !strings.Contains(err.Error(), "UnknownOperationException") {
		t.Errorf("an operation without behaviour answers %v", err)
	}
	for _, o := range outcomes() {
		if (o.Err != nil) != (o.ErrorType != "") || (o.Principal != "") != (o.ErrorType == "" || o.ErrorType == "UnknownOperationException") {
			t.Errorf("outcome %+v", o)
		}
	}
}

// A request can be signed in its URL and sent by anything that speaks HTTP.
func TestPresigned(t *testing.T) {
	url, _ := gateway(t, ivsapi.Operations{GetChannel: func(_ context.Context, in *ivsapi.GetChannelRequest) (*ivsapi.GetChannelResponse, error) {
		return &ivsapi.GetChannelResponse{Channel: &ivsapi.Channel{Arn: &in.Arn}}, nil
	}})
	send := func(signedBody, sentBody string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), "POST", url+"/GetChannel?X-Amz-Expires=60", nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(signedBody))
		link, _, err := v4.NewSigner().PresignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "ivs", region, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Post(link, "application/json", strings.NewReader(sentBody))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get("x-amzn-ErrorType") + string(body)
	}
	body := `{"arn":"` + arn + `"}`
	if code, got := send(body, body); code != 200 || got != `{"channel":{"arn":"`+arn+`"}}` {
		t.Errorf("answers %d %s", code, got)
	}
	if code, got := send(body, strings.Replace(body, "Kq3", "Xx9", 1)); code != 403 || !strings.HasPrefix(got, "InvalidSignatureException") {
		t.Errorf("with a tampered body, answers %d %s", code, got)
	}
}

// The whole way of one request but the network: verify, decode, validate, encode.
func BenchmarkGetChannel(b *testing.B) {
	now := time.Now()
	verifier := sigv4.New(func(context.Context, string, string) (sigv4.Credential, error) {
		return sigv4.Credential{Secret: secret, Account: account}, nil
	}, func() time.Time { return now })
	channel := &ivsapi.Channel{
		AdConfigurationArn: new(""), Arn: new(arn), Authorized: new(false), ContainerFormat: new("TS"), IngestEndpoint: new("localhost"), InsecureIngest: new(true),
		LatencyMode: new("LOW"), Name: new("lobby"), PlaybackRestrictionPolicyArn: new(""), PlaybackUrl: new("http://localhost:8080/live-video.net/api/video/v1/x.m3u8"),
		Preset: new(""), RecordingConfigurationArn: new(""), Srt: &ivsapi.Srt{Endpoint: new("localhost")}, Tags: map[string]string{"a": "b"}, Type: new("STANDARD"),
	}
	ops := ivsapi.Operations{GetChannel: func(context.Context, *ivsapi.GetChannelRequest) (*ivsapi.GetChannelResponse, error) {
		return &ivsapi.GetChannelResponse{Channel: channel}, nil
	}}
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{ops.Service()},
		Authenticate: func(r *http.Request, body []byte) (restjson.Caller, error) {
			id, err := verifier.Verify(r, body)
			return restjson.Caller{Account: id.Account, Region: id.Region, Service: id.Service}, err
		},
	})
	if err != nil {
		b.Fatal(err)
	}
	body := `{"arn":"` + arn + `"}`
	sum := sha256.Sum256([]byte(body))
	r := httptest.NewRequest("POST", "http://localhost:8080/GetChannel", nil)
	if err := v4.NewSigner().SignHTTP(b.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "ivs", region, now); err != nil {
		b.Fatal(err)
	}
	r.ContentLength = int64(len(body))
	text := strings.NewReader(body)
	r.Body = io.NopCloser(text)
	b.ReportAllocs()
	for b.Loop() {
		text.Reset(body)
		w := discard{http.Header{}, new(int)}
		g.ServeHTTP(w, r)
		if *w.status != 200 {
			b.Fatal(*w.status)
		}
	}
}

// discard is a ResponseWriter that keeps the status only.
type discard struct {
	header http.Header
	status *int
}

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(status int)      { *d.status = status }

// The stock command line speaks to us with nothing but an endpoint.
func TestCLI(t *testing.T) {
	bin, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("no aws command on this machine")
	}
	var untagged []string
	url, _ := gateway(t, ivsapi.Operations{
		CreateChannel: func(_ context.Context, in *ivsapi.CreateChannelRequest) (*ivsapi.CreateChannelResponse, error) {
			return &ivsapi.CreateChannelResponse{Channel: &ivsapi.Channel{Arn: new(arn), Name: in.Name, Tags: in.Tags}}, nil
		},
		UntagResource: func(_ context.Context, in *ivsapi.UntagResourceRequest) (*ivsapi.UntagResourceResponse, error) {
			untagged = in.TagKeys
			return &ivsapi.UntagResourceResponse{}, nil
		},
		GetStream: func(context.Context, *ivsapi.GetStreamRequest) (*ivsapi.GetStreamResponse, error) {
			return nil, live.Errorf(live.NotLive, "not live at all")
		},
	})
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), bin, append([]string{"ivs", "--endpoint-url", url, "--region", region, "--output", "text"}, args...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_SESSION_TOKEN=",
			"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
		out, _ := cmd.CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	if got := run("create-channel", "--name", "lobby", "--tags", "a=b", "--query", "channel.[arn,name,tags.a]"); got != arn+"\tlobby\tb" {
		t.Errorf("create-channel prints %q", got)
	}
	if got := run("untag-resource", "--resource-arn", arn, "--tag-keys", "team:a", "team-b"); got != "" || !slices.Equal(untagged, []string{"team:a", "team-b"}) {
		t.Errorf("untag-resource prints %q and removes %q", got, untagged)
	}
	if got := run("get-stream", "--channel-arn", arn); !strings.Contains(got, "(ChannelNotBroadcasting) when calling the GetStream operation: not live at all") {
		t.Errorf("get-stream prints %q", got)
	}
}
