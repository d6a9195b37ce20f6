package judge

import (
	_ "embed"
	"strings"

	"github.com/brimline/brimline"
)

// EdgesSQL gives all edges of one rule: user, time, total before, total and the
// transactions in it. It is written for psql; docs/semantics.md shows it with
// what its variables mean: :table, :where, :weight and :counts are SQL, :limit is a number, :'window' an interval.
//
//go:embed edges.sql
var EdgesSQL string

// MeasureSQL is what a row adds to a measure's total, and whether it counts as one of the window's transactions.
func MeasureSQL(m brimline.Measure) (weight, counts string) {
	switch m {
	case brimline.SumAbs:
		return "ABS(amount)", "true"
	case brimline.Sum:
		return "amount", "true"
	case brimline.SumIn:
		return "GREATEST(amount, 0)", "amount > 0"
	case brimline.SumOut:
		return "GREATEST(-amount, 0)", "amount < 0"
	case brimline.CountAll:
		return "1", "true"
	}
	panic("no SQL for measure " + m.String())
}

// edges is EdgesSQL over a table for a measure, as a subquery: $1 is the window, $2 the limit. where may have further
// parameters.
func edges(m brimline.Measure, table, where string) string {
	weight, counts := MeasureSQL(m)
	sql := strings.NewReplacer(
		":table", table, ":where", where, ":weight", weight, ":counts", counts,
		"INTERVAL :'window'", "$1::text::interval", ":limit", "$2::text::numeric",
	).Replace(EdgesSQL)
	return strings.TrimSuffix(strings.TrimSpace(sql), ";")
}
