package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Columns names the columns of the watched table that every row has.
type Columns struct {
	ID     []string // primary key, in its order
	User   string   // an integer, numeric, text, enum, uuid or network address
	Amount string   // numeric, smallint, integer or bigint
	Time   string   // timestamptz, or timestamp taken as UTC
}

// Options say where the rows are and how to ask for them.
type Options struct {
	// URL is a PostgreSQL URL or keyword string, as package postgres reads it.
	// Behind a pooler in transaction mode that keeps no prepared statements add
	// default_query_exec_mode=cache_describe.
	URL string
	// Table is schema.name; without a schema, public is meant.
	Table   string
	Columns Columns
	// Extra are further columns, fetched for rules with a where expression.
	Extra []brimline.Column
	// Scale is the number of decimals of amounts, as everywhere in the group. A
	// sum with more decimals is an error, never a rounding.
	Scale int
	// MinorUnits is how many decimals the unit has that the amount column counts:
	// 2 for a bigint of cents. Only columns of whole numbers can have one.
	MinorUnits int
	// Replica tells that the server is mostly behind: it is asked only once it is
	// seen to have replayed the transaction in question. Harmless on a primary.
	Replica bool
	// MaxConns bounds the connections; 0 is 8. They are opened when needed.
	MaxConns int
	// MaxLong bounds the further connections for questions in pieces; 0 is 2.
	MaxLong int
	// Timeout bounds one question, on this side and as statement_timeout on the
	// server, and separately the wait for a replica; 0 is 10 s.
	Timeout time.Duration
	// Name is shown in pg_stat_activity; empty is "brimline".
	Name string
}

// Ledger asks one table. Safe for concurrent use.
type Ledger struct {
	target *postgres.Target
	pool   *pgxpool.Pool
	o      Options
	where  string // for errors: servers, database and table
	layout atomic.Pointer[layout]
	// settled is the last answer of a primary; nil while none was asked.
	settled atomic.Pointer[settled]
	sizes   sizes
	slow    *pgxpool.Pool // for questions in pieces
	// userByUser says that an index has the rows of each user, see Index.
	userByUser atomic.Bool
	// pause is called before each statement of a question in pieces, for tests that change something there. Its error
	// is the statement's.
	pause func(*postgres.Snapshot) error
}

// sizes say how many rows a statement reads.
type sizes struct {
	fetched, summed int // by a question in one statement; it is refused where there are as many
	page, piece     int // by one of a question in pieces: that fetches rows, that sums them up
	span            int // by one that sums up what comes into the windows of a span
}

// Fetched rows cost this process memory and the time to read them, summed ones cost the server some 0.2 µs each.
var defaultSizes = sizes{
	fetched: failpoint.StatementRows(10_000), summed: failpoint.StatementRows(50_000),
	page: failpoint.StatementRows(10_000), piece: failpoint.StatementRows(250_000), span: failpoint.StatementRows(25_000),
}

// Open connects, looks the columns up in the catalog and checks that they can
// be read. It fails where PostgreSQL is away as well as where the table, a
// column or a right is missing.
func Open(ctx context.Context, o Options) (*Ledger, error) {
	o = o.withDefaults()
	if o.MinorUnits < 0 || o.MinorUnits > brimline.MaxScale {
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--amount-minor-units",
			Remedy: "write the number of decimals that the column's unit has, 2 for cents",
			Err:    fmt.Errorf("%d is not between 0 and %d", o.MinorUnits, brimline.MaxScale),
		}
	}
	target, err := postgres.Parse(o.URL)
	if err != nil {
		return nil, err
	}
	l := &Ledger{
		target: target,
		o:      o,
		where:  target.Place() + ", table " + quoteTable(o.Table),
		sizes:  defaultSizes,
		pause:  func(*postgres.Snapshot) error { return nil },
	}
	if l.pool, err = target.Pool(ctx, o.Name, o.MaxConns, min(5*time.Second, o.Timeout)); err != nil {
		return nil, l.fail(ctx, "connecting", err)
	}
	if l.slow, err = target.Pool(ctx, o.Name, o.MaxLong, min(5*time.Second, o.Timeout)); err == nil {
		err = l.open(ctx)
	}
	if err != nil {
		l.Close()
		return nil, l.fail(ctx, "connecting", err)
	}
	return l, nil
}

