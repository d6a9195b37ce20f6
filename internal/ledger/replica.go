package ledger

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// errBehind is the end of a wait for a row to become visible.
var errBehind = errors.New("the server does not show the transaction yet")

// replay is what a server says about itself and about one transaction.
type replay struct {
	recovering bool
	lsn        uint64 // end of the last replayed record
	status     string // of the transaction, as txid_status has it; "unknown" while the server has not heard of it
	settled    uint64 // all transactions below it have ended; only a primary knows
}

// replaySQL asks for a replay; $1 is the lower half of a transaction id, which
// is what change events carry. Ids in use are never 2^31 apart, so the newest
// one with that half, if it is not in the future, is meant. A snapshot would not
// do: on a standby it does not list what is in progress. A transaction of a
// primary that is newer than all that have ended is known by the lock on its own id.
const replaySQL = `SELECT pg_is_in_recovery(), ` + positionSQL + `, CASE
	WHEN (xmax - $1::bigint) & 4294967295 BETWEEN 1 AND 2147483647
	THEN coalesce(txid_status(xmax - ((xmax - $1::bigint) & 4294967295)), 'forgotten')
	WHEN EXISTS (SELECT FROM pg_locks WHERE locktype = 'transactionid' AND granted AND mode = 'ExclusiveLock' AND transactionid = $1::bigint::text::xid)
	THEN 'in progress'
	ELSE 'unknown' END,
	txid_snapshot_xmin(txid_current_snapshot())
	FROM txid_snapshot_xmax(txid_current_snapshot()) AS xmax`

// has reports whether rows of the transaction at src can be seen. A commit is
// streamed before it is visible: by a moment, or for as long as the primary
// waits for a synchronous standby. And the LSN of a change event is that of the
// row's record, which comes before its transaction's commit: a replica between
// the two has replayed the row and does not show it. So the transaction must have ended.
func (r replay) has(src brimline.Source) bool {
	if !r.recovering {
		return r.status != "in progress"
	}
	return r.lsn > src.LSN && (src.TxID == 0 || r.status != "unknown" && r.status != "in progress")
}

// await polls until the server has src's transaction, 1 ms apart at first and 100 ms later.
func (l *Ledger) await(ctx context.Context, c *pgx.Conn, src brimline.Source) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var r replay
		var position string
		err := c.QueryRow(ctx, replaySQL, src.TxID&0xFFFFFFFF).Scan(&r.recovering, &position, &r.status, &r.settled)
		if err != nil {
			return err
		}
		if r.lsn, err = parseLSN(position); err != nil {
			return err
		}
		if !r.recovering {
			l.settled.Store(r.settled)
		}
		if r.has(src) {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: it is at log position %s, the row at %s, its transaction %s", errBehind, position, brimline.FormatLSN(src.LSN), r.status)
		}
	}
}

// isSettled reports whether src's transaction is known to have ended on the
// primary, from an earlier answer. Its id is the lower half of the real one.
func (l *Ledger) isSettled(src brimline.Source) bool {
	if src.TxID == 0 {
		return true
	}
	behind := uint32(l.settled.Load()) - uint32(src.TxID)
	return l.settled.Load() != 0 && behind >= 1 && behind < 1<<31
}

// parseLSN reads what brimline.FormatLSN writes.
func parseLSN(s string) (uint64, error) {
	high, low, ok := strings.Cut(s, "/")
	hi, err1 := strconv.ParseUint(high, 16, 32)
	lo, err2 := strconv.ParseUint(low, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("%q is not a write-ahead log position", s)
	}
	return hi<<32 | lo, nil
}
