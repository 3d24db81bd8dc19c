package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/sluice-live/sluice/internal/audit"
	"github.com/sluice-live/sluice/internal/config"
)

type auditCmd struct {
	Since    string `placeholder:"TIME" help:"Calls at or after a time (2026-03-04T05:06:07Z, 2026-03-04) or this long ago (90m, 24h)."`
	Until    string `placeholder:"TIME" help:"Calls before a time, or up to this long ago."`
	User     string `help:"Calls by a user, role or session: its name, ARN or access key id."`
	Event    string `placeholder:"OPERATION" help:"Calls of one operation, such as DeleteChannel."`
	Resource string `help:"Calls whose request or answer names a resource: its ARN, or the id at the end."`
	Error    string `placeholder:"CODE" help:"Calls that failed with a code, such as AccessDeniedException, or any."`
	Limit    int    `default:"50" help:"Most calls to print, newest first; 0 prints all."`
	JSON     bool   `name:"json" help:"Print whole records, one JSON object a line."`
}

// Run prints what the audit log of this machine has.
func (a auditCmd) Run(ctx context.Context, cfg *config.Config, io *console) error {
	dir := cfg.AuditDir()
	if dir == "" {
		return errors.New("the audit log is off; name its directory with --audit to read what it has")
	}
	if a.Limit < 0 {
		return fmt.Errorf("--limit: %d: want 0 or more", a.Limit)
	}
	now := time.Now()
	q := audit.Query{User: a.User, Event: a.Event, Resource: a.Resource, Error: a.Error, Limit: a.Limit}
	var err error
	if q.Since, err = moment(a.Since, now); err != nil {
		return fmt.Errorf("--since: %w", err)
	}
	if q.Until, err = moment(a.Until, now); err != nil {
		return fmt.Errorf("--until: %w", err)
	}
	print, flush := a.printer(io)
	damaged, err := audit.Search(ctx, dir, q, print)
	if err := errors.Join(err, flush()); err != nil {
		return err
	}
	if damaged > 0 {
		fmt.Fprintf(io.stderr, "sluice: passed over %d lines that are no records, as a crash leaves them\n", damaged)
	}
	return nil
}

// printer returns what prints one record, and what ends the printing.
func (a auditCmd) printer(io *console) (print func(audit.Entry) error, flush func() error) {
	if a.JSON {
		print = func(e audit.Entry) error {
			_, err := fmt.Fprintf(io.stdout, "%s\n", e.Raw)
			return err
		}
		return print, func() error { return nil }
	}
	w := tabwriter.NewWriter(io.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tUSER\tEVENT\tRESOURCE\tREGION\tSOURCE\tERROR\tREQUEST")
	return func(e audit.Entry) error {
		cells := []string{
			e.EventTime.Format(time.RFC3339), e.User(), e.EventName, e.Resource(), e.AWSRegion, e.SourceIPAddress, e.ErrorCode, e.RequestID,
		}
		for i, c := range cells {
			cells[i] = cell(c)
		}
		_, err := fmt.Fprintln(w, strings.Join(cells, "\t"))
		return err
	}, w.Flush
}

// cell makes a client's words fit for a terminal: no control characters, never empty.
func cell(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, s)
}

// moment reads a time, or how long ago it was; "" is the zero time.
func moment(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: want 2026-03-04T05:06:07Z, 2026-03-04 or 24h", s)
}
