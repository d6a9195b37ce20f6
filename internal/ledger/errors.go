package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5/pgconn"
)

// Kinds of failure beside those of package postgres.
const (
	kindBehind = "postgres_replica_behind"
	kindOpen   = "postgres_transaction_open"
	// Of questions that are not put again: what they ask for takes too long, or is too much.
	kindLong      = "postgres_long_question"
	kindManyEdges = "postgres_many_edges"
)

// fail gives err its kind and remedy. An end that the caller brought about
// itself stays recognisable as ctx.Err(). What is an error of ClassInput stays as it
// is however often one asks: the row is to be corrected.
func (l *Ledger) fail(ctx context.Context, doing string, err error) error {
	if known, ok := errors.AsType[*brimline.Error](err); ok {
		return known
	}
	if errors.Is(err, sliding.ErrManyRows) {
		return fmt.Errorf("%s: %s: %w", l.where, doing, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %s: %w", l.where, doing, ctx.Err())
	}
	e := &brimline.Error{Class: brimline.ClassEnvironment, Where: l.where + ": " + doing, Err: postgres.Cause(err)}
	if behind, ok := errors.AsType[*notYet](err); ok {
		e.Kind, e.Remedy, e.Err = kindBehind, "check the replication lag of the replica, or ask the primary (verify: on)", err
		if !behind.sight.recovering {
			e.Kind, e.Remedy = kindOpen, "look for it in pg_stat_activity: it is idle, long, or waits for a synchronous standby"
		}
		return e
	}
	if errors.Is(err, errAltered) {
		e.Kind, e.Remedy = postgres.KindBusy, "wait until the table is left alone"
		return e
	}
	f := postgres.Classify(err)
	e.Kind, e.Remedy = f.Kind, f.Remedy
	switch f.Kind {
	case postgres.KindTimeout:
		e.Remedy = fmt.Sprintf("check the load of PostgreSQL, and that there is an index on (%s, %s)",
			quote(l.o.Columns.User), quote(l.o.Columns.Time))
	case postgres.KindPermission:
		schema, _ := splitTable(l.o.Table)
		e.Remedy = fmt.Sprintf("GRANT USAGE ON SCHEMA %s and GRANT SELECT (%s) ON %s to this login",
			quote(schema), strings.Join(l.selected(), ", "), quoteTable(l.o.Table))
	case postgres.KindRowSecurity:
		e.Remedy = "ALTER ROLE " + quote(l.target.User()) + " BYPASSRLS: a policy that hides rows would make totals too low"
	case postgres.KindValue:
		e.Class = brimline.ClassInput
	}
	return e
}

// stale reports whether err may come from a table that was altered or
// replaced, or from a user id that the table cannot have.
func stale(err error) bool {
	return postgres.Classify(err).Kind == postgres.KindMissing || isState(err, "0A000") || dataException(err)
}

// dataException reports whether a value could not be converted or computed with.
func dataException(err error) bool { return isState(err, "22") }

// isState reports whether err is PostgreSQL's, with an SQLSTATE that begins so.
func isState(err error, code string) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && strings.HasPrefix(pg.Code, code)
}
