package ledger

import (
	"fmt"
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
// the lowest and $3 the highest time.
type statements struct {
	sums    [5]string // by Measure
	amounts string
	rows    string
	// amountsOf and rowsOf are the same about several stretches of time at once: $2 and $3 are arrays.
	amountsOf string
	rowsOf    string
	user      string // fails where $1 cannot be a user of the table
}

func (s *statements) figures(m brimline.Measure) (string, error) {
	if int(m) >= len(s.sums) {
		return "", fmt.Errorf("no question for %v", m)
	}
	return s.sums[m], nil
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
	weighs := [len(s.sums)]struct{ weight, unit, counts string }{
		brimline.SumAbs:   {"pg_catalog.abs(" + amount + ")", unit, "true"},
		brimline.Sum:      {amount, unit, "true"},
		brimline.SumIn:    {"greatest(" + amount + ", 0)", unit, amount + " > 0"},
		brimline.SumOut:   {"greatest(-" + amount + ", 0)", unit, amount + " < 0"},
		brimline.CountAll: {"1::pg_catalog.numeric", "", "true"},
	}
	for m, w := range weighs {
		s.sums[m] = fmt.Sprintf(`SELECT
			(coalesce(pg_catalog.sum(weight) FILTER (WHERE moment < $3::pg_catalog.%s), 0)%s)::pg_catalog.text,
			(coalesce(pg_catalog.sum(weight), 0)%[2]s)::pg_catalog.text, pg_catalog.count(*) FILTER (WHERE counts)
			FROM (SELECT %[3]s AS moment, %[4]s AS weight, %[5]s AS counts %[6]s) AS rows`,
			found.time, w.unit, stamp, w.weight, w.counts, from)
	}

	exact := fmt.Sprintf("(%s%s)::pg_catalog.text", amount, unit)
	s.amounts = fmt.Sprintf("SELECT %s, %s %s ORDER BY %[1]s", stamp, exact, from)
	columns := []string{stamp, exact}
	for _, name := range o.Columns.ID {
		columns = append(columns, found.value(name))
	}
	for _, c := range o.Extra {
		columns = append(columns, found.value(c.Name))
	}
	s.rows = fmt.Sprintf("SELECT %s %s ORDER BY %s", strings.Join(columns, ", "), from, stamp)
	conditions := fmt.Sprintf("%s AND %s IS NOT NULL", user.is(o.Columns.User, "$1"), quote(o.Columns.Amount))
	s.amountsOf = severally(stamp+", "+exact, table, conditions, stamp, found.time)
	s.rowsOf = severally(strings.Join(columns, ", "), table, conditions, stamp, found.time)
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
