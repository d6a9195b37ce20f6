package preflight

import (
	"context"
	"testing"

	"github.com/brimline/brimline/internal/embedded"
)

// serverWith is a PostgreSQL of its own, for what only a restart can change.
func serverWith(t *testing.T, settings map[string]string) (DatabaseOptions, func(sql string)) {
	t.Helper()
	pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true, Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.Background()) })
	url := pg.URL("postgres")
	execute(t, url, schema)
	return DatabaseOptions{
		URL: url, Table: "streaming.transactions", ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp", Scale: 2,
	}, func(sql string) { t.Helper(); execute(t, url, sql) }
}

func TestDatabaseWithoutLogicalDecoding(t *testing.T) {
	o, _ := serverWith(t, map[string]string{"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0"})
	findings := Database(t.Context(), o)
	expectFinding(t, findings, Warning, "postgres_wal_level", "wal_level is replica", "ALTER SYSTEM SET wal_level = 'logical'")
	expectFinding(t, findings, Warning, "postgres_replication_limits", "max_replication_slots = 5")
	expectFinding(t, findings, Warning, "postgres_replication_limits", "max_wal_senders = 5")
	if err := Err(findings); err != nil {
		t.Errorf("asking for totals needs none of it: %v", err)
	}
	o.Capture = true
	expectFinding(t, Database(t.Context(), o), Error, "postgres_wal_level")
}

func TestDatabaseLostSlot(t *testing.T) {
	o, run := serverWith(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_replication_slots": "1", "min_wal_size": "32MB", "max_wal_size": "32MB"})
	run(createSlot)
	findings := Database(t.Context(), o)
	expectFinding(t, findings, Warning, "postgres_replication_limits", "all 1 of max_replication_slots are in use")
	expectFinding(t, findings, Warning, "postgres_slot", "nobody reads slot postgres")
	quietOn(t, findings, "postgres_slot_limit")
	for range 4 {
		run("CREATE TABLE wal AS SELECT 1")
		run("SELECT pg_switch_wal()")
		run("DROP TABLE wal")
	}
	run("CHECKPOINT")
	expectFinding(t, Database(t.Context(), o), Error, "postgres_slot", "slot postgres is lost", "new snapshot")
}
