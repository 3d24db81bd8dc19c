package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-live/sluice/internal/live"
)

const (
	insertSession = `
INSERT INTO stream_session (id, channel, account, region, node, generation, created_ms, started_ms, ended_ms, snapshot, ingest)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
ON CONFLICT DO NOTHING`

	updateSession = `UPDATE stream_session SET started_ms = $2, snapshot = $3, ingest = $4 WHERE id = $1`
	endSession    = `UPDATE stream_session SET ended_ms = $2 WHERE id = $1 AND ended_ms = 0`

	sessionColumns = `s.id, s.channel, s.node, s.generation, s.created_ms, s.started_ms, s.ended_ms, s.snapshot, s.ingest, s.failed`
	selectSession  = `SELECT ` + sessionColumns + ` FROM stream_session s WHERE s.id = $1`
	listSessions   = `SELECT ` + sessionColumns + ` FROM stream_session s
WHERE s.channel = $1 ORDER BY s.created_ms DESC, s.id DESC LIMIT $2`
	listSessionsAfter = `SELECT ` + sessionColumns + ` FROM stream_session s
WHERE s.channel = $1 AND (s.created_ms, s.id) < ($2, $3) ORDER BY s.created_ms DESC, s.id DESC LIMIT $4`
	openSessions = `SELECT ` + sessionColumns + ` FROM stream_session s WHERE s.node = $1 AND s.ended_ms = 0 ORDER BY s.id`
)

// snapshot is how a session's channel and its recording configuration are kept: they
// leave their tags to their rows.
type snapshot struct {
	live.Channel
	Tags      map[string]string  `json:"tags,omitempty"`
	Recording *recordingSnapshot `json:"recording,omitempty"` // its ARN is in Channel
}

type recordingSnapshot struct {
	live.RecordingConfiguration
	Tags map[string]string `json:"tags,omitempty"`
}

// CreateSession adds the session that x describes, under the lease it names, with notes
// (see AppendEvents). It returns ErrExists when the id is taken and ErrFenced when the
// lease has moved on.
func (s *Store) CreateSession(ctx context.Context, x live.Session, notes ...Note) error {
	snap, in, err := sessionBodies(x)
	if err != nil {
		return fmt.Errorf("store: create session %s: %w", x.ID, err)
	}
	err = s.Tx(ctx, func(t *Tx) error {
		if err := t.fence(ctx, x.Channel.String(), x.Generation); err != nil {
			return err
		}
		n, err := t.exec(ctx, insertSession, x.ID, x.Channel.String(), x.Channel.Account, x.Channel.Region, x.Node, x.Generation,
			millis(x.Created), millis(x.Started), millis(x.Ended), snap, in)
		switch {
		case err != nil:
			return err
		case n == 0:
			return ErrExists
		}
		return t.note(ctx, x.ID, notes)
	})
	if err != nil {
		return fmt.Errorf("store: create session %s: %w", x.ID, err)
	}
	return nil
}

// UpdateSession writes the Started, Snapshot, Recording and Ingest of x, with notes (see
// AppendEvents); nothing else of a session changes but its end.
func (s *Store) UpdateSession(ctx context.Context, x live.Session, notes ...Note) error {
	snap, in, err := sessionBodies(x)
	if err != nil {
		return fmt.Errorf("store: update session %s: %w", x.ID, err)
	}
	return s.inSession(ctx, "update", x.ID, x.Generation, func(t *Tx, _ live.Session) error {
		if _, err := t.exec(ctx, updateSession, x.ID, millis(x.Started), snap, in); err != nil {
			return err
		}
		return t.note(ctx, x.ID, notes)
	})
}

// EndSession writes that the session ended, with notes (see AppendEvents). A session that
// has ended keeps its end.
func (s *Store) EndSession(ctx context.Context, id string, generation int64, ended time.Time, notes ...Note) error {
	if ended.IsZero() {
		return fmt.Errorf("store: end session %s: no time given", id)
	}
	return s.inSession(ctx, "end", id, generation, func(t *Tx, _ live.Session) error {
		if _, err := t.exec(ctx, endSession, id, millis(ended)); err != nil {
			return err
		}
		return t.note(ctx, id, notes)
	})
}

// inSession runs f in a transaction in which the session is known to exist and the
// lease of its channel to be at the session's and the caller's generation.
func (s *Store) inSession(ctx context.Context, what, id string, generation int64, f func(*Tx, live.Session) error) error {
	err := s.Tx(ctx, func(t *Tx) error {
		x, err := t.session(ctx, id)
		if err != nil {
			return err
		}
		if x.Generation != generation {
			return fmt.Errorf("%w: the session is of generation %d, not %d", ErrFenced, x.Generation, generation)
		}
		if err := t.fence(ctx, x.Channel.String(), generation); err != nil {
			return err
		}
		return f(t, x)
	})
	if err != nil {
		return fmt.Errorf("store: %s session %s: %w", what, id, err)
	}
	return nil
}

