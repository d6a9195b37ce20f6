package ledger

import (
	"fmt"
	"math"
	"strings"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// endSQL is asked after a question, in its transaction, which keeps the table
// from being altered until then: the layout that the question was read with;
// the log position, a standby's of replay or a primary's of writing (each of the
// two functions fails on the other kind of server); and, of a primary, since
// when it runs and below which id all transactions have ended.
const endSQL = `SELECT ` + signatureSQL + `, (CASE WHEN pg_catalog.pg_is_in_recovery()
	THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_lsn() END)::pg_catalog.text,
	CASE WHEN pg_catalog.pg_is_in_recovery() THEN NULL ELSE pg_catalog.pg_postmaster_start_time() END,
	pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())`

// statements are the questions as SQL text. Each takes $1 user (as text), $2
// the lowest and $3 the highest time, $4 how many rows to read.
type statements struct {
	sums    [measures]string // at most $4 rows; says how many there were
	amounts string           // time and amount of at most $4 rows
	rows    string           // the same with all columns

	// Of the first $4 rows by time, and those that have the last one's time.
	pieces      [measures]string // their sums, the total added to $5
	amountsPage string
	rowsPage    string

	// The same as amounts and rows about several stretches of time at once: $2 and $3 are arrays.
	amountsOf string
	rowsOf    string

	// All users' rows, with the user before what amounts and rows have: $1 is the lowest time, $2 the highest.
	walk      string
	walkWhole string

	user string // fails where $1 cannot be a user of the table

	table string // in FROM
	exact string // the amount in whole units
}

// measures is how many PostgreSQL sums up: all that stand before Distinct, which stays the last one. Its different
// values are counted by this program, from rows (decision 54).
const measures = int(brimline.Distinct)

func figures(by *[measures]string, m brimline.Measure) (string, error) {
	if int(m) >= len(by) {
		return "", fmt.Errorf("no question for %v", m)
	}
	return by[m], nil
}

// build writes the statements for a table of a kind, as pg_class.relkind has it.
func build(o *Options, kind string, found *layout) (s statements) {
	user := found.columns[o.Columns.User]
	amount := quote(o.Columns.Amount) + "::pg_catalog.numeric"
	stamp := quote(o.Columns.Time)
	table := quoteTable(o.Table)
	if kind == "r" {
		table = "ONLY " + table // rows of tables that inherit from it are in no change of it
	}
	from := fmt.Sprintf(
		"FROM %s WHERE %s AND %s >= $2::pg_catalog.%s AND %[3]s <= $3::pg_catalog.%[4]s AND %[5]s IS NOT NULL",
		table, user.is(o.Columns.User, "$1"), stamp, found.time, quote(o.Columns.Amount))
	// An exact product: numeric has as many decimals as it takes.
	unit := ""
	if o.MinorUnits > 0 {
		unit = fmt.Sprintf(" * '0.%s1'::pg_catalog.numeric", strings.Repeat("0", o.MinorUnits-1))
	}

	// The same as Measure.Weigh: what is summed, and which rows count.
	weighs := [measures]struct{ weight, unit, counts string }{
		brimline.Max:      {"pg_catalog.abs(" + amount + ")", unit, "true"},
		brimline.Avg:      {"pg_catalog.abs(" + amount + ")", unit, "true"},
		brimline.SumAbs:   {"pg_catalog.abs(" + amount + ")", unit, "true"},
		brimline.Sum:      {amount, unit, "true"},
		brimline.SumIn:    {"greatest(" + amount + ", 0)", unit, amount + " > 0"},
		brimline.SumOut:   {"greatest(-" + amount + ", 0)", unit, amount + " < 0"},
		brimline.CountAll: {"1::pg_catalog.numeric", "", "true"},
	}
	for m, w := range weighs {
		aggregate, join := "pg_catalog.sum", "$5::pg_catalog.text::pg_catalog.numeric + %s"
		if brimline.Measure(m) == brimline.Max {
			aggregate, join = "pg_catalog.max", "greatest($5::pg_catalog.text::pg_catalog.numeric, %s)"
		}
		s.sums[m] = fmt.Sprintf(`SELECT
			(coalesce(%[7]s(weight) FILTER (WHERE moment < $3::pg_catalog.%[1]s), 0)%[2]s)::pg_catalog.text,
			(coalesce(%[7]s(weight), 0)%[2]s)::pg_catalog.text, pg_catalog.count(*) FILTER (WHERE counts),
			pg_catalog.count(*) FILTER (WHERE counts AND moment < $3::pg_catalog.%[1]s), pg_catalog.count(*)
			FROM (SELECT %[3]s AS moment, %[4]s AS weight, %[5]s AS counts %[6]s LIMIT $4::pg_catalog.int8) AS rows`,
			found.time, w.unit, stamp, w.weight, w.counts, from, aggregate)
		// What a row's amount may not be is looked for, since sums hide it: one is given back as an example.
		negative := "'0'"
		if brimline.Measure(m).Shrinks() {
			negative = fmt.Sprintf("(coalesce(pg_catalog.sum(weight) FILTER (WHERE weight < 0), 0)%s)::pg_catalog.text", w.unit)
		}
		s.pieces[m] = fmt.Sprintf(
			`SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE counts),
			(%s)::pg_catalog.text, %s,
			pg_catalog.min(moment), pg_catalog.max(moment), pg_catalog.min(exact::pg_catalog.text) FILTER (WHERE
				exact <> pg_catalog.round(exact, %d) OR exact NOT BETWEEN -%s AND %[4]s)
			FROM (SELECT %[5]s AS moment, %[6]s AS weight, %[7]s AS counts, %[8]s%[9]s AS exact %[10]s ORDER BY %[5]s
				FETCH FIRST ($4::pg_catalog.int8) ROWS WITH TIES) AS rows`,
			fmt.Sprintf(join, fmt.Sprintf("coalesce(%s(weight), 0)%s", aggregate, w.unit)),
			negative,
			o.Scale,
			brimline.Amount(math.MaxInt64).Format(o.Scale),
			stamp,
			w.weight,
			w.counts,
			amount,
			unit,
			from,
		)
	}

	const some, page = " LIMIT $4::pg_catalog.int8", " FETCH FIRST ($4::pg_catalog.int8) ROWS WITH TIES"
	s.table, s.exact = table, amount+unit
	exact := fmt.Sprintf("(%s)::pg_catalog.text", s.exact)
	amounts := fmt.Sprintf("SELECT %s, %s %s ORDER BY %[1]s", stamp, exact, from)
	s.amounts, s.amountsPage = amounts+some, amounts+page
	columns := []string{stamp, exact}
	for _, name := range o.Columns.ID {
		columns = append(columns, found.value(name))
	}
	for _, c := range o.Extra {
		columns = append(columns, found.value(c.Name))
	}
	rows := fmt.Sprintf("SELECT %s %s ORDER BY %s", strings.Join(columns, ", "), from, stamp)
	s.rows, s.rowsPage = rows+some, rows+page
	conditions := fmt.Sprintf("%s AND %s IS NOT NULL", user.is(o.Columns.User, "$1"), quote(o.Columns.Amount))
	s.amountsOf = severally(stamp+", "+exact, table, conditions, stamp, found.time)
	s.rowsOf = severally(strings.Join(columns, ", "), table, conditions, stamp, found.time)
	s.walk, s.walkWhole = found.walks(o, table, exact, columns)
	s.user = fmt.Sprintf("SELECT $1::pg_catalog.text::%s IS NULL", user.cast)
	return s
}

// value is a column as it travels: times and floats in binary, which is exact
// and free of settings, all else as text.
func (f *layout) value(name string) string {
	c := f.columns[name]
	if c.binary() {
		return quote(name)
	}
	return c.text(name)
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

func splitTable(table string) (schema, name string) {
	schema, name, ok := strings.Cut(table, ".")
	if !ok {
		return "public", table
	}
	return schema, name
}

func quoteTable(table string) string {
	schema, name := splitTable(table)
	return pgx.Identifier{schema, name}.Sanitize()
}
