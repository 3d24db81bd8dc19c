//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/test/load/internal/apiload"
)

// apiConns is how many connections call the API at once.
const apiConns = 8

// apiPhases are awsload's phases and their names in the table.
var apiPhases = []struct{ op, name string }{
	{"get", "GetChannel"},
	{"get:1000", "GetChannel, of 1000"},
	{"list:50", "ListChannels, page of 50"},
	{"list:100", "ListChannels, page of 100"},
	{"page", "ListChannels, any page of 100"},
	{"name", "ListChannels, by name"},
	{"create", "CreateChannel"},
}

// api calls the control plane: what each operation costs the server, and how long it
// takes at half of the rate that it can do. A system with databases is measured on each.
func api(ctx context.Context, b *bench, s system, dir string) (vs []value, err error) {
	d, ok := s.(databases)
	if !ok { // its figures stand beside those of each of our databases
		r, err := b.callAPI(ctx, s, dir)
		for _, name := range databaseNames {
			vs = append(vs, apiValues(name, r)...)
		}
		return vs, err
	}
	for _, name := range databaseNames {
		on, stop, err := d.on(ctx, b, name)
		if skip, ok := errors.AsType[*skipped](err); ok {
			fmt.Fprintf(b.stderr, "skipped: API on %s: %v\n", name, skip)
			continue
		}
		if err != nil {
			return vs, err
		}
		r, err := b.callAPI(ctx, on, filepath.Join(dir, name))
		vs = append(vs, apiValues(name, r)...)
		if err := errors.Join(err, stop()); err != nil {
			return vs, fmt.Errorf("%s: %w", name, err)
		}
	}
	return vs, nil
}

// databases is a system that can keep its channels in one of databaseNames.
type databases interface {
	system
	// on returns the system on a database of that name, which lasts until stop.
	on(ctx context.Context, b *bench, name string) (s system, stop func() error, err error)
}

var databaseNames = []string{"SQLite", "PostgreSQL"}

// A filler is a system that can be filled with channels faster than by its API. One that
// is not holds its channels when it starts.
type filler interface {
	// fill makes n channels in what the stopped instance left in dir.
	fill(ctx context.Context, in *instance, dir string, n int) error
}

// skipped is why something is not measured.
type skipped struct{ why string }

func (s *skipped) Error() string { return s.why }

// callAPI measures a fresh s that holds channels.
func (b *bench) callAPI(ctx context.Context, s system, dir string) (r *apiload.Result, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	in, err := s.start(ctx, dir, asShipped)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()
	if f, ok := s.(filler); ok {
		if err := in.stop(); err != nil {
			return nil, err
		}
		if err := f.fill(ctx, in, dir, b.cfg.channels); err != nil {
			return nil, err
		}
		if in, err = s.start(ctx, dir, asShipped); err != nil {
			return nil, err
		}
	}
	ops := make([]string, 0, len(apiPhases))
	for _, p := range apiPhases {
		ops = append(ops, p.op)
	}
	pids := []string{strconv.Itoa(in.pid())}
	for _, pid := range in.helpers {
		pids = append(pids, strconv.Itoa(pid))
	}
	return tool[apiload.Result](ctx, b, []string{"COMPARE_SECRET=" + in.access.secret}, "awsload",
		"-url", "http://"+in.http, "-ak", in.access.keyID, "-sk-env", "COMPARE_SECRET", "-region", in.access.region,
		"-ops", strings.Join(ops, ","), "-c", strconv.Itoa(apiConns), "-prefill", "0", "-half",
		"-d", (b.cfg.duration / 2).String(), "-pid", strings.Join(pids, ","))
}

// apiValues are the lines of one database.
func apiValues(database string, r *apiload.Result) (vs []value) {
	if r == nil {
		return nil
	}
	for _, p := range r.Phases {
		i := slices.IndexFunc(apiPhases, func(a struct{ op, name string }) bool { return a.op == p.Op })
		how := "API on " + database + ", " + apiPhases[i].name + ": "
		vs = append(vs,
			value{title: how + "requests", unit: "/CPU-s", x: p.PerCPU, decimals: 0},
			value{title: how + "rate", unit: "/s", x: p.PerS, decimals: 0},
			value{title: how + "p50 at half of it", unit: "ms", x: p.Half.P50, decimals: 2},
			value{title: how + "p99 at half of it", unit: "ms", x: p.Half.P99, decimals: 2},
			value{title: how + "errors", unit: "", x: float64(p.Errors + p.Throttled), decimals: 0},
		)
	}
	return vs
}

// on makes s keep its data in a file, or on a PostgreSQL server that syncs its commits.
func (s *sluice) on(ctx context.Context, b *bench, name string) (system, func() error, error) {
	one := *s
	if name != "PostgreSQL" {
		return &one, func() error { return nil }, nil
	}
	pg, err := startPostgres(ctx)
	if err != nil {
		return nil, nil, err
	}
	one.database, one.helpers = pg.url, []int{pg.in.pid()}
	return &one, pg.stop, nil
}

// fillBatch is how many channels a transaction makes.
const fillBatch = 1000

// fill writes channels as CreateChannel does. A benchmark may reach into the database;
// it saves minutes.
func (s *sluice) fill(ctx context.Context, in *instance, dir string, n int) (err error) {
	url := s.database
	if url == "" {
		url = filepath.Join(dir, "data", "sluice.db")
	}
	st, err := store.Open(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	for at := 0; at < n; at += fillBatch {
		err := st.Tx(ctx, func(tx *store.Tx) error {
			for i := at; i < min(at+fillBatch, n); i++ {
				if err := insertChannel(ctx, tx, in.access, fmt.Sprintf("bench-%d", i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func insertChannel(ctx context.Context, tx *store.Tx, a access, name string) error {
	arn := func(typ string) live.ARN {
		return live.ARN{Service: live.ServiceIVS, Region: a.region, Account: a.account, Type: typ, ID: live.NewResourceID(time.Now())}
	}
	ch := live.Channel{
		ARN: arn(live.TypeChannel), Name: name, LatencyMode: live.LatencyLow, Type: live.TypeStandard, ContainerFormat: live.ContainerTS,
		SRTPassphrase: live.NewSRTPassphrase(), Tags: map[string]string{"k": "v"},
	}
	k := live.StreamKey{ARN: arn(live.TypeStreamKey), Channel: ch.ARN}
	k.Value = live.NewStreamKeyValue(a.region, k.ARN.ID)
	row, err := store.RowOfChannel(ch)
	if err != nil {
		return err
	}
	key, err := store.RowOfStreamKey(k)
	if err != nil {
		return err
	}
	return errors.Join(tx.Insert(ctx, row), tx.Insert(ctx, key))
}
