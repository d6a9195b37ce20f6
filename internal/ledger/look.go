package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// Look is one snapshot of the whole table: all that is read in it is as at one moment.
type Look struct {
	// LSN is the server's write-ahead log position before the snapshot: what it had shown below that is in it.
	LSN uint64

	l        *Ledger
	as       *layout
	snapshot *postgres.Snapshot
}

// lookTries is how often a look is begun where a standby ends it because it has to replay something.
const lookTries = 5

// positionSQL is the log position, as in endSQL.
const positionSQL = `SELECT (CASE WHEN pg_catalog.pg_is_in_recovery()
	THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END)::pg_catalog.text`

// Look has work read the table in one snapshot. It is called again where a standby, or a change of the table, ended the
// one before.
func (l *Ledger) Look(ctx context.Context, work func(*Look) error) error {
	const doing = "reading the whole table"
	for try := 1; ; try++ {
		err := l.lookOnce(ctx, work)
		conflict := isState(err, "40001")
		switch {
		case err == nil:
			return nil
		case ctx.Err() == nil && try < lookTries && (conflict || errors.Is(err, errAltered)):
		case ctx.Err() == nil && conflict:
			return l.replayed(doing, err)
		default:
			return l.fail(ctx, doing, err)
		}
	}
}

func (l *Ledger) lookOnce(ctx context.Context, work func(*Look) error) error {
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.slow.Acquire(bound)
	if err != nil {
		return err
	}
	defer conn.Release()
	k := &Look{l: l}
	if k.as, err = l.look(bound, conn.Conn()); err != nil {
		return err
	}
	var position string
	err = postgres.Ask(bound, conn.Conn(), l.o.Timeout,
		func(b *pgx.Batch) { b.Queue(positionSQL) },
		func(results pgx.BatchResults) error { return results.QueryRow().Scan(&position) })
	if err != nil {
		return err
	}
	if k.LSN, err = brimline.ParseLSN(position); err != nil {
		return err
	}
	if k.snapshot, err = postgres.BeginSnapshot(ctx, conn.Conn(), l.o.Timeout); err != nil {
		return err
	}
	defer k.snapshot.End(ctx)
	// A window that does not fit takes time with the square of its rows.
	setting := "SELECT pg_catalog.set_config('work_mem', '64MB', true), " + signatureSQL
	var ignored, signature string
	err = k.snapshot.Read(ctx, setting, []any{quoteTable(l.o.Table), l.needed()}, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&ignored, &signature}, func() error { return nil })
		return err
	})
	switch {
	case err != nil:
		return err
	case signature != k.as.signature:
		return errAltered
	}
	return work(k)
}

// TimeType is the type of times in SQL.
func (k *Look) TimeType() string { return "pg_catalog." + string(k.as.time) }

// who is the user's column as text.
func (k *Look) who() string {
	c := k.as.columns[k.l.o.Columns.User]
	return "(" + c.text(k.l.o.Columns.User) + `) COLLATE pg_catalog."C"`
}

// from are the rows with times from $a to $a+1, where user is set of the one who is $a+4.
func (k *Look) from(user *string, a int) string {
	o := &k.l.o
	sql := fmt.Sprintf("FROM %s WHERE %s >= $%d::%s AND %[2]s <= $%[5]d::%[4]s AND %[6]s IS NOT NULL AND %s IS NOT NULL",
		k.as.sql.table, quote(o.Columns.Time), a, k.TimeType(), a+1, quote(o.Columns.Amount), quote(o.Columns.User))
	if user != nil {
		c := k.as.columns[o.Columns.User]
		sql += " AND " + c.is(o.Columns.User, fmt.Sprintf("$%d", a+4))
	}
	return sql
}

// Relation is the table as a relation in SQL, with user_id, "timestamp" and amount in whole units: the rows from $3 to
// $4, of all users, or of $7.
func (k *Look) Relation(user *string) string {
	return fmt.Sprintf(`(SELECT %s AS user_id, %s AS "timestamp", %s AS amount %s)`, k.who(),
		quote(k.l.o.Columns.Time), k.as.sql.exact, k.from(user, 3))
}

// Span says which edges a question is about.
type Span struct {
	From, To brimline.Time // of the edges, both closed
	User     *string       // nil for all
}

