package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
)

// Long asks about users with any number of rows. A question is one transaction
// with one snapshot and many statements, each over the next rows by time, with
// connections of its own. What can be summed is summed by PostgreSQL; of rows
// that are read none is kept, and those that leave the windows are read once
// more. So a question takes some MiB here, whoever it is about (decision 21).
type Long struct{ l *Ledger }

// Long answers what is too much for one statement, and all else.
func (l *Ledger) Long() *Long { return &Long{l} }

// Ping is Ledger's.
func (q *Long) Ping(ctx context.Context) error { return q.l.Ping(ctx) }

// Tries of a question, each with an eighth of the rows in a statement. One takes no longer than longest.
const (
	tries   = 4
	longest = 10 * time.Minute
)

// mostEdges bounds an answer to 8 MiB.
const mostEdges = 1 << 20

// Figures are as of Ledger.
func (q *Long) Figures(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source,
) (f brimline.Figures, lsn uint64, err error) {
	lsn, err = q.ask(ctx, "asking for a total in pieces", user, rule, after, func(r *reading) (err error) {
		f, err = r.figures(at)
		return err
	})
	return f, lsn, err
}

// Crossing is as of Ledger.
func (q *Long) Crossing(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source,
) (f brimline.Figures, silent bool, lsn uint64, err error) {
	lsn, err = q.ask(ctx, "asking for a crossing in pieces", user, rule, after, func(r *reading) (err error) {
		silent = false
		if f, err = r.figures(at); err != nil || !rule.IsEdge(f) {
			return err
		}
		alerts, err := r.alerts(at, at)
		silent = len(alerts) == 0
		return err
	})
	return f, silent, lsn, err
}

// AsOf is as of Ledger.
func (q *Long) AsOf(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time) (brimline.AsOf, error) {
	f, _, err := q.Figures(ctx, user, rule, at)
	return brimline.AsOf{At: at, Total: f.Total, Count: f.Count}, err
}

