package audit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/restjson"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// library is a log of six calls, a minute apart, the fourth without a signature.
func library(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	var (
		s     shapes
		files [kinds]bytes.Buffer
	)
	robot := func(r *restjson.Record) {
		r.Principal, r.AccessKeyID = "arn:aws:sts::111122223333:assumed-role/robot/deploy", "ASIAQQQQQQQQQQQQQQQQ"
		r.Caller.Session = &restjson.Session{Role: "arn:aws:iam::111122223333:role/robot", Name: "deploy", Issued: noon}
	}
	for i, r := range []restjson.Record{
		called("CreateChannel", created),
		called("GetChannel", func(r *restjson.Record) { r.ReadOnly, r.Request = true, &ivsapi.GetChannelRequest{Arn: channelARN} }),
		called("DeleteStreamKey", robot, func(r *restjson.Record) { r.Request = &ivsapi.DeleteStreamKeyRequest{Arn: keyARN} }),
		called("CreateChannel", unsignedCall),
		called("DeleteChannel", robot, func(r *restjson.Record) {
			r.Request, r.ErrorType = &ivsapi.DeleteChannelRequest{Arn: channelARN}, "ConflictException"
		}),
		called("TagResource", func(r *restjson.Record) {
			r.Request = &ivsapi.TagResourceRequest{ResourceArn: "arn:aws:ivs:us-west-2:111122223333:channel/Other1234567", Tags: map[string]string{"k": `é"` + channelARN}}
		}),
	} {
		kind := signed
		if r.Account == "" {
			kind = unsigned
		}
		files[kind].Write(lineOf(&s, &r, from, stamp{noon.Add(time.Duration(i) * time.Minute), "id"}))
	}
	for i, name := range seriesNames() {
		s := series{dir: dir, name: name}
		// Two files each: a search has to go on in the next one.
		lines := bytes.SplitAfterN(files[i].Bytes(), []byte("\n"), 3)
		for n, part := range [][]byte{bytes.Join(lines[:min(2, len(lines))], nil), bytes.Join(lines[min(2, len(lines)):], nil)} {
			if err := os.WriteFile(s.path(uint64(n+1)), part, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

func TestSearch(t *testing.T) {
	dir := library(t)
	at := func(minute int) time.Time { return noon.Add(time.Duration(minute) * time.Minute) }
	for name, tt := range map[string]struct {
		q    Query
		want string // minutes of what is found
	}{
		"all, newest first":                {Query{}, "5 4 3 2 1 0"},
		"the newest":                       {Query{Limit: 2}, "5 4"},
		"since a moment, included":         {Query{Since: at(4)}, "5 4"},
		"until a moment, excluded":         {Query{Until: at(2)}, "1 0"},
		"a time span":                      {Query{Since: at(1), Until: at(3)}, "2 1"},
		"an operation":                     {Query{Event: "CreateChannel"}, "3 0"},
		"an operation in another case":     {Query{Event: "createchannel"}, "3 0"},
		"a user by name":                   {Query{User: "alice"}, "5 1 0"},
		"a user by ARN":                    {Query{User: "arn:aws:iam::111122223333:user/team/alice"}, "5 1 0"},
		"a user by access key":             {Query{User: "AKIAQQQQQQQQQQQQQQQQ"}, "5 1 0"},
		"a session by its name":            {Query{User: "deploy"}, "4 2"},
		"a role by its name":               {Query{User: "robot"}, "4 2"},
		"a role by its ARN":                {Query{User: "arn:aws:iam::111122223333:role/robot"}, "4 2"},
		"half a user":                      {Query{User: "lice"}, ""},
		"a resource by ARN":                {Query{Resource: channelARN}, "4 1 0"},
		"a resource by id":                 {Query{Resource: "Kq3ZtB7xWm2P"}, "4 1 0"},
		"a resource of the response":       {Query{Resource: "Vn8cRd4LhT1y"}, "2 0"},
		"a resource that JSON escapes":     {Query{Resource: `é"` + channelARN}, "5"},
		"half a resource":                  {Query{Resource: "q3ZtB7xWm2P"}, ""},
		"an error":                         {Query{Error: "ConflictException"}, "4"},
		"any error":                        {Query{Error: ErrorAny}, "4 3"},
		"all at once":                      {Query{Event: "DeleteChannel", User: "deploy", Resource: channelARN, Error: "conflictexception", Since: at(1), Until: at(5), Limit: 3}, "4"},
		"nothing":                          {Query{Event: "StopStream"}, ""},
		"a limit counts what is found":     {Query{Event: "CreateChannel", Limit: 1}, "3"},
		"a moment later than all files":    {Query{Since: time.Now().Add(time.Hour)}, ""},
		"a moment within the last records": {Query{Since: at(5).Add(-time.Second)}, "5"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			damaged, err := Search(t.Context(), dir, tt.q, func(e Entry) error {
				got = append(got, e.EventTime.Format("4"))
				return nil
			})
			if s := strings.Join(got, " "); err != nil || damaged != 0 || s != tt.want {
				t.Errorf("Search(%+v) found %q, %d damaged, %v, want %q", tt.q, s, damaged, err, tt.want)
			}
		})
	}
}

func TestEntry(t *testing.T) {
	var got, users []string
	if _, err := Search(t.Context(), library(t), Query{}, func(e Entry) error {
		got, users = append(got, e.Resource()), append(users, e.User())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"alice", "robot/deploy", "", "robot/deploy", "alice", "alice"}; !slices.Equal(users, want) {
		t.Errorf("users %q, want %q", users, want)
	}
	want := []string{"arn:aws:ivs:us-west-2:111122223333:channel/Other1234567", channelARN, "", keyARN, channelARN, channelARN}
	if !slices.Equal(got, want) {
		t.Errorf("resources %q, want %q", got, want)
	}
}

func TestSearchEnds(t *testing.T) {
	dir := library(t)
	stop := errors.New("enough")
	if _, err := Search(t.Context(), dir, Query{}, func(Entry) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("Search = %v, want what its caller said", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	if _, err := Search(ctx, dir, Query{}, func(Entry) error { n++; cancel(); return nil }); !errors.Is(err, context.Canceled) || n != 1 {
		t.Errorf("Search = %v after %d records, want it cancelled after one", err, n)
	}
	if _, err := Search(t.Context(), filepath.Join(dir, "none"), Query{}, func(Entry) error { return stop }); err != nil {
		t.Errorf("without a log: %v, want nothing found", err)
	}
}

// What is not of the log is not read, and half lines are counted.
func TestSearchPassesOverDamage(t *testing.T) {
	dir := library(t)
	for name, text := range map[string]string{
		"calls-1.jsonl": "x\n", "calls-000000000001.jsonl.bak": "x\n", "other-000000000001.jsonl": "x\n", "lock": "x\n",
		"calls-000000000003.jsonl": "\n{\"eventVersion\":\n\x00\x00\x00\n[]\n" + strings.Repeat("a", 2*maxLine),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	damaged, err := Search(t.Context(), dir, Query{}, func(Entry) error { n++; return nil })
	if err != nil || n != 6 || damaged != 4 {
		t.Errorf("found %d records and %d damaged lines, %v, want 6 and 4", n, damaged, err)
	}
}

// However long lines are, backwards yields what a split at newlines does, in reverse.
func FuzzBackwards(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), 1)
	f.Add([]byte("\n"), 3)
	f.Add([]byte(""), 1)
	f.Add([]byte("abc\nde"), 40000)
	f.Fuzz(func(t *testing.T, text []byte, times int) {
		if times < 1 || times > 100_000 || len(text)*times > 1<<20 {
			return
		}
		text = bytes.Repeat(text, times)
		var want [][]byte
		for line := range bytes.SplitSeq(text, []byte("\n")) {
			if len(line) > maxLine {
				return
			}
			if len(line) > 0 {
				want = append(want, line)
			}
		}
		slices.Reverse(want)
		i := 0
		for line, err := range backwards(bytes.NewReader(text), int64(len(text))) {
			if err != nil || i >= len(want) || !bytes.Equal(line, want[i]) {
				t.Fatalf("line %d from the end is %q, %v", i, line, err)
			}
			i++
		}
		if i != len(want) {
			t.Fatalf("%d lines, want %d", i, len(want))
		}
	})
}
