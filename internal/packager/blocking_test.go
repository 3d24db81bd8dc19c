package packager

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// live30 starts a source in real time, which synctest makes exact: a unit is written at
// the moment it is Received, counted from the start. It stops after d.
func live30(t *testing.T, r *Rendition, d time.Duration) {
	src := &source{Num: 30, GOP: 30, Audio: true}
	go func() {
		begin := time.Now()
		for {
			u := src.next()
			at := u.Received.Sub(wall)
			if at >= d {
				return
			}
			time.Sleep(at - time.Since(begin))
			if err := r.Write(u); err != nil {
				t.Error(err)
				return
			}
		}
	}()
}

// frame is one picture of live30, rounded down as its timestamps are.
const frame = time.Second / 30

func near(a, b time.Duration) bool { return max(a-b, b-a) < time.Millisecond }

func TestBlockingReload(t *testing.T) {
	// Segment n is complete with the keyframe at n+1 seconds. Part p of it is complete
	// when its sixth picture is in, one picture before the time it ends.
	part := func(msn, p int) time.Duration {
		return time.Duration(msn)*time.Second + time.Duration(p+1)*200*time.Millisecond - frame
	}
	for name, tt := range map[string]struct {
		req  PlaylistRequest
		want time.Duration // since the start; asked at 2.3 s
		err  error
	}{
		"without directives at once":                 {plain, 2300 * time.Millisecond, nil},
		"a part that exists at once":                 {PlaylistRequest{MSN: 2, Part: 0}, 2300 * time.Millisecond, nil},
		"the next part with its last picture":        {PlaylistRequest{MSN: 2, Part: 1}, part(2, 1), nil},
		"three parts ahead":                          {PlaylistRequest{MSN: 2, Part: 3}, part(2, 3), nil},
		"four parts ahead is refused":                {PlaylistRequest{MSN: 2, Part: 4}, 2300 * time.Millisecond, ErrBadRequest},
		"a segment with the part after it":           {PlaylistRequest{MSN: 2, Part: -1}, part(3, 0), nil},
		"a segment that exists at once":              {PlaylistRequest{MSN: 1, Part: -1}, 2300 * time.Millisecond, nil},
		"two segments ahead":                         {PlaylistRequest{MSN: 3, Part: -1}, part(4, 0), nil},
		"three segments ahead is refused":            {PlaylistRequest{MSN: 4, Part: -1}, 2300 * time.Millisecond, ErrBadRequest},
		"the first part of the next segment":         {PlaylistRequest{MSN: 3, Part: 0}, part(3, 0), nil},
		"a part past the last one is the next one's": {PlaylistRequest{MSN: 1, Part: 9}, 2300 * time.Millisecond, nil},
		"media that left long ago at once":           {PlaylistRequest{MSN: 0, Part: 0}, 2300 * time.Millisecond, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, start := newRendition(t, Config{LowLatency: true}), time.Now()
				live30(t, r, 6*time.Second)
				time.Sleep(2300 * time.Millisecond)
				p, err := r.Playlist(t.Context(), tt.req)
				if took := time.Since(start); !errors.Is(err, tt.err) || !near(took, tt.want) {
					t.Fatalf("answered after %v with %v, want %v and %v", took, err, tt.want, tt.err)
				}
				if err == nil {
					m := parse(t, p.Body())
					last := m.Sequence + int64(len(m.Segments)) - 1
					if tt.req.Part < 0 && last < tt.req.MSN || last < tt.req.MSN && len(m.Open.Parts) <= tt.req.Part {
						t.Errorf("asked for %+v, got\n%s", tt.req, p.Body())
					}
				}
				time.Sleep(5 * time.Second)
			})
		})
	}
}

func TestPlaylistWaitsForTheFirstSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRendition(t, Config{LowLatency: true}), time.Now()
		live30(t, r, 2*time.Second)
		if _, err := r.Playlist(t.Context(), plain); err != nil || !near(time.Since(start), time.Second) {
			t.Errorf("Playlist: %v after %v, want the keyframe at 1 s", err, time.Since(start))
		}
		<-r.Ready()
		time.Sleep(2 * time.Second)
	})
}

