package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// Further are the columns of the table, by name, that a rules file can declare.
func (l *Ledger) Further() (columns []brimline.Column) {
	found := l.layout.Load()
	for name, c := range found.columns {
		if slices.Contains(l.needed(), name) {
			continue
		}
		for declared, kinds := range declarable {
			if declared == brimline.Numeric && slices.Contains(integers, c.kind) {
				continue // an integer says more
			}
			if slices.Contains(kinds, c.kind) {
				columns = append(columns, brimline.Column{Name: name, Type: declared})
			}
		}
	}
	slices.SortFunc(columns, func(a, b brimline.Column) int { return cmp.Compare(a.Name, b.Name) })
	return columns
}

// Decimals is how many the amounts have, and false where the column does not say it.
func (l *Ledger) Decimals() (int, bool) {
	amount := l.layout.Load().columns[l.o.Columns.Amount]
	switch {
	case l.o.MinorUnits > 0:
		return l.o.MinorUnits, true
	case amount.kind == "numeric":
		return amount.scale, !amount.anyScale && amount.scale >= 0 && amount.scale <= brimline.MaxScale
	}
	return 0, true
}

// Spending says what some users' amounts of a day add up to, without their signs.
type Spending struct {
	Users, Days int64
	// At most so much is it on half of the days, on 95 of 100, on 99 of 100, on 999 of 1,000.
	Half, Most, Nearly, All brimline.Total
}

// How much a survey looks at.
const (
	surveyedRows  = 20_000 // whose users are looked at
	surveyedUsers = 300
	newestOfUser  = 1_000 // rows
)

// Spending looks at the newest rows of some users, which the index on user and time finds. Its figures have scale
// decimals, rounded up.
func (l *Ledger) Spending(ctx context.Context, scale int) (s Spending, err error) {
	const doing = "looking at some users' days"
	bound, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	found := l.layout.Load()
	user, stamp, table := quote(l.o.Columns.User), quote(l.o.Columns.Time), quoteTable(l.o.Table)
	day := stamp
	if found.time == withZone {
		day += " AT TIME ZONE 'UTC'"
	}
	sql := fmt.Sprintf(`WITH users AS (
			SELECT DISTINCT one FROM (SELECT %[1]s AS one FROM %[3]s LIMIT %[5]d) AS sample LIMIT %[6]d),
		days AS (SELECT one, pg_catalog.sum(pg_catalog.abs(spent)) * $1::pg_catalog.numeric AS total
			FROM users CROSS JOIN LATERAL (
				SELECT pg_catalog.date_trunc('day', %[4]s) AS day, %[8]s::pg_catalog.numeric AS spent FROM %[3]s
				WHERE %[1]s = one AND %[8]s IS NOT NULL ORDER BY %[2]s DESC LIMIT %[7]d) AS rows GROUP BY one, day),
		shares AS (SELECT pg_catalog.count(DISTINCT one) AS users, pg_catalog.count(*) AS days,
			pg_catalog.percentile_disc(ARRAY[0.5, 0.95, 0.99, 0.999]::float8[]) WITHIN GROUP (ORDER BY total) AS at FROM days)
		SELECT users, days, pg_catalog.ceil(at[1])::text, pg_catalog.ceil(at[2])::text, pg_catalog.ceil(at[3])::text,
			pg_catalog.ceil(at[4])::text FROM shares WHERE days > 0`,
		user, stamp, table, day, surveyedRows, surveyedUsers, newestOfUser, quote(l.o.Columns.Amount))
	conn, err := l.pool.Acquire(bound)
	if err != nil {
		return s, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	var texts [4]string
	units := "1" + strings.Repeat("0", max(0, scale-l.o.MinorUnits)) // of 10^-scale in one of the column's
	err = postgres.Ask(bound, conn.Conn(), l.o.Timeout,
		func(b *pgx.Batch) { b.Queue(sql, units) },
		func(results pgx.BatchResults) error {
			rows, err := results.Query()
			if err != nil {
				return err
			}
			_, err = pgx.ForEachRow(rows, []any{&s.Users, &s.Days, &texts[0], &texts[1], &texts[2], &texts[3]},
				func() error { return nil })
			return err
		})
	switch {
	case err != nil:
		return s, l.fail(ctx, doing, err)
	case s.Days == 0:
		return s, nil
	}
	for i, into := range [...]*brimline.Total{&s.Half, &s.Most, &s.Nearly, &s.All} {
		if *into, err = l.total(texts[i], 0); err != nil {
			return s, err
		}
	}
	return s, nil
}
