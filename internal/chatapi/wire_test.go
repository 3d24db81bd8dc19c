package chatapi_test

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

	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

// exchange sends one request and returns what went over the wire, and between it what
// the operation was given.
func exchange(t *testing.T, ops chatapi.Operations, method, target, body string) []byte {
	t.Helper()
	var seen any
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{ops.Service()},
		Authenticate: func(*http.Request, []byte) (restjson.Caller, error) {
			return restjson.Caller{Account: "111122223333", Region: "us-west-2", Service: chatapi.Name}, nil
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
	const arn = "arn:aws:ivschat:us-west-2:111122223333:room/Qm4Zt81LrXcB"
	at := time.Date(2026, 3, 1, 9, 15, 2, 417999999, time.UTC)
	detail := &restjson.Detail{ResourceID: "Qm4Zt81LrXcB", ResourceType: chatapi.ResourceTypeRoom, Limit: 50}
	ops := chatapi.Operations{
		CreateRoom: func(_ context.Context, in *chatapi.CreateRoomRequest) (*chatapi.CreateRoomResponse, error) {
			return &chatapi.CreateRoomResponse{
				Arn: new(arn), Id: new("Qm4Zt81LrXcB"), Name: in.Name, CreateTime: &at, UpdateTime: &at,
				MaximumMessageLength: in.MaximumMessageLength, MaximumMessageRatePerSecond: in.MaximumMessageRatePerSecond,
				MessageReviewHandler: in.MessageReviewHandler, Tags: in.Tags, LoggingConfigurationIdentifiers: []string{},
			}, nil
		},
		CreateChatToken: func(context.Context, *chatapi.CreateChatTokenRequest) (*chatapi.CreateChatTokenResponse, error) {
			return &chatapi.CreateChatTokenResponse{Token: new(restjson.Secret("t0ken")), TokenExpirationTime: &at, SessionExpirationTime: &at}, nil
		},
		ListRooms: func(context.Context, *chatapi.ListRoomsRequest) (*chatapi.ListRoomsResponse, error) {
			return &chatapi.ListRoomsResponse{}, nil
		},
		GetRoom: func(context.Context, *chatapi.GetRoomRequest) (*chatapi.GetRoomResponse, error) {
			return nil, &live.Error{Kind: live.NotFound, Detail: "Room not found", Err: detail}
		},
		UpdateRoom: func(context.Context, *chatapi.UpdateRoomRequest) (*chatapi.UpdateRoomResponse, error) {
			return nil, live.Errorf(live.Invalid, "The handler is not there.")
		},
		SendEvent: func(context.Context, *chatapi.SendEventRequest) (*chatapi.SendEventResponse, error) {
			return nil, &live.Error{Kind: live.Throttled, Detail: "Slow down.", Err: detail}
		},
		DeleteRoom: func(context.Context, *chatapi.DeleteRoomRequest) error { return nil },
	}
	for name, tt := range map[string]struct{ method, target, body string }{
		"create room": {"POST", "/CreateRoom", `{"name":"harbor-cam","maximumMessageRatePerSecond":25,"maximumMessageLength":280,` +
			`"messageReviewHandler":{"uri":"arn:aws:lambda:us-west-2:111122223333:function:tidy","fallbackResult":"DENY"},"tags":{"env":"dev"}}`},
		"create chat token":        {"POST", "/CreateChatToken", `{"roomIdentifier":"` + arn + `","userId":"u-ines","capabilities":["SEND_MESSAGE"],"attributes":{"displayName":"Ines"}}`},
		"required list of none":    {"POST", "/ListRooms", ""},
		"error about a resource":   {"POST", "/GetRoom", `{"identifier":"` + arn + `"}`},
		"error of a rule":          {"POST", "/UpdateRoom", `{"identifier":"` + arn + `"}`},
		"error of validation":      {"POST", "/UpdateRoom", `{"identifier":"Qm4Zt81LrXcB","maximumMessageLength":501}`},
		"error of throttling":      {"POST", "/SendEvent", `{"roomIdentifier":"` + arn + `","eventName":"e"}`},
		"no content":               {"POST", "/DeleteRoom", `{"identifier":"` + arn + `"}`},
		"operation not there yet":  {"POST", "/DisconnectUser", `{}`},
		"secret user in no answer": {"POST", "/CreateChatToken", `{"roomIdentifier":"` + arn + `","userId":"` + strings.Repeat("u", 129) + `"}`},
	} {
		t.Run(name, func(t *testing.T) { golden(t, name, exchange(t, ops, tt.method, tt.target, tt.body)) })
	}
}
