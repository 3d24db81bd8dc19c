// Package blobtest is the suite that package blob passes on either side, a directory
// and an S3 service, and the S3 service to run it on.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/blob"
)

// Run runs the suite. open gives each test a store of its own with an empty default
// bucket, and closes it after the test.
func Run(t *testing.T, open func(t *testing.T) *blob.Store) {
	for name, test := range map[string]func(t *testing.T, s *blob.Store){
		"what is put can be read":                  putGet,
		"an object knows its type, size and time":  describe,
		"a put replaces":                           replace,
		"a put that fails changes nothing":         failedPut,
		"a put whose context ends changes nothing": cancelledPut,
		"a reader of what is replaced reads whole": atomic,
		"a range is part of an object":             ranges,
		"a list is in order, in pages":             list,
		"a list has its prefix":                    prefixes,
		"a deleted object is gone":                 remove,
		"what is missing is told apart":            missing,
		"buckets are apart":                        buckets,
		"names that are none are refused":          names,
		"hostile but valid keys work":              oddKeys,
		"the default bucket is ready":              ready,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func put(t *testing.T, s *blob.Store, key, contentType, data string) {
	t.Helper()
	if err := s.Put(t.Context(), s.Default(), key, contentType, strings.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, s *blob.Store, key string) string {
	t.Helper()
	r, _, err := s.Get(t.Context(), s.Default(), key)
	if err != nil {
		t.Fatal(err)
	}
	return drain(t, r)
}

func drain(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func keys(t *testing.T, s *blob.Store, prefix, after string, limit int) (keys []string) {
	t.Helper()
	list, err := s.List(t.Context(), s.Default(), prefix, after, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		keys = append(keys, o.Key)
	}
	return keys
}

func putGet(t *testing.T, s *blob.Store) {
	big := make([]byte, 6<<20) // more than one part of a multipart upload
	for i := range big {
		big[i] = byte(i >> 8 * i)
	}
	for name, data := range map[string]string{"empty": "", "small": "hello\x00\xff", "large": string(big)} {
		key := "ivs/v1/123456789012/" + name + ".ts"
		put(t, s, key, "", data)
		if got := read(t, s, key); got != data {
			t.Errorf("%s: %d bytes came back, want the same %d", name, len(got), len(data))
		}
	}
}

func describe(t *testing.T, s *blob.Store) {
	start := time.Now().Add(-time.Minute) // clocks of file systems and servers are coarse
	for key, tt := range map[string]struct{ contentType, want string }{
		"seg.ts":    {"", "video/mp2t"},
		"init.mp4":  {"", "video/mp4"},
		"p/m.m3u8":  {"", "application/vnd.apple.mpegurl"},
		"e.JSON":    {"", "application/json"},
		"thumb.jpg": {"image/jpeg", "image/jpeg"},
		"none":      {"", "application/octet-stream"},
		"odd.ts":    {"text/plain; charset=UTF-8", "text/plain; charset=UTF-8"},
	} {
		put(t, s, key, tt.contentType, "12345")
		head, err := s.Head(t.Context(), s.Default(), key)
		if err != nil {
			t.Fatal(err)
		}
		r, got, err := s.Get(t.Context(), s.Default(), key)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		for how, o := range map[string]blob.Object{"Head": head, "Get": got} {
			if o.Key != key || o.Size != 5 || o.ContentType != tt.want || o.Modified.Before(start) || o.Modified.After(time.Now().Add(time.Minute)) {
				t.Errorf("%s %s: %+v, want 5 bytes of %s, now", how, key, o, tt.want)
			}
		}
	}
	list, err := s.List(t.Context(), s.Default(), "seg", "", 10)
	if err != nil || len(list) != 1 || list[0].Size != 5 || list[0].Modified.Before(start) {
		t.Errorf("List = %+v, %v, want one object of 5 bytes, now", list, err)
	}
}

func replace(t *testing.T, s *blob.Store) {
	put(t, s, "a.ts", "text/plain", "one")
	put(t, s, "a.ts", "", "twotwo")
	o, err := s.Head(t.Context(), s.Default(), "a.ts")
	if got := read(t, s, "a.ts"); err != nil || got != "twotwo" || o.Size != 6 || o.ContentType != "video/mp2t" {
		t.Errorf("%q, %+v, %v, want the second", got, o, err)
	}
}

var errBroken = errors.New("broken")

// broken fails after n bytes.
func broken(n int) io.Reader {
	return io.MultiReader(bytes.NewReader(make([]byte, n)), errReader{})
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func failedPut(t *testing.T, s *blob.Store) {
	put(t, s, "old", "", "whole")
	for _, n := range []int{0, 100, 6 << 20} {
		for _, key := range []string{"old", "new"} {
			if err := s.Put(t.Context(), s.Default(), key, "", broken(n)); !errors.Is(err, errBroken) {
				t.Errorf("Put of %d bytes and an error = %v, want %v", n, err, errBroken)
			}
		}
	}
	if got := read(t, s, "old"); got != "whole" {
		t.Errorf("the object is now %d bytes", len(got))
	}
	if got := keys(t, s, "", "", 10); !slices.Equal(got, []string{"old"}) {
		t.Errorf("the bucket holds %q", got)
	}
}

func cancelledPut(t *testing.T, s *blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(strings.NewReader("half"), readFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
	if err := s.Put(ctx, s.Default(), "a", "", io.MultiReader(r, strings.NewReader("other half"))); err == nil {
		t.Error("Put with an ended context worked")
	}
	if got := keys(t, s, "", "", 10); len(got) > 0 {
		t.Errorf("the bucket holds %q", got)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func atomic(t *testing.T, s *blob.Store) {
	const size = 200_000
	version := func(i int) string { return strings.Repeat(string(rune('a'+i)), size) }
	put(t, s, "a", "", version(0))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range 20 {
			if err := s.Put(t.Context(), s.Default(), "a", "", strings.NewReader(version(i))); err != nil {
				t.Error(err)
			}
		}
	})
	for range 20 {
		if got := read(t, s, "a"); len(got) != size || strings.Trim(got, got[:1]) != "" {
			t.Errorf("%d bytes that no one put", len(got))
		}
	}
	wg.Wait()
}

func ranges(t *testing.T, s *blob.Store) {
	put(t, s, "a", "", "0123456789")
	put(t, s, "empty", "", "")
	for _, tt := range []struct {
		key            string
		offset, length int64
		want           string
	}{
		{"a", 0, -1, "0123456789"},
		{"a", 3, -1, "3456789"},
		{"a", 3, 4, "3456"},
		{"a", 8, 100, "89"},
		{"a", 2, 0, ""},
		{"a", 10, -1, ""},
		{"a", 99, 5, ""},
		{"empty", 0, -1, ""},
		{"empty", 0, 5, ""},
	} {
		r, o, err := s.GetRange(t.Context(), s.Default(), tt.key, tt.offset, tt.length)
		if err != nil {
			t.Errorf("GetRange(%s, %d, %d): %v", tt.key, tt.offset, tt.length, err)
			continue
		}
		if got := drain(t, r); got != tt.want || (tt.key == "a" && o.Size != 10) {
			t.Errorf("GetRange(%s, %d, %d) = %q of %d bytes, want %q", tt.key, tt.offset, tt.length, got, o.Size, tt.want)
		}
	}
	if _, _, err := s.GetRange(t.Context(), s.Default(), "a", -1, 1); err == nil {
		t.Error("GetRange before the start worked")
	}
}

func list(t *testing.T, s *blob.Store) {
	// What lies around a slash in the alphabet sorts around directories.
	want := []string{"a!", "a!/x", "a-b", "a-b2/c", "a.b", "a/b", "a/b-", "a/b.c/d", "a/c", "a0", "b", "ü"}
	want = slices.DeleteFunc(want, func(k string) bool { return k == "a!" }) // no object and prefix at once in a directory
	shuffled := slices.Clone(want)
	slices.Reverse(shuffled)
	for _, k := range shuffled {
		put(t, s, k, "", k)
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var got []string
		after := ""
		for {
			page := keys(t, s, "", after, limit)
			if len(page) > limit {
				t.Fatalf("a page of %d has %d", limit, len(page))
			}
			got = append(got, page...)
			if len(page) < limit {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d:\n%q, want\n%q", limit, got, want)
		}
	}
	for _, limit := range []int{-1, 0, blob.MaxList + 1} {
		if _, err := s.List(t.Context(), s.Default(), "", "", limit); err == nil {
			t.Errorf("List with limit %d worked", limit)
		}
	}
}

func prefixes(t *testing.T, s *blob.Store) {
	for _, k := range []string{"a/b/1", "a/b/2", "a/bc", "a/c", "ab"} {
		put(t, s, k, "", "")
	}
	for _, tt := range []struct {
		prefix, after string
		want          []string
	}{
		{"a/", "", []string{"a/b/1", "a/b/2", "a/bc", "a/c"}},
		{"a/b", "", []string{"a/b/1", "a/b/2", "a/bc"}},
		{"a/b/", "", []string{"a/b/1", "a/b/2"}},
		{"a/b/", "a/b/1", []string{"a/b/2"}},
		{"a/", "a/b", []string{"a/b/1", "a/b/2", "a/bc", "a/c"}},
		{"a", "a/b/9", []string{"a/bc", "a/c", "ab"}},
		{"", "a/c", []string{"ab"}},
		{"a/b/1", "", []string{"a/b/1"}},
		{"a/b/1", "a/b/1", nil},
		{"x", "", nil},
		{"a/b/", "z", nil},
		{"../", "", nil},
	} {
		if got := keys(t, s, tt.prefix, tt.after, 100); !slices.Equal(got, tt.want) {
			t.Errorf("prefix %q after %q: %q, want %q", tt.prefix, tt.after, got, tt.want)
		}
	}
}

func remove(t *testing.T, s *blob.Store) {
	put(t, s, "a/b/c.ts", "text/plain", "x")
	put(t, s, "a/d", "", "x")
	for range 2 { // the second time there is nothing, and no error
		if err := s.Delete(t.Context(), s.Default(), "a/b/c.ts"); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Head(t.Context(), s.Default(), "a/b/c.ts"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Head of a deleted object = %v", err)
	}
	if err := s.Delete(t.Context(), s.Default(), "a"); err != nil { // a directory, to some
		t.Error(err)
	}
	if got := keys(t, s, "", "", 10); !slices.Equal(got, []string{"a/d"}) {
		t.Errorf("the bucket holds %q", got)
	}
	put(t, s, "a/b/c.ts", "", "y") // its type went with it
	if o, err := s.Head(t.Context(), s.Default(), "a/b/c.ts"); err != nil || o.ContentType != "video/mp2t" {
		t.Errorf("%+v, %v", o, err)
	}
}

func missing(t *testing.T, s *blob.Store) {
	ctx, b := t.Context(), s.Default()
	put(t, s, "a/b", "", "")
	for bucket, want := range map[string]error{b: blob.ErrNotFound, "no-such-bucket": blob.ErrNoBucket} {
		for _, key := range []string{"x", "a", "a/b/c", "a/x"} {
			_, _, get := s.Get(ctx, bucket, key)
			_, head := s.Head(ctx, bucket, key)
			for how, err := range map[string]error{"Get": get, "Head": head} {
				if !errors.Is(err, want) {
					t.Errorf("%s %s in %s = %v, want %v", how, key, bucket, err, want)
				}
			}
		}
	}
	if err := s.Put(ctx, "no-such-bucket", "x", "", strings.NewReader("")); !errors.Is(err, blob.ErrNoBucket) {
		t.Errorf("Put = %v, want %v", err, blob.ErrNoBucket)
	}
	if _, err := s.List(ctx, "no-such-bucket", "", "", 1); !errors.Is(err, blob.ErrNoBucket) {
		t.Errorf("List = %v, want %v", err, blob.ErrNoBucket)
	}
	if err := s.Delete(ctx, "no-such-bucket", "x"); !errors.Is(err, blob.ErrNoBucket) {
		t.Errorf("Delete = %v, want %v", err, blob.ErrNoBucket)
	}
}

func buckets(t *testing.T, s *blob.Store) {
	const other = "another-bucket.example"
	if ok, err := s.BucketExists(t.Context(), other); ok || err != nil {
		t.Fatalf("BucketExists = %t, %v, before it was made", ok, err)
	}
	for range 2 { // the second time it is there, and no error
		if err := s.CreateBucket(t.Context(), other); err != nil {
			t.Fatal(err)
		}
	}
	if ok, err := s.BucketExists(t.Context(), other); !ok || err != nil {
		t.Fatalf("BucketExists = %t, %v, after it was made", ok, err)
	}
	put(t, s, "a", "", "here")
	if err := s.Put(t.Context(), other, "a", "", strings.NewReader("there")); err != nil {
		t.Fatal(err)
	}
	r, _, err := s.Get(t.Context(), other, "a")
	if err != nil {
		t.Fatal(err)
	}
	if got, here := drain(t, r), read(t, s, "a"); got != "there" || here != "here" {
		t.Errorf("%q and %q, want there and here", got, here)
	}
}

func names(t *testing.T, s *blob.Store) {
	ctx := t.Context()
	check := func(what, bucket, key string) {
		t.Helper()
		_, _, get := s.Get(ctx, bucket, key)
		_, head := s.Head(ctx, bucket, key)
		for op, err := range map[string]error{
			"Put": s.Put(ctx, bucket, key, "", strings.NewReader("x")), "Get": get, "Head": head, "Delete": s.Delete(ctx, bucket, key),
		} {
			if !errors.Is(err, blob.ErrName) {
				t.Errorf("%s with %s = %v, want %v", op, what, err, blob.ErrName)
			}
		}
	}
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/..", "./a", "a/.", "a\x00b", "a\nb", "a\x7f", `a\b`, `..\a`, "\xff",
		"a__0x2f__b", strings.Repeat("x", 201), strings.Repeat("x/", 512) + "x",
	} {
		check(fmt.Sprintf("key %.40q", key), s.Default(), key)
	}
	for _, bucket := range []string{"", "ab", "..", "../x", ".tmp", ".type", "A-bucket", "a/b", "-ab", "ab-", "a..b", "a_b", strings.Repeat("b", 64)} {
		check(fmt.Sprintf("bucket %q", bucket), bucket, "key")
		if err := s.CreateBucket(ctx, bucket); !errors.Is(err, blob.ErrName) {
			t.Errorf("CreateBucket(%q) = %v, want %v", bucket, err, blob.ErrName)
		}
		if ok, err := s.BucketExists(ctx, bucket); ok || err != nil {
			t.Errorf("BucketExists(%q) = %t, %v", bucket, ok, err)
		}
	}
	if err := s.Put(ctx, s.Default(), "a", "text/plain\r\nX: y", strings.NewReader("")); !errors.Is(err, blob.ErrName) {
		t.Errorf("Put with a content type of two lines = %v, want %v", err, blob.ErrName)
	}
	if _, err := s.List(ctx, s.Default(), "a\x00", "", 1); !errors.Is(err, blob.ErrName) {
		t.Errorf("List of a prefix that no key has = %v, want %v", err, blob.ErrName)
	}
}

func oddKeys(t *testing.T, s *blob.Store) {
	for _, key := range []string{
		"...", "..a", "a..", ".hidden/.x", "a b", "a%2fb", "a+b", "a?b=c&d#e", "*", "~", "é/日本", "a.attrs", "con", "'\"<>|:;",
		strings.Repeat("x", 200), strings.Repeat("dir/", 200) + "x",
	} {
		put(t, s, key, "", key)
		if got := read(t, s, key); got != key {
			t.Errorf("%q reads %q", key, got)
		}
		if got := keys(t, s, key, "", 10); !slices.Contains(got, key) {
			t.Errorf("%q is listed as %q", key, got)
		}
		if err := s.Delete(t.Context(), s.Default(), key); err != nil {
			t.Error(err)
		}
	}
	if got := keys(t, s, "", "", 10); len(got) > 0 {
		t.Errorf("the bucket still holds %q", got)
	}
}

func ready(t *testing.T, s *blob.Store) {
	if err := s.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, s.Default(), "a", "", strings.NewReader("x")); err == nil {
		t.Error("Put with an ended context worked")
	}
}
