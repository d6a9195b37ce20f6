package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
)

// walked are the rows of a walk as texts, in its order.
func walked(t *testing.T, l *Ledger, w Walk) (rows []string) {
	t.Helper()
	_, err := l.Walk(t.Context(), w, func() (func(*brimline.Transaction) error, error) {
		rows = nil
		return func(row *brimline.Transaction) error {
			rows = append(rows, fmt.Sprintf("%s %v %s %s %v", row.User, row.Time, row.Amount.Format(2), row.ID, row.Columns))
			return nil
		}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// walks reads all rows of several kinds of tables, each user's together and by time.
func walks(t *testing.T, s *server) {
	for _, user := range []string{
		"bigint", "text", "numeric", "numeric(20,4)", "text COLLATE ledger_loose", "uuid", "char(4)",
	} {
		t.Run(user, func(t *testing.T) {
			s.exec(t, `CREATE COLLATION IF NOT EXISTS ledger_loose (provider = icu, locale = 'und-u-ks-level2',
				deterministic = false)`)
			s.exec(t, `DROP TABLE IF EXISTS walk`)
			s.exec(t, `CREATE TABLE walk (id bigint PRIMARY KEY, user_id `+user+`, amount numeric, at timestamp, kind text)`)
			ids := []string{"1", "2", "10", "NULL"}
			want := map[string]int{"1": 3, "2": 3, "10": 3}
			switch user {
			case "numeric":
				ids, want = []string{"1.0", "1.00", "2"}, map[string]int{"1.0": 3, "1.00": 3, "2": 3}
			case "numeric(20,4)":
				want = map[string]int{"1.0000": 3, "2.0000": 3, "10.0000": 3}
			case "text COLLATE ledger_loose":
				ids, want = []string{"'a'", "'A'", "'b'"}, map[string]int{"a": 3, "A": 3, "b": 3}
			case "uuid":
				ids = []string{"'00000000-0000-0000-0000-00000000000a'"}
				want = map[string]int{"00000000-0000-0000-0000-00000000000a": 3}
			}
			n := 0
			for hour := range 5 { // the first and the last are outside of the span
				for _, id := range ids {
					n++
					s.exec(t, fmt.Sprintf(`INSERT INTO walk VALUES (%d, %s, %d.25, '2026-01-01 0%d:00', 'k%d')`, n, id, n, hour, n))
				}
			}
			s.exec(t, `INSERT INTO walk SELECT 100 + n, user_id, NULL, at
				FROM (SELECT *, row_number() OVER () AS n FROM walk) x`)
			s.exec(t, `INSERT INTO walk SELECT 1000, user_id, 1, '-infinity' FROM walk WHERE id = 1`)
			l := s.open(t, Options{
				Table: "public.walk", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "at"},
				Extra: []brimline.Column{{Name: "kind", Type: brimline.Text}},
			})
			at := func(hour int) brimline.Time {
				return brimline.TimeOf(time.Date(2026, 1, 1, hour, 0, 0, 0, time.UTC))
			}
			for _, whole := range []bool{false, true} {
				rows := walked(t, l, Walk{From: at(1), To: at(3), Whole: whole})
				found := map[string]int{}
				last := ""
				for i, row := range rows {
					id := strings.Fields(row)[0]
					if id != last && found[id] > 0 {
						t.Errorf("user %s comes twice:\n%s", id, strings.Join(rows, "\n"))
					}
					if id == last && rows[i-1] > row {
						t.Errorf("not by time: %s before %s", rows[i-1], row)
					}
					if strings.Contains(row, "{kind k") != whole {
						t.Errorf("whole %v: %s", whole, row)
					}
					found[id], last = found[id]+1, id
				}
				if fmt.Sprint(found) != fmt.Sprint(want) {
					t.Errorf("whole %v: %v, want %v", whole, found, want)
				}
			}
			if rows := walked(t, l, Walk{From: brimline.MinTime, To: brimline.MaxTime}); len(rows) != 5*len(want) {
				t.Errorf("%d rows of all times, want %d", len(rows), 5*len(want))
			}
		})
	}
}

// walksAgain begins a walk anew where a standby's replay ended it, or the table was altered before its cursor was
// there, and gives up where that does not end.
func walksAgain(t *testing.T, s *server) {
	s.exec(t, `DROP TABLE IF EXISTS walk`)
	s.exec(t, `CREATE TABLE walk (id bigint PRIMARY KEY, user_id bigint, amount numeric, at timestamptz)`)
	s.exec(t, `INSERT INTO walk SELECT n, 1, 1, timestamptz '2026-01-01' + n * interval '1 second'
		FROM generate_series(1, 25000) n`)
	l := s.open(t, Options{
		Table: "public.walk", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "at"},
	})
	all := Walk{From: brimline.MinTime, To: brimline.MaxTime}
	conflict := &pgconn.PgError{Code: "40001", Message: "canceling statement due to conflict with recovery"}
	fetches := 0
	l.pause = func(*postgres.Snapshot) error {
		if fetches++; fetches == 2 {
			return conflict
		}
		return nil
	}
	if rows := walked(t, l, all); len(rows) != 25_000 || fetches != 5 {
		t.Errorf("%d rows after %d fetches", len(rows), fetches)
	}
	l.pause = func(*postgres.Snapshot) error { return conflict }
	begun := 0
	begin := func() (func(*brimline.Transaction) error, error) {
		begun++
		return func(*brimline.Transaction) error { return nil }, nil
	}
	_, err := l.Walk(t.Context(), all, begin)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != kindBusy || !strings.Contains(e.Remedy, "hot_standby_feedback") || begun != walkTries {
		t.Errorf("%v after %d tries", err, begun)
	}
	l.pause = func(*postgres.Snapshot) error { return nil }
	s.exec(t, `ALTER TABLE walk ALTER COLUMN amount TYPE bigint`)
	begun = 0
	if _, err := l.Walk(t.Context(), all, begin); err != nil || begun != 2 {
		t.Errorf("altered: %v after %d tries", err, begun)
	}
	s.exec(t, `DROP TABLE walk`)
	if _, err := l.Walk(t.Context(), all, begin); kindOf(err) != kindMissing {
		t.Errorf("dropped: %v", err)
	}
}

func kindOf(err error) string {
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		return e.Kind
	}
	return ""
}

