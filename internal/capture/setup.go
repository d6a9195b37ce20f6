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

// prepare checks everything that a capture needs, creates the publication if it
// is missing, and returns the table's key.
func (c *Capture) prepare(ctx context.Context, conn *pgx.Conn) (*tableKey, error) {
	var version int
	var walLevel string
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('wal_level')`).Scan(&version, &walLevel)
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
	// The connection waits for the table's next change of layout, perhaps for months.
	if _, err := conn.Exec(ctx, `SET idle_session_timeout = 0`); err != nil {
		return nil, c.failure(c.where(), err)
	}
	key, err := c.tableKey(ctx, conn)
	if err != nil {
		return nil, err
	}
	return key, c.publication(ctx, conn)
}

// tableKey is what the stream itself does not tell: the primary key. (Under
// REPLICA IDENTITY FULL the stream marks every column as key.)
type tableKey struct{ columns []string }

func (c *Capture) tableKey(ctx context.Context, conn *pgx.Conn) (*tableKey, error) {
	where := fmt.Sprintf("table %q", c.o.Table)
	var kind string
	err := conn.QueryRow(ctx, `SELECT c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2`, c.schema, c.table).Scan(&kind)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, c.failure("reading the catalog", err)
	}
	if kind != "r" && kind != "p" {
		what := errors.New("there is no such table")
		if kind != "" {
			what = errors.New("it is not a table")
		}
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_table", Where: where,
			Remedy: "check the table's name, and create it before the capture starts", Err: what,
		}
	}
	rows, err := conn.Query(ctx, `SELECT a.attname::text FROM pg_index i
		CROSS JOIN LATERAL unnest(i.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
		JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
		WHERE i.indisprimary AND i.indrelid = to_regclass($1) ORDER BY k.place`, c.quotedTable())
	if err != nil {
		return nil, c.failure("reading the catalog", err)
	}
	columns, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, c.failure("reading the catalog", err)
	}
	if len(columns) == 0 {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_primary_key", Where: where,
			Remedy: "ALTER TABLE " + c.quotedTable() + " ADD PRIMARY KEY (…)",
			Err:    errors.New("it has no primary key, by which records are keyed"),
		}
	}
	return &tableKey{columns}, nil
}

func (c *Capture) publication(ctx context.Context, conn *pgx.Conn) error {
	doing := fmt.Sprintf("publication %q", c.o.Publication)
	var exists, covers bool
	// A partitioned table must be published under its own name, not as its parts.
	err := conn.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_publication WHERE pubname = $1 AND pubinsert AND pubupdate AND pubdelete),
		EXISTS (SELECT FROM pg_publication_tables WHERE pubname = $1 AND schemaname = $2 AND tablename = $3)`,
		c.o.Publication, c.schema, c.table).Scan(&exists, &covers)
	if err != nil {
		return c.failure("reading the catalog", err)
	}
	if exists && covers {
		return nil
	}
	create := fmt.Sprintf("CREATE PUBLICATION %s FOR TABLE %s WITH (publish_via_partition_root = true)", quote(c.o.Publication), c.quotedTable())
	_, err = conn.Exec(ctx, create)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeExists {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "postgres_publication", Where: doing,
			Remedy: fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s with inserts, updates and deletes, or name another publication", quote(c.o.Publication), c.quotedTable()),
			Err:    fmt.Errorf("it exists and does not publish all changes of %s", c.o.Table),
		}
	}
	if err == nil {
		c.o.Log.Info("publication created", "publication", c.o.Publication, "table", c.o.Table)
	}
	return c.failure("creating "+doing, err)
}

// slotMissing tells whether the slot has yet to be made, which is to say whether
// the snapshot has yet to be taken.
func (c *Capture) slotMissing(ctx context.Context, conn *pgx.Conn, again bool) (bool, error) {
	where := fmt.Sprintf("replication slot %q", c.o.Slot)
	for deadline := time.Now().Add(slotPatience); ; {
		var plugin, database, walStatus string
		var pid int
		err := conn.QueryRow(ctx, `SELECT coalesce(plugin::text, ''), coalesce(database::text, ''), coalesce(wal_status, ''), coalesce(active_pid, 0)
			FROM pg_replication_slots WHERE slot_name = $1`, c.o.Slot).Scan(&plugin, &database, &walStatus, &pid)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return true, nil
		case err != nil:
			return false, c.failure("reading "+where, err)
		case plugin != "pgoutput" || database != c.config.Database:
			return false, &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "slot_foreign", Where: where, Remedy: "give this capture a slot of its own",
				Err: fmt.Errorf("it belongs to plugin %q and database %q", plugin, database),
			}
		case walStatus == "lost":
			return false, c.errSlotLost(errors.New("the WAL that it needs has been removed"))
		case pid == 0:
			return false, nil
		}
		if again || time.Now().After(deadline) {
			return false, &outage{&brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "slot_in_use", Where: where,
				Remedy: "stop the other process, or give this capture a slot of its own",
				Err:    fmt.Errorf("a process uses it through server process %d", pid),
			}}
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Drop removes the slot and the publication, so that PostgreSQL keeps no WAL for
// a capture that will not come back; a later Run takes a new snapshot. It is no
// error if there are none.
func (c *Capture) Drop(ctx context.Context) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return unwrapOutage(err)
	}
	defer hangUp(ctx, conn.Close)
	_, err = conn.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1`, c.o.Slot)
	if err == nil {
		_, err = conn.Exec(ctx, "DROP PUBLICATION IF EXISTS "+quote(c.o.Publication))
	}
	return unwrapOutage(c.failure("dropping the replication slot and the publication", err))
}
