package live

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestParseARN(t *testing.T) {
	for name, tt := range map[string]struct {
		in   string
		want ARN
		ok   bool
	}{
		"a channel":                {"arn:aws:ivs:us-west-2:111122223333:channel/Kq3ZtB7xWm2P", ARN{"ivs", "us-west-2", "111122223333", "channel", "Kq3ZtB7xWm2P"}, true},
		"a type with a dash":       {"arn:aws:ivs:eu-west-1:1:stream-key/a-b", ARN{"ivs", "eu-west-1", "1", "stream-key", "a-b"}, true},
		"empty":                    {"", ARN{}, false},
		"another partition":        {"arn:aws-cn:ivs:us-west-2:1:channel/a", ARN{}, false},
		"no id":                    {"arn:aws:ivs:us-west-2:1:channel/", ARN{}, false},
		"no slash":                 {"arn:aws:ivs:us-west-2:1:channel", ARN{}, false},
		"two slashes":              {"arn:aws:ivs:us-west-2:1:channel/a/b", ARN{}, false},
		"letters in the account":   {"arn:aws:ivs:us-west-2:one:channel/a", ARN{}, false},
		"a colon in the id":        {"arn:aws:ivs:us-west-2:1:channel/a:b", ARN{}, false},
		"longer than 128 bytes":    {"arn:aws:ivs:us-west-2:1:channel/" + strings.Repeat("a", 128), ARN{}, false},
		"not UTF-8":                {"arn:aws:ivs:us-west-2:1:channel/\xff", ARN{}, false},
		"upper case in the region": {"arn:aws:ivs:US-west-2:1:channel/a", ARN{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseARN(tt.in)
			if got != tt.want || (err == nil) != tt.ok {
				t.Fatalf("ParseARN(%q) = %+v, %v; want %+v, ok %t", tt.in, got, err, tt.want, tt.ok)
			}
			if tt.ok && got.String() != tt.in {
				t.Errorf("String() = %q, want %q", got.String(), tt.in)
			}
			if !tt.ok && !errors.Is(err, Invalid) {
				t.Errorf("error %v is not Invalid", err)
			}
		})
	}
}

func FuzzParseARN(f *testing.F) {
	f.Add("arn:aws:ivs:us-west-2:111122223333:channel/Kq3ZtB7xWm2P")
	f.Add("arn:aws:ivs::::/")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseARN(s)
		if err == nil && a.String() != s {
			t.Errorf("ParseARN(%q).String() = %q", s, a)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("error repeats %d bytes of input", len(err.Error()))
		}
	})
}

func TestResourceIDsAreInTheOrderOfTime(t *testing.T) {
	seen := map[string]bool{}
	before := ""
	for _, year := range []int{2020, 2026, 2047} {
		now := time.Date(year, time.December, 31, 23, 59, 59, 0, time.UTC)
		for range 100 {
			first := ""
			for range 3 { // in one moment
				id := NewResourceID(now)
				if len(id) != 12 || !only(id, alnum) || seen[id] || id <= before {
					t.Fatalf("id %q at %v after %q, seen before: %t", id, now, before, seen[id])
				}
				seen[id] = true
				first = max(first, id)
			}
			before = first
			now = now.Add(time.Second / ticksPerSecond)
		}
	}
	if a, b := NewResourceID(time.Time{}), NewResourceID(time.Time{}); a == b || a[:resourceTicks] != "000000" {
		t.Errorf("ids before 2020: %q, %q", a, b)
	}
}

func TestNewIDIsUniformAndUnique(t *testing.T) {
	seen, count := map[string]bool{}, map[rune]int{}
	for range 10000 {
		id := NewID(12)
		if len(id) != 12 || seen[id] || !only(id, alnum) {
			t.Fatalf("NewID(12) = %q, seen before: %t", id, seen[id])
		}
		seen[id] = true
		for _, c := range id {
			count[c]++
		}
	}
	for _, c := range alnum { // 120000/62 = 1935; ten standard deviations are 440
		if count[c] < 1400 || count[c] > 2500 {
			t.Errorf("character %q came %d times of 120000", c, count[c])
		}
	}
}

func TestErrorMatchesKindAndCause(t *testing.T) {
	cause := errors.New("disk full")
	err := error(&Error{Kind: Conflict, Detail: "no", Err: cause})
	if !errors.Is(err, Conflict) || !errors.Is(err, cause) || errors.Is(err, NotFound) {
		t.Errorf("Is(Conflict), Is(cause), Is(NotFound) = %t, %t, %t", errors.Is(err, Conflict), errors.Is(err, cause), errors.Is(err, NotFound))
	}
}
