package store_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-live/sluice/internal/store/pgtest"
	"github.com/sluice-live/sluice/internal/store/storetest"
)

func TestSQLite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) string { return filepath.Join(t.TempDir(), "sluice.db") })
}

func TestPostgres(t *testing.T) {
	pg := pgtest.Start(t)
	storetest.Run(t, func(t *testing.T) string { return pg.Database(t) })
}
