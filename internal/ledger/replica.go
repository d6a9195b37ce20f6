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

// errBehind is the end of a wait for a replica.
var errBehind = errors.New("the replica has not replayed the transaction yet")

// replay is what a server says about itself and about one transaction.
type replay struct {
	recovering bool
	lsn        uint64 // end of the last replayed record
	status     string // of the transaction, as txid_status has it; "unknown" while the server has not heard of it
}

// replaySQL asks for a replay; $1 is the lower half of a transaction id, which
// is what change events carry. Ids in use are never 2^31 apart, so the newest
// one with that half, if it is not in the future, is meant. A snapshot would not
// do: on a standby it does not list what is in progress.
const replaySQL = `SELECT pg_is_in_recovery(), ` + positionSQL + `, CASE
	WHEN (xmax - $1::bigint) & 4294967295 BETWEEN 1 AND 2147483647
	THEN coalesce(txid_status(xmax - ((xmax - $1::bigint) & 4294967295)), 'forgotten')
	ELSE 'unknown' END
	FROM txid_snapshot_xmax(txid_current_snapshot()) AS xmax`

// has reports whether rows of the transaction at src can be seen. The LSN of a
// change event is that of the row's record, which comes before its
// transaction's commit: a replica between the two has replayed the row and
// does not show it. So the transaction must also have ended.
func (r replay) has(src brimline.Source) bool {
	if !r.recovering {
		return true
	}
	return r.lsn > src.LSN && (src.TxID == 0 || r.status != "unknown" && r.status != "in progress")
}

// awaitReplay polls until the server has src's transaction, 1 ms apart at first and 100 ms later.
func awaitReplay(ctx context.Context, c *pgx.Conn, src brimline.Source) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		var r replay
		var position string
		err := c.QueryRow(ctx, replaySQL, src.TxID&0xFFFFFFFF).Scan(&r.recovering, &position, &r.status)
		if err != nil {
			return err
		}
		if r.lsn, err = parseLSN(position); err != nil {
			return err
		}
		if r.has(src) {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: it is at %s, the row at %s, its transaction %s", errBehind, position, brimline.FormatLSN(src.LSN), r.status)
		}
	}
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
