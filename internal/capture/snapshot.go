package capture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The points of a snapshot at which tests end it, as a kill would.
const (
	pointReserved = "reserved" // the pending slot is there, no row has been read
	pointRead     = "read"     // every row is with the sink
	pointSafe     = "safe"     // and acknowledged
	pointCopied   = "copied"   // the stream's slot is there, and the pending one too
)

func (c *Capture) pass(point string) error {
	if c.passing == nil {
		return nil
	}
	return c.passing(point)
}

// snapshot takes the first snapshot: it sends every row, and then creates the
// slot of the stream at the point where the first attempt began.
func (c *Capture) snapshot(ctx context.Context, conn *pgx.Conn, l *look, first bool) error {
	r, err := c.reserve(ctx, conn)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	if first {
		// From here on every change is kept until it has been sent, whatever becomes of us.
		if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, false)`, c.o.Slot+suffixReading,
			c.o.Slot+suffixPending); err != nil {
			return c.failure(fmt.Sprintf("creating replication slot %q", c.o.Slot+suffixPending), err)
		}
	}
	if err := c.remember(ctx, l, ""); err != nil {
		return err
	}
	if err := c.pass(pointReserved); err != nil {
		return err
	}
	rows, err := c.send(ctx, conn, r)
	if err != nil {
		return err
	}
	// Of the slots that a snapshot needs there are never more than two at once.
	if err := pglogrepl.DropReplicationSlot(ctx, r.conn, quote(c.o.Slot+suffixReading),
		pglogrepl.DropReplicationSlotOptions{}); err != nil {
		return c.failure("dropping a replication slot", err)
	}
	// From this statement on the snapshot is complete, for every process and for ever.
	if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, false)`, c.o.Slot+suffixPending,
		c.o.Slot); err != nil {
		return c.failure(fmt.Sprintf("creating replication slot %q", c.o.Slot), err)
	}
	if err := c.pass(pointCopied); err != nil {
		return err
	}
	if err := c.dropPending(ctx, conn); err != nil {
		return err
	}
	return c.taken(ctx, l, r, rows)
}

// resnap takes a new snapshot beside the slot of the stream, which keeps its
// position: what was deleted since then still comes.
func (c *Capture) resnap(ctx context.Context, conn *pgx.Conn, l *look) error {
	r, err := c.reserve(ctx, conn)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	if err := c.pass(pointReserved); err != nil {
		return err
	}
	rows, err := c.send(ctx, conn, r)
	if err != nil {
		return err
	}
	return c.taken(ctx, l, r, rows)
}

// taken notes that a snapshot is complete.
func (c *Capture) taken(ctx context.Context, l *look, r *reading, rows int) error {
	c.resnapshot, c.covered = true, r.lsn
	c.stats.snapshots.Add(1)
	c.o.Log.Info("snapshot complete", "table", c.o.Table, "rows", rows, "lsn", r.lsn.String(), "slot", c.o.Slot)
	return c.remember(ctx, l, "")
}

// reading is a snapshot that PostgreSQL holds, and the point of the stream it was taken at.
type reading struct {
	conn *pgconn.PgConn
	name string
	lsn  pglogrepl.LSN
	at   time.Time
}

func (r *reading) close(ctx context.Context) { hangUp(ctx, r.conn.Close) }

// reserve takes the snapshot: a temporary slot whose creation exports it.
func (c *Capture) reserve(ctx context.Context, conn *pgx.Conn) (_ *reading, err error) {
	r := &reading{}
	if r.conn, err = c.connectReplication(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.close(ctx)
		}
	}()
	// Its time is that of the moment before. A transaction that had not begun by
	// then and is not in the snapshot commits later, and so its changes are newer than
	// the rows also where their position is lower; one that had is waited for.
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&r.at); err != nil {
		return nil, c.failure("reading the snapshot", err)
	}
	c.o.Log.Info("snapshot begins once the transactions that are open now have ended", "table", c.o.Table)
	made, err := pglogrepl.CreateReplicationSlot(ctx, r.conn, quote(c.o.Slot+suffixReading), "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Temporary: true, Mode: pglogrepl.LogicalReplication,
			SnapshotAction: "EXPORT_SNAPSHOT"})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeExists {
		pg.Code = codeInUse // another capture is taking its snapshot
	}
	if err != nil {
		return nil, c.failure("creating a replication slot", err)
	}
	r.name = made.SnapshotName
	at, err := brimline.ParseLSN(made.ConsistentPoint)
	if err != nil {
		return nil, err
	}
	r.lsn = pglogrepl.LSN(at)
	return r, nil
}

