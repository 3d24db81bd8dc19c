package control

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/restjson"
	"github.com/sluice-live/sluice/internal/roster"
)

// An owner is a bus with the owner of every channel at its other end.
type owner struct {
	quiet
	got    []roster.Command
	answer string // JSON
}

func (o *owner) Request(_ context.Context, _ string, b []byte) ([]byte, error) {
	var c roster.Command
	if err := json.Unmarshal(b, &c); err != nil {
		return nil, err
	}
	o.got = append(o.got, c)
	return []byte(o.answer), nil
}

func (f fixture) owned(o *owner) *Control {
	return New(f.store, roster.New(o, time.Now), []byte("0123456789abcdef"), Config{Playback: f.cfg.Playback})
}

func TestPutMetadata(t *testing.T) {
	f := newFixture(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	full := strings.Repeat("é", 512) // 1024 bytes
	for name, tt := range map[string]struct {
		channel string
		text    string
		answer  string
		want    error // nil for success
	}{
		"a byte":                  {ch, "x", "{}", nil},
		"a kilobyte in UTF-8":     {ch, full, "{}", nil},
		"a byte more is invalid":  {ch, full + "x", "{}", live.Invalid},
		"513 characters, but ...": {ch, strings.Repeat("é", 513), "{}", live.Invalid},
		"what the owner says":     {ch, "x", `{"kind":"not live","detail":"no"}`, live.NotLive},
		"another's channel":       {strings.Replace(ch, "111122223333", "444455556666", 1), "x", "{}", live.NotFound},
		"no channel":              {ch[:len(ch)-12] + "aaaaaaaaaaaa", "x", "{}", live.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			o := &owner{answer: tt.answer}
			err := f.owned(o).PutMetadata(f.ctx, &ivsapi.PutMetadataRequest{ChannelArn: tt.channel, Metadata: restjson.Secret(tt.text)})
			if !errors.Is(err, tt.want) {
				t.Errorf("PutMetadata: %v, want %v", err, tt.want)
			}
			asked := tt.want == nil || errors.Is(tt.want, live.NotLive)
			if want := (roster.Command{Op: roster.OpMetadata, Metadata: tt.text}); (len(o.got) == 1) != asked || asked && o.got[0] != want {
				t.Errorf("the owner got %+v", o.got)
			}
			if err != nil && len(tt.text) > 1 && strings.Contains(err.Error(), "é") {
				t.Errorf("the error holds the metadata: %v", err)
			}
		})
	}
	if err := f.PutMetadata(f.ctx, &ivsapi.PutMetadataRequest{ChannelArn: ch, Metadata: "x"}); !errors.Is(err, live.NotLive) {
		t.Errorf("of an idle channel: %v, want not live", err)
	}
}

func TestInsertAdBreak(t *testing.T) {
	f := newFixture(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	o := &owner{answer: "{}"}
	c := f.owned(o)
	ids := map[string]bool{}
	for _, seconds := range []int32{1, 300} {
		out, err := c.InsertAdBreak(f.ctx, &ivsapi.InsertAdBreakRequest{ChannelArn: ch, DurationSeconds: seconds})
		if err != nil {
			t.Fatal(err)
		}
		got := o.got[len(o.got)-1]
		want := roster.Command{Op: roster.OpAdBreak, AdBreak: roster.AdBreak{ID: *out.AdBreakId, Duration: time.Duration(seconds) * time.Second}}
		if got != want || !regexp.MustCompile(`^[a-zA-Z0-9]{12}$`).MatchString(*out.AdBreakId) {
			t.Errorf("the owner got %+v, the caller %q", got, *out.AdBreakId)
		}
		ids[*out.AdBreakId] = true
	}
	if len(ids) != 2 {
		t.Error("two breaks have one id")
	}
	o.answer = `{"kind":"conflict","detail":"an ad break is running"}`
	if out, err := c.InsertAdBreak(f.ctx, &ivsapi.InsertAdBreakRequest{ChannelArn: ch, DurationSeconds: 1}); out != nil || !errors.Is(err, live.Conflict) {
		t.Errorf("while one runs: %v, %v", out, err)
	}
	if _, err := f.InsertAdBreak(f.ctx, &ivsapi.InsertAdBreakRequest{ChannelArn: ch, DurationSeconds: 1}); !errors.Is(err, live.NotLive) {
		t.Errorf("of an idle channel: %v, want not live", err)
	}
}
