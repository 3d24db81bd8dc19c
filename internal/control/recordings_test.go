package control

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sluice-live/sluice/internal/ivsapi"
	"github.com/sluice-live/sluice/internal/live"
)

// shelf is a place with buckets.
type shelf struct {
	mu      sync.Mutex
	have    map[string]bool // guarded by mu
	err     error           // of every question
	created bool            // CreateBucket was called; guarded by mu
	asked   func()          // called by each BucketExists; may be nil
}

func (s *shelf) BucketExists(_ context.Context, bucket string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked != nil {
		s.asked()
	}
	return s.have[bucket], s.err
}

func (s *shelf) CreateBucket(_ context.Context, bucket string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.have, s.created = map[string]bool{bucket: true}, true
	return nil
}

// eventually waits for another goroutine's work to show.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

func into(bucket string) ivsapi.CreateRecordingConfigurationRequest {
	return ivsapi.CreateRecordingConfigurationRequest{
		DestinationConfiguration: ivsapi.DestinationConfiguration{S3: &ivsapi.S3DestinationConfiguration{BucketName: bucket}},
	}
}

func (f fixture) recording(t *testing.T, in ivsapi.CreateRecordingConfigurationRequest) *ivsapi.RecordingConfiguration {
	t.Helper()
	out, err := f.CreateRecordingConfiguration(f.ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.RecordingConfiguration
}

func (f fixture) recordingState(t *testing.T, arn string) string {
	t.Helper()
	out, err := f.GetRecordingConfiguration(f.ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: arn})
	if err != nil {
		t.Fatal(err)
	}
	return out.RecordingConfiguration.State
}

