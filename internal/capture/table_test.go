package capture

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSaysWhatTheTopicIsWithout: what PostgreSQL leaves out of the stream the
// snapshot leaves out, too, and the log says it.
func TestSaysWhatTheTopicIsWithout(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, `CREATE SCHEMA streaming;
		CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint NOT NULL, secret text, twice bigint GENERATED
			ALWAYS AS (n * 2) STORED);
		INSERT INTO streaming.transactions (id, n, secret) VALUES (1, 1, 's'), (2, 2, 's')`)
	exec(t, conn, "CREATE PUBLICATION "+slotName(t)+" FOR TABLE streaming.transactions (id, n) WHERE (id < 2 OR id > "+
		"10) WITH (publish = 'insert, update, delete')")
	sink, log := newMemory(), &logText{}
	c := run(t, url, sink, func(o *Options) { o.Publication, o.Log = slotName(t), log.logger(t) })
	c.untilStreaming(t)
	exec(t, conn, "INSERT INTO streaming.transactions (id, n, secret) VALUES (3, 3, 's'), (11, 11, 's')")
	for _, r := range sink.until(t, `"n":11}`) {
		if text := string(r.Value); strings.Contains(text, "secret") || strings.Contains(text, "twice") {
			t.Errorf("%s", text)
		}
		if id := rowOf(t, r).After.ID; id != 1 && id != 11 {
			t.Errorf("row %d", id)
		}
	}
	log.expect(t, "the replica identity is not FULL", "the publication leaves out truncate",
		"the row filter ((id < 2) OR (id > 10)) and the column list id, n",
		"generated columns are not in the change stream", "columns=twice")
}

// TestPartitionsThatGo: PostgreSQL does not report it, so the log does, also for
// what happened while no capture ran; and the remedy that it names helps.
func TestPartitionsThatGo(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, "CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint) "+
		"PARTITION BY RANGE (id)")
	partition := func(i int) string { return fmt.Sprintf("FOR VALUES FROM (%d) TO (%d)", i*100, i*100+100) }
	for i := range 6 {
		exec(t, conn, fmt.Sprintf("CREATE TABLE streaming.p%d PARTITION OF streaming.transactions %s; "+
			"ALTER TABLE streaming.p%[1]d REPLICA IDENTITY FULL", i, partition(i)))
		exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions VALUES (%d, 1)", i*100+1))
	}
	sink, log, memory := newMemory(), &logText{}, &shelf{topic: "first life"}
	change := func(o *Options) { o.Memory, o.Log, o.CheckInterval = memory, log.logger(t), 50*time.Millisecond }
	c := run(t, url, sink, change)
	c.untilStreaming(t)
	for i, s := range []string{
		"TRUNCATE streaming.p0", "DROP TABLE streaming.p1", "ALTER TABLE streaming.transactions DETACH PARTITION " +
			"streaming.p2", "VACUUM FULL streaming.p3",
	} {
		exec(t, conn, s)
		eventually(t, "word of "+s, func() bool { return c.Stats().Partitions == uint64(i)+1 })
		if !log.has(fmt.Sprintf("partition=streaming.p%d", i)) {
			t.Errorf("no word of p%d", i)
		}
	}
	log.expect(t, "was truncated or rewritten", "was detached or dropped",
		"attach the partition again, DELETE its rows and then detach it")
	exec(t, conn, "CREATE TABLE streaming.p7 PARTITION OF streaming.transactions FOR VALUES FROM (700) TO (800)")
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (701, 1)")
	sink.until(t, `"id":701`)
	exec(t, conn, "CREATE TABLE streaming.p8 (LIKE streaming.transactions INCLUDING ALL); "+
		"ALTER TABLE streaming.transactions ATTACH PARTITION streaming.p8 FOR VALUES FROM (800) TO (900)")
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (801, 1)")
	sink.until(t, `"id":801`)
	c.stop()
	exec(t, conn, "DROP TABLE streaming.p4")
	c = run(t, url, sink, change)
	c.untilStreaming(t)
	if c.Stats().Partitions != 1 || c.Stats().Snapshots != 0 {
		t.Errorf("%+v", c.Stats())
	}
	// The remedy.
	exec(t, conn, "ALTER TABLE streaming.transactions ATTACH PARTITION streaming.p2 "+partition(2))
	if err := <-c.done; kindOf(err) != "postgres_partition_attached" {
		t.Fatal(err)
	}
	c = run(t, url, sink, change)
	c.untilStreaming(t)
	exec(t, conn, "DELETE FROM streaming.transactions WHERE id BETWEEN 200 AND 299")
	exec(t, conn, "ALTER TABLE streaming.transactions DETACH PARTITION streaming.p2")
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (502, 4711)")
	compareTable(t, conn, sink.until(t, `"n":4711}`), []int64{1, 101, 401})
}

