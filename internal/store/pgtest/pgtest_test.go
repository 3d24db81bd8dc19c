package pgtest_test

import (
	"database/sql"
	"testing"

	"github.com/sluice-live/sluice/internal/store/pgtest"
)

func TestDatabasesOfOneServerAreApart(t *testing.T) {
	pg := pgtest.Start(t)
	for range 2 { // the second CREATE TABLE would fail in the database of the first
		db, err := sql.Open("pgx", pg.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.ExecContext(t.Context(), "CREATE TABLE x (n INTEGER)"); err != nil {
			t.Error(err)
		}
	}
}