// Session returns the session id of a channel in the account and region, or ErrNotFound.
func (s *Store) Session(ctx context.Context, account, region, id string) (live.Session, error) {
	x, err := s.session(ctx, id)
	if err == nil && (x.Channel.Account != account || x.Channel.Region != region) {
		err = ErrNotFound
	}
	if err != nil {
		return live.Session{}, fmt.Errorf("store: session %s: %w", id, err)
	}
	return x, nil
}

func (r reader) session(ctx context.Context, id string) (live.Session, error) {
	if !storable(id) {
		return live.Session{}, ErrNotFound
	}
	x, err := scanSession(r.q.QueryRowContext(ctx, selectSession, id).Scan)
	return x, missing(err)
}

// LatestSession returns the session of channel that was created last, or ErrNotFound.
func (s *Store) LatestSession(ctx context.Context, channel live.ARN) (live.Session, error) {
	all, err := s.ListSessions(ctx, channel, "", 1)
	if err == nil && len(all) == 0 {
		err = fmt.Errorf("store: latest session of %s: %w", channel, ErrNotFound)
	}
	if err != nil {
		return live.Session{}, err
	}
	return all[0], nil
}

// ListSessions returns a page of the sessions of channel, newest first. after is the id
// of the last session of the page before; limit is as in a Query.
func (s *Store) ListSessions(ctx context.Context, channel live.ARN, after string, n int) ([]live.Session, error) {
	query, args := listSessions, []any{channel.String(), limit(n)}
	if after != "" {
		last, err := s.session(ctx, after)
		if errors.Is(err, ErrNotFound) || err == nil && last.Channel != channel {
			return nil, nil // the oldest go first, so nothing is left behind one that went
		}
		if err != nil {
			return nil, fmt.Errorf("store: sessions of %s: %w", channel, err)
		}
		query, args = listSessionsAfter, []any{channel.String(), millis(last.Created), last.ID, limit(n)}
	}
	all, err := collect(ctx, s.q, scanSession, query, args...)
	if err != nil {
		return nil, fmt.Errorf("store: sessions of %s: %w", channel, err)
	}
	return all, nil
}

// OpenSessionsOf returns the sessions that node started and that have not ended.
func (s *Store) OpenSessionsOf(ctx context.Context, node string) ([]live.Session, error) {
	all, err := collect(ctx, s.q, scanSession, openSessions, node)
	if err != nil {
		return nil, fmt.Errorf("store: open sessions of %s: %w", node, err)
	}
	return all, nil
}

func sessionBodies(x live.Session) (snap, in string, err error) {
	body := snapshot{Channel: x.Snapshot, Tags: x.Snapshot.Tags}
	if r := x.Recording; r != nil {
		body.Recording = &recordingSnapshot{*r, r.Tags}
	}
	a, err := json.Marshal(body)
	if err != nil {
		return "", "", fmt.Errorf("snapshot: %w", err)
	}
	b, err := json.Marshal(x.Ingest)
	if err != nil {
		return "", "", fmt.Errorf("ingest: %w", err)
	}
	return string(a), string(b), nil
}

func scanSession(scan func(...any) error) (live.Session, error) {
	var (
		x                       live.Session
		channel                 string
		created, started, ended int64
		snap, in                []byte
	)
	err := scan(&x.ID, &channel, &x.Node, &x.Generation, &created, &started, &ended, &snap, &in, &x.Failed)
	if err != nil {
		return live.Session{}, err
	}
	if x.Channel, err = live.ParseARN(channel); err != nil {
		return live.Session{}, err
	}
	var body snapshot
	if err := errors.Join(json.Unmarshal(snap, &body), json.Unmarshal(in, &x.Ingest)); err != nil {
		return live.Session{}, fmt.Errorf("session %s: %w", x.ID, err)
	}
	x.Snapshot = body.Channel
	x.Snapshot.ARN, x.Snapshot.Tags = x.Channel, body.Tags
	if r := body.Recording; r != nil {
		x.Recording = &r.RecordingConfiguration
		x.Recording.Tags = r.Tags
		if x.Recording.ARN, err = live.ParseARN(x.Snapshot.RecordingConfiguration); err != nil {
			return live.Session{}, err
		}
	}
	x.Created, x.Started, x.Ended = fromMillis(created), fromMillis(started), fromMillis(ended)
	return x, nil
}
