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
	exec(t, conn, "CREATE ROLE plain LOGIN; CREATE ROLE blind LOGIN REPLICATION; GRANT USAGE ON SCHEMA streaming TO plain, blind")
	exec(t, conn, "CREATE PUBLICATION ready FOR TABLE streaming.transactions")
	exec(t, conn, "SELECT pg_create_logical_replication_slot('foreign_plugin', 'test_decoding')")
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
		"no key":       {func(o *Options) { o.Table = "streaming.keyless" }, "postgres_primary_key", "ADD PRIMARY KEY"},
		"publication":  {func(o *Options) { o.Publication = "elsewhere" }, "postgres_publication", "ALTER PUBLICATION"},
		"no owner":     {func(o *Options) { o.DatabaseURL, o.Publication = as("blind"), "new" }, "postgres_publication", "CREATE PUBLICATION"},
		"no right":     {func(o *Options) { o.DatabaseURL, o.Publication = as("plain"), "ready" }, "postgres_replication_right", "ALTER ROLE"},
		"no select":    {func(o *Options) { o.DatabaseURL, o.Publication = as("blind"), "ready" }, "postgres_select_right", "GRANT"},
		"foreign slot": {func(o *Options) { o.Slot = "foreign_plugin" }, "slot_foreign", "slot of its own"},
		"bad slot":     {func(o *Options) { o.Slot = "Has-Dashes" }, "capture_slot", "lower-case"},
		"bad table":    {func(o *Options) { o.Table = "transactions" }, "capture_table", "schema.name"},
		"bad URL":      {func(o *Options) { o.DatabaseURL = "postgres://u:secret@h:port/" }, "database_url", "postgres://"},
		"no URL":       {func(o *Options) { o.DatabaseURL = "secret" }, "database_url", "postgres://"},
		"no TLS":       {func(o *Options) { o.DatabaseURL = strings.Replace(url, "sslmode=disable", "sslmode=require", 1) }, "postgres_tls", "sslmode"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{DatabaseURL: url, Table: "streaming.transactions", Slot: slotName(t)}
			if len(o.Slot) > 54 || strings.Contains(o.Slot, " ") {
				o.Slot = "failures"
			}
			c.change(&o)
			capture, err := New(o)
			if err == nil {
				err = capture.Run(t.Context(), newMemory())
			}
			if kindOf(err) != c.kind || !strings.Contains(err.Error(), c.remedy) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: %v", kindOf(err), err)
			}
		})
	}
}

func TestFailureWrongPassword(t *testing.T) {
	// A server that asks for a password and refuses it: the embedded one trusts everybody.
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true, Settings: map[string]string{"wal_level": "replica"}})
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
	if err := c.Run(t.Context(), newMemory()); kindOf(err) != "postgres_wal_level" || !strings.Contains(err.Error(), "ALTER SYSTEM") {
		t.Errorf("%v", err)
	}
	exec(t, conn, "CREATE ROLE locked LOGIN PASSWORD 'right'")
	hba := value[string](t, conn, "SHOW hba_file")
	rewriteHBA(t, conn, hba)
	c, err = New(Options{DatabaseURL: strings.Replace(p.URL(""), embedded.Superuser+"@", "locked:wrong@", 1), Table: "streaming.transactions"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context(), newMemory()); kindOf(err) != "postgres_auth" || !strings.Contains(err.Error(), "check the password") || strings.Contains(err.Error(), "wrong") {
		t.Errorf("%v", err)
	}
}

func TestFailureSlotInUse(t *testing.T) {
	conn, url := database(t)
	exec(t, conn, simpleTable)
	first := run(t, url, newMemory(), nil)
	eventually(t, "the stream", func() bool { return first.Stats().Streaming })
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
	eventually(t, "the stream", func() bool { return c.Stats().Streaming })
	c.stop()
	deadline := time.Now().Add(30 * time.Second)
	for value[string](t, conn, "SELECT wal_status FROM pg_replication_slots") != "lost" {
		if time.Now().After(deadline) {
			t.Fatal("the slot will not be lost")
		}
		exec(t, conn, "SELECT pg_switch_wal()")
		exec(t, conn, "INSERT INTO streaming.transactions SELECT max(id) + 1, 0 FROM (SELECT 0 AS id UNION ALL SELECT id FROM streaming.transactions) x")
		exec(t, conn, "CHECKPOINT")
	}
	again, err := New(c.o)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Run(t.Context(), newMemory()); kindOf(err) != "slot_lost" || !strings.Contains(err.Error(), "pg_drop_replication_slot") {
		t.Errorf("%v", err)
	}
}
