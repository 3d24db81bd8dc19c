package blob_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-live/sluice/internal/blob"
	"github.com/sluice-live/sluice/internal/blob/blobtest"
)

func open(t testing.TB, url, dir string) *blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), url, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestDirectory(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) *blob.Store { return open(t, "", filepath.Join(t.TempDir(), "blob")) })
}

func TestS3(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) *blob.Store {
		s := open(t, blobtest.StartS3(t, "default"), "")
		if err := s.Ready(t.Context()); !errors.Is(err, blob.ErrNoBucket) {
			t.Errorf("Ready without the bucket = %v, want %v", err, blob.ErrNoBucket)
		}
		if err := s.CreateBucket(t.Context(), s.Default()); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func put(t testing.TB, s *blob.Store, key, contentType string) {
	t.Helper()
	if err := s.Put(t.Context(), s.Default(), key, contentType, strings.NewReader(key)); err != nil {
		t.Fatal(err)
	}
}

// files lists what lies below dir, as an operator sees it.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			rel, _ := filepath.Rel(dir, name)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// An object is a plain file under its name, and leaves nothing behind.
func TestDirectoryLayout(t *testing.T) {
	dir := t.TempDir()
	s := open(t, "", dir)
	put(t, s, "a/b/c.ts", "")
	put(t, s, "a/d.ts", "text/plain")
	if got, want := files(t, dir), []string{".type/sluice/a/d.ts", "sluice/a/b/c.ts", "sluice/a/d.ts"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
	for _, key := range []string{"a/b/c.ts", "a/d.ts"} {
		if err := s.Delete(t.Context(), s.Default(), key); err != nil {
			t.Error(err)
		}
	}
	if got := files(t, dir); len(got) > 0 {
		t.Errorf("files after deleting all: %q", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "sluice", "a")); !errors.Is(err, os.ErrNotExist) {
		t.Error("an empty directory is left")
	}
	if ok, err := s.BucketExists(t.Context(), s.Default()); !ok || err != nil {
		t.Errorf("the empty bucket: %t, %v", ok, err)
	}
}

func TestDirectoryReopens(t *testing.T) {
	dir := t.TempDir()
	put(t, open(t, "", dir), "a.ts", "text/plain")
	half := filepath.Join(dir, ".tmp", "half") // left by a process that was killed
	if err := os.WriteFile(half, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, "", dir)
	if o, err := s.Head(t.Context(), s.Default(), "a.ts"); err != nil || o.Size != 4 || o.ContentType != "text/plain" {
		t.Errorf("after reopening: %+v, %v", o, err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Error("half a file is still there")
	}
}

// A link out of the directory, however it came there, is not followed.
func TestDirectoryKeepsToItself(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, "", dir)
	if err := os.Symlink(outside, filepath.Join(dir, s.Default(), "out")); err != nil {
		t.Fatal(err)
	}
	if r, _, err := s.Get(t.Context(), s.Default(), "out/secret"); err == nil {
		r.Close()
		t.Error("Get followed the link")
	}
	if err := s.Put(t.Context(), s.Default(), "out/new", "", strings.NewReader("x")); err == nil {
		t.Error("Put followed the link")
	}
	if got := files(t, outside); !slices.Equal(got, []string{"secret"}) {
		t.Errorf("outside there is now %q", got)
	}
}

func TestDirectoryRefusesAKeyBelowAnObject(t *testing.T) {
	s := open(t, "", t.TempDir())
	put(t, s, "a", "")
	put(t, s, "b/c", "")
	for _, key := range []string{"a/b", "b"} {
		if err := s.Put(t.Context(), s.Default(), key, "", strings.NewReader("x")); !errors.Is(err, blob.ErrName) {
			t.Errorf("Put(%q) = %v, want %v", key, err, blob.ErrName)
		}
	}
}

// Deletes remove directories that puts are about to use.
func TestDirectoryPutAndDeleteTogether(t *testing.T) {
	s := open(t, "", t.TempDir())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			key := fmt.Sprint("a/b/c/", w)
			for range 100 {
				if err := s.Put(t.Context(), s.Default(), key, "", strings.NewReader("x")); err != nil {
					t.Error(err)
				}
				if err := s.Delete(t.Context(), s.Default(), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestOpenRefuses(t *testing.T) {
	for name, url := range map[string]string{
		"another scheme":          "gs://bucket",
		"no bucket":               "s3://",
		"a bucket that is none":   "s3://Bucket?secret=hunter2",
		"what is no URL":          "s3://bucket:hunter2",
		"an unknown parameter":    "s3://bucket?secret=hunter2",
		"a parameter that is bad": "s3://bucket?use_path_style=maybe&endpoint=http://u:hunter2@h",
	} {
		t.Run(name, func(t *testing.T) {
			s, err := blob.Open(t.Context(), url, "")
			if err == nil {
				_ = s.Close()
				t.Fatal("Open worked")
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a secret: %v", err)
			}
		})
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := blob.Open(t.Context(), "", file); err == nil {
		_ = s.Close()
		t.Error("Open in a file worked")
	}
}

// A valid key is one file below its bucket, whatever it looks like.
func FuzzKey(f *testing.F) {
	for _, k := range []string{"a/b.ts", "..", "a/../b", "...", "a\x00", `a\b`, "é", "__0x2e____0x2e__/x", ".tmp/x"} {
		f.Add(k)
	}
	f.Fuzz(func(t *testing.T, key string) {
		dir := t.TempDir()
		s := open(t, "", dir)
		err := s.Put(t.Context(), s.Default(), key, "video/mp2t", strings.NewReader("x"))
		if ok := blob.ValidKey(key); ok != (err == nil) {
			t.Fatalf("ValidKey(%q) = %t, Put: %v", key, ok, err)
		}
		if err != nil {
			return
		}
		got := slices.DeleteFunc(files(t, dir), func(n string) bool { return strings.HasPrefix(n, ".type/") })
		if len(got) != 1 || got[0] != s.Default()+"/"+key {
			t.Errorf("key %q made %q", key, got)
		}
		list, err := s.List(t.Context(), s.Default(), "", "", 10)
		if err != nil || len(list) != 1 || list[0].Key != key {
			t.Errorf("key %q is listed as %+v, %v", key, list, err)
		}
	})
}

func BenchmarkDirectoryPut(b *testing.B) {
	s := open(b, "", b.TempDir())
	data := strings.Repeat("x", 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if err := s.Put(b.Context(), s.Default(), fmt.Sprintf("media/%d.ts", i), "", strings.NewReader(data)); err != nil {
			b.Fatal(err)
		}
	}
}
