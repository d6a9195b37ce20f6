package capture

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// Header is a header of a record.
type Header struct {
	Key   string
	Value []byte
}

// Record is a message for Kafka. A nil Value is a tombstone; a nil Key is that of a TRUNCATE.
type Record struct {
	Topic     string
	Key       []byte
	Value     []byte
	Headers   []Header
	Timestamp time.Time // when it was captured
}

// Sink takes the records. It must keep the order of records with one key.
type Sink interface {
	// Produce hands a record over and calls acked once, from any goroutine, when
	// the record is safe or never will be. It may block while the sink is full.
	// An error means that acked is not called. Key and Value are the sink's to keep.
	Produce(ctx context.Context, r Record, acked func(error)) error
	// Flush returns when acked has been called for every record handed over before.
	Flush(ctx context.Context) error
}

// Options say what to capture.
type Options struct {
	// DatabaseURL is a connection string of PostgreSQL 14 or later. Its user needs
	// LOGIN, REPLICATION and SELECT on the table; and, where the publication does
	// not exist, the ownership of the table and CREATE on the database.
	DatabaseURL string
	// Table is "schema.name", as it is spelled in the catalog. It needs a primary key.
	Table string
	// Slot is the replication slot, "brimline" by default: the record of progress
	// (see the package's text), created when missing. One capture at a time can use it.
	Slot string
	// Publication is "brimline" by default, created for Table when missing.
	Publication string
	// TopicPrefix begins the topic's name and is source.name; "postgres" by default.
	TopicPrefix string
	// Memory remembers which table and topic the slot stands for. Nil remembers
	// nothing: then an exchange is noticed only while the capture runs.
	Memory Memory
	// Resnapshot takes a new snapshot, of the table and its publication as they
	// are, before streaming goes on from where the slot stands.
	Resnapshot bool
	// CheckInterval is how often the catalog is looked at, 10 s by default.
	CheckInterval time.Duration
	// Log receives a line for each change of state; nil discards it.
	Log *slog.Logger
	// StatusInterval is how often progress is reported to PostgreSQL, 1 s by
	// default. It bounds how much comes again after a kill.
	StatusInterval time.Duration
	// QueueSize is how many changes may wait for the sink, 4096 by default. They are held in memory.
	QueueSize int
}

// Topic is the topic of a table, `<prefix>.<schema>.<table>`, with an underscore,
// as Debezium does, for each character that Kafka does not allow; creating it is
// the caller's business.
func Topic(prefix, table string) string {
	return prefix + "." + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '_'
	}, table)
}

// Stats are figures of a capture; the counters are of this process.
type Stats struct {
	Streaming    bool   // connected and past the snapshot
	SnapshotRows uint64 // rows of snapshots, handed to the sink
	Changes      uint64 // changes of the stream, handed to the sink; a tombstone counts with its delete
	Snapshots    uint64 // completed
	Reconnects   uint64
	Gaps         uint64 // stretches of the stream that are lost: what was deleted in them stays in the topic
	Partitions   uint64 // partitions that went without a word in the stream
	ConfirmedLSN uint64 // every transaction up to here is acknowledged
	ServerLSN    uint64 // how far the server has told us of its WAL
}

// Capture is one capture of one table.
type Capture struct {
	o             Options
	target        *postgres.Target
	config        *pgx.ConnConfig
	schema, table string
	topic         string
	sink          Sink
	stats         struct {
		streaming                                                      atomic.Bool
		snapshotRows, changes, snapshots, reconnects, gaps, partitions atomic.Uint64
		confirmed, server                                              atomic.Uint64
	}

	types      types
	keys       [][]string    // primary keys that the table is known to have had, the newest first
	mark       *mark         // what the topic holds, as it is remembered
	resnapshot bool          // the one that was asked for has been taken
	covered    pglogrepl.LSN // of the last snapshot: what came before it need not come again, deletes apart
	told       *look         // the table that the log knows of
	// passing is called by tests at the named points of a snapshot; an error ends the session there.
	passing func(point string) error
}