// Edges are as of Ledger.
func (q *Long) Edges(
	ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after ...brimline.Source,
) (edges []brimline.Time, lsn uint64, err error) {
	lsn, err = q.ask(ctx, "looking for edges in pieces", user, rule, after, func(r *reading) (err error) {
		edges, err = r.alerts(from, to)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return edges, lsn, nil
}

// errTooLong says that a question was not answered within longest.
var errTooLong = fmt.Errorf("it was not answered within %v", longest)

// ask has work read in one snapshot. It tries again with fewer rows in a
// statement where the server ended one of them, and not for ever: what fails
// although the table can be read at once is an error of ClassInput.
func (q *Long) ask(
	ctx context.Context, doing, user string, rule *sliding.Rule, after []brimline.Source, work func(*reading) error,
) (lsn uint64, err error) {
	l := q.l
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	conn, err := l.slow.Acquire(bound)
	cancel()
	if err != nil {
		return 0, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	sizes := l.sizes
	tried, altered := 0, 0
	for {
		as := l.layout.Load()
		r := &reading{q: q, ctx: ctx, user: user, rule: rule, as: as, sizes: sizes, end: time.Now().Add(longest)}
		lsn, err = q.once(ctx, conn.Conn(), r, after, work)
		switch {
		case err == nil:
			return lsn, nil
		case errors.Is(err, errElsewhere) && altered < 3:
			altered++
		case altered < 3 && (errors.Is(err, errAltered) || stale(err)):
			altered++
			bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
			again, failure := l.reconsider(bound, conn.Conn(), as, err, &question{user: user})
			cancel()
			if failure != nil {
				return 0, l.fail(ctx, doing, failure)
			} else if !again && !errors.Is(err, errAltered) {
				return 0, l.fail(ctx, doing, err)
			}
		case errors.Is(err, errTooLong) || isState(err, "57014") || isState(err, "40001"):
			if tried++; tried == tries || errors.Is(err, errTooLong) {
				return 0, q.hopeless(doing, err)
			}
			if err := q.readable(ctx, conn.Conn()); err != nil {
				return 0, l.fail(ctx, doing, err) // the table is locked or the server busy: nothing is said about the user
			}
			sizes.page, sizes.piece, sizes.span = max(sizes.page/8, 1), max(sizes.piece/8, 1), max(sizes.span/8, 1)
		default:
			return 0, l.fail(ctx, doing, err)
		}
	}
}

// readable tries to read none of the table's rows.
func (q *Long) readable(ctx context.Context, conn *pgx.Conn) error {
	bound, cancel := context.WithTimeout(ctx, q.l.o.Timeout)
	defer cancel()
	return postgres.Ask(bound, conn, q.l.o.Timeout, func(b *pgx.Batch) { b.Queue(q.l.trySQL()) }, postgres.Done)
}

func (q *Long) hopeless(doing string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: kindLong, Where: q.l.where + ": " + doing, Err: postgres.Cause(err),
		Remedy: fmt.Sprintf(
			"check that there is an index on (%s, %s) and the load of PostgreSQL, then `brimline deadletter retry`",
			quote(q.l.o.Columns.User),
			quote(q.l.o.Columns.Time),
		),
	}
}

// ground identifies the table's files that an answer rests on. They change whenever a table is rewritten or
// truncated, which empties it for a snapshot that is older.
type ground struct{ signature, server, files, position string }

const groundSQL = `SELECT ` + signatureSQL + `, pg_catalog.pg_postmaster_start_time()::pg_catalog.text,
	pg_catalog.concat_ws(' ', pg_catalog.pg_relation_filenode(pg_catalog.to_regclass($1))::pg_catalog.text,
		(SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', t.relid::pg_catalog.oid::pg_catalog.text,
			pg_catalog.pg_relation_filenode(t.relid)::pg_catalog.text), ',' ORDER BY t.relid)
		FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass($1)) AS t)),
	(CASE WHEN pg_catalog.pg_is_in_recovery()
		THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END)::pg_catalog.text`

// stand gives the ground, once all of after can be seen.
func (q *Long) stand(ctx context.Context, conn *pgx.Conn, after []brimline.Source) (g ground, err error) {
	l := q.l
	patience, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	for {
		var behind *notYet
		err = postgres.Ask(ctx, conn, l.o.Timeout, func(b *pgx.Batch) {
			if len(after) > 0 {
				queueSight(b, after)
			}
			b.Queue(groundSQL, quoteTable(l.o.Table), l.needed())
		}, func(results pgx.BatchResults) (err error) {
			if len(after) > 0 {
				if behind, err = see(results, after); err != nil {
					return err
				}
			}
			return results.QueryRow().Scan(&g.signature, &g.server, &g.files, &g.position)
		})
		if err != nil || behind == nil {
			return g, err
		}
		if err := l.await(patience, conn, []brimline.Source{behind.src}, behind); err != nil {
			return g, err
		}
	}
}

// once puts the question once. The snapshot begins after the changes were seen,
// on the same server; the table was the same before it and is after it, and so
// in between.
func (q *Long) once(
	ctx context.Context, conn *pgx.Conn, r *reading, after []brimline.Source, work func(*reading) error,
) (lsn uint64, err error) {
	before, err := q.stand(ctx, conn, known(after))
	if err != nil {
		return 0, err
	}
	if r.snapshot, err = postgres.BeginSnapshot(ctx, conn, q.l.o.Timeout); err != nil {
		return 0, err
	}
	var server string
	err = r.snapshot.Read(
		ctx,
		"SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text",
		nil,
		func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&server}, func() error { return nil })
			return err
		},
	)
	if err == nil {
		err = work(r)
	}
	r.snapshot.End(ctx)
	if _, ours := errors.AsType[*brimline.Error](err); err != nil && !ours {
		return 0, err
	}
	now, standing := q.stand(ctx, conn, nil)
	switch {
	case standing != nil:
		return 0, standing
	case server != before.server || now.server != server:
		return 0, errElsewhere
	case before.signature != r.as.signature || now.signature != r.as.signature || now.files != before.files:
		return 0, errAltered
	case err != nil:
		return 0, err
	}
	return brimline.ParseLSN(now.position)
}
