package stream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-live/sluice/internal/ingest"
	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// encrypted makes a request one over SRT that is encrypted with a passphrase.
func encrypted(passphrase string) func(*ingest.Request) {
	return func(r *ingest.Request) {
		r.Protocol, r.Encrypted, r.Unlock = ingest.SRT, true, func(p string) bool { return p == passphrase }
	}
}

func TestAdmission(t *testing.T) {
	for name, tt := range map[string]struct {
		with    func(*live.Channel)
		request func(*ingest.Request)
		before  func(*testing.T, *node, live.ARN)
		want    live.Kind // "" to be taken
		within  time.Duration
	}{
		"the channel's key": {},
		"RTMPS":             {request: func(r *ingest.Request) { r.Protocol, r.Encrypted = ingest.RTMPS, true }},
		"a secure channel takes RTMPS": {
			with:    func(c *live.Channel) { c.InsecureIngest = false },
			request: func(r *ingest.Request) { r.Protocol, r.Encrypted = ingest.RTMPS, true },
		},
		"a secure channel takes SRT with its passphrase": {
			with:    func(c *live.Channel) { c.InsecureIngest, c.SRTPassphrase = false, "passphrase" },
			request: encrypted("passphrase"),
		},
		"and with no other": {
			with:    func(c *live.Channel) { c.InsecureIngest, c.SRTPassphrase = false, "passphrase" },
			request: encrypted("another"), want: live.Denied,
		},
		"an insecure channel takes SRT with its passphrase": {
			with: func(c *live.Channel) { c.SRTPassphrase = "passphrase" }, request: encrypted("passphrase"),
		},
		"which may not be wrong": {
			with: func(c *live.Channel) { c.SRTPassphrase = "passphrase" }, request: encrypted("another"), want: live.Denied,
		},
		"a secure channel refuses RTMP": {with: func(c *live.Channel) { c.InsecureIngest = false }, want: live.Denied},
		"no key":                        {request: func(r *ingest.Request) { r.Key = "" }, want: live.Denied},
		"a key nobody has":              {request: func(r *ingest.Request) { r.Key = live.NewStreamKeyValue("us-west-2", "x") }, want: live.Denied},
		"half a key":                    {request: func(r *ingest.Request) { r.Key = r.Key[:len(r.Key)-1] }, want: live.Denied},
		"a key and more":                {request: func(r *ingest.Request) { r.Key += "?" }, want: live.Denied},
		"a long key":                    {request: func(r *ingest.Request) { r.Key = "sk_" + strings.Repeat("x", 1<<20) }, want: live.Denied},
		"a key that is no text":         {request: func(r *ingest.Request) { r.Key = "sk_\xff\x00" }, want: live.Denied},
		"live on another node": {before: func(t *testing.T, n *node, arn live.ARN) {
			if _, err := n.db.Acquire(t.Context(), arn.String(), "b", "", time.Now(), ttl); err != nil {
				t.Fatal(err)
			}
		}, want: live.Conflict, within: time.Second},
		"held for a write, which ends": {before: func(t *testing.T, n *node, arn live.ARN) {
			l, err := n.db.Acquire(t.Context(), arn.String(), "control:write", "", time.Now(), ttl)
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(100*time.Millisecond, func() { _ = n.db.Release(context.Background(), l) })
		}, within: time.Second},
		"the last owner died": {before: func(t *testing.T, n *node, arn live.ARN) {
			if _, err := n.db.Acquire(t.Context(), arn.String(), "b", "", time.Now().Add(-ttl), ttl); err != nil {
				t.Fatal(err)
			}
		}},
		"the database refuses": {before: func(_ *testing.T, n *node, _ live.ARN) { n.db.down(refuses) }, want: live.Unavailable},
		"the database hangs":   {before: func(_ *testing.T, n *node, _ live.ARN) { n.db.down(hangs) }, want: live.Unavailable, within: dbTime},
		"the node is full": {before: func(t *testing.T, n *node, _ live.ARN) {
			_, r := n.create(t)
			n.publish(t, r)
			_, r = n.create(t)
			n.publish(t, r)
		}, want: live.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := start(t, func(c *Config) { c.Max = 2 })
				with := tt.with
				if with == nil {
					with = func(*live.Channel) {}
				}
				arn, r := n.create(t, with)
				if tt.request != nil {
					tt.request(&r)
				}
				if tt.before != nil {
					tt.before(t, n, arn)
				}
				held, began := len(n.channel), time.Now()
				s, err := n.Publish(t.Context(), r)
				if took := time.Since(began); took > tt.within {
					t.Errorf("Publish took %v", took)
				}
				n.db.down(fine)
				if tt.want == "" {
					if err != nil {
						t.Fatalf("Publish = %v, want it taken", err)
					}
					s.Close(true)
					return
				}
				e, ok := errors.AsType[*live.Error](err)
				if !ok || e.Kind != tt.want || s != nil {
					t.Errorf("Publish = %v, %v, want %s", s, err, tt.want)
				}
				if ok && strings.Contains(e.Error(), "sk_") {
					t.Errorf("the error repeats the key: %v", e)
				}
				if len(n.channel) != held {
					t.Error("a refused encoder keeps its place")
				}
			})
		})
	}
}

