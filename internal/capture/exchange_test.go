package capture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

// shelf is a Memory of this process. The real one is Kafka's, tested in internal/app.
type shelf struct {
	mu    sync.Mutex
	topic string
	value []byte
}

func (s *shelf) TopicID(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.topic, nil
}

func (s *shelf) Load(context.Context) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, nil
}

func (s *shelf) Store(_ context.Context, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
	return nil
}

func (s *shelf) set(f func(*shelf)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// whole makes the table a member of the publication with all rows and columns.
const whole = `BEGIN; ALTER PUBLICATION "%s" DROP TABLE "streaming"."transactions"; ` +
	`ALTER PUBLICATION "%[1]s" ADD TABLE "streaming"."transactions"; COMMIT`

// exchanges are the changes to a table or its publication that keep rows
// from the stream. The table holds row 1 beforehand.
var exchanges = []struct {
	name string
	// setup is done before the capture starts, instead of simpleTable; publication is then made by it, too.
	setup string
	// done are the statements, one by one.
	done []string
	// kind of the error while the capture runs.
	kind string
	// remedy: the statements that the error must name. Empty: none but starting again.
	remedy string
	// stays: rows that the topic keeps although the table has lost them, which no remedy can mend.
	stays []int64
	// quick: it is undone before anyone looks, so that a running capture may not notice before it is started again.
	quick bool
}{
	{
		name: "renamed",
		done: []string{
			"CREATE TABLE streaming.new (LIKE streaming.transactions INCLUDING ALL)",
			"INSERT INTO streaming.new SELECT * FROM streaming.transactions",
			"INSERT INTO streaming.new VALUES (2, 2)",
			"BEGIN; ALTER TABLE streaming.transactions RENAME TO old; ALTER TABLE streaming.new RENAME TO transactions; COMMIT",
			"INSERT INTO streaming.transactions VALUES (3, 3)",
		},
		kind: "postgres_table_replaced", remedy: `ALTER PUBLICATION "%s" ADD TABLE "streaming"."transactions"`,
	},
	{
		name:  "renamed under a publication of all tables",
		setup: simpleTable + "; CREATE PUBLICATION %s FOR ALL TABLES",
		done: []string{
			"CREATE TABLE streaming.new (LIKE streaming.transactions INCLUDING ALL)",
			"INSERT INTO streaming.new SELECT * FROM streaming.transactions",
			"INSERT INTO streaming.new VALUES (2, 2)",
			"BEGIN; ALTER TABLE streaming.transactions RENAME TO old; ALTER TABLE streaming.new RENAME TO transactions; COMMIT",
			"INSERT INTO streaming.transactions VALUES (3, 3)",
		},
		kind: "postgres_table_replaced",
	},
	{
		name: "dropped and made again",
		done: []string{
			"DROP TABLE streaming.transactions; " +
				"CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint NOT NULL); " +
				"INSERT INTO streaming.transactions VALUES (1, 1), (2, 2)",
		},
		kind: "postgres_table", remedy: "", // or replaced, if the look comes later
	},
	{
		name: "taken out of the publication",
		done: []string{"ALTER PUBLICATION %s DROP TABLE streaming.transactions",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: `ALTER PUBLICATION "%s" ADD TABLE "streaming"."transactions"`,
	},
	{
		name: "taken out of the publication and put back",
		done: []string{"ALTER PUBLICATION %s DROP TABLE streaming.transactions; " +
			"INSERT INTO streaming.transactions VALUES (2, 2); ALTER PUBLICATION %[1]s ADD TABLE streaming.transactions"},
		kind:  "postgres_publication_changed",
		quick: false,
	},
	{
		name: "publication dropped",
		done: []string{"DROP PUBLICATION %s", "INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: `CREATE PUBLICATION "%s" FOR TABLE "streaming"."transactions"`,
	},
	{
		name: "publication dropped and made again",
		done: []string{
			// In one transaction: what is said of the time without one is tried above.
			"DROP PUBLICATION %s; INSERT INTO streaming.transactions VALUES (2, 2); " +
				"CREATE PUBLICATION %[1]s FOR TABLE streaming.transactions", "INSERT INTO streaming.transactions VALUES (3, 3)",
		},
		kind: "postgres_publication",
	},
	{
		name: "updates no longer published",
		done: []string{"ALTER PUBLICATION %s SET (publish = 'insert, delete')", "UPDATE streaming.transactions SET n = 100"},
		kind: "postgres_publication", remedy: `ALTER PUBLICATION "%s" SET (publish = 'insert, update, delete, truncate')`,
	},
	{
		name: "updates not published for a moment",
		done: []string{"ALTER PUBLICATION %s SET (publish = 'insert, delete'); UPDATE streaming.transactions SET n = 100; " +
			"ALTER PUBLICATION %[1]s SET (publish = 'insert, update, delete, truncate')"},
		kind: "postgres_publication_changed",
	},
	{
		name: "row filter",
		done: []string{"ALTER PUBLICATION %s SET TABLE streaming.transactions WHERE (id < 2)",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication_filter", remedy: whole,
	},
	{
		name: "column list",
		done: []string{"ALTER PUBLICATION %s SET TABLE streaming.transactions (id)",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication_filter", remedy: whole,
	},
	{
		name: "column list without the key",
		done: []string{"ALTER TABLE streaming.transactions REPLICA IDENTITY DEFAULT; " +
			"ALTER PUBLICATION %s SET TABLE streaming.transactions (n)", "INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: whole,
	},
	{
		name: "unlogged",
		done: []string{"ALTER TABLE streaming.transactions SET UNLOGGED", "INSERT INTO streaming.transactions VALUES (2, 2)"},
		// PostgreSQL 15 refuses it while the table is published by name; not so for all tables.
		setup: simpleTable + "; CREATE PUBLICATION %s FOR ALL TABLES",
		kind:  "postgres_unlogged", remedy: `ALTER TABLE "streaming"."transactions" SET LOGGED`,
	},
	{
		name: "schema renamed",
		done: []string{
			"CREATE SCHEMA new; CREATE TABLE new.transactions (LIKE streaming.transactions INCLUDING ALL); " +
				"INSERT INTO new.transactions VALUES (1, 1), (2, 2)",
			"BEGIN; ALTER SCHEMA streaming RENAME TO old; ALTER SCHEMA new RENAME TO streaming; COMMIT",
			"INSERT INTO streaming.transactions VALUES (3, 3)",
		},
		kind: "postgres_table_replaced", remedy: `ALTER PUBLICATION "%s" ADD TABLE "streaming"."transactions"`,
	},
	{
		name: "partitions published under their own names",
		setup: `CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint) PARTITION BY
			RANGE (id);
			CREATE TABLE streaming.p1 PARTITION OF streaming.transactions FOR VALUES FROM (1) TO (100);
			CREATE PUBLICATION %s FOR TABLE streaming.transactions WITH (publish_via_partition_root = true)`,
		done: []string{"ALTER PUBLICATION %s SET (publish_via_partition_root = false)",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: `ALTER PUBLICATION "%s" SET (publish_via_partition_root = true)`,
	},
	{
		name: "partition attached with rows",
		setup: `CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint) PARTITION BY
			RANGE (id);
			CREATE TABLE streaming.p1 PARTITION OF streaming.transactions FOR VALUES FROM (1) TO (100);
			CREATE PUBLICATION %s FOR TABLE streaming.transactions WITH (publish_via_partition_root = true)`,
		done: []string{
			"CREATE TABLE streaming.p2 (LIKE streaming.transactions INCLUDING ALL); INSERT INTO streaming.p2 VALUES (102, 2)",
			"ALTER TABLE streaming.transactions ATTACH PARTITION streaming.p2 FOR VALUES FROM (100) TO (200)",
			"INSERT INTO streaming.transactions VALUES (103, 3)",
		},
		kind: "postgres_partition_attached",
	},
	{
		name: "a watched partition is detached",
		setup: `CREATE SCHEMA streaming; CREATE TABLE streaming.root (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE
			(id);
			CREATE TABLE streaming.transactions PARTITION OF streaming.root FOR VALUES FROM (1) TO (100);
				CREATE PUBLICATION %s FOR TABLE streaming.root`,
		done: []string{"ALTER TABLE streaming.root DETACH PARTITION streaming.transactions",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: `ALTER PUBLICATION "%s" ADD TABLE "streaming"."transactions"`,
	},
	{
		name: "a watched partition is published under its root's name",
		setup: `CREATE SCHEMA streaming; CREATE TABLE streaming.root (id bigint PRIMARY KEY, n bigint) PARTITION BY RANGE
			(id);
			CREATE TABLE streaming.transactions PARTITION OF streaming.root FOR VALUES FROM (1) TO (100);
				CREATE PUBLICATION %s FOR TABLE streaming.root`,
		done: []string{"ALTER PUBLICATION %s SET (publish_via_partition_root = true)",
			"INSERT INTO streaming.transactions VALUES (2, 2)"},
		kind: "postgres_publication", remedy: `ALTER PUBLICATION "%s" SET (publish_via_partition_root = false)`,
	},
}

// TestExchangesWhileRunning: each is noticed while the capture runs, ends it with
// an error, and its remedy, followed to the letter, brings the rows in between.
func TestExchangesWhileRunning(t *testing.T) {
	for _, e := range exchanges {
		t.Run(e.name, func(t *testing.T) {
			conn, url, o := exchangeSetup(t, e.setup)
			sink := newMemory()
			first := launch(t, o(url), sink, false)
			sink.until(t, `"n":1}`)
			first.untilStreaming(t)
			for _, s := range e.done {
				exec(t, conn, named(s, t))
			}
			var err error
			select {
			case err = <-first.done:
			case <-time.After(20 * time.Second):
				t.Fatal("nothing was noticed")
			}
			t.Log(err)
			if kindOf(err) != e.kind && !(e.kind == "postgres_table" && kindOf(err) == "postgres_table_replaced") &&
				!(e.kind == "postgres_publication" && (kindOf(err) == "postgres_publication_changed" ||
					kindOf(err) == kindNoPublication)) {
				t.Errorf("%q, not %q", kindOf(err), e.kind)
			}
			if brimline.ExitCode(err) != 3 {
				t.Errorf("exit code %d", brimline.ExitCode(err))
			}
			follow(t, conn, err, e.remedy)
			finish(t, conn, o(url), sink, e.stays)
		})
	}
}

// TestExchangesWhileAway: the same while no capture runs. The start refuses, with
// the remedy, or takes a new snapshot by itself.
func TestExchangesWhileAway(t *testing.T) {
	for _, e := range exchanges {
		t.Run(e.name, func(t *testing.T) {
			conn, url, o := exchangeSetup(t, e.setup)
			sink := newMemory()
			first := launch(t, o(url), sink, false)
			sink.until(t, `"n":1}`)
			first.untilStreaming(t)
			first.stop()
			for _, s := range e.done {
				exec(t, conn, named(s, t))
			}
			second := launch(t, o(url), sink, false)
			if err := second.untilStreamingOrEnd(t); err != nil {
				t.Log(err)
				if brimline.ExitCode(err) != 3 {
					t.Errorf("exit code %d", brimline.ExitCode(err))
				}
				follow(t, conn, err, e.remedy)
			}
			second.stop()
			finish(t, conn, o(url), sink, e.stays)
		})
	}
}

// named puts the name of the test's publication into a statement.
func named(sql string, t *testing.T) string {
	if !strings.Contains(sql, "%") {
		return sql
	}
	return fmt.Sprintf(sql, slotName(t))
}

func exchangeSetup(t *testing.T, setup string) (*pgx.Conn, string, func(string) Options) {
	t.Helper()
	conn, url := database(t)
	if setup == "" {
		setup = simpleTable
	}
	exec(t, conn, named(setup, t))
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (1, 1)")
	memory := &shelf{topic: "first life"}
	return conn, url, func(url string) Options {
		o := testOptions(t, url)
		o.Publication, o.Memory, o.CheckInterval = slotName(t), memory, 50*time.Millisecond
		return o
	}
}

// follow does what a remedy says, literally: its statements are all up to the
// advice to start again.
func follow(t *testing.T, conn *pgx.Conn, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok {
		t.Fatal(err)
	}
	statements, _, ok := strings.Cut(e.Remedy, again)
	if !ok {
		t.Fatalf("the remedy does not say what comes then: %s", e.Remedy)
	}
	statements = strings.TrimSuffix(statements, "; then ")
	statements, _, _ = strings.Cut(statements, ", or capture")
	if want != "" && statements != named(want, t) {
		t.Errorf("remedy %q, not %q", statements, named(want, t))
	}
	if strings.HasPrefix(statements, "create it and ") { // it was there again a moment later
		_, statements, _ = strings.Cut(statements, "create it and ")
		statements, _, _ = strings.Cut(statements, ", or name")
	}
	if statements != "" {
		exec(t, conn, statements)
	}
}

// finish starts the capture again, writes one more row, and compares what the
// topic makes of the table.
func finish(t *testing.T, conn *pgx.Conn, o Options, sink *memory, stays []int64) {
	t.Helper()
	last := launch(t, o, sink, false)
	if err := last.untilStreamingOrEnd(t); err != nil {
		t.Fatalf("the remedy does not help: %v", err)
	}
	exec(t, conn, "INSERT INTO streaming.transactions VALUES (99, 4711)")
	found := make(chan []Record, 1)
	go func() { found <- sink.within(20*time.Second, `"n":4711}`) }()
	select {
	case records := <-found:
		if records == nil {
			t.Fatal("the last row does not come")
		}
		compareTable(t, conn, records, stays)
	case err := <-last.done:
		t.Fatalf("the remedy does not help: %v", err)
	}
}
