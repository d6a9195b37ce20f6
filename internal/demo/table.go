package demo

import (
	"context"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5/pgxpool"
)

// schema is that of deploy/stack/sql/schema.sql, without the roles. Safe to run again.
const schema = `
CREATE SCHEMA IF NOT EXISTS streaming;
CREATE TABLE IF NOT EXISTS streaming.transactions (
    id          bigserial PRIMARY KEY,
    user_id     bigint         NOT NULL,
    amount      numeric(12, 2) NOT NULL,
    timestamp   timestamptz    NOT NULL DEFAULT now(),
    description text
);
-- Without this index each verification reads the whole table.
CREATE INDEX IF NOT EXISTS transactions_user_time ON streaming.transactions (user_id, timestamp);
-- A delete, or an update that moves a row to another user, can only be followed when it says what the row was.
ALTER TABLE streaming.transactions REPLICA IDENTITY FULL;
`

const insert = `
INSERT INTO streaming.transactions (user_id, amount, timestamp, description)
SELECT u, a::numeric, t, d FROM unnest($1::bigint[], $2::text[], $3::timestamptz[], $4::text[]) AS x (u, a, t, d)`

// table is the demo's side of PostgreSQL: the application whose transactions are watched.
type table struct{ pool *pgxpool.Pool }

func openTable(ctx context.Context, url string) (*table, error) {
	pool, err := pgxpool.New(ctx, url)
	if err == nil {
		if _, err = pool.Exec(ctx, schema); err != nil {
			pool.Close()
		}
	}
	if err != nil {
		return nil, tableError(err)
	}
	return &table{pool}, nil
}

func (t *table) close() { t.pool.Close() }

// fill inserts the backlog into a table that is empty, in one transaction.
func (t *table) fill(ctx context.Context, g *Generator, n int) error {
	var any bool
	if err := t.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM streaming.transactions)").Scan(&any); err != nil {
		return tableError(err)
	}
	if any {
		return nil
	}
	return t.insert(ctx, g.Backlog(time.Now(), n))
}

func (t *table) insert(ctx context.Context, rows []Row) error {
	var (
		users   = make([]int64, len(rows))
		amounts = make([]string, len(rows))
		times   = make([]time.Time, len(rows))
		whats   = make([]string, len(rows))
	)
	for i, r := range rows {
		users[i], amounts[i], times[i], whats[i] = r.User, r.Amount.Format(Scale), r.Time, r.Description
	}
	if _, err := t.pool.Exec(ctx, insert, users, amounts, times, whats); err != nil {
		return tableError(err)
	}
	return nil
}

// live inserts rate rows a second until ctx ends.
func (t *table) live(ctx context.Context, g *Generator, rate int) error {
	if rate <= 0 {
		<-ctx.Done()
		return nil
	}
	const beat = 50 * time.Millisecond
	tick := time.NewTicker(beat)
	defer tick.Stop()
	last, owed := time.Now(), time.Duration(0)
	for {
		select {
		case now := <-tick.C:
			// In whole rows; what is left over counts at the next beat.
			owed += now.Sub(last) * time.Duration(rate)
			last = now
			n := int(owed / time.Second)
			owed %= time.Second
			if n == 0 {
				continue
			}
			if err := t.insert(ctx, g.Live(now, n)); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func tableError(err error) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "demo_database", Where: "table streaming.transactions of the demo",
		Remedy: "start anew with --fresh if this stays", Err: fmt.Errorf("PostgreSQL: %w", err),
	}
}
