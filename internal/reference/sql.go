package reference

import (
	_ "embed"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// EdgesSQL gives all edges of one rule: user, time, total before, total and the
// transactions in it. It is written for psql; docs/semantics.md shows it with
// what its variables mean: :table, :where, :aggregate, :weight and :counts are SQL, :limit is a number, :'window' an
// interval.
//
//go:embed edges.sql
var EdgesSQL string

// AvgSQL is EdgesSQL for the measure avg, whose limit is multiplied by the number of rows; :min_count is a number.
//
//go:embed avg.sql
var AvgSQL string

// DistinctSQL is EdgesSQL for the measure distinct; :of is SQL, the column.
//
//go:embed distinct.sql
var DistinctSQL string

// LoudSQL gives of the edges of one rule, which EdgesSQL gives as :edges, those that raise alerts, where the rule is
// quiet for the interval :'quiet'.
//
//go:embed loud.sql
var LoudSQL string

// RearmSQL gives the edges of one rule that raise alerts, where the rule rearms at or below :rearm. :totals is EdgesSQL
// without its condition on totals.
//
//go:embed rearm.sql
var RearmSQL string

// totals is EdgesSQL, or what was made of it, for all row times.
func totals(sql string) string {
	at, _, _ := strings.Cut(sql, " WHERE total > ")
	return at
}

// MeasureSQL gives a measure's aggregate, the weight of each row in it, and whether a row counts as one
// of the window's transactions.
func MeasureSQL(m brimline.Measure) (aggregate, weight, counts string) {
	switch m {
	case brimline.SumAbs:
		return "SUM", "ABS(amount)", "true"
	case brimline.Sum:
		return "SUM", "amount", "true"
	case brimline.SumIn:
		return "SUM", "GREATEST(amount, 0)", "amount > 0"
	case brimline.SumOut:
		return "SUM", "GREATEST(-amount, 0)", "amount < 0"
	case brimline.CountAll:
		return "SUM", "1", "true"
	case brimline.Max:
		return "MAX", "ABS(amount)", "true"
	case brimline.Avg:
		return "SUM", "ABS(amount)", "true"
	}
	panic("no SQL for measure " + m.String())
}

// loud is LoudSQL of edges: $4 is how long the rule is quiet.
func loud(edges string) string {
	sql := strings.NewReplacer(":edges", edges, "INTERVAL :'quiet'", "$4::text::interval").Replace(LoudSQL)
	return strings.TrimSuffix(strings.TrimSpace(sql), ";")
}

// rearmed is RearmSQL of edges: $2 is the limit, $4 the rearm.
func rearmed(edges string) string {
	sql := strings.NewReplacer(
		":totals", totals(edges), ":rearm", "$4::text::numeric", ":limit", "$2::text::numeric").Replace(RearmSQL)
	return strings.TrimSuffix(strings.TrimSpace(sql), ";")
}

// edges is EdgesSQL, AvgSQL or DistinctSQL, over a table for a rule's measure, as a subquery: $1 is the window, $2 the
// limit. where may have further parameters; of is the column whose different values are counted.
func edges(r *brimline.Rule, table, where, of string) string {
	var aggregate, weight, counts string
	text := EdgesSQL
	switch r.Measure {
	case brimline.Distinct:
		text = DistinctSQL
	case brimline.Avg:
		text = AvgSQL
	default:
		aggregate, weight, counts = MeasureSQL(r.Measure)
	}
	sql := strings.NewReplacer(
		":table", table, ":where", where, ":of", of, ":aggregate", aggregate, ":weight", weight, ":counts", counts,
		"INTERVAL :'window'", "$1::text::interval", ":limit", "$2::text::numeric",
		":min_count", strconv.FormatInt(max(1, r.MinCount), 10),
	).Replace(text)
	return strings.TrimSuffix(strings.TrimSpace(sql), ";")
}
