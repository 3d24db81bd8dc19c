package audit

import (
	"bytes"
	"encoding/json"
	"flag"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/restjson"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

const (
	account    = "111122223333"
	channelARN = "arn:aws:ivs:us-west-2:111122223333:channel/Kq3ZtB7xWm2P"
	keyARN     = "arn:aws:ivs:us-west-2:111122223333:stream-key/Vn8cRd4LhT1y"
)

var from = Origin{IP: netip.MustParseAddr("192.0.2.7"), PrincipalID: "AIDAQQQQQQQQQQQQQQQQQ"}

// called is the record of a call by a user, changed by with.
func called(op string, with ...func(*restjson.Record)) restjson.Record {
	r := restjson.Record{
		Outcome: restjson.Outcome{
			Service: "ivs", Operation: op, Account: account, Region: "us-west-2", AccessKeyID: "AKIAQQQQQQQQQQQQQQQQ",
			Principal: "arn:aws:iam::111122223333:user/team/alice", RequestID: "7c1f0e0a-6b0d-4c55-9a52-1f2d3c4b5a69", Status: 200,
		},
		HTTP: httptest.NewRequest("POST", "/"+op, nil),
	}
	r.HTTP.Header.Set("User-Agent", "aws-cli/2.17 md/\"x\"")
	for _, f := range with {
		f(&r)
	}
	return r
}

func created(r *restjson.Record) {
	secret := restjson.Secret("sk_us-west-2_Vn8cRd4LhT1y_TOPSECRET")
	r.Request = &ivsapi.CreateChannelRequest{Name: new("lobby"), Authorized: new(false), Tags: map[string]string{"b": "2", "a": "1"}}
	r.Response = &ivsapi.CreateChannelResponse{
		Channel:   &ivsapi.Channel{Arn: new(channelARN), Name: new("lobby"), Srt: &ivsapi.Srt{Endpoint: new("h"), Passphrase: new(restjson.Secret("TOPSECRET"))}},
		StreamKey: &ivsapi.StreamKey{Arn: new(keyARN), ChannelArn: new(channelARN), Value: &secret},
	}
}

func unsignedCall(r *restjson.Record) {
	r.Account, r.Principal, r.AccessKeyID, r.Region = "", "", "", ""
	r.ErrorType, r.Message = "MissingAuthenticationTokenException", "Missing Authentication Token"
}

func TestRecords(t *testing.T) {
	session := func(role string) func(*restjson.Record) {
		return func(r *restjson.Record) {
			r.AccessKeyID = "ASIAQQQQQQQQQQQQQQQQ"
			r.Caller.Session = &restjson.Session{Role: role, Name: "deploy", Issued: time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)}
			if role != "" {
				r.Principal = "arn:aws:sts::111122223333:assumed-role/robot/deploy"
			}
		}
	}
	for name, r := range map[string]restjson.Record{
		"a write": called("CreateChannel", created),
		"a read":  called("GetChannel", func(r *restjson.Record) { r.ReadOnly, r.Request = true, &ivsapi.GetChannelRequest{Arn: channelARN} }),
		"a read without input": called("ListChannels", func(r *restjson.Record) {
			r.ReadOnly, r.Request = true, &ivsapi.ListChannelsRequest{}
		}),
		"an error": called("DeleteChannel", func(r *restjson.Record) {
			r.Request = &ivsapi.DeleteChannelRequest{Arn: channelARN}
			r.ErrorType, r.Message = "ConflictException", "the channel is live: stop the stream first"
		}),
		"a secret in a request": called("PutMetadata", func(r *restjson.Record) {
			r.Request = &ivsapi.PutMetadataRequest{ChannelArn: channelARN, Metadata: "TOPSECRET"}
		}),
		"a session of a role": called("StopStream", session("arn:aws:iam::111122223333:role/team/robot"), func(r *restjson.Record) {
			r.Request, r.Response = &ivsapi.StopStreamRequest{ChannelArn: channelARN}, &ivsapi.StopStreamResponse{}
		}),
		"a session of a user": called("GetChannel", session("")),
		"no signature":        called("CreateChannel", unsignedCall),
		"a bad signature": called("CreateChannel", unsignedCall, func(r *restjson.Record) {
			r.AccessKeyID, r.Region = "AKIA"+strings.Repeat("Q", 2000), "us-west-2"
			r.ErrorType, r.Message = "InvalidSignatureException", "The request signature we calculated does not match"
		}),
		"a request too long to keep": called("TagResource", func(r *restjson.Record) {
			r.Request = &ivsapi.TagResourceRequest{ResourceArn: channelARN, Tags: map[string]string{"k": strings.Repeat("v", maxParameters)}}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			var s shapes
			line := lineOf(&s, &r, from, stamp{time.Date(2026, 3, 4, 5, 6, 7, 89e6, time.UTC), "5a92461e-2bc6-4ee8-8e6e-1e7c6c8a684a"})
			if bytes.Contains(line, []byte("TOPSECRET")) {
				t.Error("a secret got out")
			}
			if n := bytes.IndexByte(line, '\n'); n != len(line)-1 {
				t.Errorf("a line of %d bytes has its newline at %d", len(line), n)
			}
			var b bytes.Buffer
			if err := json.Indent(&b, line, "", "  "); err != nil {
				t.Fatalf("%v\n%s", err, line)
			}
			golden := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".json")
			if *update {
				if err := os.WriteFile(golden, b.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			var e Entry
			if err := json.Unmarshal(line, &e); err != nil || e.EventName != r.Operation || e.RequestID != r.RequestID {
				t.Errorf("read back: %+v, %v", e, err)
			}
		})
	}
}

func TestKindOf(t *testing.T) {
	for arn, want := range map[string][2]string{
		"arn:aws:iam::1:user/alice":              {"IAMUser", "alice"},
		"arn:aws:iam::1:user/a/b/alice":          {"IAMUser", "alice"},
		"arn:aws:iam::1:root":                    {"Root", "root"},
		"arn:aws:iam::1:role/x/robot":            {"Role", "robot"},
		"arn:aws:sts::1:assumed-role/robot/ci:7": {"AssumedRole", "ci:7"},
		"arn:aws:sts::1:federated-user/bob":      {"FederatedUser", "bob"},
		"":                                       {"Unknown", ""},
		"nonsense":                               {"Unknown", "nonsense"},
	} {
		if typ, name := kindOf(arn); typ != want[0] || name != want[1] {
			t.Errorf("kindOf(%q) = %s, %s, want %v", arn, typ, name, want)
		}
	}
}

func TestClip(t *testing.T) {
	long := strings.Repeat("é", maxText)
	if got := clip("x" + long); len(got) > maxText+3 || !strings.HasSuffix(got, "é...") {
		t.Errorf("clip of %d bytes gives %d, ending in %q", len(long)+1, len(got), got[len(got)-8:])
	}
	if got := clip("x"); got != "x" {
		t.Errorf("clip(x) = %q", got)
	}
}

func BenchmarkEncode(b *testing.B) {
	for name, r := range map[string]restjson.Record{
		"CreateChannel": called("CreateChannel", created),
		"GetChannel":    called("GetChannel", func(r *restjson.Record) { r.ReadOnly, r.Request = true, &ivsapi.GetChannelRequest{Arn: channelARN} }),
	} {
		b.Run(name, func(b *testing.B) {
			var s shapes
			b.ReportAllocs()
			for b.Loop() {
				lineOf(&s, &r, from, newStamp(time.Now()))
			}
		})
	}
}

// lineOf is the record of a call.
func lineOf(s *shapes, r *restjson.Record, from Origin, at stamp) []byte {
	e := restjson.NewEncoder(0)
	s.encode(e, r, from, at)
	return e.Bytes()
}
