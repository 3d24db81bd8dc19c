package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

func TestSQLiteFileIsForItsOwnerOnly(t *testing.T) {
	dir := t.TempDir()
	s := storetest.Open(t, filepath.Join(dir, "sluice.db"))
	err := s.Tx(t.Context(), func(tx *store.Tx) error { return tx.Emit(t.Context(), store.Message{Subject: "s"}) })
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 3 {
		t.Fatalf("files: %v, %v; want the database and its log files", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != fs.FileMode(0o600) {
			t.Errorf("%s has mode %v, want 0600", f.Name(), info.Mode())
		}
	}
}

func TestSQLitePathIsTakenLiterally(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, path := range []string{"a?mode=memory", "b#c", "d%41", "e f", ":memory:", "file:g"} {
		s := storetest.Open(t, path)
		if err := s.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("file %q: %v, %v; want the database", path, info, err)
		}
	}
}

func TestSQLiteKeepsItsPromises(t *testing.T) {
	for pragma, want := range map[string]string{"journal_mode": "wal", "foreign_key_check": "", "integrity_check": "ok"} {
		path := filepath.Join(t.TempDir(), "sluice.db")
		storetest.Open(t, path)
		if got := pragmaOf(t, path, pragma); got != want {
			t.Errorf("%s = %q, want %q", pragma, got, want)
		}
	}
}

func pragmaOf(t *testing.T, path, pragma string) string {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var v string
	if err := db.QueryRowContext(t.Context(), "PRAGMA "+pragma).Scan(&v); err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Fatal(err)
	}
	return v
}

// crashEnv makes TestCrashWriter the process that is killed; it holds the database's path.
const crashEnv = "SLUICE_STORE_CRASH_TEST"

func TestCrashWriter(t *testing.T) {
	path := os.Getenv(crashEnv)
	if path == "" {
		t.Skip("only runs as the child of TestSQLiteSurvivesKill")
	}
	s := storetest.Open(t, path)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error {
			for {
				arn := live.ARN{Service: "ivs", Region: "us-west-2", Account: "123456789012", Type: "channel", ID: live.NewID(12)}
				err := s.Tx(t.Context(), func(tx *store.Tx) error {
					row := store.Row{ARN: arn, Body: []byte(`{}`), Links: map[string]string{"self": arn.String()}}
					if err := tx.Insert(t.Context(), row); err != nil {
						return err
					}
					return tx.Emit(t.Context(), store.Message{Subject: "created", Body: []byte(arn.ID)})
				})
				if err != nil {
					return err
				}
				if _, err := fmt.Println("ack", arn.ID); err != nil { // one write call a line
					return err
				}
			}
		})
	}
	t.Fatal(g.Wait())
}

// A process is killed while it writes. Every write it had acknowledged is there, whole.
func TestSQLiteSurvivesKill(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "sluice.db")
	acked := map[string]bool{}
	for round := range 3 { // the second child starts on what the first one left
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestCrashWriter$", "-test.count=1")
		cmd.Env = append(os.Environ(), crashEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		before := len(acked)
		lines := bufio.NewScanner(out)
		for lines.Scan() { // to the end: what was written before the kill is acknowledged
			if id, ok := strings.CutPrefix(lines.Text(), "ack "); ok && len(id) == 12 {
				acked[id] = true
			}
			if len(acked)-before == 50+round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
			t.Fatalf("child ended with %v after %d writes, want it killed", err, len(acked)-before)
		}
	}

	s := storetest.Open(t, path)
	there := map[string]bool{}
	q := store.Query{Service: "ivs", Type: "channel", Account: "123456789012", Region: "us-west-2", Limit: 1000}
	for {
		rows, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			there[r.ARN.ID] = true
			n, err := s.Count(t.Context(), store.Query{LinkRel: "self", LinkTo: r.ARN.String()})
			if err != nil || n != 1 {
				t.Errorf("%s has %d links, %v; want 1", r.ARN.ID, n, err)
			}
			q.After = r.ARN.ID
		}
		if len(rows) < q.Limit {
			break
		}
	}
	for id := range acked {
		if !there[id] {
			t.Errorf("acknowledged row %s is lost", id)
		}
	}
	emitted := 0
	for {
		messages, err := s.Pending(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		var ids []int64
		for _, m := range messages {
			emitted++
			ids = append(ids, m.ID)
			if !there[string(m.Body)] {
				t.Errorf("there is a message of %s and no row", m.Body)
			}
		}
		if err := s.Delivered(t.Context(), ids); err != nil {
			t.Fatal(err)
		}
		if len(messages) < 1000 {
			break
		}
	}
	if emitted != len(there) {
		t.Errorf("%d messages of %d rows", emitted, len(there))
	}
	if got := pragmaOf(t, path, "integrity_check"); got != "ok" {
		t.Errorf("integrity_check = %q", got)
	}
	t.Logf("%d rows acknowledged, %d found", len(acked), len(there))
}

// Another process may hold SQLite's write lock. A Tx waits for it, and its context ends
// the wait.
func TestSQLiteWaitsForALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.db")
	s := storetest.Open(t, path)
	other, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	lock, err := other.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lock.Close() }() // with the lock on it
	if _, err := lock.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	emit := func(tx *store.Tx) error { return tx.Emit(t.Context(), store.Message{Subject: "s"}) }

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.Tx(ctx, emit); err == nil {
		t.Error("Tx succeeded against the lock")
	}
	if _, err := s.Pending(t.Context(), 1); err != nil {
		t.Errorf("a reader is kept out: %v", err)
	}
	done := make(chan error)
	go func() { done <- s.Tx(t.Context(), emit) }()
	if _, err := lock.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("Tx after the lock is gone: %v", err)
	}
}
