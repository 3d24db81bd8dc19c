package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A Message waits in the outbox from the commit of the write that caused it until it
// is known to be delivered.
type Message struct {
	ID      int64  // no id is used twice
	UID     string // what the message is known by where it goes; may be ""
	Subject string
	Body    []byte
	Created time.Time
}

const (
	insertMessage = `INSERT INTO message (uid, subject, body, created_ms) VALUES ($1, $2, $3, $4)`
	listMessages  = `SELECT id, uid, subject, body, created_ms FROM message ORDER BY id LIMIT $1`
	oldMessages   = `DELETE FROM message WHERE created_ms < $1`
	manyMessages  = `DELETE FROM message WHERE id <= (SELECT max(id) FROM message) - $1`
)

// Emit puts m, which has a subject, into the outbox if and when t commits.
func (t *Tx) Emit(ctx context.Context, m Message) error {
	if m.Subject == "" || !storable(m.Subject, m.UID) {
		return errors.New("store: emit: no subject")
	}
	if len(m.Body) > maxBody {
		return fmt.Errorf("store: emit %s: %d bytes, over the limit of %d", m.Subject, len(m.Body), maxBody)
	}
	if m.Body == nil {
		m.Body = []byte{} // nil would be NULL
	}
	if m.Created.IsZero() {
		m.Created = time.Now()
	}
	if _, err := t.exec(ctx, insertMessage, m.UID, m.Subject, m.Body, millis(m.Created)); err != nil {
		return fmt.Errorf("store: emit %s: %w", m.Subject, err)
	}
	return nil
}

// Emit puts m into the outbox by itself.
func (s *Store) Emit(ctx context.Context, m Message) error {
	return s.Tx(ctx, func(t *Tx) error { return t.Emit(ctx, m) })
}

// Pending returns the messages that are not delivered, the first emitted first; limit
// is as in a Query. Messages of one Tx keep their order, those of concurrent ones have
// none.
func (s *Store) Pending(ctx context.Context, n int) ([]Message, error) {
	all, err := collect(ctx, s.q, func(scan func(...any) error) (Message, error) {
		var (
			m  Message
			ms int64
		)
		err := scan(&m.ID, &m.UID, &m.Subject, &m.Body, &ms)
		m.Created = fromMillis(ms)
		return m, err
	}, listMessages, limit(n))
	if err != nil {
		return nil, fmt.Errorf("store: pending messages: %w", err)
	}
	return all, nil
}

// Delivered removes messages from the outbox. Until it returns they are pending, so a
// message can be delivered twice; never not at all.
func (s *Store) Delivered(ctx context.Context, ids []int64) error {
	if len(ids) == 0 {
		return nil
	}
	err := s.Tx(ctx, func(t *Tx) error {
		for part := range slices.Chunk(ids, inList) {
			args := make([]any, len(part))
			for i, id := range part {
				args[i] = id
			}
			if _, err := t.exec(ctx, `DELETE FROM message WHERE id IN (`+placeholders(len(part))+`)`, args...); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store: %d messages delivered: %w", len(ids), err)
	}
	return nil
}

// Undeliverable removes the messages that wait since before a time, and all but the
// newest ones, and returns how many that were: whoever should have taken them was away
// for longer than they are worth keeping.
func (s *Store) Undeliverable(ctx context.Context, before time.Time, most int64) (int64, error) {
	var gone int64
	err := s.Tx(ctx, func(t *Tx) error {
		old, err := t.exec(ctx, oldMessages, millis(before))
		if err != nil {
			return err
		}
		many, err := t.exec(ctx, manyMessages, most)
		gone = old + many
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("store: undeliverable messages: %w", err)
	}
	return gone, nil
}