// Every step of go-live can fail; the channel must be free afterwards.
func TestOpenThatFailsLeavesNothing(t *testing.T) {
	for _, op := range []string{"Acquire", "CreateSession", "Get"} {
		for name, how := range map[string]fault{"refuses": refuses, "hangs": hangs} {
			t.Run(op+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n := start(t)
					arn, r := n.create(t)
					leased := false
					n.db.breaks(func(at string) fault {
						leased = leased || at == "Acquire"
						if at == op && leased { // Get is also part of the key check
							return how
						}
						return fine
					})
					if s, err := n.Publish(t.Context(), r); !errors.Is(err, live.Unavailable) {
						t.Fatalf("Publish = %v, %v, want Unavailable", s, err)
					}
					n.db.down(fine)
					if !n.free(t, arn) || len(n.channel) != 0 || len(n.id) != 0 {
						t.Errorf("the lease is free: %t; %d and %d streams are kept", n.free(t, arn), len(n.channel), len(n.id))
					}
					n.publish(t, r).Close(true)
				})
			})
		}
	}
}

func TestChannelDeletedDuringPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		n.db.breaks(func(op string) fault {
			if op == "Acquire" { // between the key check and the lease
				if err := n.db.Tx(t.Context(), func(tx *store.Tx) error { return tx.Delete(t.Context(), arn) }); err != nil {
					t.Error(err)
				}
			}
			return fine
		})
		if _, err := n.Publish(t.Context(), r); !errors.Is(err, live.Denied) {
			t.Errorf("Publish = %v, want the key refused", err)
		}
		if !n.free(t, arn) {
			t.Error("the lease is held")
		}
	})
}

func TestEncodersRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		var (
			mu    sync.Mutex
			taken []ingest.Session
			busy  int
			all   sync.WaitGroup
		)
		for range 20 {
			all.Go(func() {
				s, err := n.Publish(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					taken = append(taken, s)
				case errors.Is(err, live.Conflict):
					busy++
				default:
					t.Errorf("Publish = %v", err)
				}
			})
		}
		all.Wait()
		if len(taken) != 1 || busy != 19 {
			t.Errorf("%d taken and %d refused, want 1 and 19", len(taken), busy)
		}
	})
}

// An encoder that comes back while its former session is being closed waits for that.
func TestEncoderComesBackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		_, r := n.create(t)
		first, _ := n.golive(t, r)
		n.db.breaks(func(op string) fault {
			if op == "EndSession" {
				time.Sleep(2 * time.Second)
			}
			return fine
		})
		first.Close(false)
		began := time.Now()
		second := n.publish(t, r)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it waited %v, want the 2 s that the end took", took)
		}
		if second.generation != first.generation+1 || second.ID() == first.ID() {
			t.Errorf("stream %s of generation %d after %s of %d", second.ID(), second.generation, first.ID(), first.generation)
		}
		n.db.breaks(func(op string) fault {
			if op == "EndSession" {
				time.Sleep(settle + time.Second)
			}
			return fine
		})
		second.Close(false)
		if _, err := n.Publish(t.Context(), r); !errors.Is(err, live.Conflict) {
			t.Errorf("Publish while the end takes too long = %v, want it refused", err)
		}
	})
}

// The encoder's connection ends while its stream is opened.
func TestEncoderIsGoneBeforeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := start(t)
		arn, r := n.create(t)
		ctx, cancel := context.WithCancel(t.Context())
		n.db.breaks(func(op string) fault {
			if op == "CreateSession" {
				cancel()
			}
			return fine
		})
		s, err := n.Publish(ctx, r)
		if err != nil {
			t.Fatalf("Publish = %v", err)
		}
		s.Close(false) // what package ingest/rtmp does when it cannot answer
		ended(t, connected(s), time.Second)
		if !n.free(t, arn) || n.session(t, connected(s)).Ended.IsZero() {
			t.Error("the lease or the session is left")
		}
		if _, err := n.Publish(ctx, r); err == nil {
			t.Error("Publish for a connection that has ended is taken")
		}
	})
}
