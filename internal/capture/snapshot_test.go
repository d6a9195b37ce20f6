package capture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/jackc/pgx/v5"
)

// failing is a sink that refuses everything after so many records.
type failing struct {
	*memory
	after int
}

func (f *failing) Produce(ctx context.Context, r Record, acked func(error)) error {
	if f.after--; f.after < 0 {
		return errKilled
	}
	return f.memory.Produce(ctx, r, acked)
}

// TestInterruptedSnapshot ends a first snapshot at each of its points, changes
// the table in every way, and starts again, twice where the second is ended too:
// the topic must end up as the table, deletes between the attempts included.
func TestInterruptedSnapshot(t *testing.T) {
	const rows = 1000
	attempts := map[string]func(t *testing.T, o Options, sink *memory){}
	for _, point := range []string{pointReserved, pointRead, pointSafe, pointCopied} {
		attempts[point] = func(t *testing.T, o Options, sink *memory) { expectKilled(t, launchUntil(t, o, sink, point)) }
	}
	for _, n := range []int{1, rows / 2, rows - 1} {
		attempts[fmt.Sprintf("after %d rows", n)] = func(t *testing.T, o Options, sink *memory) {
			expectKilled(t, launch(t, o, &failing{sink, n}, false))
		}
	}
	for name, interrupt := range attempts {
		for times := 1; times <= 2; times++ {
			t.Run(fmt.Sprintf("%s/%d", name, times), func(t *testing.T) {
				conn, url := database(t)
				exec(t, conn, simpleTable)
				exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions SELECT i, i FROM generate_series(1, %d) i", rows))
				sink := newMemory()
				o := testOptions(t, url)
				for n := range times {
					if n > 0 && name == pointCopied {
						break // after it there is nothing left to end
					}
					interrupt(t, o, sink)
					exec(t, conn, fmt.Sprintf(`DELETE FROM streaming.transactions WHERE id %% 10 = %d;
						UPDATE streaming.transactions SET n = n + 1 WHERE id %% 7 = %[1]d;
							UPDATE streaming.transactions SET id = id + 100000 WHERE id %% 11 = %[1]d;
						INSERT INTO streaming.transactions VALUES (%d, 1);
							DELETE FROM streaming.transactions WHERE id = %[2]d`, n, 2000+n))
				}
				last := launch(t, o, sink, false)
				last.untilStreaming(t)
				exec(t, conn, "INSERT INTO streaming.transactions VALUES (500000, 4711)")
				checkTable(t, conn, sink.until(t, `"n":4711}`))
				if s := last.Stats(); s.Gaps != 0 {
					t.Errorf("%+v", s)
				}
				expectSlots(t, conn, slotName(t))
				if name == pointCopied && last.Stats().Snapshots != 0 {
					t.Error("a complete snapshot was taken again")
				}
				last.stop()
				third := newMemory()
				run(t, url, third, nil).untilStreaming(t)
				exec(t, conn, "INSERT INTO streaming.transactions VALUES (500001, 4712)")
				for _, r := range third.until(t, `"n":4712}`) {
					if rowOf(t, r).Op == "r" {
						t.Fatal("a complete snapshot was taken again")
					}
				}
			})
		}
	}
}

