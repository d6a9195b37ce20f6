package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	oldestServer = 140000
	// slotPatience is how long a start waits for a slot that is in use: the server
	// needs a moment to notice that a killed predecessor is gone.
	slotPatience = 5 * time.Second
)

func (c *Capture) where() string { return c.target.Place() }

// connect opens a connection for statements.
func (c *Capture) connect(ctx context.Context) (*pgx.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, c.config)
	return conn, c.failure(c.where(), err)
}

// connectReplication opens a connection that speaks the replication protocol.
func (c *Capture) connectReplication(ctx context.Context) (*pgconn.PgConn, error) {
	config := c.config.Config.Copy()
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(ctx, config)
	return conn, c.failure(c.where(), err)
}

// hangUp closes a connection in good order, also when ctx has ended, but not for ever.
func hangUp(ctx context.Context, close func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = close(ctx)
}

// The slots of a snapshot, beside the one that the stream is read from.
const (
	// suffixPending marks a snapshot that is not complete, and keeps what has
	// changed since the first attempt at it began.
	suffixPending = "_snapshot"
	// suffixReading is the temporary slot that a snapshot is read under. PostgreSQL
	// drops it with its connection; there can be one, so it also keeps a second capture out.
	suffixReading = "_reading"
)

// prepare checks everything that a capture needs, creates the publication if it
// is missing, and returns what the catalog says.
func (c *Capture) prepare(ctx context.Context, conn *pgx.Conn) (*look, error) {
	var version int
	var walLevel string
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('wal_level')`).
		Scan(&version, &walLevel)
	if err != nil {
		return nil, c.failure(c.where(), err)
	}
	if version < oldestServer {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_version", Where: c.where(),
			Remedy: "upgrade to PostgreSQL 14 or later", Err: fmt.Errorf("its version is %d", version/10000),
		}
	}
	if walLevel != "logical" {
		return nil, errWalLevel(fmt.Errorf("wal_level is %s", walLevel))
	}
	if err := c.stayConnected(ctx, conn); err != nil {
		return nil, err
	}
	l, err := c.settled(ctx, conn, c.tableFault)
	if err != nil {
		return nil, c.fault(ctx, err)
	}
	if l.publication.oid == 0 {
		if err := c.publish(ctx, conn, l); err != nil {
			return nil, err
		}
	}
	if l, err = c.settled(ctx, conn, c.anyFault); err != nil {
		return nil, c.fault(ctx, err)
	}
	c.knowKey(l.key)
	if c.told == nil || c.told.oid != l.oid {
		c.tell(l)
		c.told = l
	}
	return l, nil
}

// stayConnected: the connection waits for the table's next change of layout, perhaps for months.
func (c *Capture) stayConnected(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SET idle_session_timeout = 0`)
	return c.failure(c.where(), err)
}

// fault is the error of a start that refuses a table or publication.
func (c *Capture) fault(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*outage](err); ok || c.mark == nil {
		return err
	}
	c.owe(ctx, err)
	return followedBy(err, again)
}

// publish creates the publication.
func (c *Capture) publish(ctx context.Context, conn *pgx.Conn, l *look) error {
	create := c.createPublication(l)
	_, err := conn.Exec(ctx, create)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeExists {
		err = nil // another was quicker
	} else if ok && pg.Code == codeNoRight {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_publication", Where: c.wherePublication(),
			Remedy: "as owner of the table: " + create, Err: errors.New("there is none of this name, and " + pg.Message),
		}
	}
	if err != nil {
		return c.failure("creating "+c.wherePublication(), err)
	}
	c.o.Log.Info("publication created", "publication", c.o.Publication, "table", c.o.Table)
	return nil
}

// slots says how far this capture has come, as PostgreSQL knows it.
type slots struct {
	complete bool  // the slot of the stream is there, so a snapshot is complete
	pending  bool  // a snapshot was begun and is not complete
	kept     int64 // bytes of WAL that the pending one holds
}

// slots looks for the capture's slots, and waits a little for one that is in use.
func (c *Capture) slots(ctx context.Context, conn *pgx.Conn, again bool) (slots, error) {
	var s slots
	for deadline := time.Now().Add(slotPatience); ; {
		s = slots{}
		used, err := c.readSlots(ctx, conn, &s)
		if err != nil || used == nil {
			return s, err
		}
		if again || time.Now().After(deadline) {
			return s, &outage{used}
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// readSlots returns, as used, the error that a slot is in use.
func (c *Capture) readSlots(ctx context.Context, conn *pgx.Conn, s *slots) (used, err error) {
	rows, err := conn.Query(ctx, `SELECT slot_name::text, coalesce(plugin::text, ''), coalesce(database::text, ''),
		coalesce(wal_status, ''), coalesce(active_pid, 0),
			CASE WHEN pg_is_in_recovery() THEN 0 ELSE coalesce(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0)::bigint END
		FROM pg_catalog.pg_replication_slots WHERE slot_name = ANY($1::text[])`, []string{c.o.Slot, c.o.Slot + suffixPending,
		c.o.Slot + suffixReading})
	if err != nil {
		return nil, c.failure("reading the replication slots", err)
	}
	type found struct {
		Name, Plugin, Database, WALStatus string
		PID                               int
		Kept                              int64
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return nil, c.failure("reading the replication slots", err)
	}
	for _, f := range all {
		switch f.Name {
		case c.o.Slot:
			s.complete = true
		case c.o.Slot + suffixPending:
			s.pending, s.kept = true, f.Kept
		}
	}
	for _, f := range all {
		where := fmt.Sprintf("replication slot %q", f.Name)
		switch {
		case f.Plugin != "pgoutput" || f.Database != c.config.Database:
			return nil, &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "slot_foreign", Where: where, Remedy: "give this capture a slot of its own",
				Err: fmt.Errorf("it belongs to plugin %q and database %q", f.Plugin, f.Database),
			}
		case f.WALStatus == "lost" && (f.Name == c.o.Slot || !s.complete):
			return nil, errSlotLost(f.Name, errors.New("the WAL that it needs has been removed"))
		case f.PID != 0:
			used = &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "slot_in_use", Where: where,
				Remedy: "stop the other process, or give this capture a slot of its own",
				Err:    fmt.Errorf("a process uses it through server process %d", f.PID),
			}
		}
	}
	return used, nil
}

// dropPending forgets that a snapshot is not complete. It is no error if that is known already.
func (c *Capture) dropPending(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots WHERE
		slot_name = $1`, c.o.Slot+suffixPending)
	return c.failure(fmt.Sprintf("dropping replication slot %q", c.o.Slot+suffixPending), err)
}
