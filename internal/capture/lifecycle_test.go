package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/jackc/pgx/v5"
)

// row has the parts of a record that the lifecycle tests look at.
type row struct {
	Op     string
	After  *struct{ ID, N int64 }
	Before *struct{ ID int64 }
	Source struct{ LSN uint64 }
}

func rowOf(t *testing.T, r Record) row {
	t.Helper()
	var v row
	if err := json.Unmarshal(r.Value, &v); err != nil {
		t.Fatalf("%v: %s", err, r.Value)
	}
	return v
}

// fold applies the records in order, as a consumer of the topic would.
func fold(t *testing.T, records []Record) map[int64]int64 {
	t.Helper()
	table := map[int64]int64{}
	for _, r := range records {
		if r.Value == nil {
			continue
		}
		switch v := rowOf(t, r); {
		case v.After != nil:
			table[v.After.ID] = v.After.N
		case v.Op == "d":
			delete(table, v.Before.ID)
		case v.Op == "t":
			clear(table)
		}
	}
	return table
}

func checkTable(t *testing.T, conn *pgx.Conn, records []Record) {
	t.Helper()
	compareTable(t, conn, records, nil)
}

// compareTable compares what the records make of the table with the table; stays
// are rows that the table has lost without a word in the stream.
func compareTable(t *testing.T, conn *pgx.Conn, records []Record, stays []int64) {
	t.Helper()
	got := fold(t, records)
	for _, id := range stays {
		if _, ok := got[id]; !ok {
			t.Errorf("row %d is not in the records", id)
		}
		delete(got, id)
	}
	rows, err := conn.Query(t.Context(), "SELECT id, n FROM streaming.transactions")
	if err != nil {
		t.Fatal(err)
	}
	var id, n int64
	count := 0
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		count++
		if have, ok := got[id]; !ok || have != n {
			t.Errorf("row %d is %d in the table, %d (%v) in the records", id, n, have, ok)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if count != len(got) {
		t.Errorf("%d rows in the table, %d in the records", count, len(got))
	}
}

// TestSnapshotWithConcurrentInserts: rows are being written all the time; each
// is in the snapshot or in the stream, never in both and never in neither.
func TestSnapshotWithConcurrentInserts(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions SELECT -i, i FROM generate_series(1, 5000) i")
	ctx, cancel := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writer := dial(t, url)
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_, _ = writer.Exec(context.Background(), "INSERT INTO streaming.transactions VALUES ($1, $1)", w+3*i+1)
			}
		})
	}
	sink := newMemory()
	run(t, url, sink, nil)
	sink.until(t, `"snapshot":"last"`)
	sink.until(t, `"op":"c"`)
	cancel()
	writers.Wait()
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1000000000, 987654)")
	records := sink.until(t, `"n":987654}`)
	checkTable(t, conn, records)
	seen := map[int64]bool{}
	places := map[string]int{}
	for _, r := range records {
		v := rowOf(t, r)
		if seen[v.After.ID] {
			t.Errorf("row %d twice", v.After.ID)
		}
		seen[v.After.ID] = true
		places[v.Op]++
	}
	t.Log("rows by op:", places)
}

// TestConfirmsOnlyWhatIsAcknowledged: PostgreSQL keeps what the sink has not
// acknowledged, and it comes again in the same order after a restart.
func TestConfirmsOnlyWhatIsAcknowledged(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	sink := newMemory()
	c := run(t, url, sink, nil)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	sink.until(t, `"n":1}`)
	sink.set(func(m *memory) { m.hold = true })
	before := value[string](t, conn, "SELECT pg_current_wal_insert_lsn()::text")
	for i := 2; i <= 4; i++ {
		exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions VALUES (%d, %[1]d)", i))
	}
	sink.until(t, `"n":4}`)
	// Out of order: the last two are safe, the first is not.
	sink.mu.Lock()
	held := sink.held
	sink.held = nil
	sink.mu.Unlock()
	held[2](nil)
	held[1](nil)
	c.stop()
	if moved := value[bool](t, conn, "SELECT confirmed_flush_lsn > $1::pg_lsn FROM pg_replication_slots WHERE "+
		"slot_name = $2", before, slotName(t)); moved {
		t.Error("the slot passed a record that is not acknowledged")
	}
	again := newMemory()
	run(t, url, again, nil)
	var ids []int64
	for _, r := range again.until(t, `"n":4}`) {
		ids = append(ids, rowOf(t, r).After.ID)
	}
	if fmt.Sprint(ids[len(ids)-3:]) != "[2 3 4]" {
		t.Errorf("came again: %v", ids)
	}
	eventually(t, "the slot to move", func() bool {
		return value[bool](t, conn, "SELECT confirmed_flush_lsn > $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2",
			before, slotName(t))
	})
}

