package ledger

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// notVisibleYet: a change event can be there before its commit can be seen. No
// answer may be given without the row; a transaction that is known to have
// ended costs no further question.
func notVisibleYet(t *testing.T, s *server) {
	conn, err := pgx.Connect(t.Context(), s.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	src := brimline.Source{LSN: 1}
	err = tx.QueryRow(t.Context(), `INSERT INTO streaming.transactions (id, user_id, amount, "timestamp")
		VALUES (990001, 990001, 5, 'epoch') RETURNING txid_current() & 4294967295`).Scan(&src.TxID)
	if err != nil {
		t.Fatal(err)
	}
	l := s.open(t, transactions())
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	bound, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if f, _, err := l.Figures(bound, "990001", rule, 0, src); err == nil {
		t.Errorf("answered %+v before the commit", f)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, _, err := l.Figures(t.Context(), "990001", rule, 0, src)
	if err != nil || f.Count != 1 {
		t.Errorf("after the commit: %+v, %v", f, err)
	}
	s.exec(t, "DELETE FROM streaming.transactions WHERE id = 990001")
}
