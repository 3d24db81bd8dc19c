package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

// maxEvents is how many events of a session are kept (low-latency.md 9.5).
const maxEvents = 500

// A Note is one event of a session, with the message that tells of it.
type Note struct {
	Event   live.Event
	Message Message // without a subject there is none
}

const (
	lastEvent   = `SELECT coalesce(max(n), 0) FROM stream_event WHERE session = $1`
	insertEvent = `
INSERT INTO stream_event (session, n, name, type, code, time_ms, id) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (session, id) WHERE id <> '' DO NOTHING`
	failSession = `UPDATE stream_session SET failed = TRUE WHERE id = $1`
	trimEvents  = `DELETE FROM stream_event WHERE session = $1 AND n <= $2`
	listEvents  = `SELECT id, name, type, code, time_ms FROM stream_event WHERE session = $1 ORDER BY n DESC`

	// $1 is the present, $2 the last id of the batch before, $3 the size of a batch.
	abandonedSessions = `SELECT ` + sessionColumns + `
FROM stream_session s LEFT JOIN lease l ON l.channel = s.channel
WHERE s.ended_ms = 0 AND (l.channel IS NULL OR l.generation <> s.generation OR l.expires_ms <= $1) AND s.id > $2
ORDER BY s.id LIMIT $3`

	// fenceLease moves a lease on that nobody holds.
	fenceLease = `
UPDATE lease SET node = '', origin = '', expires_ms = 0, generation = generation + 1
WHERE channel = $1 AND generation = $2 AND expires_ms <= $3`
)

// AppendEvents adds notes to the history of the session, which may have ended, and their
// messages to the outbox. A note whose event has an id that the session knows does
// nothing: it can be written again when nobody knows whether it was. Beyond 500 the
// oldest events go.
func (s *Store) AppendEvents(ctx context.Context, id string, generation int64, notes ...Note) error {
	return s.inSession(ctx, "append events to", id, generation, func(t *Tx, _ live.Session) error {
		return t.note(ctx, id, notes)
	})
}

// note adds notes to the history of a session and to the outbox.
func (t *Tx) note(ctx context.Context, id string, notes []Note) error {
	if len(notes) == 0 {
		return nil
	}
	var n int64
	if err := t.q.QueryRowContext(ctx, lastEvent, id).Scan(&n); err != nil {
		return err
	}
	for _, x := range notes {
		e := x.Event
		added, err := t.exec(ctx, insertEvent, id, n+1, e.Name, e.Type, e.Code, millis(e.Time), e.ID)
		if err != nil {
			return err
		}
		if added == 0 {
			continue
		}
		n++
		if e.Failure() {
			if _, err := t.exec(ctx, failSession, id); err != nil {
				return err
			}
		}
		if x.Message.Subject == "" {
			continue
		}
		if err := t.Emit(ctx, x.Message); err != nil {
			return err
		}
	}
	if n <= maxEvents {
		return nil
	}
	_, err := t.exec(ctx, trimEvents, id, n-maxEvents)
	return err
}

// Events returns the events of a session, the last one appended first.
func (s *Store) Events(ctx context.Context, id string) ([]live.Event, error) {
	if !storable(id) {
		return nil, nil
	}
	all, err := collect(ctx, s.q, func(scan func(...any) error) (live.Event, error) {
		var (
			e  live.Event
			ms int64
		)
		err := scan(&e.ID, &e.Name, &e.Type, &e.Code, &ms)
		e.Time = fromMillis(ms)
		return e, err
	}, listEvents, id)
	if err != nil {
		return nil, fmt.Errorf("store: events of %s: %w", id, err)
	}
	return all, nil
}

// abandonedBatch is how many sessions CloseAbandoned reads at a time.
const abandonedBatch = 100

// CloseAbandoned ends the sessions whose owner is gone: those under a lease that has
// expired, was released, is held under a newer generation or does not exist. It notes of
// each what notes returns, and returns how many it ended. An expired lease moves on to a new generation, so that an owner which was
// only slow learns from its next renewal or write that its session is over.
func (s *Store) CloseAbandoned(ctx context.Context, now time.Time, notes func(live.Session) ([]Note, error)) (int64, error) {
	var closed int64
	last := ""
	for {
		batch, err := collect(ctx, s.q, scanSession, abandonedSessions, millis(now), last, abandonedBatch)
		if err != nil {
			return closed, fmt.Errorf("store: abandoned sessions: %w", err)
		}
		for _, x := range batch {
			ended, err := s.closeAbandoned(ctx, x, now, notes)
			if err != nil {
				return closed, fmt.Errorf("store: close abandoned session %s: %w", x.ID, err)
			}
			if ended {
				closed++
			}
			last = x.ID
		}
		if len(batch) < abandonedBatch {
			return closed, nil
		}
	}
}

// closeAbandoned ends x unless its lease was renewed, or it was ended, since it was read.
func (s *Store) closeAbandoned(ctx context.Context, x live.Session, now time.Time, notes func(live.Session) ([]Note, error)) (ended bool, err error) {
	err = s.Tx(ctx, func(t *Tx) error {
		ended = false
		fenced, err := t.exec(ctx, fenceLease, x.Channel.String(), x.Generation, millis(now))
		if err != nil {
			return err
		}
		if fenced == 0 {
			l, err := t.lease(ctx, x.Channel.String())
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if err == nil && l.Generation == x.Generation {
				return nil
			}
		}
		n, err := t.exec(ctx, endSession, x.ID, millis(now))
		if err != nil || n == 0 {
			return err
		}
		ended = true
		if x, err = t.session(ctx, x.ID); err != nil { // it may have started since
			return err
		}
		all, err := notes(x)
		if err != nil {
			return err
		}
		return t.note(ctx, x.ID, all)
	})
	return ended && err == nil, err
}
