package rtmp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A script is a client that says what it was told to and hears nothing.
type script struct {
	io.Reader
	answers bytes.Buffer
}

func (s *script) Write(p []byte) (int, error) { return s.answers.Write(p) }

// play returns a server's connection to a client that did its handshake and then
// sends b.
func play(t testing.TB, b []byte) (*ServerConn, *script) {
	t.Helper()
	s := &script{Reader: io.MultiReader(bytes.NewReader(firstPacket(nil)), bytes.NewReader(make([]byte, handshakeSize)), bytes.NewReader(b))}
	c := NewServerConn(s, "app")
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	s.answers.Reset()
	return c, s
}

// said returns the commands and control messages that the server sent, in words.
func (s *script) said(t testing.TB) (words []string) {
	t.Helper()
	r := NewReader(bufio.NewReader(&s.answers), testLimits)
	for {
		m, err := r.ReadMessage()
		if errors.Is(err, io.EOF) {
			return words
		}
		if err != nil {
			t.Fatal(err)
		}
		if m.Type != TypeCommand {
			words = append(words, fmt.Sprintf("%d %x", m.Type, m.Payload))
			continue
		}
		cmd, err := parseCommand(m)
		if err != nil {
			t.Fatal(err)
		}
		word := fmt.Sprintf("%s/%d %v", cmd.name, m.Stream, cmd.transaction)
		if code := Properties(cmd.arg(1)).String("code"); code != "" {
			word += " " + code
		} else if f, ok := cmd.arg(1).(float64); ok {
			word += fmt.Sprintf(" %v", f)
		}
		words = append(words, word)
	}
}

// cmds makes a client's bytes: each command is a name, a transaction id and arguments,
// on the stream named by a leading int.
func cmds(list ...[]any) []byte { return cmdsAs(TypeCommand, nil, list...) }

func cmdsAs(typ MessageType, prefix []byte, list ...[]any) []byte {
	var out bytes.Buffer
	w := NewWriter(&out)
	for _, c := range list {
		stream := 0
		if n, ok := c[0].(int); ok {
			stream, c = n, c[1:]
		}
		w.Append(chunkCommand, Message{Type: typ, Stream: uint32(stream), Payload: AppendAMF0(slices.Clone(prefix), c...)})
	}
	_ = w.Flush()
	return out.Bytes()
}

func connect(app string) []any { return []any{"connect", 1.0, Object{{"app", app}}} }

var (
	createStream = []any{"createStream", 2.0, nil}
	publishKey   = []any{1, "publish", 3.0, nil, "key", "live"}
)

