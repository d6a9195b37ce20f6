package postgres

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/brimline/brimline"
)

// Scratch is one transaction for work on temporary tables, which is rolled
// back at its end. Each of its statements is bounded in time, and names mean
// those of pg_catalog and of the temporary tables alone.
type Scratch struct {
	conn    *pgx.Conn
	timeout time.Duration
	place   string
}

// Scratch connects and begins the transaction.
func (t *Target) Scratch(ctx context.Context, name string, timeout time.Duration) (*Scratch, error) {
	s := &Scratch{timeout: timeout, place: t.Place()}
	bound, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var err error
	if s.conn, err = t.Connect(bound, name); err != nil {
		return nil, s.Fail("connecting", err)
	}
	// Named, since a login may be read-only by default.
	err = s.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	if err == nil {
		err = s.Exec(ctx, `SELECT pg_catalog.set_config('statement_timeout', $1, true),
			pg_catalog.set_config('search_path', 'pg_catalog', true)`, strconv.FormatInt(timeout.Milliseconds(), 10))
	}
	if err != nil {
		s.Close()
		return nil, s.Fail("beginning a transaction", err)
	}
	return s, nil
}

// bound leaves the server the time to say itself that a statement took too long.
func (s *Scratch) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout+5*time.Second)
}

// Exec runs a statement. The caller passes errors to Fail.
func (s *Scratch) Exec(ctx context.Context, sql string, args ...any) error {
	bound, cancel := s.bound(ctx)
	defer cancel()
	_, err := s.conn.Exec(bound, sql, args...)
	return err
}

// Each calls row for each row of a query, once its values are in into. The caller passes errors to Fail.
func (s *Scratch) Each(ctx context.Context, sql string, args, into []any, row func() error) error {
	bound, cancel := s.bound(ctx)
	defer cancel()
	rows, err := s.conn.Query(bound, sql, args...)
	if err != nil {
		return err
	}
	_, err = pgx.ForEachRow(rows, into, row)
	return err
}

// Close rolls the transaction back and ends the connection.
func (s *Scratch) Close() {
	bound, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = s.conn.Exec(bound, "ROLLBACK")
	_ = s.conn.Close(bound)
}

// Fail is a *brimline.Error that says what an error means.
func (s *Scratch) Fail(doing string, err error) error {
	if _, ok := errors.AsType[*brimline.Error](err); ok {
		return err
	}
	f := Classify(err)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == "0A000" || pg.Code == "25006") {
		// feature_not_supported, to a transaction that asks to write; read_only_sql_transaction
		f = Failure{Kind: KindSession, Remedy: "name a primary: a standby takes no temporary table"}
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: f.Kind, Where: s.place + ", " + doing, Remedy: f.Remedy, Err: Cause(err),
	}
}
