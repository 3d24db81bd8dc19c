package store

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// notes makes a table in which note writes and notes reads what is committed.
func makeNotes(t *testing.T, s *Store) {
	t.Helper()
	if _, err := s.write.ExecContext(t.Context(), `CREATE TABLE note (name TEXT PRIMARY KEY)`); err != nil {
		t.Fatal(err)
	}
}

func note(tx *Tx, name string) error {
	_, err := tx.exec(context.Background(), `INSERT INTO note (name) VALUES ($1)`, name)
	return err
}

func notes(t *testing.T, s *Store) []string {
	t.Helper()
	names, err := collect(t.Context(), s.q, func(scan func(...any) error) (name string, err error) {
		err = scan(&name)
		return name, err
	}, `SELECT name FROM note ORDER BY name`)
	if err != nil {
		t.Error(err)
	}
	return names
}

// A member is a transaction of a batch.
type member struct {
	ctx context.Context // of this one; nil for the test's
	f   func(*Tx) error
}

// together runs a transaction that notes "first", and while it runs begins the others,
// in their order, so that they are one batch. It returns what became of them.
func together(t *testing.T, s *Store, others ...member) (errs []error) {
	t.Helper()
	errs = make([]error, len(others)+1)
	done := make(chan struct{})
	start := func(i int, m member) {
		if m.ctx == nil {
			m.ctx = t.Context()
		}
		go func() {
			errs[i] = s.Tx(m.ctx, m.f)
			done <- struct{}{}
		}()
	}
	started := false
	start(len(others), member{f: func(tx *Tx) error {
		for i, m := range others {
			if !started {
				start(i, m)
				synctest.Wait() // it waits for the turn
			}
		}
		started = true
		return note(tx, "first")
	}})
	for range errs {
		<-done
	}
	return errs
}

func TestTransactionsThatComeTogetherShareACommit(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store) {
		makeNotes(t, s)
		var sizes []int
		add := func(name string) member {
			return member{f: func(tx *Tx) error {
				sizes = append(sizes, s.commits.open.size)
				if got := notes(t, s); len(got) > 0 {
					t.Errorf("before %s there is %q", name, got)
				}
				return note(tx, name)
			}}
		}
		if err := errors.Join(together(t, s, add("a"), add("b"), add("c"))...); err != nil {
			t.Error(err)
		}
		if got, want := notes(t, s), []string{"a", "b", "c", "first"}; !slices.Equal(got, want) || !slices.Equal(sizes, []int{2, 3, 4}) {
			t.Errorf("noted %q as members %d, want %q in one batch", got, sizes, want)
		}
	})
}

func TestAFailureUndoesItsOwnTransactionOnly(t *testing.T) {
	stop := errors.New("stop")
	for name, tt := range map[string]struct {
		f    func(end context.CancelFunc, tx *Tx) error
		want error // nil for any
	}{
		"an error after a write": {func(_ context.CancelFunc, tx *Tx) error { return errors.Join(note(tx, "b"), stop) }, stop},
		"a context that ends":    {func(end context.CancelFunc, tx *Tx) error { end(); return note(tx, "b") }, context.Canceled},
		"a statement that fails": {func(_ context.CancelFunc, tx *Tx) error { return errors.Join(note(tx, "b"), note(tx, "b")) }, nil},
		"SQLite undoes all": {func(_ context.CancelFunc, tx *Tx) error {
			_, err := tx.exec(context.Background(), `ROLLBACK`)
			return errors.Join(err, stop)
		}, stop},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *Store) {
				makeNotes(t, s)
				ctx, end := context.WithCancel(t.Context())
				defer end()
				errs := together(t, s,
					member{f: func(tx *Tx) error { return note(tx, "a") }},
					member{ctx, func(tx *Tx) error { return tt.f(end, tx) }},
					member{f: func(tx *Tx) error { return note(tx, "c") }},
				)
				if err := errs[1]; err == nil || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("the one that fails: %v, want %v", err, tt.want)
				}
				errs[1] = nil
				if err := errors.Join(errs...); err != nil {
					t.Errorf("the others: %v", err)
				}
				if got, want := notes(t, s), []string{"a", "c", "first"}; !slices.Equal(got, want) {
					t.Errorf("noted %q, want %q", got, want)
				}
			})
		})
	}
}

// A batch that is left to a transaction which then gives up is committed all the same.
func TestABatchDoesNotWaitForWhoGaveUp(t *testing.T) {
	inBubble(t, func(t *testing.T, s *Store) {
		makeNotes(t, s)
		ctx, end := context.WithCancel(t.Context())
		never := member{ctx, func(*Tx) error { t.Error("it ran"); return nil }}
		errs := together(t, s, member{f: func(tx *Tx) error { end(); synctest.Wait(); return note(tx, "a") }}, never)
		if errs[0] != nil || !errors.Is(errs[1], context.Canceled) || errs[2] != nil {
			t.Errorf("errors %v", errs)
		}
		if got, want := notes(t, s), []string{"a", "first"}; !slices.Equal(got, want) {
			t.Errorf("noted %q, want %q", got, want)
		}
	})
}