// TestIdleTableHoldsNoWAL: the slot follows the server though our table is quiet.
func TestIdleTableHoldsNoWAL(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	c := run(t, url, newMemory(), nil)
	c.untilStreaming(t)
	exec(t, conn, "CREATE TABLE other AS SELECT i FROM generate_series(1, 1000) i")
	lsn := value[string](t, conn, "SELECT pg_current_wal_lsn()::text")
	eventually(t, "the slot to move", func() bool {
		return value[bool](t, conn, "SELECT confirmed_flush_lsn >= $1::pg_lsn FROM pg_replication_slots WHERE slot_name = $2",
			lsn, slotName(t))
	})
	eventually(t, "nothing left to confirm", func() bool { s := c.Stats(); return s.ConfirmedLSN >= s.ServerLSN })
}

// TestFullSinkKeepsTheConnection: a sink that takes nothing for longer than
// wal_sender_timeout must not cost the connection.
func TestFullSinkKeepsTheConnection(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	sink := newMemory()
	c := run(t, url, sink, func(o *Options) { o.QueueSize = 4 })
	c.untilStreaming(t)
	gate := make(chan struct{})
	sink.set(func(m *memory) { m.block = gate })
	exec(t, conn, "INSERT INTO streaming.transactions SELECT i, i FROM generate_series(1, 100) i")
	pid := value[int](t, conn, "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1", slotName(t))
	time.Sleep(4 * time.Second) // wal_sender_timeout is 3 s: the passing of time is what is tested
	if now := value[int](t, conn, "SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = $1",
		slotName(t)); now != pid {
		t.Errorf("server process %d, before %d", now, pid)
	}
	sink.set(func(m *memory) { m.block = nil })
	close(gate)
	checkTable(t, conn, sink.until(t, `"n":100}`))
	if n := c.Stats().Reconnects; n != 0 {
		t.Errorf("%d reconnects", n)
	}
}

// TestSinkFailureEndsRun, with the sink's own error; what it refused comes again.
func TestSinkFailureEndsRun(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	sink := newMemory()
	c := run(t, url, sink, nil)
	c.untilStreaming(t)
	broken := errors.New("disk full")
	sink.set(func(m *memory) { m.err = broken })
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 4711)")
	if err := <-c.done; !errors.Is(err, broken) {
		t.Fatalf("%v", err)
	}
	again := newMemory()
	run(t, url, again, nil)
	again.until(t, `"n":4711}`)
}

// TestNothingIsLost writes, and meanwhile stops the capture, cuts its
// connections, and kills PostgreSQL. In the end the records, applied in their
// order, must be the table.
func TestNothingIsLost(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Log("seed", seed)
	chance := rand.New(rand.NewPCG(seed, 0))
	options := embedded.PostgresOptions{Dir: t.TempDir(), NoSync: true}
	p, err := embedded.StartPostgres(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(context.Background())
		if err := embedded.RemovePostgres(options.Dir); err != nil {
			t.Error(err)
		}
	})
	url := p.URL("")
	conn := dial(t, url)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions SELECT -i, i FROM generate_series(1, 500) i")
	sink := newMemory()
	c := supervise(t, url, sink)
	next := 1
	for round := range 12 {
		for range 10 {
			exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions SELECT i, %d FROM generate_series(%d, %d) i",
				round, next, next+19))
			exec(t, conn, fmt.Sprintf("UPDATE streaming.transactions SET n = n + 1 WHERE id %% 7 = %d", chance.IntN(7)))
			exec(t, conn, fmt.Sprintf("DELETE FROM streaming.transactions WHERE id %% 31 = %d", chance.IntN(31)))
			next += 20
		}
		if chance.IntN(4) > 0 { // else the event meets a start, a snapshot or a reconnect
			c.untilStreaming(t)
		}
		event := chance.IntN(4)
		t.Log("round", round, "event", event)
		switch event {
		case 0:
			c.stop()
			c = supervise(t, url, sink)
		case 1:
			exec(t, conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'brimline capture'")
		case 2:
			p.Kill()
			if p, err = embedded.StartPostgres(t.Context(), options); err != nil {
				t.Fatal(err)
			}
			conn = dial(t, url)
		}
	}
	c.untilStreaming(t)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1000000000, 987654)")
	records := sink.until(t, `"n":987654}`)
	checkTable(t, conn, records)
	t.Logf("%d records, %+v", len(records), c.Stats())
}

// eventually waits for what PostgreSQL shows and does not signal.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for ", what)
		}
	}
}