// New checks the options and does not touch the network.
func New(o Options) (*Capture, error) {
	setDefault(&o.Slot, "brimline")
	setDefault(&o.Publication, "brimline")
	setDefault(&o.TopicPrefix, "postgres")
	if o.StatusInterval <= 0 {
		o.StatusInterval = time.Second
	}
	if o.QueueSize <= 0 {
		o.QueueSize = 4096
	}
	if o.CheckInterval <= 0 {
		o.CheckInterval = 10 * time.Second
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	schema, table, ok := strings.Cut(o.Table, ".")
	if !ok || schema == "" || table == "" {
		return nil, inputError("capture_table", fmt.Sprintf("table %q", o.Table),
			"write it as schema.name", errors.New("no schema"))
	}
	// PostgreSQL's own rule; the length leaves room for the suffixes.
	if !regexp.MustCompile(`^[a-z0-9_]{1,54}$`).MatchString(o.Slot) {
		return nil, inputError("capture_slot", fmt.Sprintf("slot %q", o.Slot),
			"use at most 54 lower-case letters, digits and underscores", errors.New("not a slot name"))
	}
	for _, suffix := range []string{suffixPending, suffixReading} {
		if strings.HasSuffix(o.Slot, suffix) {
			return nil, inputError("capture_slot", fmt.Sprintf("slot %q", o.Slot),
				"choose a name with another ending",
				fmt.Errorf("a capture gives slots this ending (%s) while it takes a snapshot", suffix))
		}
	}
	target, err := postgres.Parse(o.DatabaseURL)
	if bad, ok := errors.AsType[*brimline.Error](err); ok {
		return nil, inputError("database_url", "the database URL", bad.Remedy, bad.Err)
	}
	config := target.Config("brimline capture")
	// Values are read in PostgreSQL's text form, so its form must not depend on
	// settings of the server, the role or the environment.
	for name, value := range map[string]string{
		"intervalstyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex", "lc_monetary": "C",
		// A snapshot without the rows that a policy hides would differ from the stream: refuse it.
		"row_security": "off",
		// The snapshot may take hours, and the slot's creation waits for open transactions.
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		config.RuntimeParams[name] = value
	}
	return &Capture{
		o: o, target: target, config: config, schema: schema, table: table, topic: Topic(o.TopicPrefix, o.Table),
		types: types{},
	}, nil
}

// Stats may be called at any time.
func (c *Capture) Stats() Stats {
	s := &c.stats
	return Stats{
		Streaming: s.streaming.Load(), SnapshotRows: s.snapshotRows.Load(), Changes: s.changes.Load(),
		Snapshots: s.snapshots.Load(), Reconnects: s.reconnects.Load(), Gaps: s.gaps.Load(), Partitions: s.partitions.Load(),
		ConfirmedLSN: s.confirmed.Load(), ServerLSN: s.server.Load(),
	}
}

// Check connects, refuses a server or a table that cannot be captured, and makes
// the publication if it is missing: what can be known before anything is written.
func (c *Capture) Check(ctx context.Context) error {
	if err := c.recall(ctx); err != nil {
		return unwrapOutage(err)
	}
	conn, err := c.connect(ctx)
	if err != nil {
		return unwrapOutage(err)
	}
	defer hangUp(ctx, conn.Close)
	_, err = c.prepare(ctx, conn)
	return unwrapOutage(err)
}

// Run captures until ctx ends, and then returns nil after a flush. It returns an
// error when it cannot begin, when the sink fails, when the table or its
// publication is no longer what it was, and when waiting will not help (a
// *brimline.Error says what will). A PostgreSQL that goes away later is waited
// for, however long it takes. Run may be called again after it has returned.
func (c *Capture) Run(ctx context.Context, sink Sink) error {
	c.sink = sink
	if err := c.recall(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return unwrapOutage(err)
	}
	pauses := backoff.Backoff{First: 200 * time.Millisecond, Most: 10 * time.Second}
	connected, away := false, false
	for {
		err := c.session(ctx, connected, func() {
			if away {
				c.o.Log.Info("capture goes on: PostgreSQL is back", "table", c.o.Table)
			}
			pauses.Reset()
			connected, away = true, false
		})
		c.stats.streaming.Store(false)
		if ctx.Err() != nil {
			return nil
		}
		var down *outage
		if !connected || !errors.As(err, &down) {
			return unwrapOutage(err)
		}
		c.stats.reconnects.Add(1)
		if !away {
			away = true
			c.o.Log.Warn("capture waits", "table", c.o.Table, "err", err)
		}
		if pauses.Pause(ctx) != nil {
			return nil
		}
	}
}

// session is the life of one connection: what is missing is created, a snapshot
// taken if one is due, and the stream followed. It calls up when it works.
func (c *Capture) session(ctx context.Context, again bool, up func()) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn.Close)
	l, err := c.prepare(ctx, conn)
	if err != nil {
		return err
	}
	slots, err := c.slots(ctx, conn, again)
	if err != nil {
		return err
	}
	if !again {
		up() // from here on an outage is waited for, in the snapshot too
	}
	if slots.complete {
		err = c.resume(ctx, conn, l, slots)
	} else {
		err = c.begin(ctx, conn, l, slots, again)
	}
	if err != nil {
		return err
	}
	err = c.stream(ctx, conn, l, up)
	if isWithoutPublication(err) && ctx.Err() == nil {
		return c.withoutPublication(ctx, conn, l, err)
	}
	return err
}

