package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
)

// maxStatements bounds the compiled statements of a connection. The program has some 60
// texts, and a list of keys (GetMany) is a text of its own for each length.
const maxStatements = 128

// A statementConnector makes SQLite connections that compile a statement once and keep
// it. database/sql would compile it for each use, which costs more than most of our
// statements take to run.
type statementConnector struct{ driver.Connector }

func (c statementConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn, ok := inner.(sqliteConn)
	if !ok {
		return nil, errors.Join(errors.New("store: the SQLite driver is not the one this was written for"), inner.Close())
	}
	return &statementConn{sqliteConn: conn, kept: map[string]*statement{}}, nil
}

// sqliteConn is what database/sql uses of the driver's connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// A statementConn is used by one goroutine at a time, as database/sql promises.
type statementConn struct {
	sqliteConn
	kept map[string]*statement // by text
}

// A statement is compiled. It runs once at a time.
type statement struct {
	sqliteStmt
	busy bool // its rows are being read
}

type sqliteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// statement returns the kept statement of that text, nil if it is in use.
func (c *statementConn) statement(ctx context.Context, text string) (*statement, error) {
	if s := c.kept[text]; s != nil {
		if s.busy {
			return nil, nil
		}
		return s, nil
	}
	inner, err := c.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	s := &statement{sqliteStmt: inner.(sqliteStmt)}
	if len(c.kept) >= maxStatements {
		if err := c.forget(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	c.kept[text] = s
	return s, nil
}

// forget closes the statements that are not in use.
func (c *statementConn) forget() error {
	var errs []error
	for text, s := range c.kept {
		if !s.busy {
			delete(c.kept, text)
			errs = append(errs, s.Close())
		}
	}
	return errors.Join(errs...)
}

// ExecContext runs a statement. One without arguments may be a script (migrations are),
// which is for the driver.
func (c *statementConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	if len(args) == 0 && !transactional(text) {
		return c.sqliteConn.ExecContext(ctx, text, args)
	}
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.ExecContext(ctx, text, args)
	}
	return s.ExecContext(ctx, args)
}

// QueryContext runs a query. One that is asked for again while it is being read is
// compiled for that occasion.
func (c *statementConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.statement(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.sqliteConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		return nil, err
	}
	s.busy = true
	return &statementRows{rows, s}, nil
}

func (c *statementConn) Close() error {
	return errors.Join(c.forget(), c.sqliteConn.Close())
}

// statementRows gives its statement back when it is closed.
type statementRows struct {
	driver.Rows
	of *statement
}

func (r *statementRows) Close() error {
	r.of.busy = false
	return r.Rows.Close()
}

// unhurried is a querier that lets a statement which has begun come to its end. The
// driver and database/sql would each start a goroutine per statement to watch ctx, and
// an interrupted write would undo the whole batch that it belongs to (see committer).
// Every statement of ours finds its rows by an index, so there is nothing to cut short.
type unhurried struct{ querier }

func (u unhurried) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.querier.ExecContext(context.WithoutCancel(ctx), query, args...)
}

func (u unhurried) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return u.querier.QueryContext(context.WithoutCancel(ctx), query, args...)
}

func (u unhurried) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if ctx.Err() == nil { // otherwise the row's Scan reports it
		ctx = context.WithoutCancel(ctx)
	}
	return u.querier.QueryRowContext(ctx, query, args...)
}
