package ledger

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Columns names the columns of the watched table that every row has.
type Columns struct {
	ID     []string // primary key, in its order
	User   string   // any type that has a cast from text
	Amount string   // numeric, smallint, integer or bigint
	Time   string   // timestamptz, or timestamp taken as UTC
}

// Options say where the rows are and how to ask for them.
type Options struct {
	// URL is a PostgreSQL URL or keyword string; what it leaves out comes from
	// PGPASSWORD, ~/.pgpass and libpq's other ways. It never appears in an error.
	// Behind a transaction pooler add default_query_exec_mode=cache_describe, and let the
	// pooler ignore the start-up parameters that Open sets.
	URL string
	// Table is schema.name; without a schema, public is meant.
	Table   string
	Columns Columns
	// Extra are further columns, fetched for rules with a where expression.
	Extra []brimline.Column
	// Scale is the number of decimals of amounts, as everywhere in the group. A
	// sum with more decimals is an error, never a rounding.
	Scale int
	// Replica waits before each question until the server has replayed the
	// transaction in question. Harmless on a primary, where nothing is replayed.
	Replica bool
	// MaxConns bounds the connections; 0 is 8. They are opened when needed.
	MaxConns int
	// Timeout bounds one question, on this side and as statement_timeout on the
	// server, and separately the wait for a replica; 0 is 10 s.
	Timeout time.Duration
	// Name is shown in pg_stat_activity; empty is "brimline".
	Name string
}

// Ledger asks one table. Safe for concurrent use.
type Ledger struct {
	pool  *pgxpool.Pool
	o     Options
	where string // for errors: server, database and table
	time  timeType
	sql   statements
	// settled is what the primary said last: all transactions below it have ended; 0 while it has not been asked.
	settled atomic.Uint64
}

// Open connects, looks the columns up in the catalog and checks that they can
// be read. It fails where PostgreSQL is away (Temporary) as well as where the
// table, a column or a right is missing.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	o = o.withDefaults()
	config, err := o.poolConfig()
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, o.badURL(err)
	}
	l := &Ledger{pool: pool, o: o, where: o.describe(config.ConnConfig)}
	if err := l.prepare(ctx); err != nil {
		pool.Close()
		return nil, err
	}
	return l, nil
}

// Close ends all connections.
func (l *Ledger) Close() { l.pool.Close() }

// Ping reports whether PostgreSQL answers.
func (l *Ledger) Ping(ctx context.Context) error {
	return l.ask(ctx, nil, "pinging", func(ctx context.Context, c *pgx.Conn) error { return c.Ping(ctx) })
}

// Figures are the rule's figures for user at time at, and the server's
// write-ahead log position after the answer. after are the changes that the
// question comes from; a replica is asked once it has their transactions.
func (l *Ledger) Figures(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source) (f brimline.Figures, lsn uint64, err error) {
	if rule.Takes != nil {
		rows, lsn, err := l.Rows(ctx, user, at.Add(-rule.Window), at, after...)
		if err != nil {
			return f, 0, err
		}
		return sliding.FiguresAt(rows, rule, at), lsn, nil
	}
	sql, err := l.sql.figures(rule.Measure)
	if err != nil {
		return f, 0, err
	}
	var before, total, position string
	err = l.ask(ctx, after, "asking for a total", func(ctx context.Context, c *pgx.Conn) error {
		return c.QueryRow(ctx, sql, user, lowest(at.Add(-rule.Window)), highest(at)).Scan(&before, &total, &f.Count, &position)
	})
	if err != nil {
		return f, 0, err
	}
	scale := rule.Measure.Scale(l.o.Scale)
	if f.Before, err = l.total(before, scale); err != nil {
		return f, 0, err
	}
	if f.Total, err = l.total(total, scale); err != nil {
		return f, 0, err
	}
	lsn, err = parseLSN(position)
	return f, lsn, err
}

// AsOf is the rule's total and count over the window that ends at at.
func (l *Ledger) AsOf(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time) (brimline.AsOf, error) {
	f, _, err := l.Figures(ctx, user, rule, at)
	return brimline.AsOf{At: at, Total: f.Total, Count: f.Count}, err
}

// Edges are the times of all edges of user in [from, to], and the server's
// write-ahead log position after the answer. It fetches the rows from
// from-Window on, so its cost is theirs.
func (l *Ledger) Edges(ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after ...brimline.Source) ([]brimline.Time, uint64, error) {
	fetch := l.Rows
	if rule.Takes == nil {
		fetch = l.amounts
	}
	rows, lsn, err := fetch(ctx, user, from.Add(-rule.Window), to, after...)
	if err != nil {
		return nil, 0, err
	}
	var times []brimline.Time
	for _, e := range sliding.Edges(rows, rule, from, to) {
		times = append(times, e.Time)
	}
	return times, lsn, nil
}

// Rows are user's rows with all columns, from ≤ time ≤ to, by time and id, and
// the server's write-ahead log position after the answer.
func (l *Ledger) Rows(ctx context.Context, user string, from, to brimline.Time, after ...brimline.Source) ([]brimline.Transaction, uint64, error) {
	return l.fetch(ctx, l.sql.rows, l.newRowScan(user), user, from, to, after)
}

// amounts are rows of which only time and amount are filled in.
func (l *Ledger) amounts(ctx context.Context, user string, from, to brimline.Time, after ...brimline.Source) ([]brimline.Transaction, uint64, error) {
	return l.fetch(ctx, l.sql.amounts, l.newAmountScan(), user, from, to, after)
}

func (l *Ledger) fetch(ctx context.Context, sql string, scan rowScan, user string, from, to brimline.Time, after []brimline.Source) (rows []brimline.Transaction, lsn uint64, err error) {
	var position string
	err = l.ask(ctx, after, "fetching rows", func(ctx context.Context, c *pgx.Conn) error {
		// Both in one round trip, the position after the rows.
		batch := &pgx.Batch{}
		batch.Queue(sql, user, lowest(from), highest(to))
		batch.Queue("SELECT " + positionSQL)
		results := c.SendBatch(ctx, batch)
		defer results.Close()
		found, err := results.Query()
		if err != nil {
			return err
		}
		defer found.Close()
		for found.Next() {
			row, err := scan(found)
			if err != nil {
				return err
			}
			rows = append(rows, row)
		}
		if err := found.Err(); err != nil {
			return err
		}
		return results.QueryRow().Scan(&position)
	})
	if err != nil {
		return nil, 0, err
	}
	if lsn, err = parseLSN(position); err != nil {
		return nil, 0, err
	}
	sortRows(rows)
	return rows, lsn, nil
}

// ask runs one question on one connection, once the rows of after are visible
// there: a URL with several hosts reaches replicas that are not equally far.
func (l *Ledger) ask(ctx context.Context, after []brimline.Source, doing string, question func(context.Context, *pgx.Conn) error) error {
	wait, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(wait)
	if err != nil {
		return l.fail(ctx, doing, err)
	}
	defer conn.Release()
	for i := range after {
		if l.o.Replica && after[i].LSN != 0 || !l.o.Replica && !l.isSettled(after[i]) {
			if err := l.await(wait, conn.Conn(), after[i]); err != nil {
				return l.fail(ctx, doing, err)
			}
		}
	}
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	if err := question(bound, conn.Conn()); err != nil {
		return l.fail(ctx, doing, err)
	}
	return nil
}
