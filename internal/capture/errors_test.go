package capture

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/jackc/pgx/v5"
)

func kindOf(err error) string {
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		return e.Kind
	}
	return ""
}

// TestFailures: what a user can mend ends Run, names the remedy, and shows no password.
func TestFailures(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	exec(t, conn, "CREATE TABLE streaming.keyless (id bigint); CREATE TABLE streaming.other (id bigint PRIMARY KEY)")
	exec(t, conn, "CREATE VIEW streaming.view AS SELECT 1 AS id")
	exec(t, conn, "CREATE PUBLICATION elsewhere FOR TABLE streaming.other")
	exec(t, conn, `
		CREATE UNLOGGED TABLE streaming.unlogged (id bigint PRIMARY KEY);
		CREATE MATERIALIZED VIEW streaming.materialized AS SELECT 1 AS id;
		CREATE FOREIGN DATA WRAPPER none; CREATE SERVER none FOREIGN DATA WRAPPER none;
			CREATE FOREIGN TABLE streaming.far (id bigint) SERVER none;
		CREATE TABLE streaming.parent (id bigint PRIMARY KEY); CREATE TABLE streaming.child () INHERITS (streaming.parent);
		CREATE TABLE streaming.nothing_identifies (id bigint PRIMARY KEY);
			ALTER TABLE streaming.nothing_identifies REPLICA IDENTITY NOTHING;
		CREATE TABLE streaming.late (id bigint PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
		CREATE TABLE streaming.by_index (id bigint PRIMARY KEY, n bigint NOT NULL UNIQUE);
			ALTER TABLE streaming.by_index REPLICA IDENTITY USING INDEX by_index_n_key;
		CREATE TABLE streaming.computed (n bigint, id bigint GENERATED ALWAYS AS (n + 1) STORED PRIMARY KEY);
		CREATE TABLE streaming.parts (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE streaming.part PARTITION OF streaming.parts FOR VALUES FROM (1) TO (10);
		CREATE TABLE streaming.bad_parts (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE UNLOGGED TABLE streaming.bad_part PARTITION OF streaming.bad_parts FOR VALUES FROM (1) TO (10);
		CREATE TABLE streaming.half_parts (id bigint PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE streaming.half_part PARTITION OF streaming.half_parts FOR VALUES FROM (1) TO (10);
			ALTER TABLE streaming.half_part REPLICA IDENTITY NOTHING;
		CREATE TABLE streaming.far_parts (id bigint) PARTITION BY RANGE (id);
		CREATE FOREIGN TABLE streaming.far_part PARTITION OF streaming.far_parts FOR VALUES FROM (1) TO (10) SERVER none;
		CREATE PUBLICATION parts FOR TABLE streaming.parts;
			CREATE PUBLICATION inserts FOR TABLE streaming.transactions WITH (publish = 'insert');
		CREATE PUBLICATION twice FOR TABLE streaming.other WITH (publish = 'insert')`)
	exec(t, conn, `CREATE TABLE streaming.hidden (id bigint PRIMARY KEY);
		ALTER TABLE streaming.hidden ENABLE ROW LEVEL SECURITY;
		CREATE POLICY part ON streaming.hidden USING (id > 1); CREATE PUBLICATION hidden FOR TABLE streaming.hidden`)
	exec(t, conn, "CREATE ROLE plain LOGIN; CREATE ROLE blind LOGIN REPLICATION; GRANT "+
		"USAGE ON SCHEMA streaming TO plain, blind")
	exec(t, conn, "CREATE PUBLICATION ready FOR TABLE streaming.transactions")
	exec(t, conn, "SELECT pg_create_logical_replication_slot('foreign_plugin', 'test_decoding')")
	exec(t, conn, "GRANT SELECT ON streaming.hidden TO blind")
	t.Cleanup(func() {
		_, _ = conn.Exec(context.Background(), "DROP OWNED BY plain, blind; DROP ROLE plain, blind")
	})
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	as := func(user string) string { return strings.Replace(url, embedded.Superuser+"@", user+":secret@", 1) }
	for name, c := range map[string]struct {
		change       func(*Options)
		kind, remedy string
	}{
		"unreachable":  {func(o *Options) { o.DatabaseURL = "postgres://u:secret@" + closed.Addr().String() + "/d" }, "postgres_unreachable", "runs there"},
		"no database":  {func(o *Options) { o.DatabaseURL = strings.Replace(url, "testfailures", "nowhere", 1) }, "postgres_database", `"nowhere"`},
		"no user":      {func(o *Options) { o.DatabaseURL = as("nobody") }, "postgres_auth", "pg_hba.conf"},
		"no table":     {func(o *Options) { o.Table = "streaming.nothing" }, "postgres_table", "create it"},
		"a view":       {func(o *Options) { o.Table = "streaming.view" }, "postgres_table", ""},
		"materialized": {func(o *Options) { o.Table = "streaming.materialized" }, "postgres_table", "holds the rows"},
		"foreign":      {func(o *Options) { o.Table = "streaming.far" }, "postgres_table", "a foreign table"},
		"an index":     {func(o *Options) { o.Table = "streaming.parent_pkey" }, "postgres_table", "an index"},
		"unlogged": {func(o *Options) { o.Table = "streaming.unlogged" }, "postgres_unlogged",
			`ALTER TABLE "streaming"."unlogged" SET LOGGED`},
		"unlogged partition": {
			func(o *Options) { o.Table = "streaming.bad_parts" }, "postgres_unlogged",
			`ALTER TABLE streaming.bad_part SET LOGGED`,
		},
		"partition without identity": {
			func(o *Options) { o.Table = "streaming.half_parts" }, "postgres_identity",
			`ALTER TABLE streaming.half_part REPLICA IDENTITY FULL`,
		},
		// PostgreSQL allows no foreign partition of a table with a key.
		"foreign partition": {func(o *Options) { o.Table = "streaming.far_parts" }, "postgres_primary_key", ""},
		"inherited":         {func(o *Options) { o.Table = "streaming.parent" }, "postgres_inheritance", "streaming.child"},
		"identity nothing": {
			func(o *Options) { o.Table = "streaming.nothing_identifies" }, "postgres_identity",
			`ALTER TABLE "streaming"."nothing_identifies" REPLICA IDENTITY FULL`,
		},
		"deferrable key": {func(o *Options) { o.Table = "streaming.late" }, "postgres_identity",
			`ALTER TABLE "streaming"."late" REPLICA IDENTITY FULL`},
		"identity without key": {
			func(o *Options) { o.Table = "streaming.by_index" }, "postgres_identity",
			`ALTER TABLE "streaming"."by_index" REPLICA IDENTITY FULL`,
		},
		"generated key": {func(o *Options) { o.Table = "streaming.computed" }, "postgres_primary_key",
			"without generated columns"},
		"not via root": {
			func(o *Options) { o.Table, o.Publication = "streaming.parts", "parts" }, "postgres_publication",
			`ALTER PUBLICATION "parts" SET (publish_via_partition_root = true))`,
		},
		"inserts only": {
			func(o *Options) { o.Publication = "inserts" }, "postgres_publication",
			`ALTER PUBLICATION "inserts" SET (publish = 'insert, update, delete, truncate'))`,
		},
		"two faults": {
			func(o *Options) { o.Publication = "twice" }, "postgres_publication",
			`ALTER PUBLICATION "twice" ADD TABLE "streaming"."transactions"; ` +
				`ALTER PUBLICATION "twice" SET (publish = 'insert, update, delete, truncate'))`,
		},
		"row security": {
			func(o *Options) { o.Table, o.Publication, o.DatabaseURL = "streaming.hidden", "hidden", as("blind") },
			"postgres_row_security", "BYPASSRLS",
		},
		"slot of a snapshot": {func(o *Options) { o.Slot = "mine_snapshot" }, "capture_slot", "another ending"},
		"no key":             {func(o *Options) { o.Table = "streaming.keyless" }, "postgres_primary_key", "ADD PRIMARY KEY"},
		"publication":        {func(o *Options) { o.Publication = "elsewhere" }, "postgres_publication", "ALTER PUBLICATION"},
		"no owner": {func(o *Options) { o.DatabaseURL, o.Publication = as("blind"), "new" }, "postgres_publication",
			"CREATE PUBLICATION"},
		"no right": {func(o *Options) { o.DatabaseURL, o.Publication = as("plain"), "ready" },
			"postgres_replication_right", "ALTER ROLE"},
		"no select": {func(o *Options) { o.DatabaseURL, o.Publication = as("blind"), "ready" },
			"postgres_select_right", "GRANT"},
		"foreign slot": {func(o *Options) { o.Slot = "foreign_plugin" }, "slot_foreign", "slot of its own"},
		"bad slot":     {func(o *Options) { o.Slot = "Has-Dashes" }, "capture_slot", "lower-case"},
		"bad table":    {func(o *Options) { o.Table = "transactions" }, "capture_table", "schema.name"},
		"bad URL": {func(o *Options) { o.DatabaseURL = "postgres://u:secret@h:port/" }, "database_url",
			"postgres://"},
		"no URL": {func(o *Options) { o.DatabaseURL = "secret" }, "database_url", "postgres://"},
		"no TLS": {func(o *Options) {
			o.DatabaseURL = strings.Replace(url, "sslmode=disable", "sslmode=require", 1)
		}, "postgres_tls", "sslmode"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{DatabaseURL: url, Table: "streaming.transactions", Slot: slotName(t)}
			if len(o.Slot) > 54 || strings.Contains(o.Slot, " ") {
				o.Slot = "failures"
			}
			o.Publication = "of_" + o.Slot
			c.change(&o)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			capture, err := New(o)
			if err == nil {
				err = capture.Run(ctx, newMemory())
			}
			if err == nil {
				t.Fatal("it was captured")
			}
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.remedy) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", kindOf(err), err)
			}
		})
	}
}

