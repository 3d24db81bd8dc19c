package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	logPrefix = "sluice.l."    // of the subjects in a log
	logName   = "sluice_log_"  // and the log's name: its JetStream stream
	maxLog    = 256 << 20      // bytes a log keeps; the oldest messages make room
	maxLogAge = 24 * time.Hour // and how long it keeps them
)

// Append adds data to the durable log under a subject, once for each id, as Enqueue
// does. A nil error means that the log has it. A log keeps 24 hours and 256 MiB at most;
// beyond that the oldest messages go, followed or not.
func (b *Bus) Append(ctx context.Context, log, subject, id string, data []byte) error {
	switch {
	case !name(log):
		return fmt.Errorf("bus: %.64q is not a log", log)
	case !usableID(id):
		return fmt.Errorf("bus: %.64q is not an id", id)
	}
	if err := check(subject, data, false); err != nil {
		return err
	}
	if !b.nc.IsConnected() {
		return b.down()
	}
	m := &nats.Msg{Subject: logPrefix + log + "." + subject, Data: data}
	if err := b.keep(ctx, logStream(log), id, m); err != nil {
		return fmt.Errorf("bus: append to %s: %w", log, known(err))
	}
	return nil
}

// Follow calls f for the messages of the log on subject, in which "*" and ">" stand for
// words as in Subscribe, from the oldest one that is kept, one at a time and in order,
// until ctx is done; it then returns nil, with f not running. Each group follows for
// itself and goes on where it was; nodes that follow as one group share the messages,
// of which the next comes when the last one is handled. Errors of f are treated as by
// Consume, and hold up the group.
func (b *Bus) Follow(ctx context.Context, log, subject, group string, f func(context.Context, Msg) error) error {
	if !name(log) || !name(group) {
		return fmt.Errorf("bus: follow: %.64q or %.64q is not a name", log, group)
	}
	if err := check(subject, nil, true); err != nil {
		return err
	}
	return b.attend(ctx, logStream(log), jetstream.ConsumerConfig{
		Durable: group, FilterSubject: logPrefix + log + "." + subject, MaxAckPending: 1,
	}, f)
}

// logSubject is the subject that a message was appended under, "" for one from a queue.
func logSubject(subject string) string {
	rest, ok := strings.CutPrefix(subject, logPrefix)
	if !ok {
		return ""
	}
	_, rest, _ = strings.Cut(rest, ".")
	return rest
}

// logStream is the stream of a log.
func logStream(log string) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:       logName + log,
		Subjects:   []string{logPrefix + log + ".>"},
		Retention:  jetstream.LimitsPolicy,
		Discard:    jetstream.DiscardOld,
		MaxBytes:   maxLog,
		MaxAge:     maxLogAge,
		Storage:    jetstream.FileStorage,
		Duplicates: dedupe,
		Replicas:   1,
	}
}
