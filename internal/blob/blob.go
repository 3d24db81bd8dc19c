// Package blob keeps objects (recordings, thumbnails, logs) in buckets: directories
// below one directory, or the buckets of an S3 service. It has no idea of what is in
// them, and it lists what the other side holds, not what it remembers.
//
// Guarantees on both sides: an object appears whole or not at all, and a reader of
// one that is replaced gets the old or the new bytes. When Put returns, the object is
// durable: what that means is S3's promise on the one side; on the other the file and
// its directories have been fsynced, so that it survives a loss of power.
package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

var (
	// ErrNotFound means that the bucket holds no such object.
	ErrNotFound = errors.New("blob: no such object")
	// ErrNoBucket means that there is no such bucket.
	ErrNoBucket = errors.New("blob: no such bucket")
	// ErrName means that a bucket, key or content type breaks the rules of its form.
	ErrName = errors.New("blob: not a valid name")
)

// MaxList is the most objects one List returns.
const MaxList = 1000

// DefaultBucket is the bucket of a directory where S3 has the one its URL names.
const DefaultBucket = "sluice"

// Object describes one object.
type Object struct {
	Key         string
	Size        int64 // bytes
	Modified    time.Time
	ContentType string // "" in a list: S3 does not tell it there
}

// Store is a set of buckets. It is safe for concurrent use.
type Store struct {
	side side
	def  string
}

// side is where the buckets are.
type side interface {
	exists(ctx context.Context, bucket string) (bool, error)
	create(ctx context.Context, bucket string) error
	open(ctx context.Context, bucket string) (objects, error)
	close() error
}

// objects is one bucket, whose names have been checked. Its methods return
// ErrNotFound and ErrNoBucket where they apply.
type objects interface {
	put(ctx context.Context, key, contentType string, r io.Reader) error
	get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error)
	head(ctx context.Context, key string) (Object, error)
	list(ctx context.Context, prefix, after string, limit int) ([]Object, error)
	delete(ctx context.Context, key string) error
}

