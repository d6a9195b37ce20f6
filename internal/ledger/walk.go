package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// Walk is a reading of all users' rows.
type Walk struct {
	From, To brimline.Time // both are included
	// Whole has the key and the further columns read as well, as a where expression needs them.
	Whole bool
	// Timeout bounds each statement on the server; 0 is that of a question. The first statement sorts all
	// rows where no index has their order.
	Timeout time.Duration
}

// fetchedRows is how many rows of a walk come at once.
const fetchedRows = 10_000

// walkTries is how often a walk begins that is cut off by a standby's replay, or finds the table altered.
const walkTries = 4

// Walk reads the rows whose time is in a walk's span and whose amount is not NULL: those of a user together and by
// time, users in any order, all as they were at one moment. begin is called at each try, and gives what takes
// the rows of that try; a row is good until the next one. A walk is tried again where a standby's replay
// ended it, for a row that it could not keep. It gives the server's write-ahead log position after the
// moment. Memory does not depend on the number of rows.
func (l *Ledger) Walk(
	ctx context.Context, w Walk, begin func() (take func(*brimline.Transaction) error, err error),
) (lsn uint64, err error) {
	const doing = "reading all rows"
	if w.Timeout == 0 {
		w.Timeout = l.o.Timeout
	}
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	conn, err := l.slow.Acquire(bound)
	cancel()
	if err != nil {
		return 0, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	for tried := 1; ; tried++ {
		take, err := begin()
		if err != nil {
			return 0, err
		}
		lsn, err := l.walk(ctx, conn.Conn(), w, take)
		conflict := isState(err, "40001")
		switch {
		case err == nil:
			return lsn, nil
		case conflict && tried == walkTries:
			return 0, l.replayed(doing, err)
		case tried < walkTries && (conflict || errors.Is(err, errElsewhere)):
		case tried < walkTries && (errors.Is(err, errAltered) || stale(err)):
			bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
			was := l.layout.Load()
			found, failure := l.look(bound, conn.Conn())
			cancel()
			if failure != nil {
				return 0, l.fail(ctx, doing, failure)
			}
			l.layout.Store(found)
			if found.signature == was.signature && !errors.Is(err, errAltered) {
				return 0, l.fail(ctx, doing, err)
			}
		default:
			return 0, l.fail(ctx, doing, err)
		}
	}
}

// replayed is the error of a reading that a standby's replay has ended again and again.
func (l *Ledger) replayed(doing string, err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: postgres.KindBusy, Where: l.where + ": " + doing, Err: postgres.Cause(err),
		Remedy: "set hot_standby_feedback = on at the standby, raise its max_standby_streaming_delay, or ask the primary",
	}
}

