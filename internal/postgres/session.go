package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// beginSQL names the isolation, since a default of the login's would make every
// statement see the rows as they were at the first, and a standby refuse.
const beginSQL = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"

// settingsSQL makes names mean the same whatever the login, the database and
// the URL have set, until the transaction's end. With row_security off a policy
// that would hide rows makes an error.
const settingsSQL = `SELECT pg_catalog.set_config('statement_timeout', $1, true),
	pg_catalog.set_config('search_path', 'pg_catalog', true),
	pg_catalog.set_config('row_security', 'off', true)`

// Ask asks the questions that queue puts on a batch, in one transaction and
// one round trip. read takes all their results, in order. Errors are as the driver gives them.
func Ask(
	ctx context.Context,
	conn *pgx.Conn,
	timeout time.Duration,
	queue func(*pgx.Batch),
	read func(pgx.BatchResults) error,
) (err error) {
	batch := &pgx.Batch{}
	batch.Queue(beginSQL)
	batch.Queue(settingsSQL, strconv.FormatInt(timeout.Milliseconds(), 10))
	queue(batch)
	batch.Queue("COMMIT")
	results := conn.SendBatch(ctx, batch)
	defer func() {
		if closing := results.Close(); err == nil {
			err = closing
		}
		if err != nil && !conn.IsClosed() && conn.PgConn().TxStatus() != 'I' {
			// Else the pool would throw the connection away.
			_, _ = conn.Exec(ctx, "ROLLBACK")
		}
	}()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return read(results)
}

// Done is for a question of which nothing but its failure is of interest.
func Done(results pgx.BatchResults) error {
	_, err := results.Exec()
	return err
}
