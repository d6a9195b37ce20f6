package ledger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// Holding has a window table's rows of one user, to be compared with the watched table.
type Holding struct {
	User string
	From brimline.Time          // rows of before are not compared
	Rows []brimline.Transaction // all rows from then on, in any order
}

// Found is a row of the watched table, also one that no stream can hold.
type Found struct {
	brimline.Transaction
	Text string // the amount as PostgreSQL has it
	Bad  error  // why the row cannot be held, nil where it can
}

// Differing compares the rows of users by their number and a checksum, in one statement, and gives the indices of those
// that are not alike, with a log position below which lies all that PostgreSQL has shown. A user whom the table cannot
// have has no rows.
func (l *Ledger) Differing(ctx context.Context, of []Holding) (differ []int, lsn uint64, err error) {
	err = l.Look(ctx, func(k *Look) error {
		differ = nil
		type sum struct{ rows, check uint64 }
		sums := make([]sum, len(of))
		var n int
		var s sum
		var check string
		users, lows := owners(of)
		err := k.snapshot.Read(ctx, k.sumsSQL(), []any{users, lows, highest(brimline.MaxTime)}, func(rows pgx.Rows) error {
			_, err := pgx.ForEachRow(rows, []any{&n, &s.rows, &check}, func() (err error) {
				if s.check, err = strconv.ParseUint(check, 10, 64); err == nil {
					sums[n-1] = s
				}
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
		for i := range of {
			ours := sum{rows: uint64(len(of[i].Rows))}
			for j := range of[i].Rows {
				ours.check += k.digest(&of[i].Rows[j])
			}
			if ours != sums[i] {
				differ = append(differ, i)
			}
		}
		lsn, err = k.position(ctx)
		return err
	})
	if impossible(err) {
		return l.halves(ctx, of, err, l.Differing)
	}
	return differ, lsn, err
}

// Present reads the rows of users, from each one's time on, in one statement. take is given the index of the user. It
// gives a log position as Differing does. begin is called before the rows of each try.
func (l *Ledger) Present(
	ctx context.Context, of []Holding, begin func(), take func(i int, row *Found),
) (lsn uint64, err error) {
	err = l.Look(ctx, func(k *Look) error {
		begin()
		users, lows := owners(of)
		sql, args := k.presentSQL(), []any{users, lows, highest(brimline.MaxTime)}
		err := k.snapshot.Read(ctx, sql, args, func(rows pgx.Rows) error {
			var n int
			for scan := k.foundScan(&n); rows.Next(); {
				row, err := scan(rows)
				if err != nil {
					return err
				}
				row.User = of[n-1].User
				take(n-1, &row)
			}
			return rows.Err()
		})
		if err == nil {
			lsn, err = k.position(ctx)
		}
		return err
	})
	if !impossible(err) {
		return lsn, err
	}
	begin()
	var all []int // the rows of the halves are taken once each has been read to its end
	var kept []Found
	_, lsn, err = l.halves(ctx, of, err, func(ctx context.Context, half []Holding) ([]int, uint64, error) {
		offset := indexOf(of, half)
		var at []int
		var some []Found
		lsn, err := l.Present(ctx, half, func() { at, some = nil, nil }, func(i int, row *Found) {
			at, some = append(at, offset+i), append(some, *row)
		})
		all, kept = append(all, at...), append(kept, some...)
		return nil, lsn, err
	})
	for i := range kept {
		take(all[i], &kept[i])
	}
	return lsn, err
}

// indexOf is where a part of a list begins in it.
func indexOf(of, part []Holding) int {
	for i := range of {
		if len(part) > 0 && &of[i] == &part[0] {
			return i
		}
	}
	return 0
}

// impossible says whether a statement failed at a value: one of the users may be none of the table's.
func impossible(err error) bool { return dataException(err) || causedByData(err) }

func causedByData(err error) bool {
	e, ok := err.(*brimline.Error) //nolint:errorlint // what is wrapped is looked at by dataException
	return ok && e.Kind == postgres.KindValue
}

// halves asks about both halves apart, until the user is found whom the table cannot have, and who has no rows.
func (l *Ledger) halves(
	ctx context.Context, of []Holding, reason error, ask func(context.Context, []Holding) ([]int, uint64, error),
) (found []int, lsn uint64, err error) {
	if len(of) == 1 {
		if ok, err := l.possible(ctx, of[0].User); err != nil || ok {
			return nil, 0, cmp.Or(err, reason)
		}
		if len(of[0].Rows) > 0 {
			found = []int{0}
		}
		err := l.Look(ctx, func(k *Look) (err error) {
			lsn, err = k.position(ctx)
			return err
		})
		return found, lsn, err
	}
	middle := len(of) / 2
	found, lsn, err = ask(ctx, of[:middle])
	if err != nil {
		return nil, 0, err
	}
	more, last, err := ask(ctx, of[middle:])
	for _, i := range more {
		found = append(found, middle+i)
	}
	return found, max(lsn, last), err
}

// possible says whether a text can be a user of the table.
func (l *Ledger) possible(ctx context.Context, user string) (ok bool, err error) {
	const doing = "looking whether there can be such a user"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return false, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	cast := func(b *pgx.Batch) { b.Queue(l.layout.Load().sql.user, user) }
	switch err := postgres.Ask(bound, conn.Conn(), l.o.Timeout, cast, postgres.Done); {
	case err == nil:
		return true, nil
	case dataException(err):
		return false, nil
	default:
		return false, l.fail(ctx, doing, err)
	}
}

// usersAtOnce is how many names a reading of all users gives at once.
const usersAtOnce = 2000

// Users calls take with all users who have rows from a time on, some at once, in any order and each once. It is called
// anew from the beginning where a standby's replay has ended the reading; begin is called before each try.
func (l *Ledger) Users(
	ctx context.Context, from brimline.Time, begin func(), take func([]string) error,
) (lsn uint64, err error) {
	err = l.Look(ctx, func(k *Look) error {
		begin()
		o := &l.o
		sql := fmt.Sprintf("DECLARE users NO SCROLL CURSOR FOR SELECT DISTINCT %s FROM %s WHERE %s >= $1::%s AND "+
			"%[3]s <= $2::%[4]s AND %[5]s IS NOT NULL AND %s IS NOT NULL",
			k.who(), k.as.sql.table, quote(o.Columns.Time), k.TimeType(), quote(o.Columns.Amount), quote(o.Columns.User))
		none := func(rows pgx.Rows) error { rows.Close(); return nil }
		if err := k.snapshot.Read(ctx, sql, []any{lowest(from), highest(brimline.MaxTime)}, none); err != nil {
			return err
		}
		fetch := fmt.Sprintf("FETCH FORWARD %d FROM users", usersAtOnce)
		for {
			var some []string
			err := k.snapshot.Read(ctx, fetch, []any{pgx.QueryExecModeDescribeExec}, func(rows pgx.Rows) (err error) {
				some, err = pgx.CollectRows(rows, pgx.RowTo[string])
				return err
			})
			if err != nil {
				return err
			}
			if len(some) > 0 {
				if err := take(some); err != nil {
					return err
				}
			}
			if len(some) < usersAtOnce {
				break
			}
		}
		lsn, err = k.position(ctx)
		return err
	})
	return lsn, err
}

// reachedSQL is a log position of which all lies below that has been shown until now: what a primary has written into
// its buffers counts, for a commit that waits for no disk is visible before it is written.
const reachedSQL = `SELECT (CASE WHEN pg_catalog.pg_is_in_recovery()
	THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END)::pg_catalog.text`

func (k *Look) position(ctx context.Context) (lsn uint64, err error) {
	err = k.snapshot.Read(ctx, reachedSQL, nil, func(rows pgx.Rows) error {
		var text string
		_, err := pgx.ForEachRow(rows, []any{&text}, func() (err error) {
			lsn, err = brimline.ParseLSN(text)
			return err
		})
		return err
	})
	return lsn, err
}

// Slot is how far a replication slot is known to have been read.
type Slot struct {
	Confirmed uint64 // all below has arrived where it was to
	Active    bool   // a consumer reads it
}

// Slot looks a replication slot up; nil where this server does not have it.
func (l *Ledger) Slot(ctx context.Context, name string) (*Slot, error) {
	const doing = "looking up the replication slot"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return nil, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	var s *Slot
	err = postgres.Ask(bound, conn.Conn(), l.o.Timeout, func(b *pgx.Batch) {
		b.Queue(`SELECT coalesce(confirmed_flush_lsn, '0/0')::pg_catalog.text, active
			FROM pg_catalog.pg_replication_slots WHERE slot_name = $1`, name)
	}, func(results pgx.BatchResults) error {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		var text string
		var active bool
		_, err = pgx.ForEachRow(rows, []any{&text, &active}, func() error {
			at, err := brimline.ParseLSN(text)
			s = &Slot{at, active}
			return err
		})
		return err
	})
	if err != nil {
		return nil, l.fail(ctx, doing, err)
	}
	return s, nil
}

func owners(of []Holding) (users []string, lows []instant) {
	for i := range of {
		users, lows = append(users, of[i].User), append(lows, lowest(of[i].From))
	}
	return users, lows
}

// severalSQL reads something of the rows of the users in $1, each from its time in $2 on, up to $3.
func (k *Look) severalSQL(what string) string {
	o := &k.l.o
	user := k.as.columns[o.Columns.User]
	fence := ""
	if k.l.userByUser.Load() { // else the planner reads the whole table and joins, as long as that is not very large
		fence = "OFFSET 0"
	}
	return fmt.Sprintf(`FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::%[1]s[]))
			WITH ORDINALITY AS brimline_user (who, low, n)
		CROSS JOIN LATERAL (SELECT %[2]s FROM %[3]s WHERE %[4]s AND %[5]s >= brimline_user.low AND %[5]s <= $3::%[1]s
			AND %[6]s IS NOT NULL %[7]s) AS r`,
		k.TimeType(), what, k.as.sql.table, user.is(o.Columns.User, "brimline_user.who"), quote(o.Columns.Time),
		quote(o.Columns.Amount), fence)
}

func (k *Look) sumsSQL() string {
	// 2^64, so that the sum is as that of unsigned integers.
	return "SELECT brimline_user.n, pg_catalog.count(*), " +
		"(pg_catalog.sum(r.digest) % 18446744073709551616)::pg_catalog.text " +
		k.severalSQL(k.digestSQL()+" AS digest") + " GROUP BY 1"
}

func (k *Look) presentSQL() string {
	o := &k.l.o
	columns := []string{quote(o.Columns.Time) + " AS c0", "(" + k.as.sql.exact + ")::pg_catalog.text AS c1"}
	for _, name := range o.Columns.ID {
		columns = append(columns, fmt.Sprintf("%s AS c%d", k.as.value(name), len(columns)))
	}
	for _, c := range o.Extra {
		columns = append(columns, fmt.Sprintf("%s AS c%d", k.as.value(c.Name), len(columns)))
	}
	return "SELECT brimline_user.n, r.* " + k.severalSQL(strings.Join(columns, ", "))
}

// foundScan reads what presentSQL selects. A value that no stream can hold does not end it.
func (k *Look) foundScan(n *int) func(pgx.Rows) (Found, error) {
	l := k.l
	var at instant
	var amount string
	ids, extra := make([]cell, len(l.o.Columns.ID)), make([]cell, len(l.o.Extra))
	into := []any{n, &at, &amount}
	for i, name := range l.o.Columns.ID {
		into = append(into, ids[i].of(k.as.columns[name]))
	}
	for i, c := range l.o.Extra {
		into = append(into, extra[i].of(k.as.columns[c.Name]))
	}
	parts := make([]string, len(ids))
	return func(rows pgx.Rows) (f Found, err error) {
		if err := rows.Scan(into...); err != nil {
			return f, err
		}
		f.Time, f.Text = at.at, amount
		f.Amount, f.Bad = brimline.ParseAmount(amount, l.o.Scale)
		if f.Bad == nil {
			f.Text = f.Amount.Format(l.o.Scale)
		}
		for i := range ids {
			if parts[i], err = ids[i].id(); err != nil {
				f.Bad = cmp.Or(f.Bad, fmt.Errorf("key column %q: %w", l.o.Columns.ID[i], err))
			}
		}
		f.ID = brimline.JoinID(parts...)
		for i, c := range l.o.Extra {
			v, err := extra[i].value(c.Type)
			if err != nil {
				f.Bad = cmp.Or(f.Bad, fmt.Errorf("column %q: %w", c.Name, err))
			}
			f.Columns = append(f.Columns, brimline.Field{Name: c.Name, Value: v})
		}
		return f, nil
	}
}

// The checksum of a row is the first 56 bits of SHA-256 over the same text on both sides: the id, the time, the amount
// at the group's scale, and the further columns. Times and floats are written as their bits, which no setting changes.
const digestBits = 56

// separator stands between a row's values. What could be read in two ways because of it is told apart row by row, where
// anything else differs, too.
const separator = "\x1f"

func (k *Look) digestSQL() string {
	o := &k.l.o
	ids := make([]string, len(o.Columns.ID))
	for i, name := range o.Columns.ID {
		c := k.as.columns[name]
		switch ids[i] = c.text(name); c.kind {
		case "timestamptz":
			ids[i] = isoText(quote(name) + " AT TIME ZONE 'UTC'")
		case "timestamp", "date":
			ids[i] = isoText(quote(name) + "::pg_catalog.timestamp")
		}
		if len(ids) > 1 {
			ids[i] = fmt.Sprintf(`pg_catalog.replace(pg_catalog.replace(%s, E'\\', E'\\\\'), ',', E'\\,')`, ids[i])
		}
	}
	exact := k.as.sql.exact
	values := []string{
		strings.Join(ids, " || ',' || "),
		bits(string(k.as.time)+"_send", quote(o.Columns.Time)),
		fmt.Sprintf("(CASE WHEN %[1]s = pg_catalog.round(%[1]s, %[2]d) THEN pg_catalog.round(%[1]s, %[2]d) ELSE %[1]s END)"+
			"::pg_catalog.text", exact, o.Scale),
	}
	for _, c := range o.Extra {
		values = append(values, "coalesce('v' || "+k.canonicalSQL(&c)+", 'n')")
	}
	return fmt.Sprintf("('x' || pg_catalog.encode(pg_catalog.substring(pg_catalog.sha256(pg_catalog.convert_to("+
		"%s, 'UTF8')), 1, %d), 'hex'))::pg_catalog.bit(%d)::pg_catalog.int8",
		strings.Join(values, " || E'\\x1f' || "), digestBits/8, digestBits)
}

func isoText(at string) string {
	return "pg_catalog.to_char(" + at + `, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

func bits(send, value string) string {
	return fmt.Sprintf("pg_catalog.encode(pg_catalog.%s(%s), 'hex')", send, value)
}

// canonicalSQL is a column's value as canonical writes it.
func (k *Look) canonicalSQL(c *brimline.Column) string {
	column := k.as.columns[c.Name]
	switch column.kind {
	case "timestamptz", "timestamp":
		return bits(column.kind+"_send", quote(c.Name))
	case "date":
		return bits("timestamp_send", quote(c.Name)+"::pg_catalog.timestamp")
	case "float4", "float8": // -0 is 0
		return bits(column.kind+"send",
			fmt.Sprintf("%s OPERATOR(pg_catalog.+) '0'::pg_catalog.%s", quote(c.Name), column.kind))
	}
	text := column.text(c.Name)
	if c.Type == brimline.Numeric && column.kind == "numeric" {
		return fmt.Sprintf("(CASE WHEN pg_catalog.strpos(%[1]s, '.') > 0 THEN "+
			"pg_catalog.rtrim(pg_catalog.rtrim(%[1]s, '0'), '.') ELSE %[1]s END)", text)
	}
	return text
}

// digest is the checksum of a row as digestSQL has it.
func (k *Look) digest(row *brimline.Transaction) uint64 {
	o := &k.l.o
	b := make([]byte, 0, 128)
	b = append(b, row.ID...)
	b = append(b, separator...)
	b = append(b, timeBits(row.Time)...)
	b = append(b, separator...)
	b = append(b, row.Amount.Format(o.Scale)...)
	for _, c := range o.Extra {
		b = append(b, separator...)
		if v, _ := row.Column(c.Name); v == nil {
			b = append(b, 'n')
		} else {
			b = append(append(b, 'v'), k.canonical(&c, v)...)
		}
	}
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:8]) >> (64 - digestBits)
}

// postgresEpoch is 2000-01-01, from which PostgreSQL counts microseconds.
const postgresEpoch = 946_684_800_000_000

func timeBits(t brimline.Time) string {
	return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(int64(t)-postgresEpoch)))
}

func (k *Look) canonical(c *brimline.Column, v any) string {
	switch v := v.(type) {
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case brimline.Time:
		return timeBits(v)
	case brimline.Decimal:
		switch k.as.columns[c.Name].kind {
		case "float4":
			f, _ := strconv.ParseFloat(string(v), 32)
			return hex.EncodeToString(binary.BigEndian.AppendUint32(nil, math.Float32bits(float32(f))))
		case "float8":
			f, _ := strconv.ParseFloat(string(v), 64)
			return hex.EncodeToString(binary.BigEndian.AppendUint64(nil, math.Float64bits(f)))
		}
		return string(v)
	}
	return fmt.Sprint(v)
}