func TestPartBlocks(t *testing.T) {
	for name, tt := range map[string]struct {
		msn  int64
		part int
		want time.Duration // asked at 2.3 s
		err  error
	}{
		"one that exists at once":              {2, 0, 2300 * time.Millisecond, nil},
		"the hinted one until it is there":     {2, 1, 2400*time.Millisecond - frame, nil},
		"no other":                             {2, 2, 2300 * time.Millisecond, ErrNotFound},
		"the first of the next segment":        {3, 0, 3200*time.Millisecond - frame, nil},
		"no other of the next segment":         {3, 1, 2300 * time.Millisecond, ErrNotFound},
		"nothing past the end of a segment":    {1, 5, 2300 * time.Millisecond, ErrNotFound},
		"nothing of a segment that is not yet": {4, 0, 2300 * time.Millisecond, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, start := newRendition(t, Config{LowLatency: true}), time.Now()
				live30(t, r, 4*time.Second)
				time.Sleep(2300 * time.Millisecond)
				b, err := r.Part(t.Context(), tt.msn, tt.part)
				if took := time.Since(start); !errors.Is(err, tt.err) || !near(took, tt.want) || (err == nil) != (b.Size > 0) {
					t.Errorf("Part = %d bytes, %v after %v; want %v after %v", b.Size, err, took, tt.err, tt.want)
				}
				time.Sleep(3 * time.Second)
			})
		})
	}
}

// A hint may turn out wrong: the keyframe comes where nobody could know.
func TestHintedPartThatNeverComesIsNotFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true})
		src := &source{Num: 30, GOP: 36}
		feed(t, r, src, 2600*time.Millisecond) // segments of 1.2 s
		if m := now(t, r); m.Hint != "2.1.ts" {
			t.Fatalf("hint %s", m.Hint)
		}
		got := make(chan error, 1)
		go func() {
			_, err := r.Part(t.Context(), 2, 1)
			got <- err
		}()
		synctest.Wait()
		src.picture = 36 * 3 // the rest of the segment is lost
		feed(t, r, src, 200*time.Millisecond)
		if err := <-got; !errors.Is(err, ErrNotFound) {
			t.Errorf("Part: %v", err)
		}
	})
}

func TestHintFollowsTheKeyframeDistance(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true})
	src := &source{Num: 30, GOP: 30}
	feed(t, r, src, 3*time.Second) // all pictures of segment 2, but not the keyframe after it
	if m := now(t, r); len(m.Open.Parts) != 5 || m.Hint != "3.0.ts" {
		t.Errorf("%d parts, hint %s; want 5 and 3.0.ts", len(m.Open.Parts), m.Hint)
	}
	if err := r.Write(src.next()); err != nil {
		t.Fatal(err)
	}
	if m := now(t, r); m.Hint != "3.0.ts" {
		t.Errorf("hint %s after the keyframe, want 3.0.ts", m.Hint)
	}
}

func TestSegmentWaitsForItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRendition(t, Config{}), time.Now()
		live30(t, r, 4*time.Second)
		time.Sleep(2300 * time.Millisecond)
		if _, err := r.Segment(t.Context(), 3); !errors.Is(err, ErrNotFound) {
			t.Errorf("a segment that has not begun: %v", err)
		}
		if b, err := r.Segment(t.Context(), 2); err != nil || len(b.Chunks) != 5 || !near(time.Since(start), 3*time.Second) {
			t.Errorf("%d parts, %v after %v; want 5 after 3 s", len(b.Chunks), err, time.Since(start))
		}
		time.Sleep(2 * time.Second)
	})
}

// A segment grows part by part, from the moment it begins to the moment the next one does.
func TestGrow(t *testing.T) {
	type step struct {
		parts int
		more  bool
		at    time.Duration // since the start
	}
	const asked = 2300 * time.Millisecond
	for name, tt := range map[string]struct {
		msn  int64
		want []step
		err  error // of the first call
	}{
		"one that is complete is there at once": {1, []step{{5, false, asked}}, nil},
		"the one being produced as it comes": {2, []step{
			{1, true, asked},
			{1, true, 2400*time.Millisecond - frame},
			{1, true, 2600*time.Millisecond - frame},
			{1, true, 2800*time.Millisecond - frame},
			{1, true, 3000*time.Millisecond - frame},
			{0, false, 3200*time.Millisecond - frame}, // it shows with the first part after it
		}, nil},
		"the next one when it begins":     {3, []step{{1, true, 3200*time.Millisecond - frame}, {1, true, 3400*time.Millisecond - frame}}, nil},
		"none after that":                 {4, nil, ErrNotFound},
		"none that is gone, or never was": {-1, nil, ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, start := newRendition(t, Config{LowLatency: true}), time.Now()
				live30(t, r, 5*time.Second)
				time.Sleep(asked)
				if tt.err != nil {
					if _, _, err := r.Grow(t.Context(), tt.msn, 0); !errors.Is(err, tt.err) || time.Since(start) != asked {
						t.Errorf("Grow: %v after %v, want %v at once", err, time.Since(start), tt.err)
					}
					time.Sleep(5 * time.Second)
					return
				}
				var all []byte
				from := 0
				for i, want := range tt.want {
					b, more, err := r.Grow(t.Context(), tt.msn, from)
					if took := time.Since(start); err != nil || len(b.Chunks) != want.parts || more != want.more || !near(took, want.at) {
						t.Fatalf("step %d: %d parts, more %t, %v after %v; want %+v", i, len(b.Chunks), more, err, took, want)
					}
					if from += len(b.Chunks); b.Duration != time.Duration(len(b.Chunks))*200*time.Millisecond {
						t.Errorf("step %d: %d parts last %v", i, len(b.Chunks), b.Duration)
					}
					all = append(all, join(b)...)
				}
				time.Sleep(5 * time.Second)
				if whole, err := r.Segment(t.Context(), tt.msn); err == nil && !bytes.HasPrefix(join(whole), all) {
					t.Error("what grew is not the segment")
				}
			})
		})
	}
}

func TestGrowWithoutLowLatencyWaitsForTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, start := newRendition(t, Config{}), time.Now()
		live30(t, r, 4*time.Second)
		time.Sleep(2300 * time.Millisecond)
		if _, _, err := r.Grow(t.Context(), 3, 0); !errors.Is(err, ErrNotFound) {
			t.Errorf("a segment that has not begun: %v", err)
		}
		if b, more, err := r.Grow(t.Context(), 2, 0); err != nil || len(b.Chunks) != 5 || more || !near(time.Since(start), 3*time.Second) {
			t.Errorf("%d parts, more %t, %v after %v; want all 5 after 3 s", len(b.Chunks), more, err, time.Since(start))
		}
		time.Sleep(2 * time.Second)
	})
}

func TestGrowEndsWithTheStream(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true})
	feed(t, r, &source{Num: 30, GOP: 30}, 2300*time.Millisecond)
	r.Close()
	if b, more, err := r.Grow(t.Context(), 2, 1); err != nil || more || len(b.Chunks) != 1 {
		t.Errorf("the last segment: %d parts, more %t, %v; want its second part and the end", len(b.Chunks), more, err)
	}
	if _, _, err := r.Grow(t.Context(), 3, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("a segment after the last: %v", err)
	}
}

func TestContextEndsAWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true})
		feed(t, r, &source{Num: 30, GOP: 30}, 3200*time.Millisecond)
		cause := errors.New("parked long enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
		defer cancel()
		if _, err := r.Playlist(ctx, PlaylistRequest{MSN: 4, Part: 0}); !errors.Is(err, cause) {
			t.Errorf("Playlist: %v", err)
		}
		if _, err := r.Part(ctx, 3, 1); !errors.Is(err, cause) {
			t.Errorf("Part: %v", err)
		}
	})
}

func TestCloseWakesAllWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRendition(t, Config{LowLatency: true})
		feed(t, r, &source{Num: 30, GOP: 30}, 3200*time.Millisecond)
		final := make(chan bool, 3)
		for _, req := range []PlaylistRequest{{MSN: 3, Part: -1}, {MSN: 3, Part: 2}, {MSN: 4, Part: 0, Skip: true}} {
			go func() {
				p, err := r.Playlist(t.Context(), req)
				final <- err == nil && p.Final && parse(t, p.Body()).EndList
			}()
		}
		synctest.Wait()
		if len(final) != 0 {
			t.Fatal("a request was answered too early")
		}
		r.Close()
		for range 3 {
			if !<-final {
				t.Error("a waiter did not get the final playlist")
			}
		}
	})
}

// A picture is in the playlist when it completes a part by its predicted end, before
// the next picture exists.
func TestPartIsPublishedWithItsLastPicture(t *testing.T) {
	r := newRendition(t, Config{LowLatency: true})
	src := &source{Num: 30, GOP: 30}
	feed(t, r, src, 2*time.Second+6*time.Second/30)
	if m := now(t, r); len(m.Open.Parts) != 1 {
		t.Errorf("%d parts after 6 pictures, want 1", len(m.Open.Parts))
	}
}

func TestNormalLatencyIgnoresDirectives(t *testing.T) {
	r := newRendition(t, Config{})
	feed(t, r, &source{Num: 30, GOP: 30}, 3*time.Second)
	p, err := r.Playlist(t.Context(), PlaylistRequest{MSN: 3, Part: 0})
	if err != nil {
		t.Fatal(err)
	}
	if m := parse(t, p.Body()); m.PartTarget != 0 || m.Hint != "" || m.Control.CanBlockReload || len(m.Open.Parts) > 0 {
		t.Errorf("a low-latency tag in\n%s", p.Body())
	}
	if _, err := r.Part(t.Context(), 0, 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("Part: %v", err)
	}
}
