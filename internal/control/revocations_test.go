package control

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/roster"
)

// spy is a bus that keeps what is published.
type spy struct {
	quiet
	said []live.Revocation
	err  error
}

func (s *spy) Publish(_ context.Context, _ string, b []byte) error {
	var all []live.Revocation
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	s.said = append(s.said, all...)
	return s.err
}

// revoking is a fixture at t0 whose bus is watched.
func revoking(t *testing.T) (fixture, *spy) {
	t.Helper()
	f, s := newFixture(t), &spy{}
	f.Control.roster = roster.New(s, time.Now)
	f.now = func() time.Time { return t0 }
	return f, s
}

func TestStartViewerSessionRevocation(t *testing.T) {
	f, bus := revoking(t)
	ch := *f.channel(t, ivsapi.CreateChannelRequest{Authorized: new(true)}).Arn
	arn, _ := live.ParseARN(ch)
	revoke := func(viewer string, version *int32) error {
		_, err := f.StartViewerSessionRevocation(f.ctx, &ivsapi.StartViewerSessionRevocationRequest{
			ChannelArn: ch, ViewerId: viewer, ViewerSessionVersionsLessThanOrEqualTo: version,
		})
		return err
	}
	if err := revoke("ann", nil); err != nil {
		t.Fatal(err)
	}
	if err := revoke("bob", new(int32(7))); err != nil {
		t.Fatal(err)
	}
	want := []live.Revocation{{Channel: arn, Viewer: "ann", Time: t0}, {Channel: arn, Viewer: "bob", Version: 7, Time: t0}}
	if d := cmp.Diff(want, bus.said); d != "" {
		t.Errorf("nodes are told: -want +got\n%s", d)
	}
	for _, w := range want {
		got, err := f.store.Revocation(t.Context(), arn, w.Viewer)
		if d := cmp.Diff(w, got); err != nil || d != "" {
			t.Errorf("kept: %v, -want +got\n%s", err, d)
		}
	}

	// What is durable is done, told or not.
	bus.err = errors.New("cut off")
	if err := revoke("eve", nil); err != nil {
		t.Errorf("with a bus that is down: %v", err)
	}
	if _, err := f.store.Revocation(t.Context(), arn, "eve"); err != nil {
		t.Errorf("with a bus that is down, kept: %v", err)
	}
}

func TestRevocationRules(t *testing.T) {
	f, bus := revoking(t)
	private := *f.channel(t, ivsapi.CreateChannelRequest{Authorized: new(true)}).Arn
	public := *f.channel(t, ivsapi.CreateChannelRequest{}).Arn
	for name, tt := range map[string]struct {
		channel, viewer string
		want            live.Kind // of the single call; "" for success
		code            string    // in a batch
		message         string    // in a batch; "" for any
	}{
		"a private channel":            {private, "ann", "", "", ""},
		"a public channel":             {public, "ann", live.Invalid, "400", ""},
		"a channel that is not there":  {"arn:aws:ivs:us-west-2:111122223333:channel/AAAAAAAAAAAA", "ann", live.NotFound, "404", ""},
		"a channel of another account": {"arn:aws:ivs:us-west-2:444455556666:channel/AAAAAAAAAAAA", "ann", live.NotFound, "403", "not authorized"},
		"a channel of another region":  {"arn:aws:ivs:eu-west-1:111122223333:channel/AAAAAAAAAAAA", "ann", live.NotFound, "403", "not authorized"},
		"no channel":                   {"arn:aws:ivs:us-west-2:111122223333:stream-key/AAAAAAAAAAAA", "ann", live.Invalid, "400", ""},
		"a viewer with a NUL":          {private, "a\x00b", live.Invalid, "400", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bus.said = nil
			_, err := f.StartViewerSessionRevocation(f.ctx, &ivsapi.StartViewerSessionRevocationRequest{ChannelArn: tt.channel, ViewerId: tt.viewer})
			if tt.want == "" && err != nil || tt.want != "" && !errors.Is(err, tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			out, err := f.BatchStartViewerSessionRevocation(f.ctx, &ivsapi.BatchStartViewerSessionRevocationRequest{
				ViewerSessions: []ivsapi.BatchStartViewerSessionRevocationViewerSession{{ChannelArn: tt.channel, ViewerId: tt.viewer}, {ChannelArn: private, ViewerId: "bob"}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if told := len(bus.said); tt.code == "" && told != 3 || tt.code != "" && told != 1 {
				t.Errorf("nodes are told of %d revocations", told)
			}
			if tt.code == "" {
				if out.Errors == nil || len(out.Errors) != 0 {
					t.Errorf("errors = %+v, want an empty list", out.Errors)
				}
				return
			}
			if len(out.Errors) != 1 || out.Errors[0].ChannelArn != tt.channel || out.Errors[0].ViewerId != tt.viewer || *out.Errors[0].Code != tt.code ||
				tt.message != "" && *out.Errors[0].Message != tt.message || *out.Errors[0].Message == "" {
				t.Errorf("errors = %+v, want one with code %s", out.Errors, tt.code)
			}
		})
	}
}
