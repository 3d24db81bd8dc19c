package quota

import (
	"encoding/json"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files; then review the diff")

// AWS limits the rate of every operation of the models, and of nothing else.
func TestEveryOperationHasARate(t *testing.T) {
	for file, rates := range map[string]Rates{"ivs.json": AWS().IVS.Rates, "ivschat.json": AWS().Chat.Rates} {
		b, err := os.ReadFile(filepath.Join("../../api", file))
		if err != nil {
			t.Fatal(err)
		}
		var model struct{ Operations map[string]json.RawMessage }
		if err := json.Unmarshal(b, &model); err != nil {
			t.Fatal(err)
		}
		want, have := slices.Sorted(maps.Keys(model.Operations)), slices.Sorted(maps.Keys(rates))
		if d := cmp.Diff(want, have); d != "" {
			t.Errorf("%s: operations with a rate (-model +quota):\n%s", file, d)
		}
		for op, r := range rates {
			if r == None {
				t.Errorf("%s has the rate none", op)
			}
		}
	}
}

func TestPublishedNumbers(t *testing.T) {
	p := AWS()
	for op, want := range map[string]Limit{
		"InsertAdBreak": 1, "BatchStartViewerSessionRevocation": 2, "ImportPlaybackKeyPair": 3, "CreateChannel": 5, "ListStreamKeys": 5,
		"TagResource": 10, "PutMetadata": 155,
	} {
		if got := p.IVS.Rates[op]; got != want {
			t.Errorf("rate of %s is %v, want %v", op, got, want)
		}
	}
	for op, want := range map[string]Limit{"CreateChatToken": 200, "SendEvent": 100, "TagResource": 10, "CreateRoom": 5, "ListLoggingConfigurations": 3} {
		if got := p.Chat.Rates[op]; got != want {
			t.Errorf("rate of chat's %s is %v, want %v", op, got, want)
		}
	}
	if s := SelfHosted(); len(s.IVS.Rates)+len(s.Chat.Rates) != 0 || s.IVS.Channels != None || s.IVS.StreamKeysPerChannel != 1 || s.IVS.PlaybackKeys != 3 {
		t.Errorf("self-hosted throttles, or lacks a limit that clients rely on: %+v", s)
	}
}

func TestParse(t *testing.T) {
	with := func(p Profile, f func(*Profile)) Profile { f(&p); return p }
	for name, tt := range map[string]struct {
		text string
		want Profile
	}{
		"nothing is self-hosted":        {"", SelfHosted()},
		"comments are nothing":          {"# a\n", SelfHosted()},
		"a base":                        {"base: aws\n", AWS()},
		"a limit over the base":         {"base: aws\nivs: {channels: 7}\n", with(AWS(), func(p *Profile) { p.IVS.Channels = 7 })},
		"none over the base":            {"base: aws\nivs:\n  channels: none\n", with(AWS(), func(p *Profile) { p.IVS.Channels = None })},
		"one rate leaves the others":    {"base: aws\nivs: {requests-per-second: {GetChannel: 50}}\n", with(AWS(), func(p *Profile) { p.IVS.Rates["GetChannel"] = 50 })},
		"a rate where there was none":   {"ivschat: {requests-per-second: {CreateRoom: 1}}\n", with(SelfHosted(), func(p *Profile) { p.Chat.Rates["CreateRoom"] = 1 })},
		"a rate of none is no limit":    {"base: aws\nivs: {requests-per-second: {GetChannel: none}}\n", with(AWS(), func(p *Profile) { p.IVS.Rates["GetChannel"] = None })},
		"a limit that can be only less": {"ivs: {tags-per-resource: 1, stream-keys-per-channel: 2}\n", with(SelfHosted(), func(p *Profile) { p.IVS.TagsPerResource, p.IVS.StreamKeysPerChannel = 1, 2 })},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(tt.text))
			if err != nil {
				t.Fatalf("Parse(%q): %v", tt.text, err)
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("Parse(%q): -want +got\n%s", tt.text, d)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"another base":             {"base: azure\n", `"azure"`},
		"an unknown key":           {"ivs:\n  chanels: 3\n", "line 2: field chanels"},
		"an unknown service":       {"sts: {}\n", "sts"},
		"an unknown operation":     {"ivs: {requests-per-second: {GetChanel: 3}}\n", `ivs: requests-per-second: unknown operation "GetChanel"`},
		"an operation of chat":     {"ivs: {requests-per-second: {CreateRoom: 3}}\n", `unknown operation "CreateRoom"`},
		"a key twice":              {"ivs: {channels: 1, channels: 2}\n", "already defined"},
		"zero":                     {"ivs:\n  channels: 0\n", `line 2: "0": want a number from 1`},
		"less than nothing":        {"ivs: {channels: -1}\n", `"-1"`},
		"half a channel":           {"ivs: {channels: 1.5}\n", `"1.5"`},
		"a word":                   {"ivs: {channels: unlimited}\n", `"unlimited"`},
		"a list":                   {"ivs: {channels: [1]}\n", "want a number"},
		"too much for anything":    {"ivs: {channels: 1000000001}\n", "1000000001"},
		"no value":                 {"ivs:\n  channels:\n", "line 2: a key has no value"},
		"no value for a service":   {"ivs:\n", "line 1: a key has no value"},
		"more tags than the model": {"ivs: {tags-per-resource: 51}\n", "tags-per-resource: 51: want 1 to 50"},
		"tags without limit":       {"ivs: {tags-per-resource: none}\n", "tags-per-resource: none: want 1 to 50"},
		"no mapping":               {"- 1\n", "cannot unmarshal"},
		"not YAML":                 {"\t", "found character"},
		"two documents":            {"base: aws\n---\nbase: aws\n", "more than one document"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.text)); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse(%q) = %v, want an error with %q", tt.text, err, tt.want)
			}
		})
	}
}

