package rtmp

import (
	"bufio"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// connectInfo is what the server answers a connect command with.
func connectInfo(t *testing.T, o Object) Object {
	t.Helper()
	c, s := play(t, cmds([]any{"connect", 1.0, append(Object{{"app", "app"}}, o...)}))
	if _, err := c.Publication(); !errors.Is(err, io.EOF) {
		t.Fatalf("Publication = %v, want the end of the client's words", err)
	}
	r := NewReader(bufio.NewReader(&s.answers), testLimits)
	for {
		m, err := r.ReadMessage()
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != TypeCommand {
			continue
		}
		cmd, err := parseCommand(m)
		if err != nil {
			t.Fatal(err)
		}
		return Properties(cmd.arg(1))
	}
}

func TestConnectSaysWhatItTakesOfEnhancedRTMP(t *testing.T) {
	for name, asked := range map[string]Object{
		"a list of codecs": {{"fourCcList", []any{"av01", "hvc1"}}},
		"a map of codecs":  {{"videoFourCcInfoMap", Object{{"*", 7.0}}}},
		"a map for audio":  {{"audioFourCcInfoMap", Object{{"mp4a", 7.0}}}},
		"capabilities":     {{"capsEx", 15.0}},
	} {
		t.Run(name, func(t *testing.T) {
			got := connectInfo(t, asked)
			want := Object{
				{"fourCcList", []any{"avc1", "hvc1", "mp4a"}},
				{"videoFourCcInfoMap", Object{{"avc1", 4.0}, {"hvc1", 4.0}}},
				{"audioFourCcInfoMap", Object{{"mp4a", 4.0}}},
				{"capsEx", 6.0},
			}
			for _, p := range want {
				if d := cmp.Diff(p.Value, got.Get(p.Name)); d != "" {
					t.Errorf("%s (-want +got):\n%s", p.Name, d)
				}
			}
		})
	}
	if got := connectInfo(t, nil); got.Get("capsEx") != nil || got.String("code") != codeConnected {
		t.Errorf("a client that asked nothing was told %v", got)
	}
}
