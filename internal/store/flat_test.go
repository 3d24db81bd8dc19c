package store

import (
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/live"
)

func TestChannelsAreReadAsJSON(t *testing.T) {
	full := live.Channel{
		Name: "one", LatencyMode: live.LatencyLow, Type: live.TypeAdvancedHD, Preset: live.PresetHigher, ContainerFormat: live.ContainerTS,
		Authorized: true, InsecureIngest: true, SRTPassphrase: "secret", Created: time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		RecordingConfiguration: "r", PlaybackRestrictionPolicy: "p", AdConfiguration: "a",
	}
	for name, ch := range map[string]live.Channel{"zero": {}, "every member": full} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(ch)
			if err != nil {
				t.Fatal(err)
			}
			var got live.Channel
			if !flat(body, func(name, value []byte, text bool) bool { return channelMember(&got, string(name), value, text) }) {
				t.Errorf("%s is not read the short way", body)
			}
			if d := cmp.Diff(ch, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// Whatever encoding/json says of a channel's body, decodeChannel says too; and so does
// textMap of tags.
func FuzzFlat(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"name":"a","authorized":true,"insecureIngest":false,"created":"2026-01-02T03:04:05.678Z"}`, `{"k":"v","":""}`,
		`{"name":"a\"b","type":"x"}`, `{"name":"a","name":"b"}`, `{"name":null}`, `{"name":1}`, `{"authorized":"true"}`, `{"created":"no"}`,
		`{"multitrack":{"enabled":true}}`, `{"NAME":"a"}`, ` {}`, `{"name":"a"} `, `{"name":"a",}`, `{,}`, `{"name":"a"`, `{"name":true}`,
		"{\"name\":\"\xff\"}", "{\"\xff\":\"a\"}", `[]`, ``, `{"name":"` + "\u2028" + `"}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want, got live.Channel
		wantErr, err := json.Unmarshal(body, &want), decodeChannel(body, &got)
		if (err == nil) != (wantErr == nil) || err == nil && !cmp.Equal(want, got) {
			t.Errorf("decodeChannel(%q) = %+v, %v; JSON says %+v, %v", body, got, err, want, wantErr)
		}
		var wantMap map[string]string
		wantErr = json.Unmarshal(body, &wantMap)
		gotMap, err := textMap(string(body))
		if (err == nil) != (wantErr == nil) || err == nil && !maps.Equal(wantMap, gotMap) {
			t.Errorf("textMap(%q) = %q, %v; JSON says %q, %v", body, gotMap, err, wantMap, wantErr)
		}
	})
}