func TestFailureWrongPassword(t *testing.T) {
	// A server that asks for a password and refuses it: the embedded one trusts everybody.
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true,
		Settings: map[string]string{"wal_level": "replica"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	conn := dial(t, p.URL(""))
	exec(t, conn, simpleTable)
	c, err := New(Options{DatabaseURL: p.URL(""), Table: "streaming.transactions"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), newMemory()); kindOf(err) != "postgres_wal_level" || !strings.Contains(err.Error(),
		"ALTER SYSTEM") {
		t.Errorf("%v", err)
	}
	exec(t, conn, "CREATE ROLE locked LOGIN PASSWORD 'right'")
	hba := value[string](t, conn, "SHOW hba_file")
	rewriteHBA(t, conn, hba)
	c, err = New(Options{DatabaseURL: strings.Replace(p.URL(""), embedded.Superuser+"@", "locked:wrong@", 1),
		Table: "streaming.transactions"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), newMemory()); kindOf(err) != "postgres_auth" || !strings.Contains(err.Error(),
		"check the password") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
}

func TestFailureSlotInUse(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	first := run(t, url, newMemory(), nil)
	first.untilStreaming(t)
	second := run(t, url, newMemory(), nil)
	if err := <-second.done; kindOf(err) != "slot_in_use" {
		t.Errorf("%v", err)
	}
	first.stop()
}

func TestFailureSlotLost(t *testing.T) {
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true, Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB",
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	conn := dial(t, p.URL(""))
	exec(t, conn, simpleTable)
	c := run(t, p.URL(""), newMemory(), nil)
	c.untilStreaming(t)
	c.stop()
	loseSlot(t, conn)
	again, err := New(c.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context(), newMemory()); kindOf(err) != "slot_lost" || !strings.Contains(err.Error(),
		"pg_drop_replication_slot") ||
		!strings.Contains(err.Error(), "deleted, truncated or moved to another user") {
		t.Errorf("%v", err)
	}
}

// loseSlot writes WAL until PostgreSQL gives the one slot up.
func loseSlot(t *testing.T, conn *pgx.Conn) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for value[string](t, conn, "SELECT wal_status FROM pg_replication_slots") != "lost" {
		if time.Now().After(deadline) {
			t.Fatal("the slot will not be lost")
		}
		exec(t, conn, "SELECT pg_switch_wal()")
		exec(t, conn, "INSERT INTO streaming.transactions SELECT max(id) + 1, 0 FROM (SELECT 0 AS id UNION ALL "+
			"SELECT id FROM streaming.transactions) x")
		exec(t, conn, "CHECKPOINT")
	}
}