// walk is one try. The table cannot be altered while the cursor is open, and was the same before it was.
func (l *Ledger) walk(
	ctx context.Context, conn *pgx.Conn, w Walk, take func(*brimline.Transaction) error,
) (lsn uint64, err error) {
	as := l.layout.Load()
	before, err := l.Long().stand(ctx, conn, nil)
	if err != nil {
		return 0, err
	}
	snapshot, err := postgres.BeginSnapshot(ctx, conn, w.Timeout)
	if err != nil {
		return 0, err
	}
	defer snapshot.End(ctx)
	none := func(rows pgx.Rows) error { rows.Close(); return nil }
	declare := "DECLARE walk NO SCROLL CURSOR FOR " + as.sql.walk
	if w.Whole {
		declare = "DECLARE walk NO SCROLL CURSOR FOR " + as.sql.walkWhole
	}
	if err := snapshot.Read(ctx, declare, []any{lowest(w.From), highest(w.To)}, none); err != nil {
		return 0, err
	}
	var now ground
	err = snapshot.Read(ctx, groundSQL, []any{quoteTable(l.o.Table), l.needed()}, func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, []any{&now.signature, &now.server, &now.files, &now.position},
			func() error { return nil })
		return err
	})
	switch {
	case err != nil:
		return 0, err
	case now.server != before.server:
		return 0, errElsewhere
	case now.signature != as.signature || before.signature != as.signature || now.files != before.files:
		return 0, errAltered
	}
	var user string
	scan := l.amountScan(&user)
	if w.Whole {
		scan = l.newRowScan("", as, &user)
	}
	// It is described each time: what it gives depends on the cursor, which its text does not say.
	fetch := fmt.Sprintf("FETCH FORWARD %d FROM walk", fetchedRows)
	for fetched := fetchedRows; fetched == fetchedRows; {
		if err := l.pause(snapshot); err != nil {
			return 0, err
		}
		fetched = 0
		err := snapshot.Read(ctx, fetch, []any{pgx.QueryExecModeDescribeExec}, func(rows pgx.Rows) error {
			for ; rows.Next(); fetched++ {
				row, err := scan(rows)
				if err != nil {
					return err
				}
				row.User = user
				if err := take(&row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return 0, err
		}
	}
	return brimline.ParseLSN(now.position)
}

// walks writes the statements of walks: $1 is the lowest time, $2 the highest. Where the user's type takes different
// texts for equal, the order is that of the texts, which no index on the column has.
func (l *layout) walks(o *Options, table, exact string, columns []string) (amounts, whole string) {
	user, stamp := l.columns[o.Columns.User], quote(o.Columns.Time)
	text, order := user.text(o.Columns.User), quote(o.Columns.User)
	if user.loose || user.kind == "numeric" && user.anyScale {
		order = text + ` COLLATE pg_catalog."C"`
	}
	from := fmt.Sprintf(`FROM %s WHERE %s >= $1::pg_catalog.%s AND %[2]s <= $2::pg_catalog.%[3]s
		AND %[4]s IS NOT NULL AND %[5]s IS NOT NULL ORDER BY %[6]s, %[2]s`,
		table, stamp, l.time, quote(o.Columns.Amount), quote(o.Columns.User), order)
	return fmt.Sprintf("SELECT %s, %s, %s %s", text, stamp, exact, from),
		fmt.Sprintf("SELECT %s, %s %s", text, strings.Join(columns, ", "), from)
}

// Index says whether a valid index of the table begins with the user's and the time's column, how many bytes the
// table's rows take, and the statement that makes such an index. Where there is one, questions about many users read it
// user by user from then on.
func (l *Ledger) Index(ctx context.Context) (there bool, bytes int64, create string, err error) {
	const doing = "looking for an index"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return false, 0, "", l.fail(ctx, doing, err)
	}
	defer conn.Release()
	var partitioned bool
	err = postgres.Ask(bound, conn.Conn(), l.o.Timeout, func(b *pgx.Batch) {
		b.Queue(indexSQL, quoteTable(l.o.Table), l.o.Columns.User, l.o.Columns.Time)
	}, func(results pgx.BatchResults) error { return results.QueryRow().Scan(&there, &bytes, &partitioned) })
	if err != nil {
		return false, 0, "", l.fail(ctx, doing, err)
	}
	l.userByUser.Store(there)
	concurrently := " CONCURRENTLY"
	if partitioned { // not offered for partitioned tables
		concurrently = ""
	}
	create = fmt.Sprintf("CREATE INDEX%s ON %s (%s, %s)", concurrently, quoteTable(l.o.Table), quote(l.o.Columns.User),
		quote(l.o.Columns.Time))
	return there, bytes, create, nil
}

const indexSQL = `SELECT EXISTS (SELECT FROM pg_catalog.pg_index i
		JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_am m ON m.oid = c.relam
		JOIN pg_catalog.pg_attribute u ON u.attrelid = i.indrelid AND u.attnum = i.indkey[0] AND u.attname = $2
		JOIN pg_catalog.pg_attribute t ON t.attrelid = i.indrelid AND t.attnum = i.indkey[1] AND t.attname = $3
		WHERE i.indrelid = r.oid AND i.indisvalid AND i.indisready AND i.indpred IS NULL AND m.amname = 'btree'
			AND i.indnkeyatts >= 2),
	coalesce((SELECT pg_catalog.sum(pg_catalog.pg_relation_size(p.relid))::pg_catalog.int8
		FROM pg_catalog.pg_partition_tree(r.oid) AS p), pg_catalog.pg_relation_size(r.oid)), r.relkind = 'p'
	FROM pg_catalog.pg_class r WHERE r.oid = pg_catalog.to_regclass($1)`