func TestPublication(t *testing.T) {
	none := url.Values{}
	for name, tt := range map[string]struct {
		app, name string
		key       string
		params    url.Values
	}{
		"plain":                           {"app", "sk_x", "sk_x", none},
		"double slash, as users join it":  {"app/", "sk_x", "sk_x", none},
		"slash before the name":           {"app", "/sk_x", "sk_x", none},
		"slash after the name":            {"app", "sk_x/", "sk_x", none},
		"slash before the application":    {"/app", "sk_x", "sk_x", none},
		"key in the application":          {"app/sk_x", "", "sk_x", none},
		"key in the application, slashes": {"app//sk_x/", "", "sk_x", none},
		"two segments stay a path":        {"app/a", "b", "a/b", none},
		"no key":                          {"app", "", "", none},
		"query of the name":               {"app", "sk_x?priority=5&x=%20", "sk_x", url.Values{"priority": {"5"}, "x": {" "}}},
		"query of the application":        {"app?priority=5", "sk_x", "sk_x", url.Values{"priority": {"5"}}},
		"the name's query wins":           {"app?priority=5", "sk_x?priority=6", "sk_x", url.Values{"priority": {"6"}}},
		"broken query: what can be read":  {"app", "sk_x?a=%zz&b=1", "sk_x", url.Values{"b": {"1"}}},
		"key in the application, query":   {"app/sk_x?priority=2", "", "sk_x", url.Values{"priority": {"2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := play(t, cmds(connect(tt.app), createStream, []any{1, "publish", 3.0, nil, tt.name, "live"}))
			got, err := c.Publication()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(Publication{Key: tt.key, Params: tt.params}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestServerAnswers(t *testing.T) {
	opening := []string{
		"5 002625a0", "6 002625a002", // Set Chunk Size goes to the reader
		"_result/0 1 NetConnection.Connect.Success", "_result/0 2 1",
	}
	started := append(slices.Clone(opening), "4 000000000001", "onStatus/1 0 NetStream.Publish.Start")
	publishing := func(more ...[]any) []byte {
		return cmds(append([][]any{connect("app"), createStream, publishKey}, more...)...)
	}
	ping := []byte{2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 6, 1, 2, 3, 4}
	for name, tt := range map[string]struct {
		in   []byte
		want []string // after the opening when it starts with "..."
		end  error    // nil: end of input
	}{
		"publish": {publishing(), started, nil},
		"releaseStream and FCPublish": {
			cmds(connect("app"), []any{"releaseStream", 2.0, nil, "key"}, []any{"FCPublish", 3.0, nil, "key"}, []any{"createStream", 4.0, nil}, publishKey),
			[]string{
				opening[0], opening[1], opening[2], "_result/0 2", "_result/0 3",
				"onFCPublish/0 0 NetStream.Publish.Start", "_result/0 4 1", started[4], started[5],
			},
			nil,
		},
		"AMF3 commands": {cmdsAs(TypeCommandAMF3, []byte{0}, connect("app"), createStream, publishKey), started, nil},
		"AMF3 commands without their format byte": {cmdsAs(TypeCommandAMF3, nil, connect("app"), createStream, publishKey), started, nil},
		"connect with an ECMA array and more arguments": {
			cmds([]any{"connect", 1.0, ECMAArray{{"app", "app"}}, "user", "password"}, createStream, publishKey), started, nil,
		},
		"publish on the connection instead of the stream": {
			cmds(connect("app"), createStream, []any{"publish", 3.0, nil, "key"}), started, nil,
		},
		"unknown call": {
			cmds(connect("app"), []any{"_checkbw", 7.0, nil}, []any{"getStreamLength", 8.0, nil, "key"}, createStream, publishKey),
			append(append(slices.Clone(opening[:3]), "_error/0 7 NetConnection.Call.Failed", "_error/0 8 NetConnection.Call.Failed"), started[3:]...), nil,
		},
		"unknown call that wants no answer": {cmds(connect("app"), []any{"setPlaybackMode", 0.0, nil}, createStream, publishKey), started, nil},
		"ping":                              {append(publishing(), ping...), append(slices.Clone(started), "4 000701020304"), nil},
		"second publish":                    {publishing([]any{1, "publish", 4.0, nil, "other"}), append(slices.Clone(started), "onStatus/1 0 NetStream.Publish.BadName"), nil},
		"second createStream":               {publishing([]any{"createStream", 4.0, nil}), append(slices.Clone(started), "_result/0 4 2"), nil},
		"FCUnpublish": {
			publishing([]any{"FCUnpublish", 4.0, nil, "key"}),
			append(slices.Clone(started), "onFCUnpublish/0 0 NetStream.Unpublish.Success", "onStatus/1 0 NetStream.Unpublish.Success"), ErrUnpublished,
		},
		"deleteStream":                 {publishing([]any{"deleteStream", 4.0, nil, 1.0}), append(slices.Clone(started), "onStatus/1 0 NetStream.Unpublish.Success"), ErrUnpublished},
		"deleteStream of another":      {publishing([]any{"deleteStream", 4.0, nil, 2.0}), started, nil},
		"closeStream":                  {publishing([]any{1, "closeStream", 0.0, nil}), append(slices.Clone(started), "onStatus/1 0 NetStream.Unpublish.Success"), ErrUnpublished},
		"FCUnpublish before publish":   {cmds(connect("app"), []any{"FCUnpublish", 9.0, nil, "key"}, createStream, publishKey), slices.Insert(slices.Clone(started), 3, "_result/0 9"), nil},
		"answers to nothing are taken": {publishing([]any{"_result", 9.0, nil}), started, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := play(t, tt.in)
			if _, err := c.Publication(); err != nil {
				t.Fatal(err)
			}
			if err := c.Accept(); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read()
			if want := cmpError(tt.end); !errors.Is(err, want) {
				t.Errorf("Read = %v, want %v", err, want)
			}
			if d := cmp.Diff(tt.want, s.said(t)); d != "" {
				t.Error(d)
			}
		})
	}
}

func cmpError(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

func TestServerRefuses(t *testing.T) {
	video := chunk0(6, 0, 2, TypeVideo, 1, 0x17, 1)
	many := make([][]any, maxOpening+1)
	streams := [][]any{connect("app")}
	for i := range many {
		many[i] = []any{"FCPublish", 1.0, nil}
		streams = append(streams, createStream)
	}
	many[0] = connect("app")
	raw := func(t MessageType, p ...byte) []byte { return chunk0(3, 0, len(p), t, 0, p...) }
	for name, tt := range map[string]struct {
		in     []byte
		reason Reason
		said   string // last word, "" for any
	}{
		"media before connect":          {video, ReasonOrder, ""},
		"media before publish":          {append(cmds(connect("app"), createStream), video...), ReasonOrder, ""},
		"publish before connect":        {cmds(publishKey), ReasonOrder, ""},
		"connect twice":                 {cmds(connect("app"), connect("app")), ReasonOrder, ""},
		"another application":           {cmds(connect("live")), ReasonApp, "_error/0 1 NetConnection.Connect.InvalidApp"},
		"no application":                {cmds([]any{"connect", 1.0, Object{}}), ReasonApp, "_error/0 1 NetConnection.Connect.InvalidApp"},
		"connect without an object":     {cmds([]any{"connect", 1.0}), ReasonApp, ""},
		"application that starts alike": {cmds(connect("apple/key")), ReasonApp, ""},
		"play":                          {cmds(connect("app"), createStream, []any{1, "play", 0.0, nil, "key"}), ReasonPlay, "onStatus/1 0 NetStream.Play.StreamNotFound"},
		"publish without a name":        {cmds(connect("app"), []any{1, "publish", 3.0, nil}), ReasonAMF, ""},
		"publish with a number":         {cmds(connect("app"), []any{1, "publish", 3.0, nil, 4.0}), ReasonAMF, ""},
		"publish with a huge name":      {cmds(connect("app"), []any{1, "publish", 3.0, nil, strings.Repeat("x", maxName+1)}), ReasonAMF, ""},
		"commands without end":          {cmds(many...), ReasonOrder, ""},
		"streams without end":           {cmds(streams...), ReasonStreams, ""},
		"a command that is garbage":     {raw(TypeCommand, 0xde, 0xad), ReasonAMF, ""},
		"an empty command":              {raw(TypeCommand), ReasonAMF, ""},
		"a command named by a number":   {raw(TypeCommand, AppendAMF0(nil, 1.0)...), ReasonAMF, ""},
		"a transaction id that is text": {raw(TypeCommand, AppendAMF0(nil, "connect", "1")...), ReasonAMF, ""},
		"a command that is AMF3":        {raw(TypeCommandAMF3, 0, 0x11, 1), ReasonAMF, ""},
		"a huge command":                {chunk0(3, 0, maxCommand+1, TypeCommand, 0), ReasonTooLarge, ""},
		"a huge chunk size":             {chunk0(2, 0, 4, TypeSetChunkSize, 0, 0x7f, 0xff, 0xff, 0xff), ReasonChunkSize, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := play(t, tt.in)
			pub, err := c.Publication()
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Reason != tt.reason {
				t.Fatalf("got %+v, %v; want reason %q", pub, err, tt.reason)
			}
			if said := s.said(t); tt.said != "" && (len(said) == 0 || said[len(said)-1] != tt.said) {
				t.Errorf("said %q, want %q last", said, tt.said)
			}
		})
	}
}

func TestPublishingRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		in     []byte
		reason Reason
	}{
		"video over 8 MiB":             {chunk0(6, 0, maxMedia+1, TypeVideo, 1), ReasonTooLarge},
		"metadata over 64 KiB":         {chunk0(6, 0, maxCommand+1, TypeData, 1), ReasonTooLarge},
		"connect while publishing":     {cmds(connect("app")), ReasonOrder},
		"play while publishing":        {cmds([]any{1, "play", 0.0, nil, "key"}), ReasonPlay},
		"aggregate cut in a header":    {chunk0(6, 0, 5, TypeAggregate, 1, 9, 0, 0, 0, 0), ReasonMedia},
		"aggregate cut in a message":   {chunk0(6, 0, 12, TypeAggregate, 1, 9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 1), ReasonMedia},
		"command garbage in aggregate": {chunk0(6, 0, 12, TypeAggregate, 1, 20, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xfe), ReasonAMF},
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := play(t, append(cmds(connect("app"), createStream, publishKey), tt.in...))
			if _, err := c.Publication(); err != nil {
				t.Fatal(err)
			}
			if err := c.Accept(); err != nil {
				t.Fatal(err)
			}
			_, err := c.Read()
			if pe, ok := errors.AsType[*ProtocolError](err); !ok || pe.Reason != tt.reason {
				t.Errorf("got %v, want reason %q", err, tt.reason)
			}
		})
	}
}

// readPublished returns all that follows a publish in the words of Message.text.
func readPublished(t testing.TB, b []byte) (Publication, []string, error) {
	t.Helper()
	c, _ := play(t, b)
	pub, err := c.Publication()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Accept(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for {
		m, err := c.Read()
		if err != nil {
			return pub, got, err
		}
		got = append(got, m.text())
	}
}

func TestAggregateIsSplit(t *testing.T) {
	agg := slices.Concat(
		[]byte{9, 0, 0, 2, 0, 0, 100, 0, 0, 0, 0, 'v', '1', 0, 0, 0, 13},
		[]byte{8, 0, 0, 1, 0, 0, 110, 0, 0, 0, 0, 'a', 0, 0, 0, 12},
		[]byte{9, 0, 0, 1, 0, 0, 133, 0, 0, 0, 0, 'w'}, // the last back pointer is missing
	)
	in := append(cmds(connect("app"), createStream, publishKey), chunk0(6, 5000, len(agg), TypeAggregate, 1, agg...)...)
	_, got, err := readPublished(t, in)
	want := []string{"9/1@5000 7631", "8/1@5010 61", "9/1@5033 77"}
	if !errors.Is(err, io.EOF) || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// Time goes on past 2^32 ms for all tracks together.
func TestTimestampsGoOnPastTheWrap(t *testing.T) {
	at := func(id byte, typ MessageType, ts uint32) []byte {
		return slices.Concat(chunk0(id, extendedMark, 1, typ, 1), be32(ts), []byte{1})
	}
	in := slices.Concat(cmds(connect("app"), createStream, publishKey),
		at(4, TypeAudio, 1<<32-20), at(6, TypeVideo, 1<<32-1), chunk0(4, 10, 1, TypeAudio, 1, 1), at(6, TypeVideo, 1<<32-2), chunk0(6, 40, 1, TypeVideo, 1, 1))
	_, got, _ := readPublished(t, in)
	want := []string{"8/1@4294967276 01", "9/1@4294967295 01", "8/1@4294967306 01", "9/1@4294967294 01", "9/1@4294967336 01"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestServerAcknowledges(t *testing.T) {
	for name, tt := range map[string]struct {
		window []byte // the client's message, nil for none
		want   int    // acknowledgements for 6 MB
	}{
		"our window":          {nil, 2},
		"the client's window": {chunk0(2, 0, 4, TypeWindowAckSize, 0, be32(1_000_000)...), 6},
		"a window too small":  {chunk0(2, 0, 4, TypeWindowAckSize, 0, be32(1)...), 1500},
	} {
		t.Run(name, func(t *testing.T) {
			in := slices.Concat(cmds(connect("app"), createStream, publishKey), tt.window,
				chunk0(2, 0, 4, TypeSetChunkSize, 0, be32(5000)...))
			for range 60 {
				m := chunk0(6, 0, 100_000, TypeVideo, 1)
				for i := range 20 {
					if i > 0 {
						m = append(m, 0xc6)
					}
					m = append(m, make([]byte, 5000)...)
				}
				in = append(in, m...)
			}
			c, s := play(t, in)
			if _, err := c.Publication(); err != nil {
				t.Fatal(err)
			}
			if err := c.Accept(); err != nil {
				t.Fatal(err)
			}
			for {
				if _, err := c.Read(); err != nil {
					break
				}
			}
			n := 0
			for _, w := range s.said(t) {
				if strings.HasPrefix(w, "3 ") {
					n++
				}
			}
			if n < tt.want*4/5 || n > tt.want {
				t.Errorf("%d acknowledgements, want about %d", n, tt.want)
			}
		})
	}
}