// TestColumnsChange: records carry the columns that the table had, the log says
// what has changed, and a new snapshot sends the rows as they are.
func TestColumnsChange(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "ALTER TABLE streaming.transactions ADD kind text; "+
		"INSERT INTO streaming.transactions VALUES (1, 1, 'a')")
	sink, log, memory := newMemory(), &logText{}, &shelf{topic: "first life"}
	change := func(o *Options) { o.Memory, o.Log, o.CheckInterval = memory, log.logger(t), 50*time.Millisecond }
	c := run(t, url, sink, change)
	c.untilStreaming(t)
	for _, s := range []struct{ sql, said, after string }{
		{"ALTER TABLE streaming.transactions ADD currency text DEFAULT 'EUR'", "currency is new",
			`{"id":2,"n":2,"kind":"a","currency":"EUR"}`},
		{"ALTER TABLE streaming.transactions RENAME kind TO sort", "sort is new, kind is gone",
			`{"id":3,"n":3,"sort":"a","currency":"EUR"}`},
		{"ALTER TABLE streaming.transactions ALTER n TYPE numeric(12,2)", "n has another type",
			`{"id":4,"n":"4.00","sort":"a","currency":"EUR"}`},
		{"ALTER TABLE streaming.transactions DROP sort", "sort is gone", `{"id":5,"n":"5.00","currency":"EUR"}`},
	} {
		exec(t, conn, s.sql)
		eventually(t, "word of "+s.sql, func() bool { return log.has(s.said) })
		id := s.after[6:7]
		columns := "(id, n)"
		if strings.Contains(s.after, `"a"`) {
			columns = map[bool]string{true: "(id, n, kind)", false: "(id, n, sort)"}[strings.Contains(s.after, "kind")]
			exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions %s VALUES (%s, %[2]s, 'a')", columns, id))
		} else {
			exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions %s VALUES (%s, %[2]s)", columns, id))
		}
		sink.until(t, `"after":`+s.after)
	}
	c.stop()
	again := newMemory()
	run(t, url, again, func(o *Options) { change(o); o.Resnapshot = true })
	again.until(t, `"after":{"id":1,"n":"1.00","currency":"EUR"}`)
}