func TestLoad(t *testing.T) {
	name := filepath.Join(t.TempDir(), "q.yaml")
	if err := os.WriteFile(name, []byte("ivs: {channels: 2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := Load(name); err != nil || p.IVS.Channels != 2 {
		t.Errorf("Load(file) = %+v, %v", p, err)
	}
	if p, err := Load(NameAWS); err != nil || p.IVS.Channels != 5000 {
		t.Errorf("Load(aws) = %+v, %v", p, err)
	}
	if _, err := Load("awss"); err == nil || !strings.Contains(err.Error(), `"awss" is neither aws nor self-hosted nor a file`) {
		t.Errorf("Load(awss) = %v", err)
	}
	if err := os.WriteFile(name, []byte("ivs: {x: 2}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "q.yaml") {
		t.Errorf("Load(bad file) = %v, want it to name the file", err)
	}
	if err := os.WriteFile(name, []byte(strings.Repeat("#\n", maxFileBytes)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(name); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("Load(huge file) = %v", err)
	}
}

// What Print writes is what an operator reads and edits.
func TestPrint(t *testing.T) {
	for name, p := range map[string]Profile{NameAWS: AWS(), NameSelfHosted: SelfHosted()} {
		t.Run(name, func(t *testing.T) {
			var b strings.Builder
			if err := Print(&b, p); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(golden, []byte(b.String()), 0o600); err != nil {
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
			got, err := Parse([]byte(b.String()))
			if err != nil {
				t.Fatal(err)
			}
			maps.DeleteFunc(got.IVS.Rates, func(_ string, l Limit) bool { return l == None })
			maps.DeleteFunc(got.Chat.Rates, func(_ string, l Limit) bool { return l == None })
			if d := cmp.Diff(p, got); d != "" {
				t.Errorf("read back: -want +got\n%s", d)
			}
		})
	}
}

// Whatever Parse takes is valid, and prints as what Parse reads alike.
func FuzzParse(f *testing.F) {
	f.Add([]byte("base: aws\nivs: {channels: 7, requests-per-second: {GetChannel: none}}\n"))
	f.Add([]byte("ivschat:\n  rooms: 3 # x\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		if err != nil {
			return
		}
		if err := p.Validate(); err != nil {
			t.Fatalf("Parse(%q) took what is not valid: %v", text, err)
		}
		var b, again strings.Builder
		if err := Print(&b, p); err != nil {
			t.Fatal(err)
		}
		q, err := Parse([]byte(b.String()))
		if err != nil {
			t.Fatalf("%v\n%s", err, &b)
		}
		if err := Print(&again, q); err != nil || again.String() != b.String() {
			t.Fatalf("%v, %s\nis not\n%s", err, &again, &b)
		}
	})
}
