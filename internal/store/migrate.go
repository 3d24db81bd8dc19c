package store

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// migrations are forward-only. NNNNN_what.sql runs on both engines,
// NNNNN_what.<engine>.sql on that one. A migration adds first and removes a release
// later, because new code runs on the old schema and old code on the new one.
//
//go:embed migrations/*.sql
var migrations embed.FS

// versionTable is where goose notes what it applied.
const versionTable = "schema_version"

// migrateTries bounds how often Migrate goes back to see what another process did.
const migrateTries = 10

// Migrate brings the schema to the version of this program. Several nodes may call it
// at once. A database that is newer than the program is left as it is.
func (s *Store) Migrate(ctx context.Context) error {
	have, want, err := s.Schema(ctx)
	for range migrateTries {
		if err != nil {
			return err
		}
		if have >= want {
			return nil
		}
		upErr := s.up(ctx)
		if upErr == nil {
			return nil
		}
		// Another process may hold the lock, or have been faster with some of the files:
		// then see what is left.
		before := have
		if have, want, err = s.Schema(ctx); err == nil && have == before && faultOf(upErr) != faultConflict {
			return fmt.Errorf("store: migrate: %w", upErr)
		}
	}
	return fmt.Errorf("store: migrate: schema is at %d of %d and other processes keep it busy", have, want)
}

// Schema returns the version of the database's schema (0 when it is empty) and the
// version this program was built for. It changes nothing.
func (s *Store) Schema(ctx context.Context) (have, want int64, err error) {
	p, err := s.provider()
	if err != nil {
		return 0, 0, err
	}
	for _, src := range p.ListSources() {
		want = max(want, src.Version)
	}
	var tables int
	if err := s.read.QueryRowContext(ctx, s.engine.hasTable, versionTable).Scan(&tables); err != nil {
		return 0, 0, fmt.Errorf("store: schema version: %w", err)
	}
	if tables == 0 {
		return 0, want, nil
	}
	const latest = `SELECT coalesce(max(version_id), 0) FROM ` + versionTable
	if err := s.read.QueryRowContext(ctx, latest).Scan(&have); err != nil {
		return 0, 0, fmt.Errorf("store: schema version: %w", err)
	}
	return have, want, nil
}

func (s *Store) up(ctx context.Context) error {
	p, err := s.provider()
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func (s *Store) provider() (*goose.Provider, error) {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	skip, err := s.foreign(files)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	opts := []goose.ProviderOption{
		goose.WithTableName(versionTable),
		goose.WithDisableGlobalRegistry(true),
		goose.WithExcludeNames(skip),
	}
	dialect := goose.DialectSQLite3
	if s.engine.name == "postgres" {
		dialect = goose.DialectPostgres
		// One node migrates and the others wait: looking each second, for a minute.
		l, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 60))
		if err != nil {
			return nil, fmt.Errorf("store: migrations: %w", err)
		}
		opts = append(opts, goose.WithSessionLocker(l))
	}
	p, err := goose.NewProvider(dialect, s.write, files, opts...)
	if err != nil {
		return nil, fmt.Errorf("store: migrations: %w", err)
	}
	return p, nil
}

// foreign names the migrations that are for another engine.
func (s *Store) foreign(files fs.FS) ([]string, error) {
	names, err := fs.Glob(files, "*.*.sql")
	if err != nil {
		return nil, err
	}
	var skip []string
	for _, name := range names {
		if !strings.HasSuffix(name, "."+s.engine.name+".sql") {
			skip = append(skip, name)
		}
	}
	return skip, nil
}
