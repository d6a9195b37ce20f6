package capture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// snapshot sends every row of the table as it was at the very point where the
// stream will begin, and then creates the permanent slot at that point.
func (c *Capture) snapshot(ctx context.Context, conn *pgx.Conn, key *tableKey) error {
	replication, err := c.connectReplication(ctx)
	if err != nil {
		return err
	}
	// Dropped with this connection, whatever becomes of us: an interrupted snapshot leaves nothing.
	defer hangUp(ctx, replication.Close)
	c.o.Log.Info("snapshot begins once the transactions that are open now have ended", "table", c.o.Table)
	temporary := c.o.Slot + "_snapshot"
	results, err := replication.Exec(ctx, fmt.Sprintf("CREATE_REPLICATION_SLOT %s TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT", quote(temporary))).ReadAll()
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeExists {
		pg.Code = codeInUse // another capture is taking its snapshot
	}
	if err != nil {
		return c.failure("creating a replication slot", err)
	}
	made := results[0].Rows[0] // slot_name, consistent_point, snapshot_name, output_plugin
	lsn, err := parseLSN(string(made[1]))
	if err != nil {
		return err
	}

	tx, err := conn.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return c.failure("reading the snapshot", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	if _, err := tx.Exec(ctx, "SET TRANSACTION SNAPSHOT '"+string(made[2])+"'"); err != nil {
		return c.failure("reading the snapshot", err)
	}
	// Any command ends the exporting transaction; from here on only ours holds the snapshot.
	if _, err := replication.Exec(ctx, "IDENTIFY_SYSTEM").ReadAll(); err != nil {
		return c.failure("creating a replication slot", err)
	}
	t := newTracker()
	rows, err := c.snapshotRows(ctx, tx, key, lsn, t)
	if err != nil {
		return err
	}
	if err := c.sink.Flush(ctx); err != nil {
		return err
	}
	if err := t.failure(); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return c.failure("reading the snapshot", err)
	}
	// From this statement on the snapshot is complete, for every process and for ever.
	if _, err := conn.Exec(ctx, `SELECT pg_copy_logical_replication_slot($1, $2, false)`, temporary, c.o.Slot); err != nil {
		return c.failure(fmt.Sprintf("creating replication slot %q", c.o.Slot), err)
	}
	c.stats.confirmed.Store(lsn)
	c.o.Log.Info("snapshot complete", "table", c.o.Table, "rows", rows, "lsn", formatLSN(lsn), "slot", c.o.Slot)
	return nil
}

// snapshotRows reads the table in one pass. Rows come off the wire one by one
// (nothing is gathered on either side), as fast as the sink takes them.
func (c *Capture) snapshotRows(ctx context.Context, tx pgx.Tx, key *tableKey, lsn uint64, t *tracker) (int, error) {
	columns, err := c.publishedColumns(ctx, tx)
	if err != nil {
		return 0, err
	}
	var at time.Time
	var txid uint64
	if err := tx.QueryRow(ctx, `SELECT clock_timestamp(), txid_current()`).Scan(&at, &txid); err != nil {
		return 0, c.failure("reading the snapshot", err)
	}
	// A reader that is given up would read the rest of the table when it is
	// closed; ending its context first cuts the connection instead.
	reading, cancel := context.WithCancel(ctx)
	reader := tx.Conn().PgConn().ExecParams(reading, "SELECT "+strings.Join(columns, ", ")+" FROM "+c.quotedTable(), nil, nil, nil, nil)
	defer func() { cancel(); _, _ = reader.Close() }()

	rel := &relation{schema: c.schema, name: c.table}
	for _, f := range reader.FieldDescriptions() {
		rel.columns = append(rel.columns, column{name: f.Name, oid: f.DataTypeOID, modifier: f.TypeModifier})
	}
	rel.setKey(key)
	from := origin{micros: at.UnixMicro(), lsn: lsn, txid: txid}
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

// publishedColumns leaves out what the stream leaves out.
func (c *Capture) publishedColumns(ctx context.Context, tx pgx.Tx) ([]string, error) {
	rows, err := tx.Query(ctx, `SELECT quote_ident(attname) FROM pg_attribute
		WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum`, c.quotedTable())
	if err != nil {
		return nil, c.failure("reading the catalog", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return columns, c.failure("reading the catalog", err)
}

// copyRow takes a row out of the connection's buffer.
func copyRow(values [][]byte) tuple {
	row := make(tuple, len(values))
	for i, v := range values {
		if v != nil {
			row[i] = datum{kind: kindText, text: append([]byte{}, v...)}
		}
	}
	return row
}
