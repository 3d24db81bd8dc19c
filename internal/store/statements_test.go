package store

import (
	"fmt"
	"path/filepath"
	"testing"
)

// A statement that is asked for while its rows are being read, more statements than are
// kept, and a changed schema: each gives the rows it should.
func TestKeptStatements(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "sluice.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	makeNotes(t, s)
	const count = `SELECT count(*) FROM note WHERE name <> $1`
	err = s.Tx(t.Context(), func(tx *Tx) error {
		for i := range 3 {
			if err := note(tx, fmt.Sprint(i)); err != nil {
				return err
			}
		}
		const all = `SELECT name FROM note WHERE name >= $1 ORDER BY name`
		outer, err := tx.q.QueryContext(t.Context(), all, "0")
		if err != nil {
			return err
		}
		defer outer.Close()
		seen := 0
		for outer.Next() {
			inner, err := collect(t.Context(), tx.q, func(scan func(...any) error) (string, error) { return "", scan(new(string)) }, all, "1")
			if err != nil || len(inner) != 2 {
				t.Errorf("the inner query reads %d rows, %v, want 2", len(inner), err)
			}
			seen++
		}
		if seen != 3 {
			t.Errorf("the outer query reads %d rows, want 3", seen)
		}
		return outer.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxStatements {
		var n int
		if err := s.q.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT %d + count(*) FROM note WHERE name <> $1`, i), "").Scan(&n); err != nil || n != i+3 {
			t.Fatalf("statement %d gives %d, %v", i, n, err)
		}
	}
	for i, change := range []string{`SELECT 1`, `ALTER TABLE note ADD COLUMN more TEXT`, `CREATE INDEX note_more ON note (more)`} {
		if _, err := s.write.ExecContext(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := s.q.QueryRowContext(t.Context(), count, "").Scan(&n); err != nil || n != 3 {
			t.Errorf("after change %d: %d rows, %v, want 3", i, n, err)
		}
	}
}
