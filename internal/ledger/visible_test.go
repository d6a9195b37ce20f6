package ledger

import (
	"context"
	"slices"
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
	isSettled := func(src brimline.Source) bool { return l.settled.Load().hasAll([]brimline.Source{src}) }
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	bound, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if f, _, err := l.Figures(bound, "990001", rule, 0, src); err == nil {
		t.Errorf("answered %+v before the commit", f)
	}
	if isSettled(src) {
		t.Error("an open transaction is taken for ended")
	}
	ended := brimline.Source{LSN: 1, TxID: src.TxID - 1}
	several := []brimline.Source{ended, src, {LSN: 1}, {}}
	expectUnseen := func(when string, want ...brimline.Source) {
		t.Helper()
		if unseen, err := l.Unseen(t.Context(), several); err != nil || !slices.Equal(unseen, want) {
			t.Errorf("%s: %+v, %v; want %+v", when, unseen, err, want)
		}
	}
	expectUnseen("before the commit", src)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	expectUnseen("after the commit")
	f, _, err := l.Figures(t.Context(), "990001", rule, 0, src)
	if err != nil || f.Count != 1 {
		t.Errorf("after the commit: %+v, %v", f, err)
	}
	if !isSettled(src) {
		t.Error("an ended transaction is asked about again")
	}
	if isSettled(brimline.Source{TxID: src.TxID + 1<<20}) {
		t.Error("a transaction to come is taken for ended")
	}
	s.exec(t, "DELETE FROM streaming.transactions WHERE id = 990001")
}

func TestSettled(t *testing.T) {
	young, old := &settled{below: 1000}, &settled{below: 1<<32 + 1000}
	for _, c := range []struct {
		s    *settled
		ids  []int64
		want bool
	}{
		{nil, nil, true}, {nil, []int64{700}, false}, {young, nil, true}, {young, []int64{999, 3}, true}, {young,
			[]int64{999, 1000}, false}, {young, []int64{1001}, false},
		{young, []int64{0}, false}, {young, []int64{-5}, false}, {young, []int64{1 << 32}, false}, {young, []int64{1000 +
			1<<31}, false}, {young, []int64{1<<31 - 1 + 1000}, false},
		{young, []int64{3000000000}, true}, // half of an id of an epoch before this one, if there had been one
		{old, []int64{999}, true}, {old, []int64{1000}, false}, {old, []int64{4294967295}, true}, {old, []int64{1<<32 +
			999}, true}, {old, []int64{1<<32 + 1000}, false},
		{old, []int64{2000000000}, false},
	} {
		var after []brimline.Source
		for _, id := range c.ids {
			after = append(after, brimline.Source{TxID: id})
		}
		if got := c.s.hasAll(after); got != c.want {
			t.Errorf("%+v, %v: %v", c.s, c.ids, got)
		}
	}
}
