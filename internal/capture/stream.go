package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

const (
	writeTimeout = 10 * time.Second
	drainTimeout = 10 * time.Second
	// silence is when a server counts as gone that neither sends nor hangs up (a
	// firewall forgot the connection, a machine froze). At half of it the server
	// is asked for a sign of life.
	silence = time.Minute
)

// stream follows one replication connection. Two goroutines share the work: this
// one reads, decodes and answers the server; deliver hands records to the sink.
// They are apart because a sink that is full may block for as long as Kafka is
// away, and a server that hears nothing for wal_sender_timeout hangs up.
type stream struct {
	c         *Capture
	conn      *pgconn.PgConn
	catalog   *pgx.Conn
	relations map[uint32]*relation // nil for other tables of the publication
	base      *look                // the table as it was when the stream began
	t         *tracker
	queue     chan delivery
	news      chan struct{} // capacity 1: the stream has met something that the catalog should explain

	open      *transaction // between begin and commit
	commits   pglogrepl.LSN
	from      origin
	committed uint64 // end of the last commit of this connection
	walEnd    pglogrepl.LSN
	reported  time.Time
	heard     time.Time // when the server last sent something and it was dealt with
}

type delivery struct {
	record Record
	of     *transaction
}

func (c *Capture) stream(ctx context.Context, catalog *pgx.Conn, l *look, up func()) error {
	conn, err := c.connectReplication(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn.Close)
	s := &stream{
		c: c, conn: conn, catalog: catalog, relations: map[uint32]*relation{}, base: l,
		t: newTracker(), queue: make(chan delivery, c.o.QueueSize), news: make(chan struct{}, 1), heard: time.Now(),
	}
	if err := s.start(ctx); err != nil {
		return c.failure(fmt.Sprintf("starting replication from slot %q", c.o.Slot), err)
	}
	c.stats.streaming.Store(true)
	up()
	c.o.Log.Info("capture is streaming", "table", c.o.Table, "topic", c.topic, "slot", c.o.Slot)

	whole := ctx
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	workers.Go(func() { s.deliver(ctx) })
	var fault error
	workers.Go(func() {
		if fault = c.watch(ctx, l, s.news); fault != nil {
			cancel()
		}
	})
	err = s.follow(ctx)
	cancel()
	workers.Wait()
	if sinkErr := s.t.failure(); sinkErr != nil && whole.Err() == nil {
		return sinkErr
	}
	s.drain(context.WithoutCancel(whole))
	if fault == nil {
		fault = c.failure(c.where(), err)
	}
	if whole.Err() == nil && !isWithoutPublication(fault) {
		c.owe(whole, fault)
	}
	return fault
}

func (s *stream) start(ctx context.Context) error {
	// 0/0: the server begins where the slot stands.
	return pglogrepl.StartReplication(ctx, s.conn, quote(s.c.o.Slot), 0, pglogrepl.StartReplicationOptions{
		Mode:       pglogrepl.LogicalReplication,
		PluginArgs: []string{"proto_version '1'", "publication_names '" + quoteLiteral(quote(s.c.o.Publication)) + "'"},
	})
}

// follow reads until ctx ends, the connection breaks or the sink fails.
func (s *stream) follow(ctx context.Context) error {
	wire := s.conn.Conn()
	// A deadline in the past ends a read that is under way; the loop looks at ctx after every read.
	defer context.AfterFunc(ctx, func() { _ = wire.SetReadDeadline(time.Unix(1, 0)) })()
	for {
		if err := s.report(false); err != nil {
			return err
		}
		if err := wire.SetReadDeadline(time.Now().Add(s.c.o.StatusInterval)); err != nil {
			return err
		}
		// The deadline stands for many messages: setting it for each costs more than decoding one.
		for until := time.Now().Add(s.c.o.StatusInterval); time.Now().Before(until); {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := s.t.failure(); err != nil {
				return err
			}
			msg, err := s.conn.ReceiveMessage(context.Background())
			if isTimeout(err) {
				if time.Since(s.heard) > silence {
					return fmt.Errorf("nothing heard from the server for %v", silence)
				}
				break
			}
			if err != nil {
				return err
			}
			if err := s.receive(ctx, msg); err != nil {
				return err
			}
			s.heard = time.Now()
		}
	}
}

