package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/chatapi"
	"github.com/sluice-live/sluice/internal/iam"
	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/principal"
	"github.com/sluice-live/sluice/internal/restjson"
)

// TestRulesAreTotal: an operation without a rule could not be called by anyone but an
// administrator, and a rule without an operation protects nothing.
func TestRulesAreTotal(t *testing.T) {
	for name, tt := range map[string]struct {
		service restjson.Service
		rules   map[string]rule
	}{
		"ivs":     {ivsapi.Operations{}.Service(), ivsRules()},
		"ivschat": {chatapi.Operations{}.Service(), chatRules()},
	} {
		var ops []string
		all, _ := tt.service.Operations()
		for _, op := range all {
			ops = append(ops, op.Name)
		}
		slices.Sort(ops)
		if got := slices.Sorted(maps.Keys(tt.rules)); !slices.Equal(got, ops) {
			t.Errorf("%s: rules for %v, operations %v", name, got, ops)
		}
		for op, r := range tt.rules {
			if r.named == nil && len(r.kinds) == 0 && !r.noResource {
				t.Errorf("%s:%s is allowed without a question", name, op)
			}
		}
	}
}

// policies is an Access of one user by documents.
type policies struct {
	access *principal.Access
	err    error
}

func (p policies) Access(context.Context, restjson.Caller) (*principal.Access, error) {
	return p.access, p.err
}