func TestRecordingConfigurationDefaults(t *testing.T) {
	f := newFixture(t)
	got := f.recording(t, into("my-archive"))
	want := &ivsapi.RecordingConfiguration{
		Arn: got.Arn, Name: new(""), State: "CREATING", RecordingReconnectWindowSeconds: new(int32(0)),
		DestinationConfiguration: ivsapi.DestinationConfiguration{S3: &ivsapi.S3DestinationConfiguration{BucketName: "my-archive"}},
		RenditionConfiguration:   &ivsapi.RenditionConfiguration{RenditionSelection: new("ALL")},
		ThumbnailConfiguration: &ivsapi.ThumbnailConfiguration{
			RecordingMode: new("INTERVAL"), TargetIntervalSeconds: new(int64(60)), Storage: []string{"SEQUENTIAL"},
		},
		Tags: map[string]string{},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if !strings.HasPrefix(got.Arn, "arn:aws:ivs:us-west-2:111122223333:recording-configuration/") || len(got.Arn) != len("arn:aws:ivs:us-west-2:111122223333:recording-configuration/")+12 {
		t.Errorf("ARN = %s", got.Arn)
	}
}

func TestRecordingConfigurationRules(t *testing.T) {
	f := newFixture(t)
	thumbnails := func(c ivsapi.ThumbnailConfiguration) ivsapi.CreateRecordingConfigurationRequest {
		in := into("bucket")
		in.ThumbnailConfiguration = &c
		return in
	}
	renditions := func(selection *string, list ...string) ivsapi.CreateRecordingConfigurationRequest {
		in := into("bucket")
		in.RenditionConfiguration = &ivsapi.RenditionConfiguration{RenditionSelection: selection, Renditions: list}
		return in
	}
	for name, tt := range map[string]struct {
		in         ivsapi.CreateRecordingConfigurationRequest
		want       live.Kind // "" for success, and then what is set of the next two
		thumbnails *ivsapi.ThumbnailConfiguration
		renditions *ivsapi.RenditionConfiguration
	}{
		"a destination needs its S3":              {in: ivsapi.CreateRecordingConfigurationRequest{}, want: live.Invalid},
		"a bucket of dots is no bucket":           {in: into("..."), want: live.Invalid},
		"a bucket with two dots":                  {in: into("a..b"), want: live.Invalid},
		"a bucket that begins with a dash":        {in: into("-ab"), want: live.Invalid},
		"a bucket that ends with a dot":           {in: into("ab."), want: live.Invalid},
		"a bucket like an address":                {in: into("192.168.1.1"), want: live.Invalid},
		"a bucket with dots and dashes":           {in: into("a.b-c.1")},
		"a reserved tag":                          {in: ivsapi.CreateRecordingConfigurationRequest{DestinationConfiguration: into("bucket").DestinationConfiguration, Tags: map[string]string{"aws:x": ""}}, want: live.Invalid},
		"CUSTOM needs renditions":                 {in: renditions(new("CUSTOM")), want: live.Invalid},
		"CUSTOM keeps each of them once":          {in: renditions(new("CUSTOM"), "HD", "SD", "HD"), renditions: &ivsapi.RenditionConfiguration{RenditionSelection: new("CUSTOM"), Renditions: []string{"HD", "SD"}}},
		"NONE records thumbnails only":            {in: renditions(new("NONE")), renditions: &ivsapi.RenditionConfiguration{RenditionSelection: new("NONE")}},
		"no selection is ALL":                     {in: renditions(nil), renditions: &ivsapi.RenditionConfiguration{RenditionSelection: new("ALL")}},
		"ALL takes renditions that mean nothing":  {in: renditions(new("ALL"), "HD"), renditions: &ivsapi.RenditionConfiguration{RenditionSelection: new("ALL"), Renditions: []string{"HD"}}},
		"an interval is kept":                     {in: thumbnails(ivsapi.ThumbnailConfiguration{TargetIntervalSeconds: new(int64(1))}), thumbnails: &ivsapi.ThumbnailConfiguration{RecordingMode: new("INTERVAL"), TargetIntervalSeconds: new(int64(1)), Storage: []string{"SEQUENTIAL"}}},
		"no storage is SEQUENTIAL":                {in: thumbnails(ivsapi.ThumbnailConfiguration{Storage: []string{}}), thumbnails: &ivsapi.ThumbnailConfiguration{RecordingMode: new("INTERVAL"), TargetIntervalSeconds: new(int64(60)), Storage: []string{"SEQUENTIAL"}}},
		"both storages":                           {in: thumbnails(ivsapi.ThumbnailConfiguration{Storage: []string{"LATEST", "SEQUENTIAL", "LATEST"}, Resolution: new("HD")}), thumbnails: &ivsapi.ThumbnailConfiguration{RecordingMode: new("INTERVAL"), TargetIntervalSeconds: new(int64(60)), Storage: []string{"LATEST", "SEQUENTIAL"}, Resolution: new("HD")}},
		"DISABLED has no interval of its own":     {in: thumbnails(ivsapi.ThumbnailConfiguration{RecordingMode: new("DISABLED")}), thumbnails: &ivsapi.ThumbnailConfiguration{RecordingMode: new("DISABLED")}},
		"DISABLED keeps what it was given anyway": {in: thumbnails(ivsapi.ThumbnailConfiguration{RecordingMode: new("DISABLED"), TargetIntervalSeconds: new(int64(30))}), thumbnails: &ivsapi.ThumbnailConfiguration{RecordingMode: new("DISABLED"), TargetIntervalSeconds: new(int64(30))}},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := f.CreateRecordingConfiguration(f.ctx, &tt.in)
			if tt.want != "" {
				if !errors.Is(err, tt.want) {
					t.Errorf("error %v, want %s", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.GetRecordingConfiguration(f.ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: out.RecordingConfiguration.Arn})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(out.RecordingConfiguration, got.RecordingConfiguration); d != "" {
				t.Errorf("GetRecordingConfiguration: -created +got\n%s", d)
			}
			if d := cmp.Diff(tt.thumbnails, got.RecordingConfiguration.ThumbnailConfiguration); d != "" && tt.thumbnails != nil {
				t.Errorf("thumbnails: -want +got\n%s", d)
			}
			if d := cmp.Diff(tt.renditions, got.RecordingConfiguration.RenditionConfiguration); d != "" && tt.renditions != nil {
				t.Errorf("renditions: -want +got\n%s", d)
			}
		})
	}
}

// From CREATING, once, to ACTIVE or CREATE_FAILED (low-latency.md 8.1).
func TestRecordingConfigurationSettles(t *testing.T) {
	unreachable := errors.New("no route to the bucket")
	for name, tt := range map[string]struct {
		shelf  *shelf
		create bool
		later  time.Duration
		want   string
	}{
		"the bucket is there":                       {shelf: &shelf{have: map[string]bool{"archive": true}}, want: "ACTIVE"},
		"the bucket is missing":                     {shelf: &shelf{}, want: "CREATE_FAILED"},
		"a directory makes its buckets":             {shelf: &shelf{}, create: true, want: "ACTIVE"},
		"nobody knows yet":                          {shelf: &shelf{err: unreachable, have: map[string]bool{"archive": true}}, want: "CREATING"},
		"nobody knew for too long":                  {shelf: &shelf{err: unreachable}, later: bucketGiveUp, want: "CREATE_FAILED"},
		"a directory that is full":                  {shelf: &shelf{err: unreachable}, create: true, want: "CREATING"},
		"an old configuration is asked about again": {shelf: &shelf{have: map[string]bool{"archive": true}}, later: time.Hour, want: "ACTIVE"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			arn := f.recording(t, into("archive")).Arn
			if got := f.recordingState(t, arn); got != "CREATING" {
				t.Errorf("state after create is %s", got)
			}
			// Another process on the same database, as after a crash of the first.
			next := New(f.store, f.roster, nil, Config{Buckets: tt.shelf, CreateBuckets: tt.create})
			next.now = func() time.Time { return time.Now().Add(tt.later) }
			if err := next.settle(t.Context()); (err != nil) != (tt.want == "CREATING") {
				t.Errorf("settle: %v", err)
			}
			if got := f.recordingState(t, arn); got != tt.want {
				t.Errorf("state = %s, want %s", got, tt.want)
			}
			if tt.want == "CREATING" {
				return
			}
			tt.shelf.asked = func() { t.Error("a bucket is asked for after its configuration is settled") }
			if err := next.settle(t.Context()); err != nil {
				t.Error(err)
			}
			if tt.shelf.created != tt.create {
				t.Errorf("bucket created: %t, want %t", tt.shelf.created, tt.create)
			}
		})
	}
}

