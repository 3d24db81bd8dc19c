package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcerrors"
)

// The side that is an S3 service.
type s3Side struct {
	client *s3.Client
	opts   s3blob.Options
}

func openS3(ctx context.Context, u *url.URL) (*s3Side, error) {
	var o s3blob.URLOpener
	b, err := o.OpenBucketURL(ctx, u)
	if err != nil {
		// The error may repeat the URL, which may hold what the log must not.
		return nil, errors.New("blob: s3: " + strings.ReplaceAll(err.Error(), u.String(), "s3://"+u.Host))
	}
	s := &s3Side{opts: o.Options}
	ok := b.As(&s.client)
	if err := b.Close(); err != nil {
		return nil, fmt.Errorf("blob: s3: %w", err)
	}
	if !ok {
		return nil, errors.New("blob: s3: no client")
	}
	return s, nil
}

func (s *s3Side) close() error { return nil }

func (s *s3Side) exists(ctx context.Context, bucket string) (bool, error) {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &bucket})
	if _, ok := errors.AsType[*types.NotFound](err); ok {
		return false, nil
	}
	return err == nil, err
}

func (s *s3Side) create(ctx context.Context, bucket string) error {
	in := &s3.CreateBucketInput{Bucket: &bucket}
	if r := s.client.Options().Region; r != "" && r != "us-east-1" { // S3 refuses its own default by name
		in.CreateBucketConfiguration = &types.CreateBucketConfiguration{LocationConstraint: types.BucketLocationConstraint(r)}
	}
	_, err := s.client.CreateBucket(ctx, in)
	if _, ok := errors.AsType[*types.BucketAlreadyOwnedByYou](err); ok {
		return nil
	}
	return err
}

func (s *s3Side) open(ctx context.Context, bucket string) (objects, error) {
	b, err := s3blob.OpenBucket(ctx, s.client, bucket, &s.opts)
	return s3Bucket{s, b, bucket}, err
}

// s3Bucket is one bucket. It holds nothing that had to be closed.
type s3Bucket struct {
	*s3Side
	b    *blob.Bucket
	name string
}

func (b s3Bucket) put(ctx context.Context, key, contentType string, r io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w, err := b.b.NewWriter(ctx, key, &blob.WriterOptions{ContentType: contentType})
	if err != nil {
		return b.known(ctx, err)
	}
	if _, err := io.Copy(w, r); err != nil {
		cancel() // so that Close gives up what has been sent
		return errors.Join(err, ignoreCancel(w.Close()))
	}
	return b.known(ctx, w.Close())
}

// ignoreCancel drops the report of a cancellation that was wanted.
func ignoreCancel(err error) error {
	if errors.Is(err, context.Canceled) || gcerrors.Code(err) == gcerrors.Canceled {
		return nil
	}
	return err
}

func (b s3Bucket) get(ctx context.Context, key string, offset, length int64) (io.ReadCloser, Object, error) {
	r, err := b.b.NewRangeReader(ctx, key, offset, length, nil)
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "InvalidRange" { // past the end
		obj, err := b.head(ctx, key)
		return http.NoBody, obj, err
	}
	if err != nil {
		return nil, Object{}, b.known(ctx, err)
	}
	return r, Object{key, r.Size(), r.ModTime(), r.ContentType()}, nil
}

func (b s3Bucket) head(ctx context.Context, key string) (Object, error) {
	a, err := b.b.Attributes(ctx, key)
	if err != nil {
		return Object{}, b.known(ctx, err)
	}
	return Object{key, a.Size, a.ModTime, a.ContentType}, nil
}

func (b s3Bucket) list(ctx context.Context, prefix, after string, limit int) ([]Object, error) {
	opts := &blob.ListOptions{Prefix: prefix, BeforeList: func(as func(any) bool) error {
		var in *s3.ListObjectsV2Input
		if after != "" && as(&in) && in.ContinuationToken == nil {
			in.StartAfter = &after
		}
		return nil
	}}
	var list []Object
	for token := blob.FirstPageToken; len(list) < limit && len(token) > 0; {
		page, next, err := b.b.ListPage(ctx, token, limit-len(list), opts)
		if err != nil {
			return nil, b.known(ctx, err)
		}
		for _, o := range page {
			if ValidKey(o.Key) { // others share the bucket, and could not be asked for
				list = append(list, Object{Key: o.Key, Size: o.Size, Modified: o.ModTime})
			}
		}
		token = next
	}
	return list, nil
}

func (b s3Bucket) delete(ctx context.Context, key string) error {
	return b.known(ctx, b.b.Delete(ctx, key))
}

// known translates what callers branch on. An answer without a body, as to HEAD, does
// not tell what is missing: then the bucket is asked for.
func (b s3Bucket) known(ctx context.Context, err error) error {
	if err == nil || gcerrors.Code(err) != gcerrors.NotFound {
		return err
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "NoSuchBucket":
			return ErrNoBucket
		case "NoSuchKey":
			return ErrNotFound
		}
	}
	if ok, err := b.exists(ctx, b.name); err == nil && !ok {
		return ErrNoBucket
	}
	return ErrNotFound
}
