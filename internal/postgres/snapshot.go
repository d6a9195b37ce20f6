package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

// Snapshot is a transaction whose statements all see the rows as they were at its first one. Each statement is bounded
// in time, the transaction is not.
type Snapshot struct {
	conn    *pgx.Conn
	timeout time.Duration
}

// BeginSnapshot begins one on a connection that has no transaction, with what Ask sets. Errors are as the driver gives
// them.
func BeginSnapshot(ctx context.Context, conn *pgx.Conn, timeout time.Duration) (*Snapshot, error) {
	s := &Snapshot{conn, timeout}
	bound, cancel := s.bound(ctx)
	defer cancel()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	batch.Queue(settingsSQL, strconv.FormatInt(timeout.Milliseconds(), 10))
	if err := conn.SendBatch(bound, batch).Close(); err != nil {
		s.End(ctx)
		return nil, err
	}
	return s, nil
}

// bound leaves the server the time to say itself that a statement took too long.
func (s *Snapshot) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout+5*time.Second)
}

// Read sends a statement and has read take its rows.
func (s *Snapshot) Read(ctx context.Context, sql string, args []any, read func(pgx.Rows) error) error {
	bound, cancel := s.bound(ctx)
	defer cancel()
	rows, err := s.conn.Query(bound, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	if err := read(rows); err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// End ends the transaction, which has written nothing. Where that fails, the connection is not used again.
func (s *Snapshot) End(ctx context.Context) {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if !s.conn.IsClosed() {
		_, _ = s.conn.Exec(bound, "ROLLBACK")
	}
}
