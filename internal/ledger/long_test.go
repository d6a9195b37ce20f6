package ledger

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
)

// longQuestions: all pieces see the same rows, of the table as it is, and what can never be answered ends.
func longQuestions(t *testing.T, s *server) {
	const rows = 2000
	s.exec(t, `CREATE TABLE long (id int PRIMARY KEY, u int, a numeric(12,2), t timestamptz, k text)`)
	fill := func(amount int) {
		s.exec(t, `INSERT INTO long SELECT n, 1, $1::int, timestamptz 'epoch' + n * interval '1 second', 'x' FROM generate_series(1, $2::int) n`,
			amount, rows)
	}
	fill(1)
	o := Options{Table: "long", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"},
		Extra: []brimline.Column{{Name: "k", Type: brimline.Text}}}
	at := func(second int) brimline.Time { return brimline.Time(second) * 1_000_000 }
	rule := func(limit int, where bool) *sliding.Rule {
		r := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour, Limit: brimline.Amount(limit * 100).Total()}}
		if where {
			r.Takes = func(row *brimline.Transaction) bool { v, _ := row.Column("k"); return v == "x" }
		}
		return r
	}
	between := func(do func(piece int, snapshot *postgres.Snapshot) error) *Ledger {
		l := s.open(t, o)
		l.sizes = sizes{page: 100, piece: 100, span: 100}
		piece := 0
		l.pause = func(snapshot *postgres.Snapshot) error {
			piece++
			return do(piece, snapshot)
		}
		return l
	}
	for _, where := range []bool{false, true} {
		// Rows come and go between the pieces.
		l := between(func(piece int, _ *postgres.Snapshot) error {
			switch piece {
			case 5:
				s.exec(t, "UPDATE long SET a = 1000 WHERE id > 1000")
			case 6:
				s.exec(t, "DELETE FROM long WHERE id % 2 = 0")
			}
			return nil
		})
		edges, _, err := l.Long().Edges(t.Context(), "1", rule(1500, where), at(0), at(rows))
		if want := []brimline.Time{at(1501)}; err != nil || !slices.Equal(edges, want) {
			t.Errorf("where %v: edges %v, want %v: %v", where, edges, want, err)
		}
		s.exec(t, "DELETE FROM long")
		fill(1)

		// The table is emptied and filled anew once its transactions were looked at.
		l = between(func(piece int, _ *postgres.Snapshot) error {
			if piece == 1 {
				s.exec(t, "TRUNCATE long")
				fill(2)
			}
			return nil
		})
		edges, _, err = l.Long().Edges(t.Context(), "1", rule(1500, where), at(0), at(rows))
		if want := []brimline.Time{at(751)}; err != nil || !slices.Equal(edges, want) {
			t.Errorf("where %v, after a TRUNCATE: edges %v, want %v: %v", where, edges, want, err)
		}
		s.exec(t, "TRUNCATE long")
		fill(1)

		// A statement is ended twice; with fewer rows each the question is answered.
		l = between(func(piece int, snapshot *postgres.Snapshot) error {
			if piece <= 2 {
				return interrupt(t, snapshot)
			}
			return nil
		})
		edges, _, err = l.Long().Edges(t.Context(), "1", rule(1500, where), at(0), at(rows))
		if want := []brimline.Time{at(1501)}; err != nil || !slices.Equal(edges, want) {
			t.Errorf("where %v, at the third try: edges %v, want %v: %v", where, edges, want, err)
		}

		// It never fits.
		asked := 0
		l = between(func(_ int, snapshot *postgres.Snapshot) error {
			asked++
			return interrupt(t, snapshot)
		})
		l.sizes = sizes{page: 1 << 30, piece: 1 << 30, span: 1 << 30}
		_, _, err = l.Long().Edges(t.Context(), "1", rule(1500, where), at(0), at(rows))
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != kindLong || e.Class != brimline.ClassInput || e.Remedy == "" || asked != tries {
			t.Errorf("where %v: a question that never fits, after %d tries: %v", where, asked, err)
		}

		// The table is locked: that says nothing about the question.
		l = between(func(int, *postgres.Snapshot) error { return nil })
		l.o.Timeout = 200 * time.Millisecond
		lock := s.connect(t, s.url())
		if _, err := lock.Exec(t.Context(), "BEGIN; LOCK TABLE long"); err != nil {
			t.Fatal(err)
		}
		_, _, err = l.Long().Edges(t.Context(), "1", rule(1500, where), at(0), at(rows))
		if !temporary(err) {
			t.Errorf("where %v: a locked table: %v", where, err)
		}
		if _, err := lock.Exec(t.Context(), "ROLLBACK"); err != nil {
			t.Fatal(err)
		}
	}

	// A change whose transaction is open is waited for.
	tx, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var id int64
	if err := tx.QueryRow(t.Context(), "UPDATE long SET a = 1000 WHERE id = 7 RETURNING txid_current()").Scan(&id); err != nil {
		t.Fatal(err)
	}
	l := between(func(int, *postgres.Snapshot) error { return nil })
	answer := make(chan string, 1)
	go func() {
		f, _, err := l.Long().Figures(t.Context(), "1", rule(0, false), at(10), brimline.Source{TxID: id, LSN: 1})
		answer <- fmt.Sprint(f.Total.Format(2), err)
	}()
	select {
	case got := <-answer:
		t.Errorf("before its transaction has ended: %s", got)
	case <-time.After(50 * time.Millisecond):
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := <-answer; got != "1009.00<nil>" {
		t.Errorf("after it: %s", got)
	}
}

// interrupt has the server end a statement of the transaction for taking too long.
func interrupt(t *testing.T, snapshot *postgres.Snapshot) error {
	read := func(sql string) error {
		return snapshot.Read(t.Context(), sql, nil, func(rows pgx.Rows) error { rows.Close(); return rows.Err() })
	}
	err := read("SELECT pg_catalog.set_config('statement_timeout', '1', true)")
	if err == nil {
		err = read("SELECT pg_catalog.pg_sleep(10)")
	}
	if !isState(err, "57014") {
		t.Errorf("the server ended no statement: %v", err)
	}
	return err
}
