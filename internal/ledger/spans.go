package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// stretch is a range of row times, both ends included.
type stretch struct{ low, high brimline.Time }

// EdgesOf is Edges for all spans of a user by one statement, as one server has the rows at one moment: the edges of
// each span, in their order. It fetches the rows of all windows that end in the spans, each once. Where these are many,
// the error is sliding.ErrManyRows, and the spans are to be asked about one by one.
func (l *Ledger) EdgesOf(
	ctx context.Context, user string, spans []sliding.Span, after ...brimline.Source,
) (edges [][]brimline.Time, lsn uint64, err error) {
	for tried := 0; ; tried++ {
		edges, sure, lsn, err := l.edgesOf(ctx, user, spans, tried, after)
		if err != nil || sure {
			return edges, lsn, err
		}
	}
}

// edgesOf is one try of EdgesOf.
func (l *Ledger) edgesOf(
	ctx context.Context, user string, spans []sliding.Span, tried int, after []brimline.Source,
) (edges [][]brimline.Time, sure bool, lsn uint64, err error) {
	stretches := stretchesOf(spans, tried)
	if len(stretches) == 0 {
		return make([][]brimline.Time, len(spans)), true, 0, nil
	}
	taken := map[*sliding.Rule][]brimline.Transaction{} // what each rule needs of the rows that it takes
	sql, newScan := func(s *statements) (string, error) { return s.amountsOf, nil }, l.newAmountScan
	for _, s := range spans {
		taken[s.Rule] = nil
		if s.Rule.NeedsColumns() {
			sql = func(s *statements) (string, error) { return s.rowsOf, nil }
			newScan = func(found *layout) rowScan { return l.newRowScan(user, found) }
		}
	}
	most := togetherFactor * l.sizes.fetched
	lsn, err = l.ask(ctx, "fetching rows", after, question{
		user: user, stretches: stretches, sql: sql, most: most,
		read: func(found pgx.Rows, as *layout) error {
			defer found.Close()
			for rule := range taken {
				taken[rule] = nil
			}
			read := 0
			for scan := newScan(as); found.Next(); read++ {
				row, err := scan(found)
				if err != nil {
					return err
				}
				for rule := range taken {
					if rule.Takes == nil || rule.Takes(&row) {
						taken[rule] = append(taken[rule], kept(rule, &row))
					}
				}
			}
			if read >= most {
				return sliding.ErrManyRows
			}
			return found.Err()
		},
	})
	if err != nil {
		return nil, false, 0, err
	}
	for _, rows := range taken {
		slices.SortFunc(rows, func(a, b brimline.Transaction) int { return cmp.Compare(a.Time, b.Time) })
	}
	for _, s := range spans {
		alerts, sure := sliding.Alerts(taken[s.Rule], withoutTakes(s.Rule), s.Rule.Since(s.From, tried), s.From, s.To)
		if !sure {
			return nil, false, 0, nil
		}
		edges = append(edges, alerts)
	}
	return edges, true, lsn, nil
}

// Rows are the user's rows with from ≤ time ≤ to whose amount is not NULL, by time and then id, with key and further
// columns, and the server's write-ahead log position after the answer. Where they are many, the error is
// sliding.ErrManyRows.
func (l *Ledger) Rows(
	ctx context.Context, user string, from, to brimline.Time,
) (rows []brimline.Transaction, lsn uint64, err error) {
	lsn, err = l.ask(ctx, "fetching rows", nil, question{
		user: user, from: from, to: to, most: l.sizes.fetched,
		sql: func(s *statements) (string, error) { return s.rows, nil },
		read: func(found pgx.Rows, as *layout) error {
			defer found.Close()
			rows = nil
			for scan := l.newRowScan(user, as); found.Next(); {
				row, err := scan(found)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			if len(rows) >= l.sizes.fetched {
				return sliding.ErrManyRows
			}
			return found.Err()
		},
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(rows, func(a, b brimline.Transaction) int { return a.Compare(&b) })
	return rows, lsn, nil
}

// togetherFactor is how many times the rows of one question a statement about several spans reads.
const togetherFactor = 2

// stretchesOf are the times of all rows that the spans need after so many tries, ascending and apart from each other.
func stretchesOf(spans []sliding.Span, tried int) (all []stretch) {
	for _, s := range spans {
		all = append(all, stretch{s.Rule.Since(s.From, tried).Add(-s.Rule.Window), s.To})
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
			AND %[5]s <= brimline_stretch.high) AS r LIMIT $4::pg_catalog.int8`,
		kind, columns, table, conditions, stamp)
}