// indexes are told from what is none, and asked for in a statement that makes one.
func indexes(t *testing.T, s *server) {
	table := func(sql ...string) *Ledger {
		t.Helper()
		s.exec(t, `DROP TABLE IF EXISTS walk`)
		for _, sql := range sql {
			s.exec(t, sql)
		}
		return s.open(t, Options{
			Table: "public.walk", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "at"},
		})
	}
	const bare = `CREATE TABLE walk (id bigint, user_id bigint, amount numeric, at timestamptz, PRIMARY KEY (id, at))`
	for _, c := range []struct {
		sql   []string
		there bool
	}{
		{[]string{bare}, false},
		{[]string{bare, `CREATE INDEX ON walk (at, user_id)`}, false},
		{[]string{bare, `CREATE INDEX ON walk (user_id)`}, false},
		{[]string{bare, `CREATE INDEX ON walk (user_id) INCLUDE (at)`}, false},
		{[]string{bare, `CREATE INDEX ON walk (user_id, at) WHERE amount > 0`}, false},
		{[]string{bare, `CREATE INDEX ON walk (user_id, at, id)`}, true},
		{[]string{bare + ` PARTITION BY RANGE (at)`}, false},
		{[]string{bare + ` PARTITION BY RANGE (at)`, `CREATE TABLE walk_all PARTITION OF walk DEFAULT`,
			`CREATE INDEX ON walk (user_id, at)`}, true},
	} {
		l := table(c.sql...)
		there, _, create, err := l.Index(t.Context())
		if err != nil || there != c.there {
			t.Errorf("%v: %v, %v", c.sql, there, err)
		}
		if there {
			continue
		}
		s.exec(t, create)
		if there, _, _, err := l.Index(t.Context()); err != nil || !there {
			t.Errorf("%v: after %s there is none, %v", c.sql, create, err)
		}
	}
	l := table(bare+` PARTITION BY RANGE (at)`, `CREATE TABLE walk_all PARTITION OF walk DEFAULT`,
		`INSERT INTO walk SELECT n, n, 1, now() FROM generate_series(1, 10000) n`)
	if _, bytes, _, err := l.Index(t.Context()); err != nil || bytes < 300_000 || bytes > 3_000_000 {
		t.Errorf("10,000 rows in a partition take %d bytes, %v", bytes, err)
	}
	s.exec(t, `DROP TABLE walk`)
}

// looksAgain: a look begins anew where a standby's replay ended it, and gives up where that does not end.
func looksAgain(t *testing.T, s *server) {
	l := s.open(t, transactions())
	conflict := &pgconn.PgError{Code: "40001", Message: "canceling statement due to conflict with recovery"}
	begun := 0
	err := l.Look(t.Context(), func(k *Look) error {
		if begun++; begun < 3 {
			return fmt.Errorf("reading: %w", conflict)
		}
		if k.LSN == 0 {
			t.Error("no position in the log")
		}
		return nil
	})
	if err != nil || begun != 3 {
		t.Errorf("%d looks, %v", begun, err)
	}
	begun = 0
	err = l.Look(t.Context(), func(*Look) error { begun++; return conflict })
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Class != brimline.ClassEnvironment || begun != lookTries ||
		!strings.Contains(e.Remedy, "hot_standby_feedback") {
		t.Errorf("%d looks, %v", begun, err)
	}
	// Another fault, also of who looks, is not tried again.
	begun = 0
	fault := &brimline.Error{Class: brimline.ClassInput, Kind: "x", Err: errors.New("too many")}
	err = l.Look(t.Context(), func(*Look) error { begun++; return fault })
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "x" || begun != 1 {
		t.Errorf("%d looks, %v", begun, err)
	}
}