func isTimeout(err error) bool {
	var netErr net.Error
	return errors.As(err, &netErr) && netErr.Timeout()
}

func (s *stream) receive(ctx context.Context, msg pgproto3.BackendMessage) error {
	switch msg := msg.(type) {
	case *pgproto3.ErrorResponse:
		return pgconn.ErrorResponseToPgError(msg)
	case *pgproto3.CopyDone, *pgproto3.CommandComplete: // the server shuts down in good order
		return errors.New("the server has ended the stream")
	case *pgproto3.CopyData:
		if len(msg.Data) == 0 {
			return errShort
		}
		switch msg.Data[0] {
		case pglogrepl.XLogDataByteID:
			x, err := pglogrepl.ParseXLogData(msg.Data[1:])
			if err != nil {
				return err
			}
			s.seen(max(x.WALStart, x.ServerWALEnd))
			return s.message(ctx, x.WALData, uint64(x.WALStart))
		case pglogrepl.PrimaryKeepaliveMessageByteID:
			k, err := pglogrepl.ParsePrimaryKeepaliveMessage(msg.Data[1:])
			if err != nil {
				return err
			}
			s.seen(k.ServerWALEnd)
			if s.open == nil {
				s.t.idle(uint64(k.ServerWALEnd))
			}
			return s.report(k.ReplyRequested)
		}
	}
	return nil
}

func (s *stream) seen(end pglogrepl.LSN) {
	s.walEnd = max(s.walEnd, end)
	s.c.stats.server.Store(uint64(s.walEnd))
}