// send hands over every row of the snapshot, and returns when all are acknowledged.
func (c *Capture) send(ctx context.Context, conn *pgx.Conn, r *reading) (int, error) {
	l, err := c.look(ctx, conn)
	if err != nil {
		return 0, err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return 0, c.failure("reading the snapshot", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+quoteLiteral(r.name)+"'"); err != nil {
		return 0, c.failure("reading the snapshot", err)
	}
	// Any command ends the exporting transaction; from here on only ours holds the snapshot.
	if _, err := pglogrepl.IdentifySystem(ctx, r.conn); err != nil {
		return 0, c.failure("creating a replication slot", err)
	}
	t := newTracker()
	rows, err := c.sendRows(ctx, tx, l, r, t)
	if err != nil {
		return rows, err
	}
	if err := c.pass(pointRead); err != nil {
		return rows, err
	}
	if err := c.sink.Flush(ctx); err != nil {
		return rows, err
	}
	if err := t.failure(); err != nil {
		return rows, err
	}
	if err := tx.Commit(ctx); err != nil {
		return rows, c.failure("reading the snapshot", err)
	}
	return rows, c.pass(pointSafe)
}

// sendRows reads the table in one pass. Rows come off the wire one by one
// (nothing is gathered on either side), as fast as the sink takes them.
func (c *Capture) sendRows(ctx context.Context, tx pgx.Tx, l *look, r *reading, t *tracker) (int, error) {
	rel, query, err := c.snapshotQuery(ctx, tx, l)
	if err != nil {
		return 0, err
	}
	// A reader that is given up would read the rest of the table when it is
	// closed; ending its context first cuts the connection instead.
	reading, cancel := context.WithCancel(ctx)
	reader := tx.Conn().PgConn().ExecParams(reading, query, nil, nil, nil, nil)
	defer func() { cancel(); _, _ = reader.Close() }()

	from := origin{micros: r.at.UnixMicro(), lsn: uint64(r.lsn)}
	open := t.begin()
	rows := 0
	send := func(row tuple, place string) error {
		from.snapshot = place
		rows++
		c.stats.snapshotRows.Add(1)
		open.add()
		return c.sink.Produce(ctx, c.records(nil, rel, change{op: 'r', after: row}, from)[0], open.ack)
	}
	// The last row is marked, so each is held back until there is another.
	var held tuple
	place := "first"
	for reader.NextRow() {
		if held != nil {
			if err := send(held, place); err != nil {
				return rows, err
			}
			place = "true"
		}
		if err := t.failure(); err != nil {
			return rows, err
		}
		held = copyRow(reader.Values())
	}
	if _, err := reader.Close(); err != nil {
		return rows, c.failure("reading the snapshot", err)
	}
	if held != nil {
		err := send(held, "last")
		return rows, err
	}
	return rows, nil
}

// snapshotQuery reads what the stream will have: the columns that are published,
// and the rows that the publication's filter lets through.
func (c *Capture) snapshotQuery(ctx context.Context, tx pgx.Tx, l *look) (*relation, string, error) {
	rel := &relation{schema: c.schema, name: c.table}
	var names []string
	published := l.published()
	for _, col := range l.columns {
		if slices.Contains(published, col.name) {
			names = append(names, quote(col.name))
			rel.columns = append(rel.columns, column{name: col.name, oid: col.oid, modifier: col.modifier})
		}
	}
	if err := c.types.read(ctx, tx.Conn(), rel.oids()); err != nil {
		return nil, "", c.failure("reading the catalog", err)
	}
	rel.setForms(c.types)
	rel.setKey([][]string{l.key})
	only := "ONLY "
	if l.kind == "p" {
		only = ""
	}
	query := "SELECT " + strings.Join(names, ", ") + " FROM " + only + c.quotedTable()
	if l.publication.filter != "" {
		query += " WHERE " + l.publication.filter
	}
	return rel, query, nil
}

// copyRow takes a row out of the connection's buffer.
func copyRow(values [][]byte) tuple {
	columns := make([]pglogrepl.TupleDataColumn, len(values))
	row := make(tuple, len(values))
	for i, v := range values {
		if v != nil {
			columns[i] = pglogrepl.TupleDataColumn{DataType: pglogrepl.TupleDataTypeText, Data: append([]byte{}, v...)}
			row[i] = &columns[i]
		}
	}
	return row
}
