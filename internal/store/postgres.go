package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// Limits of the pool of one node.
const (
	pgConns       = 16
	pgIdle        = 5 * time.Minute
	pgDialTimeout = 10 * time.Second // unless the URL has connect_timeout
)

func openPostgres(ctx context.Context, url string) (*Store, error) {
	cfg, err := pgx.ParseConfig(url) // its error hides the password
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	cfg.ConnectTimeout = cmp.Or(cfg.ConnectTimeout, pgDialTimeout)
	if cfg.RuntimeParams["application_name"] == "" {
		cfg.RuntimeParams["application_name"] = "sluice"
	}
	db := sql.OpenDB(stdlib.GetConnector(*cfg))
	db.SetMaxOpenConns(pgConns)
	db.SetMaxIdleConns(pgConns)
	db.SetConnMaxIdleTime(pgIdle)
	s := &Store{reader: reader{db}, read: db, write: db, engine: engine{
		name:     "postgres",
		share:    " FOR SHARE",
		hasTable: `SELECT count(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = $1`,
	}}
	if err := s.Ping(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}