// begin takes the first snapshot, or takes it again if one was interrupted.
func (c *Capture) begin(ctx context.Context, conn *pgx.Conn, l *look, slots slots, again bool) error {
	switch {
	case slots.pending:
		c.o.Log.Warn("a snapshot was interrupted and is taken again; what has changed since it began comes after it",
			"table", c.o.Table,
			"slot", c.o.Slot+suffixPending, "wal_kept_bytes", slots.kept)
	case again || c.continues(ctx):
		from := "after the last position of this slot"
		if at := c.stats.confirmed.Load(); at > 0 {
			from = fmt.Sprintf("after %v", pglogrepl.LSN(at))
		}
		c.gap("the replication slot is gone", from)
	}
	return c.snapshot(ctx, conn, l, !slots.pending)
}

// continues reports whether the topic is known to hold rows of this capture already.
func (c *Capture) continues(ctx context.Context) bool {
	if c.mark == nil {
		return false
	}
	id, err := c.o.Memory.TopicID(ctx)
	return err == nil && id == c.mark.TopicID
}

// resume goes on from the slot, after a new snapshot if the slot does not stand
// for what the topic should hold.
func (c *Capture) resume(ctx context.Context, conn *pgx.Conn, l *look, slots slots) error {
	if slots.pending { // killed between the last two steps of a snapshot
		if err := c.dropPending(ctx, conn); err != nil {
			return err
		}
	}
	why, err := c.owed(ctx, l)
	if err != nil {
		return err
	}
	if c.mark != nil {
		c.tellPartitions(c.mark.look(), l)
	}
	if why == "" {
		return c.remember(ctx, l, "")
	}
	c.o.Log.Warn("a new snapshot is taken before streaming goes on: "+why+". Rows that the table has lost meanwhile, "+
		"and whose deletes the stream does not bring, stay in the topic",
		"table", c.o.Table, "slot", c.o.Slot)
	if err := c.remember(ctx, l, why); err != nil {
		return err
	}
	return c.resnap(ctx, conn, l)
}

func isWithoutPublication(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Kind == kindNoPublication
}

// withoutPublication deals with a stream that stopped at a change from the time
// when there was no publication: PostgreSQL 17 and older never get past it. If a
// snapshot covers that time, the slot can be moved to it; else one has to be taken.
func (c *Capture) withoutPublication(ctx context.Context, conn *pgx.Conn, base *look, fault error) error {
	var passed bool
	err := conn.QueryRow(ctx, `SELECT coalesce((SELECT confirmed_flush_lsn >= $2::text::pg_lsn
		FROM pg_catalog.pg_replication_slots WHERE slot_name = $1), true)`,
		c.o.Slot, c.covered.String()).Scan(&passed)
	if err != nil {
		return c.failure("reading the catalog", err)
	}
	if c.covered == 0 || passed {
		_, now, err := c.compare(ctx, conn, base)
		if err != nil {
			return err
		}
		if now != nil { // what it is by now has the fitting remedy
			fault = now
		}
		c.owe(ctx, fault)
		return fault
	}
	if _, err := c.slots(ctx, conn, false); err != nil { // waits until the stream has let go of it
		return err
	}
	c.gap("the publication was not there for a while, and the stream does not go past that",
		fmt.Sprintf("between the slot's position and %v", c.covered))
	const advance = `SELECT pg_replication_slot_advance($1, $2::text::pg_lsn)`
	if _, err := conn.Exec(ctx, advance, c.o.Slot, c.covered.String()); err != nil {
		return c.failure(fmt.Sprintf("moving replication slot %q on", c.o.Slot), err)
	}
	return &outage{fault}
}

// gap says what a stretch of lost stream means.
func (c *Capture) gap(what, where string) {
	c.stats.gaps.Add(1)
	c.o.Log.Warn(what+": the new snapshot brings what was inserted and updated; rows that were deleted, truncated or "+
		"moved to another user or key stay in the topic as they were",
		"table", c.o.Table, "slot", c.o.Slot, "lost", where, "gaps_so_far", c.stats.gaps.Load())
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func inputError(kind, where, remedy string, err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: kind, Where: where, Remedy: remedy, Err: err}
}
