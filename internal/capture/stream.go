package capture

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// postgresEpoch is 2000-01-01, from which PostgreSQL counts, in µs since 1970.
const postgresEpoch = 946684800 * 1000000

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
	t         *tracker
	queue     chan delivery

	open      *transaction // between begin and commit
	from      origin
	committed uint64 // end of the last commit of this connection
	walEnd    uint64
	reported  time.Time
	heard     time.Time // when the server last sent something and it was dealt with
}

type delivery struct {
	record Record
	of     *transaction
}

func (c *Capture) stream(ctx context.Context, catalog *pgx.Conn, up func()) error {
	conn, err := c.connectReplication(ctx)
	if err != nil {
		return err
	}
	defer hangUp(ctx, conn.Close)
	s := &stream{
		c: c, conn: conn, catalog: catalog, relations: map[uint32]*relation{},
		t: newTracker(), queue: make(chan delivery, c.o.QueueSize), heard: time.Now(),
	}
	if err := s.start(ctx); err != nil {
		return c.failure(fmt.Sprintf("starting replication from slot %q", c.o.Slot), err)
	}
	c.stats.streaming.Store(true)
	up()
	c.o.Log.Info("capture is streaming", "table", c.o.Table, "topic", c.topic, "slot", c.o.Slot)

	delivering, cancel := context.WithCancel(ctx)
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		s.deliver(delivering)
	}()
	err = s.follow(ctx)
	cancel()
	<-delivered
	if sinkErr := s.t.failure(); sinkErr != nil && ctx.Err() == nil {
		return sinkErr
	}
	s.drain(context.WithoutCancel(ctx))
	return c.failure(c.where(), err)
}

func (s *stream) start(ctx context.Context) error {
	// 0/0: the server begins where the slot stands.
	command := fmt.Sprintf(`START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '1', publication_names '%s')`,
		quote(s.c.o.Slot), quoteLiteral(quote(s.c.o.Publication)))
	s.conn.Frontend().SendQuery(&pgproto3.Query{String: command})
	if err := s.conn.Frontend().Flush(); err != nil {
		return err
	}
	for {
		msg, err := s.conn.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch msg := msg.(type) {
		case *pgproto3.CopyBothResponse:
			return nil
		case *pgproto3.ErrorResponse:
			return pgconn.ErrorResponseToPgError(msg)
		}
	}
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
		r := &reader{b: msg.Data}
		switch r.uint8() {
		case 'w':
			lsn, end := r.uint64(), r.uint64()
			r.uint64() // the server's clock
			s.seen(max(lsn, end))
			return s.change(ctx, r, lsn)
		case 'k':
			end := r.uint64()
			r.uint64()
			now := r.uint8() == 1
			if r.err != nil {
				return r.err
			}
			s.seen(end)
			if s.open == nil {
				s.t.idle(end)
			}
			return s.report(now)
		}
	}
	return nil
}

func (s *stream) seen(end uint64) {
	s.walEnd = max(s.walEnd, end)
	s.c.stats.server.Store(s.walEnd)
}

// change handles one message of pgoutput that stands at lsn.
func (s *stream) change(ctx context.Context, r *reader, lsn uint64) error {
	var ch change
	var ids []uint32
	switch kind := r.uint8(); kind {
	case 'B':
		r.uint64() // position of the commit
		micros := int64(r.uint64()) + postgresEpoch
		s.from = origin{micros: micros, previous: s.committed, txid: uint64(r.uint32())}
		s.open = s.t.begin()
		return r.err
	case 'C':
		r.uint8()
		r.uint64()
		end := r.uint64()
		if r.err == nil && s.open != nil {
			s.open.commit(end)
			s.open, s.committed = nil, end
		}
		return r.err
	case 'R':
		return s.relation(ctx, r)
	case 'I', 'U', 'D':
		ids = []uint32{r.uint32()}
		ch = r.change(kind)
	case 'T':
		n := int(r.uint32())
		r.uint8()
		for range min(n, len(r.b)/4) {
			ids = append(ids, r.uint32())
		}
		ch = change{op: 't'}
	default:
		return nil // types, origins, messages
	}
	if r.err != nil {
		return r.err
	}
	for _, id := range ids {
		rel, known := s.relations[id]
		if !known || s.open == nil {
			return fmt.Errorf("pgoutput sent a change of relation %d without its description or its transaction", id)
		}
		if rel == nil {
			continue
		}
		s.from.lsn = lsn
		for _, record := range s.c.records(nil, rel, ch, s.from) {
			if err := s.enqueue(ctx, delivery{record, s.open}); err != nil {
				return err
			}
		}
	}
	return nil
}

// relation remembers a table's layout. The primary key is looked up each time,
// because such a message comes when the table has changed.
func (s *stream) relation(ctx context.Context, r *reader) error {
	id, rel := r.relation()
	if r.err != nil {
		return r.err
	}
	if rel.schema != s.c.schema || rel.name != s.c.table {
		s.relations[id] = nil
		return nil
	}
	key, err := s.c.tableKey(ctx, s.catalog)
	if err != nil {
		return err
	}
	rel.setKey(key)
	s.relations[id] = rel
	return nil
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
	// Zero is "unknown" to the server, and so moves nothing.
	b := append(make([]byte, 0, 34), 'r')
	b = binary.BigEndian.AppendUint64(b, s.walEnd) // written; it only shows in pg_stat_replication
	b = binary.BigEndian.AppendUint64(b, confirmed)
	b = binary.BigEndian.AppendUint64(b, confirmed)
	b = binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixMicro()-postgresEpoch))
	answer := byte(0)
	if time.Since(s.heard) > silence/2 {
		answer = 1
	}
	b = append(b, answer)
	_ = s.conn.Conn().SetWriteDeadline(time.Now().Add(writeTimeout))
	s.conn.Frontend().Send(&pgproto3.CopyData{Data: b})
	return s.conn.Frontend().Flush()
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