// Open opens the buckets at rawURL, s3://bucket with the query parameters of
// gocloud.dev's s3blob: endpoint, region, use_path_style, ... Its bucket is Default;
// all others are on the same endpoint. Credentials are those of the AWS environment.
// Nothing is asked of S3 yet: Ready does. Without a URL the buckets are directories
// in dir, which is made if need be, and which no other process may use.
func Open(ctx context.Context, rawURL, dir string) (*Store, error) {
	if rawURL == "" {
		d, err := openDir(dir)
		if err != nil {
			return nil, fmt.Errorf("blob: %w", err)
		}
		if err := d.create(ctx, DefaultBucket); err != nil {
			return nil, errors.Join(fmt.Errorf("blob: %w", err), d.close())
		}
		return &Store{d, DefaultBucket}, nil
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "s3" || !validBucket(u.Host) {
		return nil, errors.New("blob: want s3://bucket and parameters") // the URL may hold secrets
	}
	s, err := openS3(ctx, u)
	if err != nil {
		return nil, err
	}
	return &Store{s, u.Host}, nil
}

// Close gives back what Open took. Objects being read stay readable.
func (s *Store) Close() error { return s.side.close() }

// Default is the bucket for what no one has chosen a bucket for.
func (s *Store) Default() string { return s.def }

// Ready returns nil when the default bucket can be reached.
func (s *Store) Ready(ctx context.Context) error {
	ok, err := s.BucketExists(ctx, s.def)
	if err == nil && !ok {
		err = fmt.Errorf("%w: %s", ErrNoBucket, s.def)
	}
	return err
}

// BucketExists reports whether there is a bucket of that name. A name that no bucket
// can have is one that does not exist.
func (s *Store) BucketExists(ctx context.Context, bucket string) (bool, error) {
	if !validBucket(bucket) {
		return false, nil
	}
	ok, err := s.side.exists(ctx, bucket)
	if err != nil {
		return false, fmt.Errorf("blob: bucket %s: %w", bucket, err)
	}
	return ok, nil
}

// CreateBucket makes a bucket; one that we have already is no error.
func (s *Store) CreateBucket(ctx context.Context, bucket string) error {
	if !validBucket(bucket) {
		return fmt.Errorf("%w: bucket %.64q", ErrName, bucket)
	}
	if err := s.side.create(ctx, bucket); err != nil {
		return fmt.Errorf("blob: create bucket %s: %w", bucket, err)
	}
	return nil
}

// Put stores what r holds as the object at key, in place of any that is there; when r
// fails, nothing changes. An empty contentType is chosen by the key's extension. In a
// directory "a" and "a/b" cannot both be objects: the second is refused with ErrName.
func (s *Store) Put(ctx context.Context, bucket, key, contentType string, r io.Reader) error {
	if contentType == "" {
		contentType = typeOf(key)
	}
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil || len(contentType) > 128 {
		return fmt.Errorf("%w: content type %.64q", ErrName, contentType)
	}
	o, err := s.bucket(ctx, bucket, key)
	if err == nil {
		err = o.put(ctx, key, mime.FormatMediaType(t, params), r)
	}
	return failed("put", bucket, key, err)
}

// Get returns the object's bytes, to be closed by the caller.
func (s *Store) Get(ctx context.Context, bucket, key string) (io.ReadCloser, Object, error) {
	return s.GetRange(ctx, bucket, key, 0, -1)
}

// GetRange is Get of length bytes from offset on, fewer or none where the object ends;
// a length below 0 is all that follows.
func (s *Store) GetRange(ctx context.Context, bucket, key string, offset, length int64) (io.ReadCloser, Object, error) {
	if offset < 0 {
		return nil, Object{}, fmt.Errorf("blob: get %s: offset %d is below 0", key, offset)
	}
	o, err := s.bucket(ctx, bucket, key)
	if err != nil {
		return nil, Object{}, failed("get", bucket, key, err)
	}
	r, obj, err := o.get(ctx, key, offset, length)
	return r, obj, failed("get", bucket, key, err)
}

// Head describes an object.
func (s *Store) Head(ctx context.Context, bucket, key string) (Object, error) {
	o, err := s.bucket(ctx, bucket, key)
	if err != nil {
		return Object{}, failed("head", bucket, key, err)
	}
	obj, err := o.head(ctx, key)
	return obj, failed("head", bucket, key, err)
}

// List returns up to limit (at most MaxList) objects whose keys begin with prefix and
// come after the given one, in the byte order of their keys. Fewer than limit are the
// last ones; the next page comes after the last key of this one.
func (s *Store) List(ctx context.Context, bucket, prefix, after string, limit int) ([]Object, error) {
	if limit < 1 || limit > MaxList {
		return nil, fmt.Errorf("blob: list: limit %d is not 1 to %d", limit, MaxList)
	}
	if !validPrefix(prefix) || !validPrefix(after) {
		return nil, failed("list", bucket, prefix, fmt.Errorf("%w: prefix %.64q after %.64q", ErrName, prefix, after))
	}
	o, err := s.bucket(ctx, bucket, "-")
	if err != nil {
		return nil, failed("list", bucket, prefix, err)
	}
	list, err := o.list(ctx, prefix, after, limit)
	return list, failed("list", bucket, prefix, err)
}

// Delete removes an object; one that is not there is no error.
func (s *Store) Delete(ctx context.Context, bucket, key string) error {
	o, err := s.bucket(ctx, bucket, key)
	if err == nil {
		err = o.delete(ctx, key)
	}
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return failed("delete", bucket, key, err)
}

// bucket checks both names and opens the bucket.
func (s *Store) bucket(ctx context.Context, bucket, key string) (objects, error) {
	if !validBucket(bucket) {
		return nil, fmt.Errorf("%w: bucket %.64q", ErrName, bucket)
	}
	if !ValidKey(key) {
		return nil, fmt.Errorf("%w: key %.64q", ErrName, key)
	}
	return s.side.open(ctx, bucket)
}

func failed(op, bucket, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("blob: %s %.64q in %.64q: %w", op, key, bucket, err)
}

// Bounds on names, in bytes.
const (
	maxKey  = 1024 // as S3
	maxPart = 200  // between slashes: what file systems take, with room to spare
)

// ValidKey reports whether key can name an object on both sides: UTF-8 of at most
// 1024 bytes, parts of 1 to 200 bytes between slashes, none of them "." or "..", no
// control characters, no backslash, and no "__0x", which s3blob would misread.
func ValidKey(key string) bool {
	if len(key) > maxKey || !validPrefix(key) {
		return false
	}
	for part := range strings.SplitSeq(key, "/") {
		if part == "" || part == "." || part == ".." || len(part) > maxPart {
			return false
		}
	}
	return true
}

// validPrefix reports whether s can be the beginning of a key, as far as that shows:
// "a/.." can be one, of "a/..b".
func validPrefix(s string) bool {
	return len(s) <= maxKey && utf8.ValidString(s) && !strings.Contains(s, "__0x") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' })
}

// validBucket has the rules of S3 for names of buckets.
func validBucket(s string) bool {
	const ends = "abcdefghijklmnopqrstuvwxyz0123456789"
	return len(s) >= 3 && len(s) <= 63 && strings.Trim(s, ends+"-.") == "" && !strings.Contains(s, "..") &&
		strings.Contains(ends, s[:1]) && strings.Contains(ends, s[len(s)-1:])
}

// typeOf is the content type that a key's extension stands for.
func typeOf(key string) string {
	switch strings.ToLower(path.Ext(key)) {
	case ".ts":
		return "video/mp2t"
	case ".mp4", ".m4s":
		return "video/mp4"
	case ".m3u8":
		return "application/vnd.apple.mpegurl"
	case ".json":
		return "application/json"
	case ".jpg", ".jpeg":
		return "image/jpeg"
	case ".png":
		return "image/png"
	case ".txt":
		return "text/plain"
	}
	return "application/octet-stream"
}