func expectKilled(t *testing.T, r *running) {
	t.Helper()
	select {
	case err := <-r.done:
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
}

// expectSlots waits until these are the slots of the database.
func expectSlots(t *testing.T, conn *pgx.Conn, names ...string) {
	t.Helper()
	want := strings.Join(names, " ")
	eventually(t, "the slots to be "+want, func() bool {
		return value[string](t, conn, "SELECT coalesce(string_agg(slot_name, ' ' ORDER BY slot_name), '') FROM "+
			"pg_replication_slots WHERE database = current_database()") == want
	})
}

// TestSnapshotsOfTwoCaptures: the second is refused while the first takes its
// snapshot, and leaves its slots alone.
func TestSnapshotsOfTwoCaptures(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	sink := newMemory()
	sink.block = make(chan struct{})
	first := run(t, url, sink, nil)
	expectSlots(t, conn, slotName(t)+suffixReading, slotName(t)+suffixPending)
	second := run(t, url, newMemory(), nil)
	if err := <-second.done; kindOf(err) != "slot_in_use" {
		t.Errorf("%v", err)
	}
	close(sink.block)
	sink.until(t, `"snapshot":"last"`)
	first.untilStreaming(t)
	expectSlots(t, conn, slotName(t))
}

// TestSnapshotNamesNoTransaction: the snapshot's own transaction is open until
// all is read, and who waits for it before asking PostgreSQL waits as long.
func TestSnapshotNamesNoTransaction(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	sink := newMemory()
	run(t, url, sink, nil)
	sink.until(t, `"snapshot":"last"`)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (2, 2)")
	for _, r := range sink.until(t, `"n":2}`) {
		var v struct {
			Op     string
			Source struct {
				Version string
				TxID    *int64
				TsUs    int64 `json:"ts_us"`
			}
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if (v.Op == "r") != (v.Source.TxID == nil) {
			t.Errorf("%s", r.Value)
		}
		if v.Source.Version != "brimline/2" {
			t.Errorf("version %q", v.Source.Version)
		}
	}
	if n := value[int](t, conn, "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'brimline capture' AND "+
		"backend_xid IS NOT NULL"); n != 0 {
		t.Errorf("%d connections hold a transaction id", n)
	}
}

// TestSnapshotIsNotNewerThanItsRows: the time of a snapshot's rows is that of a
// moment before PostgreSQL took it. A transaction that was open then is waited
// for; one that began later commits later, so its changes are newer by their
// time also where their position in the WAL is lower than the snapshot's.
func TestSnapshotIsNotNewerThanItsRows(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	writer := dial(t, url)
	exec(t, writer, "BEGIN; UPDATE streaming.transactions SET n = 2 WHERE id = 1")
	sink := newMemory()
	run(t, url, sink, nil)
	eventually(t, "the snapshot to wait for the open transaction", func() bool {
		return value[int](t, conn, "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'") == 1
	})
	late := dial(t, url)
	exec(t, late, "BEGIN; INSERT INTO streaming.transactions VALUES (3, 3)")
	begun := value[int64](t, conn, "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
	exec(t, writer, "COMMIT")
	exec(t, late, "COMMIT")
	records := sink.until(t, `"n":3}`)
	for _, r := range records {
		var v struct {
			Op     string
			Source struct {
				TsUs int64 `json:"ts_us"`
			}
		}
		if err := json.Unmarshal(r.Value, &v); err != nil {
			t.Fatal(err)
		}
		if v.Op == "r" && v.Source.TsUs >= begun {
			t.Errorf("a row of the snapshot is of %d, after %d: %s", v.Source.TsUs, begun, r.Value)
		}
		if v.Op == "c" && v.Source.TsUs < begun {
			t.Errorf("%s", r.Value)
		}
	}
	checkTable(t, conn, records)
}

// TestPendingSlotLost: the changes since an interrupted snapshot cannot be had
// any more, and the capture says so instead of going on without them.
func TestPendingSlotLost(t *testing.T) {
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true, Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	conn := dial(t, p.URL(""))
	exec(t, conn, simpleTable)
	o := testOptions(t, p.URL(""))
	expectKilled(t, launchUntil(t, o, newMemory(), pointReserved))
	loseSlot(t, conn)
	again := launch(t, o, newMemory(), false)
	if err := <-again.done; kindOf(err) != "slot_lost" || !strings.Contains(err.Error(),
		"pg_drop_replication_slot('"+o.Slot+suffixPending+"')") ||
		!strings.Contains(err.Error(), "deleted") {
		t.Errorf("%v", err)
	}
	exec(t, conn, "SELECT pg_drop_replication_slot('"+o.Slot+suffixPending+"')")
	sink := newMemory()
	launch(t, o, sink, false)
	sink.until(t, `"snapshot":"last"`)
}

// TestSlotGoneIsToldAndCounted: a slot that is dropped behind a capture takes
// with it what was deleted since.
func TestSlotGoneIsToldAndCounted(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1), (2, 2)")
	sink, log := newMemory(), &logText{}
	memory := &shelf{topic: "first life"}
	change := func(o *Options) { o.Memory, o.Log = memory, log.logger(t) }
	c := run(t, url, sink, change)
	c.untilStreaming(t)
	exec(t, conn, `SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = '`+slotName(t)+`'`)
	dropSlot(t, conn)
	eventually(t, "the gap", func() bool { return c.Stats().Gaps == 1 })
	c.untilStreaming(t)
	log.expect(t, "the replication slot is gone", "deleted, truncated or moved to another user or key stay in the topic",
		"lost=\"after ")
	c.stop()
	// The same while no capture runs: what is remembered tells.
	dropSlot(t, conn)
	d := run(t, url, sink, change)
	d.untilStreaming(t)
	if d.Stats().Gaps != 1 {
		t.Errorf("%+v", d.Stats())
	}
	d.stop()
	// Not so when the topic has gone as well.
	dropSlot(t, conn)
	memory.set(func(s *shelf) { s.topic = "second life" })
	e := run(t, url, newMemory(), change)
	e.untilStreaming(t)
	if e.Stats().Gaps != 0 {
		t.Errorf("%+v", e.Stats())
	}
}

// dropSlot drops the test's slot once it is free, which is a moment after its user has gone.
func dropSlot(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	eventually(t, "the slot to be dropped", func() bool {
		_, err := conn.Exec(t.Context(), "SELECT pg_drop_replication_slot($1)", slotName(t))
		return err == nil
	})
}

// TestResnapshot: --resnapshot takes one, once, also when it is ended in the middle.
func TestResnapshot(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions SELECT i, i FROM generate_series(1, 10) i")
	memory, sink := &shelf{topic: "first life"}, newMemory()
	o := testOptions(t, url)
	o.Memory = memory
	first := launch(t, o, sink, false)
	first.untilStreaming(t)
	first.stop()
	exec(t, conn, "DELETE FROM streaming.transactions WHERE id = 3; UPDATE streaming.transactions SET n = 40 WHERE id = 4")
	o.Resnapshot = true
	expectKilled(t, launchUntil(t, o, &failing{sink, 4}, pointRead))
	exec(t, conn, "DELETE FROM streaming.transactions WHERE id = 5")
	o.Resnapshot = false
	before := len(sink.all())
	third := launch(t, o, sink, false)
	third.untilStreaming(t)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (99, 4711)")
	records := sink.until(t, `"n":4711}`)
	checkTable(t, conn, records)
	if n := count(t, records[before:], "r"); n < 8 {
		t.Errorf("%d rows of a snapshot after one was asked for and ended", n)
	}
	third.stop()
	before = len(records)
	run := launch(t, o, sink, false)
	run.untilStreaming(t)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (100, 4712)")
	records = sink.until(t, `"n":4712}`)
	if n := count(t, records[before:], "r"); n != 0 {
		t.Errorf("%d rows of a snapshot that was not asked for", n)
	}
	if run.Stats().Snapshots != 0 {
		t.Errorf("%+v", run.Stats())
	}
}

func count(t *testing.T, records []Record, op string) (n int) {
	t.Helper()
	for _, r := range records {
		if r.Value != nil && rowOf(t, r).Op == op {
			n++
		}
	}
	return n
}

// TestTopicMadeAnew: rows that the topic held have gone with it, so they are sent again.
func TestTopicMadeAnew(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	memory := &shelf{topic: "first life"}
	o := testOptions(t, url)
	o.Memory, o.CheckInterval = memory, 50*time.Millisecond
	first := launch(t, o, newMemory(), false)
	first.untilStreaming(t)
	memory.set(func(s *shelf) { s.topic = "second life" })
	if err := <-first.done; kindOf(err) != "capture_topic_anew" || !strings.Contains(err.Error(), again) {
		t.Errorf("%v", err)
	}
	second := newMemory()
	launch(t, o, second, false).untilStreaming(t)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (2, 4711)")
	checkTable(t, conn, second.until(t, `"n":4711}`))
}

// TestUnknownSlot: a slot of which nothing is remembered (another Kafka, an older
// brimline) does not stand for a complete topic.
func TestUnknownSlot(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	first := run(t, url, newMemory(), nil)
	first.untilStreaming(t)
	first.stop()
	for _, value := range []string{"", "{", `{"table":1}`} {
		memory := &shelf{topic: "another"}
		if value != "" {
			memory.value = []byte(value)
		}
		sink := newMemory()
		c := run(t, url, sink, func(o *Options) { o.Memory = memory })
		sink.until(t, `"snapshot":"last"`)
		c.untilStreaming(t)
		c.stop()
	}
}