// Edges asks a statement of internal/reference about Relation, with the window as an interval and the limit in $1 and
// $2, the edges' span in $5 and $6, and calls found for each edge.
func (k *Look) Edges(
	ctx context.Context, sql, window string, rule *brimline.Rule, span Span,
	found func(user string, at brimline.Time, f brimline.Figures),
) error {
	scale := rule.Measure.Scale(k.l.o.Scale)
	args := []any{window, rule.Limit.Format(scale), lowest(span.From.Add(-rule.Window)), highest(span.To),
		lowest(span.From), highest(span.To)}
	if span.User != nil {
		args = append(args, *span.User)
	}
	return k.snapshot.Read(ctx, sql, args, func(rows pgx.Rows) error {
		var user, before, total string
		var at instant
		var f brimline.Figures
		_, err := pgx.ForEachRow(rows, []any{&user, &at, &before, &total, &f.Count}, func() (err error) {
			if f.Before, err = k.l.total(before, scale); err == nil {
				f.Total, err = k.l.total(total, scale)
			}
			if err == nil {
				found(user, at.at, f)
			}
			return err
		})
		return err
	})
}

// Rows calls take for each row with a time from from to to, by user and time; of all users where user is nil.
func (k *Look) Rows(
	ctx context.Context, from, to brimline.Time, user *string, take func(*brimline.Transaction),
) error {
	o := &k.l.o
	columns := []string{k.who() + " AS who", quote(o.Columns.Time), "(" + k.as.sql.exact + ")::pg_catalog.text"}
	for _, name := range o.Columns.ID {
		columns = append(columns, k.as.value(name))
	}
	for _, c := range o.Extra {
		columns = append(columns, k.as.value(c.Name))
	}
	args := []any{lowest(from), highest(to)}
	condition := k.from(user, 1)
	if user != nil {
		condition = strings.ReplaceAll(condition, "$5", "$3")
		args = append(args, *user)
	}
	sql := fmt.Sprintf("SELECT %s %s ORDER BY who, %s", strings.Join(columns, ", "), condition, quote(o.Columns.Time))
	return k.snapshot.Read(ctx, sql, args, func(rows pgx.Rows) error {
		var who string
		for scan := k.l.newRowScan("", k.as, &who); rows.Next(); {
			row, err := scan(rows)
			if err != nil {
				return err
			}
			row.User = who
			take(&row)
		}
		return rows.Err()
	})
}

// Indexing is how a table can be read by time alone.
type Indexing struct {
	Rows      int64  // about how many there are
	Indexed   bool   // whether an index begins with the time column
	Statement string // that makes one
}

const indexingSQL = `SELECT greatest(c.reltuples, pg_catalog.pg_relation_size(c.oid) / 200, (
		SELECT pg_catalog.sum(greatest(p.reltuples, pg_catalog.pg_relation_size(p.oid) / 200))
		FROM pg_catalog.pg_partition_tree(c.oid) t JOIN pg_catalog.pg_class p ON p.oid = t.relid WHERE t.isleaf
	))::pg_catalog.int8, EXISTS (
		SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
		WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL AND a.attname = $3), c.relkind = 'p'
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE n.nspname = $1 AND c.relname = $2`

// Indexing looks into the catalog.
func (l *Ledger) Indexing(ctx context.Context) (x Indexing, err error) {
	const doing = "looking for an index"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return x, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	schema, name := splitTable(l.o.Table)
	var partitioned bool
	err = postgres.Ask(bound, conn.Conn(), l.o.Timeout,
		func(b *pgx.Batch) { b.Queue(indexingSQL, schema, name, l.o.Columns.Time) },
		func(results pgx.BatchResults) error {
			return results.QueryRow().Scan(&x.Rows, &x.Indexed, &partitioned)
		})
	if err != nil {
		return x, l.fail(ctx, doing, err)
	}
	how := "CREATE INDEX CONCURRENTLY"
	if partitioned { // there is no such thing for the whole of one
		how = "CREATE INDEX"
	}
	x.Statement = fmt.Sprintf("%s ON %s (%s)", how, quoteTable(l.o.Table), quote(l.o.Columns.Time))
	return x, nil
}
