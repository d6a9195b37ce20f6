package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// userColumns: a user's rows are those whose text is the user's, byte for
// byte as in the stream; an index serves; a user that the column cannot hold has no rows.
func userColumns(t *testing.T, s *server) {
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	for i, c := range []struct {
		kind string
		ddl  string           // the column's type with all that belongs to it
		rows map[string]int64 // literals in the table, and how often
		want map[string]int64 // users in the stream's text, and how many rows each has
		not  []string         // users that the column cannot hold
	}{
		{"smallint", "smallint", map[string]int64{"7": 2}, map[string]int64{"7": 2, "8": 0}, []string{"40000", "x", "",
			"1.5"}},
		{"integer", "int", map[string]int64{"-7": 2}, map[string]int64{"-7": 2, "7": 0}, []string{"3000000000", "seven"}},
		{"bigint", "bigint", map[string]int64{"9007199254740993": 1, "9007199254740992": 2},
			map[string]int64{"9007199254740993": 1}, []string{"99999999999999999999", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}},
		{"oid", "oid", map[string]int64{"4294967295": 2}, map[string]int64{"4294967295": 2, "7": 0}, []string{"x"}},
		{"numeric without scale", "numeric", map[string]int64{"1": 1, "1.0": 2, "1.00": 3, "12345678901234567890": 4},
			map[string]int64{"1": 1, "1.0": 2, "1.00": 3, "12345678901234567890": 4, "1.000": 0}, []string{"x"}},
		{"numeric", "numeric(20,2)", map[string]int64{"1.50": 2}, map[string]int64{"1.50": 2, "1.5": 2, "1.51": 0},
			[]string{"x"}},
		{"text", "text", map[string]int64{"Bob": 1, "bob": 2, "Ünï 'q'": 3, "a ": 4}, map[string]int64{"Bob": 1,
			"bob": 2, "Ünï 'q'": 3, "a ": 4, "a": 0, "BOB": 0}, nil},
		{"varchar", "varchar(5)", map[string]int64{"abcde": 1}, map[string]int64{"abcde": 1, "abcdef": 0}, nil},
		{"char", "char(5)", map[string]int64{"ab": 2}, map[string]int64{"ab": 2, "ab   ": 2, "ab9": 0, "abcdefgh": 0}, nil},
		{"text that ignores case", "text COLLATE nocase", map[string]int64{"Bob": 1, "bob": 2},
			map[string]int64{"Bob": 1, "bob": 2, "BOB": 0}, nil},
		{"char that ignores case", "char(5) COLLATE nocase", map[string]int64{"Bob": 1, "bob": 2},
			map[string]int64{"Bob": 1, "bob": 2, "bob  ": 2, "BOB": 0}, nil},
		{"another collation", `text COLLATE "C"`, map[string]int64{"Bob": 1, "bob": 2}, map[string]int64{"Bob": 1,
			"bob": 2}, nil},
		{"uuid", "uuid", map[string]int64{"A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11": 2},
			map[string]int64{"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11": 2}, []string{"a0eebc99", "x", "7"}},
		{"inet", "inet", map[string]int64{"10.0.0.1": 1, "10.0.0.1/24": 2, "::1": 3}, map[string]int64{"10.0.0.1": 1,
			"10.0.0.1/24": 2, "::1": 3}, []string{"10.0.0.256", "x"}},
		{"cidr", "cidr", map[string]int64{"10.0.0.0/24": 1, "10.0.0.0/25": 2}, map[string]int64{"10.0.0.0/24": 1,
			"10.0.0.0/25": 2}, []string{"10.0.0.1/24"}},
		{"macaddr", "macaddr", map[string]int64{"08:00:2b:01:02:03": 2}, map[string]int64{"08:00:2b:01:02:03": 2},
			[]string{"08:00"}},
		{"enum", "mood", map[string]int64{"sad": 2}, map[string]int64{"sad": 2, "ok": 0}, []string{"happy", ""}},
		{"domain over char", "shortcode", map[string]int64{"ab": 2}, map[string]int64{"ab": 2, "x": 0,
			"abcdefghijklmn": 0}, nil},
		{"domain over inet", "home", map[string]int64{"10.0.0.1": 2}, map[string]int64{"10.0.0.1": 2}, []string{"x"}},
		{"domain over enum", "feeling", map[string]int64{"sad": 2}, map[string]int64{"sad": 2}, []string{"happy"}},
		{"domain over bigint", "big", map[string]int64{"7": 2}, map[string]int64{"7": 2}, []string{"x"}},
	} {
		table := fmt.Sprintf("users%d_", i)
		s.exec(t, fmt.Sprintf("CREATE TABLE %s (id bigserial PRIMARY KEY, u %s, a int, t timestamptz)", table, c.ddl))
		s.exec(t, fmt.Sprintf("CREATE INDEX %sindex ON %[1]s (u, t)", table))
		kind, _, _ := strings.Cut(c.ddl, " COLLATE")
		for user, n := range c.rows {
			s.exec(
				t,
				fmt.Sprintf(
					"INSERT INTO %s (u, a, t) SELECT $1::text::%s, 1, 'epoch' FROM generate_series(1, $2)",
					table,
					kind,
				),
				user,
				n,
			)
		}
		s.exec(t, "ANALYZE "+table)
		l := s.open(t, Options{Table: table, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}})
		for user, want := range c.want {
			if f, lsn, err := l.Figures(t.Context(), user, rule, 0); err != nil || f.Count != want || lsn == 0 {
				t.Errorf("%s: user %q has %+v, want %d rows: %v", c.kind, user, f, want, err)
			}
			if rows, _, err := l.Rows(t.Context(), user, 0, 0); err != nil || int64(len(rows)) != want {
				t.Errorf("%s: user %q has %d rows, want %d: %v", c.kind, user, len(rows), want, err)
			}
		}
		for _, user := range c.not {
			if f, lsn, err := l.Figures(
				t.Context(),
				user,
				rule,
				0,
			); err != nil || f != (brimline.Figures{}) ||
				lsn == 0 {
				t.Errorf("%s: user %q, who cannot be, has %+v: %v", c.kind, user, f, err)
			}
			if edges, _, err := l.Edges(t.Context(), user, rule, 0, 1); err != nil || len(edges) != 0 {
				t.Errorf("%s: user %q, who cannot be, has edges %v: %v", c.kind, user, edges, err)
			}
		}
		for user := range c.want {
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				if plan := explain(
					t,
					l,
					mode,
					l.layout.Load().sql.sums[0],
					user,
				); !strings.Contains(plan, table+"index") ||
					strings.Contains(plan, "Seq Scan") ||
					!strings.Contains(plan, "Index Cond: (") {
					t.Errorf("%s, %s:\n%s", c.kind, mode, plan)
				}
			}
			break
		}
	}
}

