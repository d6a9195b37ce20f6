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

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
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
	// Log receives a line for each change of state; nil discards it.
	Log *slog.Logger
	// StatusInterval is how often progress is reported to PostgreSQL, 1 s by
	// default. It bounds how much comes again after a kill.
	StatusInterval time.Duration
	// QueueSize is how many changes may wait for the sink, 4096 by default. They are held in memory.
	QueueSize int
}

// Topic is the topic of a table, `<prefix>.<schema>.<table>`; creating it is the caller's business.
func Topic(prefix, table string) string { return prefix + "." + table }

// Stats are figures of a capture; the counters are of this process.
type Stats struct {
	Streaming    bool   // connected and past the snapshot
	SnapshotRows uint64 // rows of snapshots, handed to the sink
	Changes      uint64 // changes of the stream, handed to the sink; a tombstone counts with its delete
	Reconnects   uint64
	ConfirmedLSN uint64 // every transaction up to here is acknowledged
	ServerLSN    uint64 // how far the server has told us of its WAL
}

// LagBytes is how much WAL is told of and not confirmed.
func (s Stats) LagBytes() uint64 {
	if s.ServerLSN < s.ConfirmedLSN {
		return 0
	}
	return s.ServerLSN - s.ConfirmedLSN
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
		streaming                                            atomic.Bool
		snapshotRows, changes, reconnects, confirmed, server atomic.Uint64
	}
}

// New checks the options and does not touch the network.
func New(o Options, sink Sink) (*Capture, error) {
	setDefault(&o.Slot, "brimline")
	setDefault(&o.Publication, "brimline")
	setDefault(&o.TopicPrefix, "postgres")
	if o.StatusInterval <= 0 {
		o.StatusInterval = time.Second
	}
	if o.QueueSize <= 0 {
		o.QueueSize = 4096
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	schema, table, ok := strings.Cut(o.Table, ".")
	if !ok || schema == "" || table == "" {
		return nil, inputError("capture_table", fmt.Sprintf("table %q", o.Table), "write it as schema.name", errors.New("no schema"))
	}
	// PostgreSQL's own rule; the length leaves room for the temporary slot's suffix.
	if !regexp.MustCompile(`^[a-z0-9_]{1,54}$`).MatchString(o.Slot) {
		return nil, inputError("capture_slot", fmt.Sprintf("slot %q", o.Slot),
			"use at most 54 lower-case letters, digits and underscores", errors.New("not a slot name"))
	}
	target, err := postgres.Parse(o.DatabaseURL)
	if bad, ok := errors.AsType[*brimline.Error](err); ok {
		return nil, inputError("database_url", "the database URL", bad.Remedy, bad.Err)
	}
	config := target.Config("brimline capture")
	// Values are read in PostgreSQL's text form, so its form must not depend on
	// settings of the server, the role or the environment.
	for name, value := range map[string]string{
		"intervalstyle": "postgres", "extra_float_digits": "1", "bytea_output": "hex",
		// The snapshot may take hours, and the slot's creation waits for open transactions.
		"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0",
	} {
		config.RuntimeParams[name] = value
	}
	return &Capture{o: o, target: target, config: config, schema: schema, table: table, topic: Topic(o.TopicPrefix,
		o.Table), sink: sink}, nil
}

// Topic is where the records go.
func (c *Capture) Topic() string { return c.topic }

// Stats may be called at any time.
func (c *Capture) Stats() Stats {
	s := &c.stats
	return Stats{
		Streaming: s.streaming.Load(), SnapshotRows: s.snapshotRows.Load(), Changes: s.changes.Load(),
		Reconnects: s.reconnects.Load(), ConfirmedLSN: s.confirmed.Load(), ServerLSN: s.server.Load(),
	}
}

const (
	firstBackoff = 200 * time.Millisecond
	lastBackoff  = 10 * time.Second
)

// Run captures until ctx ends, and then returns nil after a flush. It returns an
// error when it cannot begin, when the sink fails, and when waiting will not help
// (a *brimline.Error says what will). A PostgreSQL that goes away later is waited
// for, however long it takes. Run may be called again after it has returned.
func (c *Capture) Run(ctx context.Context) error {
	backoff, connected, away := firstBackoff, false, false
	for {
		err := c.session(ctx, connected, func() {
			if away {
				c.o.Log.Info("capture goes on: PostgreSQL is back", "table", c.o.Table)
			}
			backoff, connected, away = firstBackoff, true, false
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
			c.o.Log.Warn("capture waits: PostgreSQL is away", "table", c.o.Table, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(backoff):
			backoff = min(2*backoff, lastBackoff)
		}
	}
}

// session is the life of one connection: what is missing is created, the
// snapshot taken if there is no slot, and the stream followed. It calls up when it works.
func (c *Capture) session(ctx context.Context, again bool, up func()) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn.Close)
	key, err := c.prepare(ctx, conn)
	if err != nil {
		return err
	}
	fresh, err := c.slotMissing(ctx, conn, again)
	if err != nil {
		return err
	}
	if !again {
		up() // from here on an outage is waited for, in the snapshot too
	}
	if fresh {
		if again {
			c.o.Log.Warn("the replication slot is gone: rows deleted meanwhile will not be reported", "slot", c.o.Slot)
		}
		if err := c.snapshot(ctx, conn, key); err != nil {
			return err
		}
	}
	return c.stream(ctx, conn, up)
}

func setDefault(s *string, value string) {
	if *s == "" {
		*s = value
	}
}

func inputError(kind, where, remedy string, err error) error {
	return &brimline.Error{Class: brimline.ClassInput, Kind: kind, Where: where, Remedy: remedy, Err: err}
}
