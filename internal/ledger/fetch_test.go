package ledger

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
)

// Rows are user's rows with all columns, from ≤ time ≤ to, by time and id, however many, and the server's write-ahead
// log position after the answer.
func (l *Ledger) Rows(
	ctx context.Context, user string, from, to brimline.Time, after ...brimline.Source,
) (rows []brimline.Transaction, lsn uint64, err error) {
	lsn, err = l.ask(ctx, "fetching rows", after, question{
		user: user, from: from, to: to, most: 1 << 30,
		sql: func(s *statements) (string, error) { return s.rows, nil },
		read: func(found pgx.Rows, as *layout) error {
			rows = nil
			for scan := l.newRowScan(user, as); found.Next(); {
				row, err := scan(found)
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return found.Err()
		},
	})
	slices.SortFunc(rows, func(a, b brimline.Transaction) int { return a.Compare(&b) })
	return rows, lsn, err
}
