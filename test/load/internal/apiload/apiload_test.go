package apiload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-live/sluice/test/load/internal/loopback"
)

// api is a control plane that makes channels and counts what it is asked.
type api struct {
	creates, gets, lists atomic.Int64
	named                atomic.Int64 // lists by name
	later                atomic.Int64 // pages other than the first
	throttle             bool
	closing              bool // close the connection after each answer
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AK/") {
		http.Error(w, "unsigned", http.StatusForbidden)
		return
	}
	if a.closing {
		w.Header().Set("Connection", "close")
	}
	switch r.URL.Path {
	case "/CreateChannel":
		fmt.Fprintf(w, `{"channel":{"arn":"arn:aws:ivs:us-west-2:1:channel/%d"},"streamKey":{"arn":"x"}}`, a.creates.Add(1))
	case "/GetChannel":
		a.gets.Add(1)
		if a.throttle {
			http.Error(w, "slow down", http.StatusTooManyRequests)
			return
		}
		w.Write(body)
	case "/ListChannels":
		a.lists.Add(1)
		switch {
		case strings.Contains(string(body), "filterByName"):
			a.named.Add(1)
			fmt.Fprint(w, `{"channels":[]}`)
		case strings.Contains(string(body), `"nextToken":"2"`):
			a.later.Add(1)
			fmt.Fprint(w, `{"channels":[{"arn":"arn:3","name":"three"}]}`)
		default:
			fmt.Fprint(w, `{"channels":[{"arn":"arn:1","name":"one"},{"arn":"arn:2","name":"two"}],"nextToken":"2"}`)
		}
	}
}

func config(t *testing.T, h http.Handler) Config {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	t.Setenv("SK_FOR_TEST", "secret")
	return Config{
		URL: srv.URL, Ops: "create,get,list,mix", Conns: 3, Duration: 500 * time.Millisecond, Prefill: 5,
		MaxCreate: 20, Page: 10, Region: "us-west-2", AccessKey: "AK", SecretEnv: "SK_FOR_TEST",
	}
}

func TestEveryPhaseRuns(t *testing.T) {
	for name, a := range map[string]*api{"keep-alive": {}, "a connection for each request": {closing: true}} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(t.Context(), config(t, a))
			if err != nil || len(r.Phases) != 4 {
				t.Fatalf("result %+v, %v", r, err)
			}
			for _, p := range r.Phases {
				if p.N == 0 || p.Errors != 0 || p.Latency.N != uint64(p.N) || p.PerS <= 0 {
					t.Errorf("phase %+v", p)
				}
			}
			if n := r.Phases[0].N; n < 20 || n > 22 { // a request in flight on each connection
				t.Errorf("%d channels made, want about the most allowed, 20", n)
			}
			if a.creates.Load() == 0 || a.gets.Load() == 0 || a.lists.Load() == 0 {
				t.Error("an operation was never asked for")
			}
		})
	}
}

func TestThrottlingIsNotAnError(t *testing.T) {
	c := config(t, &api{throttle: true})
	c.Ops = "get"
	r, err := Run(t.Context(), c)
	if err != nil || r.Phases[0].Throttled == 0 || r.Phases[0].Errors != 0 || r.Phases[0].N != 0 {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestRunFails(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   error // nil: any
	}{
		"a wrong key":        {func(c *Config) { c.AccessKey = "other" }, nil},
		"no secret":          {func(c *Config) { c.SecretEnv = "SK_UNSET" }, nil},
		"an unknown phase":   {func(c *Config) { c.Ops = "drop" }, nil},
		"a page of nothing":  {func(c *Config) { c.Ops = "list:0" }, nil},
		"one of no channels": {func(c *Config) { c.Ops = "get:0" }, nil},
		"another machine":    {func(c *Config) { c.URL = "http://192.0.2.1:80" }, loopback.ErrRefused},
		"nobody listens":     {func(c *Config) { c.URL = "http://127.0.0.1:1" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t, &api{})
			tt.change(&c)
			if _, err := Run(t.Context(), c); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("Run = %v, want %v", err, tt.want)
			}
		})
	}
}

func TestCancelEndsAPhase(t *testing.T) {
	c := config(t, &api{})
	c.Duration, c.Ops = time.Hour, "get"
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if r, err := Run(ctx, c); err != nil || r.Phases[0].N == 0 {
		t.Errorf("result %+v, %v", r, err)
	}
}

func TestHalfLoad(t *testing.T) {
	c := config(t, &api{})
	c.Ops, c.Half = "get,list:7", true
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Phases {
		if p.Half.N == 0 || p.Errors > 0 {
			t.Errorf("%s: %+v, want requests at half load", p.Op, p)
		}
	}
}

func TestSchedulesOfAllConnectionsMakeTheRate(t *testing.T) {
	l := &load{cfg: Config{Conns: 2}, phase: &Phase{Rate: 100}}
	start := time.Unix(1700000000, 0)
	first, second := l.schedule(start, 0), l.schedule(start, 1)
	for i := range 4 {
		due := []time.Duration{first().Sub(start), second().Sub(start)}
		if want := time.Duration(i) * 20 * time.Millisecond; due[0] != want || due[1] != want+10*time.Millisecond {
			t.Errorf("request %d of each is due at %v, want %v and 10ms later", i, due, want)
		}
	}
	l.phase.Rate = 0
	if l.schedule(start, 0) != nil {
		t.Error("there is a schedule without a rate")
	}
}

func TestChannelsThatAreThere(t *testing.T) {
	a := &api{}
	c := config(t, a)
	c.Prefill, c.Ops = 0, "get,name,page"
	r, err := Run(t.Context(), c)
	if err != nil || len(r.Phases) != 3 || a.later.Load() < 2 || a.creates.Load() != 0 || a.gets.Load() == 0 || a.named.Load() == 0 {
		t.Errorf("result %+v, %v; %d creates, %d gets, %d lists by name", r, err, a.creates.Load(), a.gets.Load(), a.named.Load())
	}
}
