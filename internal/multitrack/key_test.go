package multitrack

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/media"
)

func testLadder() Ladder {
	return Ladder{
		{Width: 1280, Height: 720, FrameRate: 60, BitRate: 2500, Codec: media.H264},
		{Width: 852, Height: 480, FrameRate: 30, BitRate: 1000, Codec: media.H265},
	}
}

func TestKeysOpenWhatTheySealed(t *testing.T) {
	k, now := NewKeys([]byte("secret")), time.Unix(1_800_000_000, 0)
	key, err := k.Seal(testLadder(), testKey, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	const manifest = "7b2276223a302c2262223a333530302c2274223a5b7b2277223a313238302c2268223a3732302c2262223a323530302c226330223a2268323634222c226331223a36302c226332223a317d2c7b2277223a3835322c2268223a3438302c2262223a313030302c226330223a2268323635222c226331223a33302c226332223a317d5d7d"
	seal, rest, _ := strings.Cut(strings.TrimPrefix(key, "v1_"), "_")
	if len(seal) != 64 || rest != "6b49e010_"+manifest+"_"+testKey {
		t.Errorf("the key is %s", key)
	}
	if got, ok := StreamKey(key); !ok || got != testKey {
		t.Errorf("StreamKey = %q, %t", got, ok)
	}
	got, err := k.Open(key, now)
	if d := cmp.Diff(testLadder(), got); err != nil || d != "" {
		t.Errorf("Open: %v (-want +got):\n%s", err, d)
	}
}

func TestKeysRefuse(t *testing.T) {
	k, now := NewKeys([]byte("secret")), time.Unix(1_800_000_000, 0)
	key, err := k.Seal(testLadder(), testKey, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		key  string
		at   time.Time
		want error
	}{
		"at its expiry":            {key, now.Add(time.Hour), errExpired},
		"another stream key":       {strings.Replace(key, "Zx9Q", "AAAA", 1), now, errSeal},
		"a later expiry":           {strings.Replace(key, "_6b49e010_", "_7b49e010_", 1), now, errSeal},
		"another ladder":           {strings.Replace(key, "_7b22", "_7b23", 1), now, errSeal},
		"a seal cut short":         {strings.Replace(key, key[3:5], "", 1), now, errSeal},
		"a seal that is no hex":    {"v1_zz" + key[5:], now, errSeal},
		"a plain key":              {testKey, now, errForm},
		"nothing behind the seal":  {key[:3+64], now, errForm},
		"longer than a key can be": {key + strings.Repeat("x", MaxKey), now, errForm},
		"empty":                    {"", now, errForm},
	} {
		t.Run(name, func(t *testing.T) {
			if l, err := k.Open(tt.key, tt.at); !errors.Is(err, tt.want) || l != nil {
				t.Errorf("Open = %v, %v; want %v", l, err, tt.want)
			}
		})
	}
	if _, err := NewKeys([]byte("another")).Open(key, now); !errors.Is(err, errSeal) {
		t.Errorf("with another secret: %v", err)
	}
}

func TestStreamKeyNeedsTheForm(t *testing.T) {
	for _, key := range []string{"", testKey, "v1_", "v1_a_b_c", "v2_a_b_c_d"} {
		if got, ok := StreamKey(key); ok {
			t.Errorf("StreamKey(%q) = %q", key, got)
		}
	}
}

// No key opens but those that were sealed.
func FuzzOpen(f *testing.F) {
	k, now := NewKeys([]byte("secret")), time.Unix(1_800_000_000, 0)
	key, err := k.Seal(testLadder(), testKey, now.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key)
	f.Add("v1_a_b_c_d")
	f.Add(strings.Replace(key, "_7b22", "_7b23", 1))
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = StreamKey(s)
		if _, err := k.Open(s, now); err == nil && !strings.EqualFold(s, key) {
			t.Errorf("%q opened", s)
		}
	})
}