func TestSettleMeetsOtherCalls(t *testing.T) {
	t.Run("a configuration that is deleted meanwhile stays deleted", func(t *testing.T) {
		f := newFixture(t)
		arn := f.recording(t, into("archive")).Arn
		f.cfg.Buckets = &shelf{have: map[string]bool{"archive": true}, asked: func() {
			if err := f.DeleteRecordingConfiguration(f.ctx, &ivsapi.DeleteRecordingConfigurationRequest{Arn: arn}); err != nil {
				t.Error(err)
			}
		}}
		if err := f.settle(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := f.GetRecordingConfiguration(f.ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: arn}); !errors.Is(err, live.NotFound) {
			t.Errorf("GetRecordingConfiguration: %v, want not found", err)
		}
	})
	t.Run("tags that change meanwhile are kept", func(t *testing.T) {
		f := newFixture(t)
		arn := f.recording(t, into("archive")).Arn
		f.cfg.Buckets = &shelf{have: map[string]bool{"archive": true}, asked: func() {
			if _, err := f.TagResource(f.ctx, &ivsapi.TagResourceRequest{ResourceArn: arn, Tags: map[string]string{"a": "b"}}); err != nil {
				t.Error(err)
			}
		}}
		if err := f.settle(t.Context()); err != nil {
			t.Error(err)
		}
		out, err := f.GetRecordingConfiguration(f.ctx, &ivsapi.GetRecordingConfigurationRequest{Arn: arn})
		if err != nil || out.RecordingConfiguration.State != "ACTIVE" || out.RecordingConfiguration.Tags["a"] != "b" {
			t.Errorf("%+v, %v; want ACTIVE with its tag", out, err)
		}
	})
	t.Run("the answer of a slower node changes nothing", func(t *testing.T) {
		f := newFixture(t)
		arn := f.recording(t, into("archive")).Arn
		faster := New(f.store, f.roster, nil, Config{Buckets: &shelf{have: map[string]bool{"archive": true}}})
		f.cfg.Buckets = &shelf{asked: func() {
			if err := faster.settle(t.Context()); err != nil {
				t.Error(err)
			}
		}}
		if err := f.settle(t.Context()); err != nil {
			t.Error(err)
		}
		if got := f.recordingState(t, arn); got != "ACTIVE" {
			t.Errorf("state = %s, want ACTIVE", got)
		}
	})
}

// Every configuration gets its turn, however many wait and whichever cannot be settled.
func TestSettleLeavesNobodyOut(t *testing.T) {
	f := newFixture(t)
	const many = maxPage + 20
	for range many {
		f.recording(t, into("archive"))
	}
	asked := 0
	s := &shelf{err: errors.New("unreachable"), asked: func() { asked++ }}
	f.cfg.Buckets = s
	if err := f.settle(t.Context()); err == nil || asked != many {
		t.Errorf("%d of %d buckets asked for, %v; want all, and an error", asked, many, err)
	}
}

func TestRunSettlesAtOnce(t *testing.T) {
	f := newFixture(t)
	f.cfg.Buckets = &shelf{have: map[string]bool{"archive": true}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	arn := f.recording(t, into("archive")).Arn
	eventually(t, "the configuration is active", func() bool { return f.recordingState(t, arn) == "ACTIVE" })
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestDeleteRecordingConfiguration(t *testing.T) {
	f := newFixture(t)
	rc := f.recording(t, into("archive"))
	ch := f.channel(t, ivsapi.CreateChannelRequest{RecordingConfigurationArn: &rc.Arn})
	if *ch.RecordingConfigurationArn != rc.Arn {
		t.Errorf("channel has %q", *ch.RecordingConfigurationArn)
	}
	del := func() error {
		return f.DeleteRecordingConfiguration(f.ctx, &ivsapi.DeleteRecordingConfigurationRequest{Arn: rc.Arn})
	}
	if err := del(); !errors.Is(err, live.Conflict) {
		t.Errorf("delete while attached: %v, want conflict", err)
	}
	if _, err := f.UpdateChannel(f.ctx, &ivsapi.UpdateChannelRequest{Arn: *ch.Arn, RecordingConfigurationArn: new("")}); err != nil {
		t.Fatal(err)
	}
	f.cfg.Buckets = &shelf{}
	if err := f.settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := f.recordingState(t, rc.Arn); got != "CREATE_FAILED" {
		t.Errorf("state = %s", got)
	}
	if err := del(); err != nil {
		t.Errorf("delete of one that failed: %v", err)
	}
	if err := del(); !errors.Is(err, live.NotFound) {
		t.Errorf("second delete: %v, want not found", err)
	}
}