func (l *Ledger) open(ctx context.Context) error {
	const doing = "looking up its columns"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return l.fail(ctx, doing, err)
	}
	defer conn.Release()
	found, err := l.look(bound, conn.Conn())
	if err != nil {
		return l.fail(ctx, doing, err)
	}
	l.layout.Store(found)
	return nil
}

// Close ends all connections.
func (l *Ledger) Close() {
	l.pool.Close()
	if l.slow != nil {
		l.slow.Close()
	}
}

// Ping asks PostgreSQL whether it is there, within the time of a question. All connections in use by questions are no
// outage.
func (l *Ledger) Ping(ctx context.Context) error {
	const doing = "looking whether it answers"
	patience, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	err := l.pool.Ping(patience)
	if s := l.pool.Stat(); err == nil || s.AcquiredConns() >= s.MaxConns() {
		return nil // the questions tell
	}
	return l.fail(ctx, doing, err)
}

// Figures are the rule's figures for user at time at, and the server's
// write-ahead log position after the answer. after are the changes that the
// question comes from; a replica is asked once it has their transactions.
// An error that is sliding.ErrManyRows says that Long can answer.
func (l *Ledger) Figures(
	ctx context.Context,
	user string,
	rule *sliding.Rule,
	at brimline.Time,
	after ...brimline.Source,
) (f brimline.Figures, lsn uint64, err error) {
	if rule.NeedsColumns() {
		rows, lsn, err := l.taken(ctx, user, rule, at.Add(-rule.Window), at, after)
		if err != nil {
			return f, 0, err
		}
		return sliding.FiguresAt(rows, withoutTakes(rule), at), lsn, nil
	}
	scale := rule.Measure.Scale(l.o.Scale)
	lsn, err = l.ask(ctx, "asking for a total", after, question{
		user: user, from: at.Add(-rule.Window), to: at, most: l.sizes.summed,
		sql: func(s *statements) (string, error) { return figures(&s.sums, rule.Measure) },
		read: func(rows pgx.Rows, _ *layout) error {
			var before, total string
			var read int
			f = brimline.Figures{}
			_, err := pgx.ForEachRow(rows, []any{&before, &total, &f.Count, &f.Earlier, &read}, func() (err error) {
				if rule.Measure != brimline.Avg {
					f.Earlier = 0
				}
				if read >= l.sizes.summed {
					return sliding.ErrManyRows
				}
				if f.Before, err = l.total(before, scale); err != nil {
					return err
				}
				f.Total, err = l.total(total, scale)
				return err
			})
			return err
		},
	})
	return f, lsn, err
}

// AsOf is the rule's total and count over the window that ends at at.
func (l *Ledger) AsOf(ctx context.Context, user string, rule *sliding.Rule, at brimline.Time) (brimline.AsOf, error) {
	f, _, err := l.Figures(ctx, user, rule, at)
	return brimline.AsOf{At: at, Total: f.Total, Count: f.Count}, err
}

// Crossing is Figures, and says whether an edge at that time is silent, by the rows of one moment. It fetches the rows
// from at-Quiet-Window on; where they are many, the error is sliding.ErrManyRows, and Long can answer.
func (l *Ledger) Crossing(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source,
) (f brimline.Figures, silent bool, lsn uint64, err error) {
	taken := withoutTakes(rule)
	for tried := 0; ; tried++ {
		since := rule.Since(at, tried)
		rows, lsn, err := l.taken(ctx, user, rule, since.Add(-rule.Window), at, after)
		if err != nil {
			return f, false, 0, err
		}
		f = sliding.FiguresAt(rows, taken, at)
		if alerts, sure := sliding.Alerts(rows, taken, since, at, at); sure || !rule.IsEdge(f) {
			return f, rule.IsEdge(f) && len(alerts) == 0, lsn, nil
		}
	}
}

