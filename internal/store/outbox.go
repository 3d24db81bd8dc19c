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
	ID      int64 // no id is used twice
	Subject string
	Body    []byte
	Created time.Time
}

const (
	insertMessage = `INSERT INTO message (subject, body, created_ms) VALUES ($1, $2, $3)`
	listMessages  = `SELECT id, subject, body, created_ms FROM message ORDER BY id LIMIT $1`
)

// Emit puts a message into the outbox if and when t commits.
func (t *Tx) Emit(ctx context.Context, subject string, body []byte) error {
	if subject == "" || !storable(subject) {
		return errors.New("store: emit: no subject")
	}
	if len(body) > maxBody {
		return fmt.Errorf("store: emit %s: %d bytes, over the limit of %d", subject, len(body), maxBody)
	}
	if body == nil {
		body = []byte{} // nil would be NULL
	}
	if _, err := t.exec(ctx, insertMessage, subject, body, millis(time.Now())); err != nil {
		return fmt.Errorf("store: emit %s: %w", subject, err)
	}
	return nil
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
		err := scan(&m.ID, &m.Subject, &m.Body, &ms)
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
