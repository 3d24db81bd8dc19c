package store

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/sluice-live/sluice/internal/live"
	"github.com/sluice-live/sluice/internal/store/pgtest"
)

// Every statement that runs while the tables are large finds its rows by an index, and
// every page comes out of it in order: nothing scans a table or sorts what it found.
func TestPlans(t *testing.T) {
	scope := Query{Service: "ivs", Type: "channel", Account: "account7", Region: "us-west-2"}
	shape := func(change func(*Query)) Query {
		q := scope
		change(&q)
		return q
	}
	type statement struct {
		sql   string
		args  []any
		index string // that must be used, as PostgreSQL and SQLite name it
	}
	statements := map[string]statement{
		"get":                      {selectRow, []any{"arn"}, `resource_pkey|PRIMARY KEY`},
		"by lookup":                {selectLookup, []any{"ivs", "stream-key", "h"}, `resource_lookup`},
		"delete":                   {`DELETE FROM resource WHERE arn = $1`, []any{"arn"}, `resource_pkey|PRIMARY KEY`},
		"update":                   {updateRow, []any{"arn", 1, "n", "l", "b", "t", "l"}, `resource_pkey|PRIMARY KEY`},
		"children":                 {selectChildren, []any{"arn"}, `resource_parent`},
		"links of a row":           {`DELETE FROM link WHERE source = $1`, []any{"arn"}, `link_pkey|PRIMARY KEY`},
		"renew":                    {renewLease, []any{"ch", "n", 1, 2}, `lease_(pkey|node)|sqlite_autoindex_lease_1`},
		"release a node":           {releaseNode, []any{"n"}, `lease_node`},
		"lease":                    {selectLease, []any{"ch"}, `lease_pkey|sqlite_autoindex_lease_1`},
		"session":                  {selectSession, []any{"st"}, `stream_session_pkey|sqlite_autoindex_stream_session_1`},
		"sessions of a channel":    {listSessions, []any{"ch", 10}, `stream_session_channel`},
		"their next page":          {listSessionsAfter, []any{"ch", 1, "st", 10}, `stream_session_channel`},
		"open sessions of a node":  {openSessions, []any{"n"}, `stream_session_open`},
		"last event":               {lastEvent, []any{"st"}, `stream_event_pkey|sqlite_autoindex_stream_event_1`},
		"events":                   {listEvents, []any{"st"}, `stream_event_pkey|sqlite_autoindex_stream_event_1`},
		"revocation":               {selectRevocation, []any{"ch", "v"}, `revocation_pkey|sqlite_autoindex_revocation_1`},
		"old revocations":          {forgetRevocations, []any{1, 500}, `revocation_time`},
		"new revocations":          {revocationsSince, []any{1, 10}, `revocation_time`},
		"a used token":             {selectToken, []any{"ch", "id"}, `used_token_pkey|sqlite_autoindex_used_token_1`},
		"old tokens":               {forgetTokens, []any{1, 500}, `used_token_expires`},
		"old sessions":             {forgetSessions, []any{1, 500}, `stream_session_ended`},
		"access key":               {selectKey, []any{"id"}, `access_key_pkey|sqlite_autoindex_access_key_1`},
		"access keys":              {listKeys, []any{"id", 10}, `access_key_pkey|sqlite_autoindex_access_key_1`},
		"a principal":              {selectPrincipal, []any{"arn"}, `principal_pkey|sqlite_autoindex_principal_1`},
		"principals of an account": {listPrincipals, []any{"account7", "", 10}, `principal_account`},
		"keys of a principal":      {deleteTheirKeys, []any{"arn"}, `access_key_principal`},
		"keys of an account":       {listAccountKeys, []any{"", 10, "account7"}, `access_key_account`},
	}
	digests := map[string]statement{} // PostgreSQL's
	for name, q := range map[string]struct {
		Query
		index string
	}{
		"scope": {scope, `resource_pkey|PRIMARY KEY`},
		"name":  {shape(func(q *Query) { q.Name = new("n") }), `resource_name`},
		"link": {shape(func(q *Query) {
			q.LinkRel, q.LinkTo = "recording-configuration", "r7"
		}), `link_target`},
		"parent": {shape(func(q *Query) {
			q.Type, q.Parent = "stream-key", live.ARN{Service: "ivs", Account: q.Account, Region: q.Region, Type: "channel", ID: "c7"}
		}), `resource_parent`},
	} {
		for _, after := range []string{"", "id"} {
			q.After = after
			s, sql, err := q.list()
			if err != nil {
				t.Fatal(err)
			}
			statements[fmt.Sprintf("list by %s after %q", name, after)] = statement{sql, s.args, q.index}
		}
		s, sql, err := q.digest()
		if err != nil {
			t.Fatal(err)
		}
		digests["digest by "+name] = statement{sql, s.args, q.index}
		s, sql, err = q.count()
		if err != nil {
			t.Fatal(err)
		}
		index := q.index
		if name == "scope" { // the index by name is smaller than the table, and counting needs no order
			index = `resource_name`
		}
		statements["count by "+name] = statement{sql, s.args, index}
	}

	// bad is what no plan may hold. SQLite, which keeps no statistics, plans for an empty
	// table as for a large one, and says SCAN for reading all of a table or index.
	check := func(t *testing.T, s *Store, explain string, bad *regexp.Regexp) {
		for name, st := range statements {
			t.Run(name, func(t *testing.T) {
				plan, err := planOf(t.Context(), s, explain+st.sql, st.args)
				if err != nil {
					t.Fatal(err)
				}
				if bad.MatchString(plan) || !regexp.MustCompile(`\b(`+st.index+`)\b`).MatchString(plan) {
					t.Errorf("%s\nhas this plan, want index %s and no %s:\n%s", st.sql, st.index, bad, plan)
				}
			})
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		s := openForPlans(t, filepath.Join(t.TempDir(), "sluice.db"))
		check(t, s, "EXPLAIN QUERY PLAN ", regexp.MustCompile(`SCAN|TEMP B-TREE`))
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		// It may sort a handful of rows; what counts is that it need not.
		s := openForPlans(t, pgtest.Start(t).Database(t)+"&enable_sort=off")
		if _, err := s.write.ExecContext(t.Context(), fillForPlans); err != nil {
			t.Fatal(err)
		}
		maps.Copy(statements, digests)
		check(t, s, "EXPLAIN ", regexp.MustCompile(`Seq Scan|Sort`))
	})
}

