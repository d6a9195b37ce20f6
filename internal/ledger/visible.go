package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
)

// errBehind is the end of a wait for a row to become visible.
var errBehind = errors.New("the server does not show the transaction yet")

// States of a transaction, as txid_status has them, but for the last two.
const (
	inProgress = "in progress"
	unknown    = "unknown" // the server has not heard of it, or cannot have had it
)

// sight is a server's answer about itself and about one transaction.
type sight struct {
	recovering bool
	position   uint64        // end of the last replayed record, or of the last one written
	replayed   brimline.Time // when the last transaction that a standby has replayed was committed; 0: none
	status     string
}

// sightSQL asks for a sight for each of the ids in $1. A change carries the
// lower half of an id, as pgoutput does, or a whole one. Ids in use are never 2^31
// apart, so the one nearest to the newest that has ended is meant. The position is
// read first, the newest id (age() counts from it) after that: a standby knows
// an id from the first record of its transaction on, so one that it does not
// know although it has replayed the row cannot be this timeline's.
const sightSQL = `SELECT s.recovering, s.position::pg_catalog.text,
		coalesce((extract(epoch FROM s.replayed) * 1000000)::pg_catalog.int8, 0), CASE
		WHEN i.id < 3 OR i.low < 3 OR i.whole < 3 THEN 'unknown'
		WHEN i.id > 4294967295 AND i.id <> i.whole THEN 'unknown'
		WHEN pg_catalog.age(i.low::pg_catalog.text::pg_catalog.xid) <= 0 THEN 'unknown'
		ELSE coalesce(pg_catalog.txid_status(i.whole), 'forgotten') END
	FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovering,
		CASE WHEN pg_catalog.pg_is_in_recovery()
			THEN pg_catalog.pg_last_wal_replay_lsn() ELSE pg_catalog.pg_current_wal_insert_lsn() END AS position,
		pg_catalog.pg_last_xact_replay_timestamp() AS replayed,
		pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot()) AS newest OFFSET 0) AS s
	CROSS JOIN LATERAL (SELECT id, n, id & 4294967295 AS low,
		s.newest + (((id & 4294967295) - s.newest + 2147483648) & 4294967295) - 2147483648 AS whole
		FROM pg_catalog.unnest($1::pg_catalog.int8[]) WITH ORDINALITY AS u (id, n)) AS i
	ORDER BY i.n`

// anotherTimeline is how much later than the row a transaction must have been
// committed that is before it in the log, for the row to be of another timeline
// (before a failover or a restore). Clocks that step are to be within it.
const anotherTimeline = 10 * time.Minute

// shows reports whether rows of the transaction at src can be seen, or never
// will be. A commit is streamed before it is visible: by a moment, or for as long
// as the primary waits for a synchronous standby. And the LSN of a change event
// is that of the row's record, which comes before its transaction's commit: a
// replica between the two has replayed the row and does not show it. So the
// transaction must have ended. One that the server cannot have had, of another
// cluster or of a time before a restore, is not waited for.
func (s *sight) shows(src brimline.Source) bool {
	switch {
	case s.recovering && src.LSN != 0 && s.position <= src.LSN:
		return src.Commit != 0 && s.replayed > src.Commit.Add(anotherTimeline)
	case s.status == inProgress:
		return !s.recovering && src.LSN > s.position // in progress is another one that has the id
	default:
		return true
	}
}

// settled is a primary's answer: since when it runs, which tells it from
// any other, and that all transactions below an id have ended.
type settled struct {
	since *time.Time
	below uint64
}

// hasAll reports whether the transactions of all changes are known to have
// ended on a primary. A change has the lower half of an id, or a whole one.
func (s *settled) hasAll(after []brimline.Source) bool {
	for i := range after {
		id := after[i].TxID
		if s == nil || id <= 0 {
			return false
		}
		behind := s.below - uint64(id)
		if id < 1<<32 {
			behind = uint64(uint32(behind))
		}
		if behind < 1 || behind >= 1<<31 {
			return false
		}
	}
	return true
}

// see asks which of the changes are not visible yet: the first of them, with what the server says.
func see(results pgx.BatchResults, after []brimline.Source) (first *notYet, err error) {
	err = seeAll(results, after, func(behind *notYet) {
		if first == nil {
			first = behind
		}
	})
	return first, err
}

// seeAll calls f with each of the changes that is not visible yet.
func seeAll(results pgx.BatchResults, after []brimline.Source, f func(*notYet)) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	var s sight
	var position string
	var replayed int64
	next := 0
	_, err = pgx.ForEachRow(rows, []any{&s.recovering, &position, &replayed, &s.status}, func() (err error) {
		if s.position, err = brimline.ParseLSN(position); err != nil {
			return err
		}
		s.replayed = brimline.Time(replayed)
		if !s.shows(after[next]) {
			f(&notYet{s, after[next]})
		}
		next++
		return nil
	})
	return err
}

// Unseen are those of the changes that a server does not show yet. Another server of the URL may be behind it.
func (l *Ledger) Unseen(ctx context.Context, after []brimline.Source) (unseen []brimline.Source, err error) {
	patience, cancel := context.WithTimeout(ctx, l.o.Timeout)
	defer cancel()
	const doing = "looking for transactions that have ended"
	conn, err := l.pool.Acquire(patience)
	if err != nil {
		return nil, l.fail(ctx, doing, err)
	}
	defer conn.Release()
	for part := range slices.Chunk(known(after), transactionsAtOnce) {
		look := func(b *pgx.Batch) { queueSight(b, part) }
		if err := postgres.Ask(patience, conn.Conn(), l.o.Timeout, look, func(results pgx.BatchResults) error {
			return seeAll(results, part, func(behind *notYet) { unseen = append(unseen, behind.src) })
		}); err != nil {
			return nil, l.fail(ctx, doing, err)
		}
	}
	return unseen, nil
}

// transactionsAtOnce is how many are asked about in a statement: each takes PostgreSQL some microseconds.
const transactionsAtOnce = 10_000

// notYet is a change whose transaction cannot be seen.
type notYet struct {
	sight sight
	src   brimline.Source
}

func (n *notYet) Error() string {
	if !n.sight.recovering {
		return fmt.Sprintf("%v: transaction %d is still in progress", errBehind, n.src.TxID)
	}
	return fmt.Sprintf("%v: it is at log position %s, the row at %s, its transaction %s",
		errBehind, brimline.FormatLSN(n.sight.position), brimline.FormatLSN(n.src.LSN), n.sight.status)
}

func (n *notYet) Unwrap() error { return errBehind }

func queueSight(b *pgx.Batch, after []brimline.Source) {
	ids := make([]int64, len(after))
	for i := range after {
		ids[i] = after[i].TxID
	}
	b.Queue(sightSQL, ids)
}

// await polls until all of after can be seen, 1 ms apart at first and 100 ms
// later. last is what is known not to be visible, nil where nothing is known.
func (l *Ledger) await(ctx context.Context, conn *pgx.Conn, after []brimline.Source, last *notYet) error {
	pauses := backoff.Backoff{First: time.Millisecond, Most: 100 * time.Millisecond}
	for {
		var behind *notYet
		look := func(b *pgx.Batch) { queueSight(b, after) }
		err := postgres.Ask(ctx, conn, l.o.Timeout, look, func(results pgx.BatchResults) (err error) {
			behind, err = see(results, after)
			return err
		})
		if err != nil && ctx.Err() != nil && last != nil {
			return last // what was waited for, not the look that was cut short
		}
		if err != nil || behind == nil {
			return err
		}
		last = behind
		if pauses.Pause(ctx) != nil {
			return behind
		}
	}
}
