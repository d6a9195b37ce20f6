package reference

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

// LoudSQL gives of the edges of one rule, which EdgesSQL gives as :edges, those that raise alerts, where the rule is
// quiet for the interval :'quiet'.
//
//go:embed loud.sql
var LoudSQL string

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

// loud is LoudSQL of edges: $4 is how long the rule is quiet.
func loud(edges string) string {
	sql := strings.NewReplacer(":edges", edges, "INTERVAL :'quiet'", "$4::text::interval").Replace(LoudSQL)
	return strings.TrimSuffix(strings.TrimSpace(sql), ";")
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
