package preflight

import (
	"context"
	"strings"
	"testing"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5/pgconn"
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
		URL: url, Table: "streaming.transactions", ID: []string{"id"}, User: "user_id",
		Amount: "amount", Time: "timestamp", Scale: 2,
	}, func(sql string) { t.Helper(); execute(t, url, sql) }
}

func TestDatabaseWithoutLogicalDecoding(t *testing.T) {
	o, _ := serverWith(t, map[string]string{"wal_level": "replica", "max_replication_slots": "0", "max_wal_senders": "0"})
	findings := look(t, o)
	expectFinding(t, findings, Warning, "postgres_wal_level", "wal_level is replica", "ALTER SYSTEM SET wal_level "+
		"= 'logical'")
	expectFinding(t, findings, Warning, "postgres_replication_limits", "max_replication_slots = 5")
	expectFinding(t, findings, Warning, "postgres_replication_limits", "max_wal_senders = 5")
	if err := Err(findings); err != nil {
		t.Errorf("asking for totals needs none of it: %v", err)
	}
	o.Capture = true
	expectFinding(t, look(t, o), Error, "postgres_wal_level")
}

func TestDatabaseLostSlot(t *testing.T) {
	o, run := serverWith(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_replication_slots": "1",
		"min_wal_size": "32MB", "max_wal_size": "32MB"})
	run(createSlot)
	findings := look(t, o)
	expectFinding(t, findings, Warning, "postgres_replication_limits", "all 1 of max_replication_slots are in use")
	expectFinding(t, findings, Note, "postgres_slot_maybe_unread", "slot postgres is", "nothing reads it")
	quietOn(t, findings, "postgres_replication_disk")
	for range 4 {
		run("CREATE TABLE wal AS SELECT 1")
		run("SELECT pg_switch_wal()")
		run("DROP TABLE wal")
	}
	run("CHECKPOINT")
	// Another connector's slot is no reason to stop; ours is.
	expectFinding(t, look(t, o), Warning, "postgres_slot_maybe_lost", "slot postgres is lost", "--slot")
	if err := Err(look(t, o)); err != nil {
		t.Errorf("a slot that is not known to be ours: %v", err)
	}
	for _, f := range look(t, o) {
		if strings.Contains(f.What+f.Remedy, "pg_drop") {
			t.Errorf("proposes to drop what may be another's: %+v", f)
		}
	}
	o.Slot = "postgres"
	expectFinding(t, look(t, o), Error, "postgres_slot_lost", "slot postgres is lost",
		"pg_drop_replication_slot('postgres')", "new snapshot")
}

// TestWhatServersSay: findings about servers that are not at hand.
func TestWhatServersSay(t *testing.T) {
	target, err := postgres.Parse("postgres://u@h:1/app")
	if err != nil {
		t.Fatal(err)
	}
	d := &database{target: target, version: 110022, replica: true}
	d.serverFindings("11.22")
	expectFinding(t, d.findings, Note, "postgres_version_replica", "--verify=replica")
	expectFinding(t, d.findings, Warning, "postgres_version_old", "PostgreSQL 11.22")
	d.connectFailed(&pgconn.PgError{Code: "53300", Message: "too many clients"})
	expectFinding(t, d.findings, Error, "postgres_connection_full", "too many clients", "max_connections")
	d.Slot = "ours"
	d.slotFindings("ours", "extended", true, 2<<30)
	expectFinding(t, d.findings, Warning, "postgres_slot_behind", "2.0 GiB behind")
	r := &report{}
	r.encryption(kafka.Options{SASL: kafka.SASL{User: "u"}})
	expectFinding(t, r.findings, Warning, "kafka_connection_plain", "--kafka-tls")
	r.encryption(kafka.Options{SASL: kafka.SASL{User: "u"}, TLS: kafka.TLS{Enabled: true}})
	if len(r.findings) != 1 {
		t.Errorf("%+v", r.findings)
	}
}

// TestDatabaseUnseen: what a login may not look at is told, and ends nothing.
func TestDatabaseUnseen(t *testing.T) {
	o, run := serverWith(t, nil)
	run(`CREATE ROLE blind LOGIN; GRANT USAGE ON SCHEMA streaming TO blind;
		GRANT SELECT ON streaming.transactions TO blind;
		REVOKE SELECT ON pg_replication_slots FROM PUBLIC`)
	o.URL = strings.Replace(o.URL, embedded.Superuser+"@", "blind@", 1)
	findings := look(t, o)
	expectFinding(t, findings, Note, "postgres_connection_unseen", `user "blind"`, "replication slots")
	if err := Err(findings); err != nil {
		t.Error(err)
	}
	run("REVOKE SELECT ON pg_attribute FROM PUBLIC")
	expectFinding(t, look(t, o), Error, "postgres_connection_catalog", "catalog")
}