// TestBefore: what before holds for each replica identity. What PostgreSQL does
// not say is null, or for a large value that an update left alone, named as such;
// nothing is made up.
func TestBefore(t *testing.T) {
	const (
		row   = `{"id":1,"user_id":5,"amount":"10.00","large":%s}`
		large = `"__debezium_unavailable_value"`
	)
	for _, c := range []struct {
		identity string
		// before of a delete; before and after of an update that leaves the large value
		// alone; before of the delete that a changed key becomes
		deleted, before, after, rekeyed string
	}{
		{"DEFAULT", `{"id":1,"user_id":null,"amount":null,"large":null}`, `null`,
			`{"id":1,"user_id":5,"amount":"11.00","large":` + large + `}`,
			`{"id":1,"user_id":null,"amount":null,"large":null}`},
		{"USING INDEX wide", `{"id":1,"user_id":5,"amount":null,"large":null}`, `null`,
			`{"id":1,"user_id":5,"amount":"11.00","large":` + large + `}`,
			`{"id":1,"user_id":5,"amount":null,"large":null}`},
		{"FULL", row, row, `{"id":1,"user_id":5,"amount":"11.00","large":%s}`, row},
	} {
		t.Run(strings.Fields(c.identity)[0], func(t *testing.T) {
			conn, url := database(t)
			exec(t, conn, `CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, user_id bigint
				NOT NULL DEFAULT 77,
				amount numeric(12,2) NOT NULL DEFAULT 0, large text);
					CREATE UNIQUE INDEX wide ON streaming.transactions (id, user_id);
				ALTER TABLE streaming.transactions ALTER large SET STORAGE EXTERNAL;
					ALTER TABLE streaming.transactions REPLICA IDENTITY `+c.identity)
			sink := newMemory()
			run(t, url, sink, nil).untilStreaming(t)
			exec(t, conn, `INSERT INTO streaming.transactions VALUES (1, 5, 10, repeat('x', 10000));
				UPDATE streaming.transactions SET amount = 11; UPDATE streaming.transactions SET amount = 10;
					UPDATE streaming.transactions SET id = 2;
				UPDATE streaming.transactions SET id = 1; DELETE FROM streaming.transactions`)
			exec(t, conn, "INSERT INTO streaming.transactions VALUES (99, 1, 1, 'end')")
			var got []struct{ Op, Before, After, Key string }
			for _, r := range sink.until(t, `"large":"end"`) {
				if r.Value == nil {
					continue
				}
				var v struct {
					Op            string
					Before, After json.RawMessage
				}
				if err := json.Unmarshal(r.Value, &v); err != nil {
					t.Fatal(err)
				}
				got = append(got, struct{ Op, Before, After, Key string }{v.Op, string(v.Before), string(v.After), string(r.Key)})
			}
			text := func(s string) string { return strings.ReplaceAll(s, "%s", `"`+strings.Repeat("x", 10000)+`"`) }
			for i, want := range []struct{ op, before, after, key string }{
				{"c", "null", text(row), `{"id":1}`},
				{"u", text(c.before), text(c.after), `{"id":1}`},
				{"u", "", "", `{"id":1}`},
				{"d", text(c.rekeyed), "null", `{"id":1}`},
				{"c", "null", "", `{"id":2}`},
				{"d", "", "null", `{"id":2}`},
				{"c", "null", "", `{"id":1}`},
				{"d", text(c.deleted), "null", `{"id":1}`},
			} {
				g := got[i]
				if g.Op != want.op || g.Key != want.key || want.before != "" && g.Before != want.before || want.after != "" &&
					g.After != want.after {
					t.Errorf("%d: %s %s %.200s → %.200s, not %s %s %.200s → %.200s", i, g.Op, g.Key, g.Before, g.After, want.op,
						want.key, want.before, want.after)
				}
			}
		})
	}
}

// TestKeysOfAllTypes: a row has one key in snapshot, update and delete, whatever its types.
func TestKeysOfAllTypes(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, `CREATE SCHEMA streaming; CREATE TYPE streaming.mood AS ENUM ('ok');
		CREATE DOMAIN streaming.at AS timestamp(3);
		CREATE TABLE streaming.transactions (a uuid, b text, c numeric(8,2), d timestamptz, e streaming.at, f date, g bytea, h
			streaming.mood, i boolean, j int[], k varbit,
			n bigint, PRIMARY KEY (j, a, b, c, d, e, f, g, h, i, k))`)
	row := `('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'ü "', 1.50, '2026-01-02 03:04:05.5+00', '2026-01-02 03:04:05.5',
		'2026-01-02', '\xff', 'ok', true, '{1,2}', B'101', 1)`
	exec(t, conn, "INSERT INTO streaming.transactions VALUES "+row)
	sink := newMemory()
	run(t, url, sink, nil).untilStreaming(t)
	exec(t, conn, "UPDATE streaming.transactions SET n = 2; DELETE FROM streaming.transactions; "+
		"INSERT INTO streaming.transactions VALUES "+row+"; UPDATE streaming.transactions SET n = 4711")
	const key = `{"j":[1,2],"a":"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11","b":"ü \"","c":"1.50",` +
		`"d":"2026-01-02T03:04:05.500000Z","e":1767323045500000,` +
		`"f":20455,"g":"/w==","h":"ok","i":true,"k":"BQ=="}`
	for _, r := range sink.until(t, `"n":4711}`) {
		if string(r.Key) != key {
			t.Errorf("%s, not %s", r.Key, key)
		}
	}
}

