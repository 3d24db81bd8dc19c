// Package storetest checks that a database keeps the promises of package store. Both
// engines pass the one suite. It also gives other packages' tests a store to work on.
package storetest

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
)

// Run runs the suite. database returns the URL of a new, empty database, which is
// removed after the test it is given.
func Run(t *testing.T, database func(*testing.T) string) {
	for name, test := range map[string]func(*testing.T, func(*testing.T) string){
		"schema": testSchema,
	} {
		t.Run(name, func(t *testing.T) { test(t, database) })
	}
	for name, group := range map[string]map[string]func(*testing.T, *store.Store, string){
		"rows":         rowTests,
		"queries":      queryTests,
		"transactions": txTests,
		"leases":       leaseTests,
		"sessions":     sessionTests,
		"abandoned":    abandonedTests,
		"history":      historyTests,
		"metrics":      metricTests,
		"access keys":  keyTests,
		"principals":   principalTests,
		"outbox":       outboxTests,
	} {
		t.Run(name, func(t *testing.T) {
			for name, test := range group {
				t.Run(name, func(t *testing.T) {
					url := database(t)
					test(t, Open(t, url), url)
				})
			}
		})
	}
}

// Open opens the database at url, migrates it and closes it when t ends.
func Open(t testing.TB, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// SQLite opens a new store in a file of t's own.
func SQLite(t testing.TB) *store.Store {
	t.Helper()
	return Open(t, filepath.Join(t.TempDir(), "sluice.db"))
}

// t0 is when the tests take place.
var t0 = time.UnixMilli(1_700_000_000_123).UTC()

// channelARN names a channel of the account and region most tests are in.
func channelARN(id string) live.ARN { return arnIn("us-west-2", "123456789012", "channel", id) }

func arnIn(region, account, typ, id string) live.ARN {
	return live.ARN{Service: "ivs", Region: region, Account: account, Type: typ, ID: id}
}

// channelRow is a channel without tags and links.
func channelRow(id string) store.Row {
	return store.Row{
		ARN: channelARN(id), Name: "name of " + id, Body: []byte(`{"latencyMode":"LOW"}`),
		Tags: map[string]string{}, Links: map[string]string{}, Created: t0,
	}
}

// keyRow is a stream key of the channel row.
func keyRow(channel store.Row, id, lookup string) store.Row {
	r := channelRow(id)
	r.ARN.Type, r.ARN.Account, r.ARN.Region = "stream-key", channel.ARN.Account, channel.ARN.Region
	r.Name, r.Parent, r.Lookup = "", channel.ARN, lookup
	return r
}

// insert adds rows, each in a transaction of its own.
func insert(t *testing.T, s *store.Store, rows ...store.Row) {
	t.Helper()
	for _, r := range rows {
		if err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Insert(t.Context(), r) }); err != nil {
			t.Fatal(err)
		}
	}
}

// must returns v of a call that may not fail.
func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// wantErr fails t unless err is want.
func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) || (want == nil) != (err == nil) {
		t.Errorf("%s: error = %v, want %v", what, err, want)
	}
}

func ids(rows []store.Row) []string {
	var all []string
	for _, r := range rows {
		all = append(all, r.ARN.ID)
	}
	return all
}

// text is v as JSON, for counters kept in bodies.
func text(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
