package ledger

import (
	"fmt"
	"strings"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// positionSQL is a standby's replay position or a primary's write position;
// each of the two functions fails on the other kind of server.
const positionSQL = `(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END)::text`

// statements are the questions as SQL text. Each takes $1 user (as text), $2
// the lowest and $3 the highest time.
type statements struct {
	sums    [5]string // by Measure
	amounts string
	rows    string
}

func (s *statements) figures(m brimline.Measure) (string, error) {
	if int(m) >= len(s.sums) {
		return "", fmt.Errorf("no question for %v", m)
	}
	return s.sums[m], nil
}

// build writes the statements; user and moment are SQL types. The casts stand
// at the parameters and never at the columns, so that an index on (user, time) serves.
func build(o *Options, user string, moment timeType) (s statements) {
	amount := quote(o.Columns.Amount) + "::numeric"
	stamp := quote(o.Columns.Time)
	from := fmt.Sprintf("FROM %s WHERE %s = $1::text::%s AND %s >= $2::%s AND %[4]s <= $3::%[5]s AND %[6]s IS NOT NULL",
		quoteTable(o.Table), quote(o.Columns.User), user, stamp, moment, quote(o.Columns.Amount))

	// The same as Measure.Weigh: what is summed, and which rows count.
	weighs := [len(s.sums)]struct{ weight, counts string }{
		brimline.SumAbs:   {"abs(" + amount + ")", "true"},
		brimline.Sum:      {amount, "true"},
		brimline.SumIn:    {"greatest(" + amount + ", 0)", amount + " > 0"},
		brimline.SumOut:   {"greatest(-" + amount + ", 0)", amount + " < 0"},
		brimline.CountAll: {"1::numeric", "true"},
	}
	for m, w := range weighs {
		s.sums[m] = fmt.Sprintf(`SELECT coalesce(sum(weight) FILTER (WHERE moment < $3::%s), 0)::text, coalesce(sum(weight), 0)::text, count(*) FILTER (WHERE counts), %s`+
			` FROM (SELECT %s AS moment, %s AS weight, %s AS counts %s) AS rows`,
			moment, positionSQL, stamp, w.weight, w.counts, from)
	}

	s.amounts = fmt.Sprintf("SELECT %s, %s::text %s ORDER BY %[1]s", stamp, amount, from)
	columns := []string{stamp, amount + "::text"}
	for _, name := range o.Columns.ID {
		columns = append(columns, quote(name)+"::text")
	}
	for _, c := range o.Extra {
		if c.Type == brimline.Timestamp {
			columns = append(columns, quote(c.Name)) // binary: exact, and free of DateStyle
		} else {
			columns = append(columns, quote(c.Name)+"::text")
		}
	}
	s.rows = fmt.Sprintf("SELECT %s %s ORDER BY %s", strings.Join(columns, ", "), from, stamp)
	return s
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