// message handles one message of pgoutput that stands at lsn.
func (s *stream) message(ctx context.Context, data []byte, lsn uint64) error {
	m, err := parse(data)
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *pglogrepl.BeginMessage:
		s.from = origin{micros: m.CommitTime.UnixMicro(), previous: s.committed, txid: uint64(m.Xid)}
		s.open, s.commits = s.t.begin(), m.FinalLSN
	case *pglogrepl.CommitMessage:
		if s.open != nil {
			s.open.commit(uint64(m.TransactionEndLSN))
			s.open, s.committed = nil, uint64(m.TransactionEndLSN)
		}
	case *pglogrepl.RelationMessage:
		return s.relation(ctx, m)
	case *pglogrepl.InsertMessage, *pglogrepl.UpdateMessage, *pglogrepl.DeleteMessage:
		id, ch := newChange(m)
		return s.change(ctx, id, ch, lsn)
	case *pglogrepl.TruncateMessage:
		for _, id := range m.RelationIDs {
			if err := s.change(ctx, id, change{op: 't'}, lsn); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stream) change(ctx context.Context, id uint32, ch change, lsn uint64) error {
	rel, known := s.relations[id]
	if !known || s.open == nil {
		return fmt.Errorf("pgoutput sent a change of relation %d without its description or its transaction", id)
	}
	uncovered := s.commits >= s.c.covered // by a snapshot
	switch {
	case rel == nil && id == s.base.oid && uncovered:
		return s.fault(ctx, tableError("postgres_table_renamed", s.c.whereTable(),
			fmt.Sprintf("see that %s is the table's name; then %s", s.c.quotedTable(), again),
			"it had another name for a while: changes of that time are not in the topic"))
	case rel == nil:
		return nil
	case len(rel.key) == 0 && ch.op != 't' && uncovered:
		return s.fault(ctx, tableError("postgres_publication_changed", s.c.wherePublication(), again,
			"changes of %s came without the columns of its primary key: they are not in the topic", s.c.o.Table))
	case len(rel.key) == 0 && ch.op != 't':
		return nil
	case rel.partial && !uncovered:
		// Published with fewer columns than the table has, while the snapshot has the row with all of them.
		if ch = rel.withoutRow(ch); ch.op == 0 {
			return nil
		}
	}
	s.from.lsn = lsn
	for _, record := range s.c.records(nil, rel, ch, s.from) {
		if err := s.enqueue(ctx, delivery{record, s.open}); err != nil {
			return err
		}
	}
	return nil
}

// relation remembers a table's layout. Primary key and types are looked up each
// time, because such a message comes when the table has changed.
func (s *stream) relation(ctx context.Context, m *pglogrepl.RelationMessage) error {
	ours := m.Namespace == s.c.schema && m.RelationName == s.c.table
	if _, known := s.relations[m.RelationID]; known || ours != (m.RelationID == s.base.oid) {
		// Another layout, another name, another table: or the stream is behind, and it is of the past.
		select {
		case s.news <- struct{}{}:
		default:
		}
	}
	if !ours {
		s.relations[m.RelationID] = nil
		return nil
	}
	rel := newRelation(m)
	key, err := s.c.keyNow(ctx, s.catalog)
	if err == nil {
		err = s.c.types.read(ctx, s.catalog, rel.oids())
	}
	if err != nil {
		return s.c.failure("reading the catalog", err)
	}
	s.c.knowKey(key)
	rel.setForms(s.c.types)
	rel.setKey(s.c.keys)
	for _, name := range s.base.published() {
		rel.partial = rel.partial || !slices.ContainsFunc(rel.columns, func(c column) bool { return c.name == name })
	}
	s.relations[m.RelationID] = rel
	return nil
}

// fault says why a change cannot be taken: by the catalog as it is now, which
// knows a remedy, or as the stream has it, if the catalog is in order again.
func (s *stream) fault(ctx context.Context, seen error) error {
	_, fault, err := s.c.compare(ctx, s.catalog, s.base)
	if err != nil {
		return err
	}
	if fault != nil {
		return fault
	}
	return seen
}

// enqueue waits for room in the queue, and goes on reporting meanwhile.
func (s *stream) enqueue(ctx context.Context, d delivery) error {
	d.of.add()
	select {
	case s.queue <- d:
		return nil
	default:
	}
	tick := time.NewTicker(s.c.o.StatusInterval)
	defer tick.Stop()
	for {
		select {
		case s.queue <- d:
			return nil
		case <-tick.C:
			if err := s.report(true); err != nil {
				return err
			}
		case <-s.t.failed:
			return s.t.failure()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *stream) deliver(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case d := <-s.queue:
			if err := s.c.sink.Produce(ctx, d.record, d.of.ack); err != nil {
				if ctx.Err() == nil {
					s.t.stop(err)
				}
				return
			}
			s.c.stats.changes.Add(1)
		}
	}
}

// report tells the server how far everything is acknowledged, now or when it is time.
func (s *stream) report(now bool) error {
	if !now && time.Since(s.reported) < s.c.o.StatusInterval {
		return nil
	}
	s.reported = time.Now()
	confirmed := s.t.position()
	if confirmed > 0 {
		s.c.stats.confirmed.Store(confirmed)
	}
	status := pglogrepl.StandbyStatusUpdate{
		WALWritePosition: s.walEnd, // it only shows in pg_stat_replication
		WALFlushPosition: pglogrepl.LSN(confirmed), WALApplyPosition: pglogrepl.LSN(confirmed),
		ReplyRequested: time.Since(s.heard) > silence/2,
	}
	if confirmed == 0 {
		// Zero is "unknown" to the server, and moves nothing. pglogrepl takes it for
		// "as far as written", which would confirm what no sink has acknowledged.
		status.WALWritePosition = 0
	}
	_ = s.conn.Conn().SetWriteDeadline(time.Now().Add(writeTimeout))
	return pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn, status)
}

// drain ends a session so that as little as possible comes again: what the sink
// holds is waited for, and the last position reported. Best effort.
func (s *stream) drain(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := s.c.sink.Flush(ctx); err == nil && !s.conn.IsClosed() {
		_ = s.report(true)
	}
}

func quoteLiteral(s string) string {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		if s[i] == '\'' {
			b = append(b, '\'')
		}
		b = append(b, s[i])
	}
	return string(b)
}