// Edges are the times of all edges of user in [from, to] that raise alerts, and the server's
// write-ahead log position after the answer. It fetches the rows from
// from-Quiet-Window on; where they are many, the error is sliding.ErrManyRows, and Long can answer.
func (l *Ledger) Edges(
	ctx context.Context,
	user string,
	rule *sliding.Rule,
	from, to brimline.Time,
	after ...brimline.Source,
) ([]brimline.Time, uint64, error) {
	for tried := 0; ; tried++ {
		since := rule.Since(from, tried)
		rows, lsn, err := l.taken(ctx, user, rule, since.Add(-rule.Window), to, after)
		if err != nil {
			return nil, 0, err
		}
		if alerts, sure := sliding.Alerts(rows, withoutTakes(rule), since, from, to); sure {
			return alerts, lsn, nil
		}
	}
}

// kept leaves of a row that the rule takes the time, the amount and the rule's column.
func kept(rule *sliding.Rule, row *brimline.Transaction) brimline.Transaction {
	t := brimline.Transaction{Amount: row.Amount, Time: row.Time}
	if value, there := row.Column(rule.Column); there && rule.Value != nil {
		t.Columns = []brimline.Field{{Name: rule.Column, Value: value}}
	}
	return t
}

// withoutTakes is the rule for rows that it takes.
func withoutTakes(rule *sliding.Rule) *sliding.Rule {
	r := *rule
	r.Takes = nil
	return &r
}

// rowsOf says how to fetch what a rule needs of a row.
func (l *Ledger) rowsOf(
	user string,
	rule *sliding.Rule,
) (some, page func(*statements) (string, error), newScan func(*layout) rowScan) {
	if !rule.NeedsColumns() {
		return func(s *statements) (string, error) { return s.amounts, nil },
			func(s *statements) (string, error) { return s.amountsPage, nil }, l.newAmountScan
	}
	return func(s *statements) (string, error) { return s.rows, nil },
		func(s *statements) (string, error) { return s.rowsPage, nil },
		func(found *layout) rowScan { return l.newRowScan(user, found) }
}

// taken are times and amounts of the rows from ≤ time ≤ to that the rule takes, by time, and the column whose values
// it counts. No more of them is kept: a row's columns may be large.
func (l *Ledger) taken(
	ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after []brimline.Source,
) (rows []brimline.Transaction, lsn uint64, err error) {
	sql, _, newScan := l.rowsOf(user, rule)
	lsn, err = l.ask(ctx, "fetching rows", after, question{
		user: user, from: from, to: to, sql: sql, most: l.sizes.fetched,
		read: func(found pgx.Rows, as *layout) error {
			defer found.Close()
			rows = nil
			read := 0
			for scan := newScan(as); found.Next(); read++ {
				row, err := scan(found)
				if err != nil {
					return err
				}
				if rule.Takes == nil || rule.Takes(&row) {
					rows = append(rows, kept(rule, &row))
				}
			}
			if read >= l.sizes.fetched {
				return sliding.ErrManyRows
			}
			return found.Err()
		},
	})
	return rows, lsn, err
}

// question is one statement about one user and a span of time, or several.
type question struct {
	user      string
	from, to  brimline.Time
	stretches []stretch // in place of from and to where it is not nil
	most      int       // rows to read
	sql       func(*statements) (string, error)
	read      func(pgx.Rows, *layout) error // may be called again: only the last answer counts
	// impossible tells that the table cannot have such a user, and so no row: only the end is asked.
	impossible bool
}

// errElsewhere says that another server answered than the one that is known.
var errElsewhere = errors.New("another server answered")

// errAltered says that the table is not what it was when the question was written.
var errAltered = errors.New("the table has been altered")