// TestNamesThatNeedQuoting in every place where a name is written into a statement.
func TestNamesThatNeedQuoting(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, `CREATE SCHEMA "Odd ""Schema"`)
	exec(t, conn, `CREATE TABLE "Odd ""Schema"."Näme.of $1" ("I d" bigint PRIMARY KEY, "n""n" bigint)`)
	exec(t, conn, `INSERT INTO "Odd ""Schema"."Näme.of $1" VALUES (1, 1)`)
	sink, memory := newMemory(), &shelf{topic: "first life"}
	change := func(o *Options) {
		o.Table, o.Publication, o.Memory, o.Resnapshot = `Odd "Schema.Näme.of $1`, `It's a "pub"`, memory, true
	}
	c := run(t, url, sink, change)
	c.untilStreaming(t)
	exec(t, conn, `INSERT INTO "Odd ""Schema"."Näme.of $1" VALUES (2, 2)`)
	for _, r := range sink.until(t, `"n\"n":2}`) {
		if r.Topic != "postgres.Odd__Schema.N_me.of__1" || !strings.HasPrefix(string(r.Key), `{"I d":`) {
			t.Errorf("%s %s", r.Topic, r.Key)
		}
	}
	c.stop()
	again := newMemory()
	run(t, url, again, change)
	again.until(t, `"snapshot":"last"`)
}

// TestConcurrentExchange exchanges the table again and again, as a migration
// would, while rows are written and a capture is started anew whenever it ends.
func TestConcurrentExchange(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "CREATE PUBLICATION "+slotName(t)+" FOR ALL TABLES")
	sink, memory := newMemory(), &shelf{topic: "first life"}
	o := testOptions(t, url)
	o.Publication, o.Memory, o.CheckInterval = slotName(t), memory, 20*time.Millisecond
	c := launch(t, o, sink, true)
	c.untilStreaming(t)
	for round := range 5 {
		exec(t, conn, fmt.Sprintf("INSERT INTO streaming.transactions SELECT i, %d FROM generate_series(%[1]d00, %[1]d49) i",
			round+1))
		exec(t, conn, "CREATE TABLE streaming.new (LIKE streaming.transactions INCLUDING ALL)")
		exec(t, conn, fmt.Sprintf("INSERT INTO streaming.new SELECT * FROM streaming.transactions; "+
			"INSERT INTO streaming.new SELECT i, %d FROM generate_series(%[1]d50, %[1]d99) i", round+1))
		exec(t, conn, "BEGIN; DROP TABLE streaming.transactions; ALTER TABLE streaming.new RENAME TO transactions; COMMIT")
	}
	oid := value[uint32](t, conn, "SELECT 'streaming.transactions'::regclass::oid")
	eventually(t, "the capture to have the last table", func() bool {
		var m mark
		b, _ := memory.Load(t.Context())
		return json.Unmarshal(b, &m) == nil && m.Table == oid && m.Owed == "" && c.Stats().Streaming
	})
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (99999, 4711)")
	checkTable(t, conn, sink.until(t, `"n":4711}`))
}

// TestRenamedKey: a change from before the key's column was renamed, which the
// stream brings after, is keyed as it was then.
func TestRenamedKey(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "ALTER TABLE streaming.transactions REPLICA IDENTITY FULL; "+
		"INSERT INTO streaming.transactions VALUES (1, 1)")
	sink, log, memory := newMemory(), &logText{}, &shelf{topic: "first life"}
	change := func(o *Options) { o.Memory, o.Log, o.CheckInterval = memory, log.logger(t), 50*time.Millisecond }
	c := run(t, url, sink, change)
	c.untilStreaming(t)
	c.stop()
	exec(t, conn, "UPDATE streaming.transactions SET n = 2; DELETE FROM streaming.transactions")
	exec(t, conn, "ALTER TABLE streaming.transactions RENAME id TO number; "+
		"INSERT INTO streaming.transactions VALUES (2, 4711)")
	run(t, url, sink, change)
	var keys []string
	for _, r := range sink.until(t, `"n":4711}`) {
		keys = append(keys, string(r.Key))
	}
	if got := strings.Join(keys, " "); got != `{"id":1} {"id":1} {"id":1} {"id":1} {"number":2}` {
		t.Errorf("%s", got)
	}
}

// TestLockedTable: what the stream waits for does not wait for an ALTER TABLE.
func TestLockedTable(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	c := run(t, url, newMemory(), nil)
	c.untilStreaming(t)
	locker := dial(t, url)
	exec(t, locker, "BEGIN; LOCK TABLE streaming.transactions IN ACCESS EXCLUSIVE MODE")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if key, err := c.keyNow(ctx, conn); err != nil || len(key) != 1 {
		t.Errorf("%v, %v", key, err)
	}
	if err := (types{}).read(ctx, conn, []uint32{20}); err != nil {
		t.Error(err)
	}
}