// fillForPlans gives PostgreSQL's planner statistics to go by: 20 accounts with 500
// channels, of a stream key, a lease and a session each, and as many access keys.
const fillForPlans = `
INSERT INTO resource (arn, service, type, account, region, id, name, body, tags, links, created_ms, version)
  SELECT 'c' || n, 'ivs', 'channel', 'account' || n % 20, 'us-west-2', 'c' || n, 'name' || n, '{}', '{}', '{}', n, 1
  FROM generate_series(1, 10000) n;
INSERT INTO resource (arn, service, type, account, region, id, parent, name, lookup, body, tags, links, created_ms, version)
  SELECT 'k' || n, 'ivs', 'stream-key', 'account' || n % 20, 'us-west-2', 'k' || n, 'c' || n, '', 'h' || n, '{}', '{}', '{}', n, 1
  FROM generate_series(1, 10000) n;
INSERT INTO link (source, relation, target, service, type, account, region, id)
  SELECT 'c' || n, 'recording-configuration', 'r' || n % 100, 'ivs', 'channel', 'account' || n % 20, 'us-west-2', 'c' || n
  FROM generate_series(1, 10000) n;
INSERT INTO lease (channel, node, origin, generation, expires_ms)
  SELECT 'c' || n, 'n' || n % 50, '', 1, n FROM generate_series(1, 10000) n;
INSERT INTO stream_session (id, channel, account, region, node, generation, created_ms, started_ms, ended_ms, snapshot, ingest)
  SELECT 's' || n, 'c' || n % 500, '', '', 'n' || n % 50, 1, n, n, n % 10, '{}', '{}' FROM generate_series(1, 10000) n;
INSERT INTO stream_event (session, n, name, type, code, time_ms)
  SELECT 's' || n, 1, '', '', '', n FROM generate_series(1, 10000) n;
INSERT INTO revocation (channel, viewer, version, revoked_ms)
  SELECT 'c' || n % 500, 'v' || n, n, n FROM generate_series(1, 10000) n;
INSERT INTO used_token (channel, id, expires_ms)
  SELECT 'c' || n % 500, 'u' || n, n FROM generate_series(1, 10000) n;
INSERT INTO access_key (id, secret, account, principal, admin, policies, created_ms)
  SELECT 'a' || n, '', 'account' || n % 20, 'p' || n, false, 'null', n FROM generate_series(1, 10000) n;
INSERT INTO principal (arn, account, body, created_ms)
  SELECT 'p' || n, 'account' || n % 20, '{}', n FROM generate_series(1, 10000) n;
ANALYZE`

func openForPlans(t *testing.T, url string) *Store {
	s, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// planOf returns the last column of each row of an EXPLAIN, a line each.
func planOf(ctx context.Context, s *Store, explain string, args []any) (string, error) {
	rows, err := s.write.QueryContext(ctx, explain, args...)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	var plan strings.Builder
	for rows.Next() {
		var line string
		into := make([]any, len(columns))
		for i := range into {
			into[i] = new(any)
		}
		into[len(into)-1] = &line
		if err := rows.Scan(into...); err != nil {
			return "", err
		}
		plan.WriteString(line + "\n")
	}
	return plan.String(), rows.Err()
}
