package capture

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestFailuresByState: what a restart, a failover, a crowd or a lock brings about is waited for; a refused statement is
// not.
func TestFailuresByState(t *testing.T) {
	capture, err := New(Options{DatabaseURL: "postgres://u@h/d", Table: "s.t", Slot: "slot", Publication: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		state, message string
		kind           string
		waits          bool
	}{
		{"08006", "connection failure", "postgres_away", true},
		{"08P01", "no such database: d", "postgres_away", true},
		{"25006", "cannot execute in a read-only transaction", "postgres_away", true},
		{"25P03", "idle-in-transaction timeout", "postgres_away", true},
		{"40001", "could not serialize access", "postgres_away", true},
		{"40P01", "deadlock detected", "postgres_away", true},
		{"53300", "too many connections", "postgres_away", true},
		{"53400", "all replication slots are in use", "postgres_slots", false},
		{"55000", "not in the prerequisite state", "postgres_away", true},
		{"55006", "slot is active", "slot_in_use", true},
		{"55P03", "canceling statement due to lock timeout", "postgres_away", true},
		{"57014", "canceling statement due to statement timeout", "postgres_away", true},
		{"57P01", "terminating connection", "postgres_away", true},
		{"58030", "I/O error", "postgres_away", true},
		{"XX000", "internal error", "postgres_away", true},
		{"22P02", "invalid input syntax", "postgres", false},
		{"28000", "no such role", "postgres_auth", false},
		{"28P01", "wrong password", "postgres_auth", false},
		{"3D000", "no such database", "postgres_database", false},
		{"42501", "permission denied for table t", "postgres_select_right", false},
		{"42601", "syntax error", "postgres", false},
		{"42703", "no such column", "postgres_away", true},
		{"42704", `publication "p" does not exist`, "postgres_publication_missing", false},
		{"42704", "no such object", "postgres", false},
		{"42P01", "no such table", "postgres_table", false},
	} {
		err := capture.failure("a test", &pgconn.PgError{Severity: "ERROR", Code: c.state, Message: c.message})
		_, waits := errors.AsType[*outage](err)
		if kindOf(err) != c.kind || waits != c.waits {
			t.Errorf("%s %q: kind %q, waits %t; want %q, %t", c.state, c.message, kindOf(err), waits, c.kind, c.waits)
		}
	}
	// The message is in the server's language.
	hidden := &pgconn.PgError{Severity: "FEHLER", Code: "42501", Routine: "check_enable_rls",
		Message: "Anfrage würde von Policy betroffen"}
	if err := capture.failure("a test", hidden); kindOf(err) != "postgres_row_security" {
		t.Errorf("row-level security in German: %v", err)
	}
}
