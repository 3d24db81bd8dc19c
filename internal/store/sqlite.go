package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// sqliteReaders is how many queries can run beside the writer. Reads are short; more
// connections would only hold more page caches.
const sqliteReaders = 4

// sqliteOptions are set on every connection. With the log (WAL) readers never wait for
// the writer; FULL syncs it at each commit, so that a write that returned survives a
// power cut.
const sqliteOptions = "_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_dqs=0"

// busy_timeout is how long, in milliseconds, SQLite waits for the lock of another
// process. It takes no notice of a context, so the writer waits a little, and Tx goes
// on as long as the context allows. Readers meet a lock only while another process
// opens or closes the file.
const (
	sqliteWriter = "&_busy_timeout=250"
	sqliteReader = "&_busy_timeout=2000&_query_only=on"
)

// sqliteOpenTries is how often an open waits for the lock of another process, which may be
// making the tables.
const sqliteOpenTries = 20

func openSQLite(ctx context.Context, path string) (*Store, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("store: path of the database: %w", err)
	}
	// The file holds secrets. SQLite gives its log files the mode of the database file.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}

	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String() + "?" + sqliteOptions
	write, err := sqlitePool(dsn+sqliteWriter, 1)
	if err != nil {
		return nil, err
	}
	read, err := sqlitePool(dsn+sqliteReader, sqliteReaders)
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	s := &Store{reader: reader{unhurried{read}}, read: read, write: write, commits: newCommitter(write), engine: engine{
		name:     "sqlite",
		hasTable: `SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = $1`,
	}}
	var mode string // some file systems cannot do WAL, and SQLite does not call that an error
	for range sqliteOpenTries {
		if err = write.QueryRowContext(ctx, `PRAGMA journal_mode`).Scan(&mode); faultOf(err) != faultConflict {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("store: open %s: %w", path, err), s.Close())
	}
	if mode != "wal" {
		return nil, errors.Join(fmt.Errorf("store: open %s: its file system allows no write-ahead log (journal mode %s)", path, mode), s.Close())
	}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func sqlitePool(dsn string, conns int) (*sql.DB, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("store: open SQLite: %w", err)
	}
	db := sql.OpenDB(statementConnector{c})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}