// byPolicy is a user named ann with one policy of these statements.
func byPolicy(t *testing.T, statements string) policies {
	t.Helper()
	p, err := iam.Parse([]byte(`{"Version":"2012-10-17","Statement":[` + statements + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	facts := &iam.Context{}
	facts.Set("aws:username", "ann")
	return policies{access: &principal.Access{Permissions: iam.Permissions{Identity: []*iam.Policy{p}}, Context: facts}}
}

// operation finds an operation of either model by its name.
func operation(t *testing.T, service, name string) *restjson.Operation {
	t.Helper()
	s := ivsapi.Operations{}.Service()
	if service == serviceChat {
		s = chatapi.Operations{}.Service()
	}
	all, _ := s.Operations()
	for _, op := range all {
		if op.Name == name {
			return op
		}
	}
	t.Fatalf("no operation %s", name)
	return nil
}

func TestAuthorize(t *testing.T) {
	f := newFixture(t)
	out, err := f.CreateChannel(f.ctx, &ivsapi.CreateChannelRequest{Tags: map[string]string{"Owner": "ann"}})
	if err != nil {
		t.Fatal(err)
	}
	own, key := *out.Channel.Arn, *out.StreamKey.Arn
	other := *f.channel(t, ivsapi.CreateChannelRequest{Tags: map[string]string{"Owner": "bob"}}).Arn
	// What others own is not told apart from what is not there, whatever tags it has.
	foreign := func(account, region string) string {
		out, err := f.CreateChannel(as(t.Context(), account, region), &ivsapi.CreateChannelRequest{Tags: map[string]string{"Owner": "ann"}})
		if err != nil {
			t.Fatal(err)
		}
		return *out.Channel.Arn
	}
	const (
		none      = "arn:aws:ivs:us-west-2:111122223333:channel/none"
		channels  = "arn:aws:ivs:us-west-2:111122223333:channel/*"
		keys      = "arn:aws:ivs:us-west-2:111122223333:stream-key/*"
		rooms     = "arn:aws:ivschat:us-west-2:111122223333:room/*"
		allowAll  = `{"Effect":"Allow","Action":"*","Resource":"*"}`
		ownersTag = `{"Effect":"Allow","Action":"ivs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}}}`
	)
	allow := func(action, resource string) string {
		return `{"Effect":"Allow","Action":"` + action + `","Resource":"` + resource + `"}`
	}
	tags := func(kv ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i]] = kv[i+1]
		}
		return m
	}
	for name, tt := range map[string]struct {
		policy string
		op     string
		in     any
		want   string // a part of the refusal; "" lets through
	}{
		"named and allowed":               {allow("ivs:GetChannel", own), "GetChannel", &ivsapi.GetChannelRequest{Arn: own}, ""},
		"named, another allowed":          {allow("ivs:GetChannel", own), "GetChannel", &ivsapi.GetChannelRequest{Arn: other}, "perform: ivs:GetChannel on resource: " + other + " because no identity-based policy allows the ivs:GetChannel action"},
		"named, another action":           {allow("ivs:GetStream", own), "GetChannel", &ivsapi.GetChannelRequest{Arn: own}, "ivs:GetChannel"},
		"denied":                          {allowAll + `,{"Effect":"Deny","Action":"ivs:GetChannel","Resource":"*"}`, "GetChannel", &ivsapi.GetChannelRequest{Arn: own}, "on resource: " + own + " with an explicit deny in an identity-based policy"},
		"what is not there, allowed":      {allow("ivs:GetChannel", "*"), "GetChannel", &ivsapi.GetChannelRequest{Arn: none}, ""},
		"what is not there, denied":       {allow("ivs:GetChannel", own), "GetChannel", &ivsapi.GetChannelRequest{Arn: none}, none},
		"no ARN at all":                   {allow("ivs:GetChannel", "arn:aws:ivs:*:*:channel/*"), "GetChannel", &ivsapi.GetChannelRequest{Arn: "x"}, "resource: x"},
		"a resource's tag":                {ownersTag, "GetChannel", &ivsapi.GetChannelRequest{Arn: own}, ""},
		"another resource's tag":          {ownersTag, "GetChannel", &ivsapi.GetChannelRequest{Arn: other}, other},
		"a tag of what is not there":      {ownersTag, "GetChannel", &ivsapi.GetChannelRequest{Arn: none}, none},
		"a key has its own tags":          {ownersTag, "GetStreamKey", &ivsapi.GetStreamKeyRequest{Arn: key}, key},
		"a foreign account's":             {ownersTag, "GetChannel", &ivsapi.GetChannelRequest{Arn: foreign("999999999999", "us-west-2")}, "999999999999"},
		"a foreign region's":              {ownersTag, "GetChannel", &ivsapi.GetChannelRequest{Arn: foreign("111122223333", "eu-west-1")}, "eu-west-1"},
		"an update":                       {allow("ivs:UpdateChannel", own), "UpdateChannel", &ivsapi.UpdateChannelRequest{Arn: own}, ""},
		"a stream by its channel":         {allow("ivs:StopStream", own), "StopStream", &ivsapi.StopStreamRequest{ChannelArn: own}, ""},
		"metadata by its channel":         {allow("ivs:PutMetadata", own), "PutMetadata", &ivsapi.PutMetadataRequest{ChannelArn: other}, other},
		"list by type":                    {allow("ivs:ListChannels", "arn:aws:ivs:*:*:channel/*"), "ListChannels", &ivsapi.ListChannelsRequest{}, ""},
		"list of another type":            {allow("ivs:ListChannels", "arn:aws:ivs:*:*:stream-key/*"), "ListChannels", &ivsapi.ListChannelsRequest{}, channels},
		"list is not one of a tag":        {ownersTag, "ListChannels", &ivsapi.ListChannelsRequest{}, channels},
		"list without a resource":         {allow("ivs:ListAdConfigurations", "*"), "ListAdConfigurations", &ivsapi.ListAdConfigurationsRequest{}, ""},
		"which takes no ARN":              {allow("ivs:ListAdConfigurations", "arn:aws:ivs:*:*:*"), "ListAdConfigurations", &ivsapi.ListAdConfigurationsRequest{}, "resource: *"},
		"keys need both types":            {allow("ivs:ListStreamKeys", own), "ListStreamKeys", &ivsapi.ListStreamKeysRequest{ChannelArn: own}, keys},
		"keys with both types":            {allow("ivs:ListStreamKeys", own) + "," + allow("ivs:ListStreamKeys", keys), "ListStreamKeys", &ivsapi.ListStreamKeysRequest{ChannelArn: own}, ""},
		"sessions by their channel":       {allow("ivs:ListStreamSessions", own), "ListStreamSessions", &ivsapi.ListStreamSessionsRequest{ChannelArn: own}, ""},
		"create needs both types":         {allow("ivs:CreateChannel", channels), "CreateChannel", &ivsapi.CreateChannelRequest{}, keys},
		"create, the other of both":       {allow("ivs:CreateChannel", keys), "CreateChannel", &ivsapi.CreateChannelRequest{}, channels},
		"create with both":                {allow("ivs:CreateChannel", channels) + "," + allow("ivs:CreateChannel", keys), "CreateChannel", &ivsapi.CreateChannelRequest{}, ""},
		"create elsewhere only":           {allow("ivs:CreateChannel", "arn:aws:ivs:eu-west-1:*:*"), "CreateChannel", &ivsapi.CreateChannelRequest{}, channels},
		"tags need TagResource":           {allow("ivs:CreateChannel", "*"), "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags("a", "1")}, "perform: ivs:TagResource on resource: " + channels},
		"tags with TagResource":           {allow("ivs:CreateChannel", "*") + "," + allow("ivs:TagResource", channels), "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags("a", "1")}, ""},
		"no tags, no TagResource":         {allow("ivs:CreateChannel", "*"), "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags()}, ""},
		"tags when TagResource is denied": {allowAll + `,{"Effect":"Deny","Action":"ivs:TagResource","Resource":"*"}`, "CreateStreamKey", &ivsapi.CreateStreamKeyRequest{ChannelArn: own, Tags: tags("a", "1")}, "perform: ivs:TagResource on resource: " + keys + " with an explicit deny"},
		"a tag of the request":            {`{"Effect":"Allow","Action":"ivs:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Owner":"${aws:username}"}}}`, "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags("Owner", "ann")}, ""},
		"a wrong tag of the request":      {`{"Effect":"Allow","Action":"ivs:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/Owner":"${aws:username}"}}}`, "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags("Owner", "bob")}, "CreateChannel"},
		"an unlisted tag key":             {`{"Effect":"Allow","Action":"ivs:*","Resource":"*","Condition":{"ForAllValues:StringEquals":{"aws:TagKeys":["Owner"]}}}`, "CreateChannel", &ivsapi.CreateChannelRequest{Tags: tags("Owner", "ann", "x", "")}, "CreateChannel"},
		"an imported key's tags":          {allow("ivs:ImportPlaybackKeyPair", "arn:aws:ivs:*:*:playback-key/*"), "ImportPlaybackKeyPair", &ivsapi.ImportPlaybackKeyPairRequest{Tags: tags("a", "1")}, "playback-key/*"},
		"tagging":                         {allow("ivs:TagResource", own), "TagResource", &ivsapi.TagResourceRequest{ResourceArn: own, Tags: tags("a", "1")}, ""},
		"tagging another's":               {ownersTag, "TagResource", &ivsapi.TagResourceRequest{ResourceArn: other, Tags: tags("Owner", "ann")}, other},
		"tagging away an owner":           {ownersTag + `,{"Effect":"Deny","Action":["ivs:TagResource","ivs:UntagResource"],"Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"Owner"}}}`, "TagResource", &ivsapi.TagResourceRequest{ResourceArn: own, Tags: tags("Owner", "bob")}, "explicit deny"},
		"untagging an owner":              {ownersTag + `,{"Effect":"Deny","Action":["ivs:TagResource","ivs:UntagResource"],"Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"Owner"}}}`, "UntagResource", &ivsapi.UntagResourceRequest{ResourceArn: own, TagKeys: []string{"x", "Owner"}}, "explicit deny"},
		"untagging something else":        {ownersTag + `,{"Effect":"Deny","Action":["ivs:TagResource","ivs:UntagResource"],"Resource":"*","Condition":{"ForAnyValue:StringEquals":{"aws:TagKeys":"Owner"}}}`, "UntagResource", &ivsapi.UntagResourceRequest{ResourceArn: own, TagKeys: []string{"x"}}, ""},
		"delete needs its key too":        {allow("ivs:DeleteChannel", own), "DeleteChannel", &ivsapi.DeleteChannelRequest{Arn: own}, key},
		"delete with its key":             {allow("ivs:DeleteChannel", own) + "," + allow("ivs:DeleteChannel", key), "DeleteChannel", &ivsapi.DeleteChannelRequest{Arn: own}, ""},
		"an update without resources":     {allow("ivs:UpdateAdConfiguration", "arn:aws:ivs:*:*:ad-configuration/*"), "UpdateAdConfiguration", &ivsapi.UpdateAdConfigurationRequest{}, "resource: *"},
		"chat, by service":                {allow("ivs:*", "*"), "ivschat:CreateRoom", &chatapi.CreateRoomRequest{}, "perform: ivschat:CreateRoom on resource: " + rooms},
		"chat, a room":                    {allow("ivschat:*", "arn:aws:ivschat:*:*:room/*"), "ivschat:SendEvent", &chatapi.SendEventRequest{RoomIdentifier: strings.TrimSuffix(rooms, "*") + "a"}, ""},
		"chat, tags":                      {allow("ivschat:CreateRoom", "*"), "ivschat:CreateRoom", &chatapi.CreateRoomRequest{Tags: tags("a", "1")}, "ivschat:TagResource"},
		"chat, lists":                     {allow("ivschat:ListRooms", "*"), "ivschat:ListRooms", &chatapi.ListRoomsRequest{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			service, op, ok := strings.Cut(tt.op, ":")
			if !ok {
				service, op = "ivs", tt.op
			}
			caller := restjson.CallerFrom(f.ctx)
			caller.Service, caller.Principal = service, "arn:aws:iam::111122223333:user/ann"
			err := f.Authorize(byPolicy(t, tt.policy))(f.ctx, &restjson.Call{
				Service: service, Operation: operation(t, service, op), Caller: caller, Request: tt.in,
			})
			if tt.want == "" {
				if err != nil {
					t.Errorf("refused: %v", err)
				}
				return
			}
			e, ok := errors.AsType[*live.Error](err)
			if !ok || e.Kind != live.Denied || !strings.Contains(e.Detail, tt.want) ||
				!strings.HasPrefix(e.Detail, "User: arn:aws:iam::111122223333:user/ann is not authorized to perform: ") {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestAuthorizeOthers(t *testing.T) {
	f := newFixture(t)
	call := &restjson.Call{Service: "ivs", Operation: operation(t, "ivs", "ListChannels"), Request: &ivsapi.ListChannelsRequest{}}
	if err := f.Authorize(policies{access: &principal.Access{Admin: true}})(f.ctx, call); err != nil {
		t.Errorf("an administrator: %v", err)
	}
	down := errors.New("down")
	if err := f.Authorize(policies{err: down})(f.ctx, call); !errors.Is(err, down) {
		t.Errorf("without an answer: %v", err)
	}
	unknown := &restjson.Call{Service: "ivs", Operation: &restjson.Operation{Name: "New"}}
	if err := f.Authorize(byPolicy(t, `{"Effect":"Allow","Action":"*","Resource":"*"}`))(f.ctx, unknown); err == nil {
		t.Error("an operation without a rule was let through")
	}
}

// Each entry of a batch is decided by itself, and the refused ones say so.
func TestAuthorizeBatches(t *testing.T) {
	f := newFixture(t)
	own := *f.channel(t, ivsapi.CreateChannelRequest{Authorized: new(true), Tags: map[string]string{"Owner": "ann"}}).Arn
	other := *f.channel(t, ivsapi.CreateChannelRequest{Authorized: new(true), Tags: map[string]string{"Owner": "bob"}}).Arn
	const none = "arn:aws:ivs:us-west-2:111122223333:channel/none"
	who := byPolicy(t, `{"Effect":"Allow","Action":"ivs:Batch*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Owner":"${aws:username}"}}}`)
	g, err := restjson.NewGateway(restjson.Config{
		Services: []restjson.Service{f.IVS().Service()},
		Steps:    []restjson.Step{f.Authorize(who)},
		Authenticate: func(*http.Request, []byte) (restjson.Caller, error) {
			c := restjson.CallerFrom(f.ctx)
			c.Principal = "arn:aws:iam::111122223333:user/ann"
			return c, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	post := func(op string, in any) map[string]any {
		t.Helper()
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequest("POST", "/"+op, bytes.NewReader(body)))
		var out map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %s", op, w.Code, w.Body)
		}
		return out
	}
	out := post("BatchGetChannel", map[string]any{"arns": []string{own, other, none}})
	if ch := out["channels"].([]any); len(ch) != 1 || ch[0].(map[string]any)["arn"] != own {
		t.Errorf("channels %v", out["channels"])
	}
	errs := out["errors"].([]any)
	if len(errs) != 2 {
		t.Fatalf("errors %v", errs)
	}
	// What is not there is refused like what is: a batch finds out nothing.
	for i, arn := range []string{other, none} {
		e := errs[i].(map[string]any)
		if e["arn"] != arn || e["code"] != "AccessDeniedException" || !strings.Contains(e["message"].(string), "not authorized to perform: ivs:BatchGetChannel on resource: "+arn) {
			t.Errorf("error %v of %s", e, arn)
		}
	}
	out = post("BatchStartViewerSessionRevocation", map[string]any{"viewerSessions": []map[string]any{
		{"channelArn": own, "viewerId": "v"}, {"channelArn": other, "viewerId": "v"},
	}})
	errs = out["errors"].([]any)
	if len(errs) != 1 || errs[0].(map[string]any)["code"] != "403" || errs[0].(map[string]any)["message"] != "not authorized" || errs[0].(map[string]any)["channelArn"] != other {
		t.Errorf("revocation errors %v", errs)
	}
}
