package preflight

import (
	"testing"

	"github.com/brimline/brimline/internal/testkit"
	"github.com/jackc/pgx/v5"
)

// TestDatabaseThroughPooler: the checks leave no setting behind in a session
// that a pooler hands to the application next.
func TestDatabaseThroughPooler(t *testing.T) {
	o, _ := newDatabase(t)
	through := testkit.Pooler(t, o.URL)
	o.URL = through
	for range 2 {
		for _, f := range look(t, o) {
			if f.Level > Note {
				t.Errorf("%+v", f)
			}
		}
		if c, err := ReadCatalog(t.Context(), o); err != nil || c == nil || *c.Columns["amount"].Scale != 2 {
			t.Errorf("%+v, %v", c, err)
		}
	}
	conn, err := pgx.Connect(t.Context(), through+"&default_query_exec_mode=exec")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var readOnly, jit string
	if err := conn.QueryRow(t.Context(), "SELECT current_setting('default_transaction_read_only'), "+
		"current_setting('jit')").
		Scan(&readOnly, &jit); err != nil ||
		readOnly != "off" ||
		jit != "on" {
		t.Errorf("the application's session: default_transaction_read_only %s, jit %s, %v", readOnly, jit, err)
	}
}
