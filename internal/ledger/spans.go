package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// mostTogether bounds the rows that one statement about several spans fetches. Of a user with more the spans are asked
// about one by one.
const mostTogether = 20_000

// stretch is a range of row times, both ends included.
type stretch struct{ low, high brimline.Time }

// EdgesOf is Edges for all spans of a user by one statement, as one server has the rows at one moment: the edges of
// each span, in their order. It fetches the rows of all windows that end in the spans, each once. Of a user who has
// more than a few thousand there, the spans are asked about one by one.
func (l *Ledger) EdgesOf(
	ctx context.Context, user string, spans []sliding.Span, after ...brimline.Source,
) (edges [][]brimline.Time, lsn uint64, err error) {
	stretches := stretchesOf(spans)
	if len(stretches) == 0 {
		return make([][]brimline.Time, len(spans)), 0, nil
	}
	sql := func(s *statements) (string, error) { return s.amountsOf, nil }
	newScan := l.newAmountScan
	if slices.ContainsFunc(spans, func(s sliding.Span) bool { return s.Rule.Takes != nil }) {
		sql = func(s *statements) (string, error) { return s.rowsOf, nil }
		newScan = func(found *layout) rowScan { return l.newRowScan(user, found) }
	}
	rows, lsn, err := l.fetch(ctx, question{user: user, stretches: stretches, sql: sql}, after, newScan)
	if err != nil {
		return nil, 0, err
	}
	if len(rows) > mostTogether {
		return l.edgesOneByOne(ctx, user, spans, after)
	}
	for _, s := range spans {
		edges = append(edges, timesOf(sliding.Edges(rows, s.Rule, s.From, s.To)))
	}
	return edges, lsn, nil
}

func (l *Ledger) edgesOneByOne(
	ctx context.Context, user string, spans []sliding.Span, after []brimline.Source,
) (edges [][]brimline.Time, lsn uint64, err error) {
	for _, s := range spans {
		some, at, err := l.Edges(ctx, user, s.Rule, s.From, s.To, after...)
		if err != nil {
			return nil, 0, err
		}
		edges = append(edges, some)
		if lsn == 0 || at < lsn {
			lsn = at
		}
	}
	return edges, lsn, nil
}

func timesOf(edges []sliding.Edge) (times []brimline.Time) {
	for _, e := range edges {
		times = append(times, e.Time)
	}
	return times
}

// stretchesOf are the times of all rows that the spans need, ascending and apart from each other.
func stretchesOf(spans []sliding.Span) (all []stretch) {
	for _, s := range spans {
		all = append(all, stretch{s.From.Add(-s.Rule.Window), s.To})
	}
	slices.SortFunc(all, func(a, b stretch) int { return cmp.Compare(a.low, b.low) })
	n := 0
	for _, s := range all {
		if n > 0 && s.low <= all[n-1].high {
			all[n-1].high = max(all[n-1].high, s.high)
			continue
		}
		all[n] = s
		n++
	}
	return all[:n]
}

// bounds are the parameters of a question beside the user.
func (q *question) bounds() (low, high any) {
	if q.stretches == nil {
		return lowest(q.from), highest(q.to)
	}
	var lows, highs []instant
	for _, s := range q.stretches {
		lows, highs = append(lows, lowest(s.low)), append(highs, highest(s.high))
	}
	return lows, highs
}

// severally is a statement about the rows in any of the stretches from one of $2 to its like in $3. Stretches that are
// apart from each other give each row once.
func severally(columns, table, conditions, stamp string, kind timeType) string {
	return fmt.Sprintf(`SELECT r.* FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.%[1]s[]),
			pg_catalog.unnest($3::pg_catalog.%[1]s[])) AS brimline_stretch (low, high)
		CROSS JOIN LATERAL (SELECT %[2]s FROM %[3]s WHERE %[4]s AND %[5]s >= brimline_stretch.low
			AND %[5]s <= brimline_stretch.high) AS r LIMIT %[6]d`,
		kind, columns, table, conditions, stamp, mostTogether+1)
}