// ask gets one question answered by one server, with everything of after
// visible there: a URL with several hosts reaches replicas that are not equally
// far. It gives the write-ahead log position after the answer.
func (l *Ledger) ask(ctx context.Context, doing string, after []brimline.Source, q question) (lsn uint64, err error) {
	patience, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(patience)
	if err != nil {
		return 0, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	after = known(after)
	if l.o.Replica && len(after) > 0 { // it is behind more often than not
		if err := l.await(patience, conn.Conn(), after, nil); err != nil {
			return 0, l.fail(ctx, doing, err)
		}
	}
	heard := l.settled.Load()
	for attempt := 0; ; attempt++ {
		as := l.layout.Load()
		lsn, err = l.answer(ctx, conn.Conn(), as, after, heard, q)
		behind, isBehind := errors.AsType[*notYet](err)
		switch {
		case err == nil:
			return lsn, nil
		case errors.Is(err, errElsewhere):
			heard = nil
		case isBehind:
			if err := l.await(patience, conn.Conn(), []brimline.Source{behind.src}, behind); err != nil {
				return 0, l.fail(ctx, doing, err)
			}
		case attempt < 3 && (errors.Is(err, errAltered) || stale(err)):
			bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
			again, failure := l.reconsider(bound, conn.Conn(), as, err, &q)
			cancel()
			if failure != nil {
				return 0, l.fail(ctx, doing, failure)
			} else if !again {
				return 0, l.fail(ctx, doing, err)
			}
		default:
			return 0, l.fail(ctx, doing, err)
		}
	}
}

// known are the changes of which there is something to wait for.
func known(after []brimline.Source) []brimline.Source {
	return slices.DeleteFunc(slices.Clone(after), func(s brimline.Source) bool { return s.TxID == 0 && s.LSN == 0 })
}

// answer sends a question in one round trip with all that makes its answer
// worth believing: what is visible before it, and the table's layout after it.
// What a primary is known to have ended is not asked about, and the end tells whether it was that primary.
func (l *Ledger) answer(
	ctx context.Context, conn *pgx.Conn, as *layout, after []brimline.Source, known *settled, q question,
) (lsn uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	sql, err := q.sql(&as.sql)
	if err != nil {
		return 0, err
	}
	trusted := len(after) > 0 && !l.o.Replica && known.hasAll(after)
	if trusted {
		after = nil
	}
	var behind *notYet
	var bad error
	var signature, position string
	var now settled
	err = postgres.Ask(ctx, conn, l.o.Timeout, func(b *pgx.Batch) {
		if len(after) > 0 {
			queueSight(b, after)
		}
		if !q.impossible {
			low, high := q.bounds()
			b.Queue(sql, q.user, low, high, q.most)
		}
		b.Queue(endSQL, quoteTable(l.o.Table), l.needed())
	}, func(results pgx.BatchResults) (err error) {
		if len(after) > 0 {
			if behind, err = see(results, after); err != nil {
				return err
			}
		}
		if !q.impossible {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			if err := q.read(rows, as); err != nil {
				if _, ours := errors.AsType[*brimline.Error](err); !ours && !errors.Is(err, sliding.ErrManyRows) {
					return err
				}
				bad = err // about what was read: the rest of the answer says whether it is to be believed
			}
		}
		return results.QueryRow().Scan(&signature, &position, &now.since, &now.below)
	})
	switch {
	case err != nil:
		return 0, err
	case trusted && (now.since == nil || !now.since.Equal(*known.since)):
		return 0, errElsewhere
	case signature != as.signature:
		return 0, errAltered
	case behind != nil:
		return 0, behind
	case bad != nil:
		return 0, bad
	}
	if now.since != nil {
		l.settled.Store(&now)
	}
	return brimline.ParseLSN(position)
}

// reconsider looks for what may be the reason of a failure other than the
// rows: a table that was altered or replaced since it was looked at as it is in
// as, a user id that its column cannot hold. It reports whether there is sense in asking again.
func (l *Ledger) reconsider(
	ctx context.Context, conn *pgx.Conn, as *layout, reason error, q *question,
) (again bool, err error) {
	if dataException(reason) {
		cast := func(b *pgx.Batch) { b.Queue(as.sql.user, q.user) }
		err := postgres.Ask(ctx, conn, l.o.Timeout, cast, postgres.Done)
		if dataException(err) {
			q.impossible = true
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
	found, err := l.look(ctx, conn)
	if err != nil {
		return false, err
	}
	l.layout.Store(found)
	return found.signature != as.signature || isState(reason, "0A000"), nil
}