// explain is the plan of a question, with sequential scans frowned on: the tables here are small.
func explain(t *testing.T, l *Ledger, mode, sql, user string) (plan string) {
	t.Helper()
	conn, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(t.Context())
	for _, set := range []string{"SET LOCAL plan_cache_mode = " + mode, "SET LOCAL search_path = pg_catalog",
		"SET LOCAL enable_seqscan = off", "SET LOCAL enable_bitmapscan = off"} {
		if _, err := tx.Exec(t.Context(), set); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := tx.Query(t.Context(), "EXPLAIN "+sql, user, lowest(0), highest(1), 1000)
	for err == nil && rows.Next() {
		var line string
		err = rows.Scan(&line)
		plan += line + "\n"
	}
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// encodings: texts are UTF-8 here whatever the database keeps them in, and a
// user that the database's encoding lacks has no rows.
func encodings(t *testing.T, s *server) {
	s.exec(t, "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	admin := s.connect(t, s.URL("latin")+"&client_encoding=UTF8")
	for _, sql := range []string{
		"CREATE TABLE rows (id int PRIMARY KEY, u text, a int, t timestamptz, place text)",
		"INSERT INTO rows VALUES (1, 'Ünï', 1, 'epoch', 'Tromsø')",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	l := s.open(
		t,
		Options{
			URL:     s.URL("latin"),
			Table:   "rows",
			Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"},
			Extra:   []brimline.Column{{Name: "place", Type: brimline.Text}},
		},
	)
	rows, _, err := l.Rows(t.Context(), "Ünï", 0, 0)
	if err != nil || len(rows) != 1 || rows[0].Columns[0].Value != "Tromsø" {
		t.Errorf("%+v %v", rows, err)
	}
	if rows, _, err := l.Rows(t.Context(), "日本", 0, 0); err != nil || len(rows) != 0 {
		t.Errorf("a user that LATIN1 lacks: %+v %v", rows, err)
	}
}

// dataExceptions: only a user id is blamed for what a user id does; a row that
// cannot be computed with is the row's fault.
func dataExceptions(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE exceptions (id int PRIMARY KEY, u int, a numeric, t timestamptz)`)
	huge := "1" + strings.Repeat("0", 131071)
	s.exec(t, "INSERT INTO exceptions SELECT n, 7, $1::text::numeric, 'epoch' FROM generate_series(1, 11) n", huge)
	s.exec(t, "INSERT INTO exceptions VALUES (100, 8, 1, 'epoch')")
	l := s.open(
		t,
		Options{Table: "exceptions", Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}},
	)
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	_, _, err := l.Figures(t.Context(), "7", rule, 0)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Class != brimline.ClassInput || strings.Contains(e.Remedy, "user id") ||
		!strings.Contains(e.Remedy, "row") {
		t.Errorf("a sum beyond numeric: %v", err)
	}
	if f, _, err := l.Figures(t.Context(), "8", rule, 0); err != nil || f.Count != 1 {
		t.Errorf("another user: %+v %v", f, err)
	}
}
