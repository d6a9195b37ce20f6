package ledger

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

// wholeRows: what would leave rows out of an answer, or put others in, is an error or does not matter.
func wholeRows(t *testing.T, s *server) {
	s.exec(t, `CREATE SCHEMA whole; CREATE ROLE watcher LOGIN PASSWORD 'w'; GRANT USAGE ON SCHEMA whole TO watcher;
		ALTER DEFAULT PRIVILEGES IN SCHEMA whole GRANT SELECT ON TABLES TO watcher`)
	o := Options{URL: login(s, "watcher", "w", testDB), Table: "whole.rows", Columns: Columns{ID: []string{"id"},
		User: "u", Amount: "a", Time: "t"}}
	table := func(name string) {
		s.exec(t, "CREATE TABLE whole."+name+" (id int PRIMARY KEY, u text, a int, t timestamptz)")
	}
	table("rows")
	s.exec(t, "INSERT INTO whole.rows VALUES (1, 'u', 5, 'epoch')")
	count := func(l *Ledger) int64 {
		t.Helper()
		f, _, err := l.Figures(t.Context(), "u", hour, 0)
		if err != nil {
			t.Error(err)
		}
		return f.Count
	}
	fails := func(what, kind string, err error, words ...string) {
		t.Helper()
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != kind || e.Class != brimline.ClassEnvironment || e.Remedy == "" {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, w := range words {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v lacks %q", what, err, w)
			}
		}
	}

	// Row-level security, switched on while it runs and before the start; for the owner, too, where it is forced.
	l := s.open(t, o)
	s.exec(t, "CREATE POLICY later ON whole.rows USING (id > 1); ALTER TABLE whole.rows ENABLE ROW LEVEL SECURITY")
	_, _, err := l.Figures(t.Context(), "u", hour, 0)
	fails("a policy while it runs", "postgres_row_security", err, `ALTER ROLE "watcher" BYPASSRLS`)
	_, _, err = l.Rows(t.Context(), "u", 0, 1)
	fails("a policy while it runs", "postgres_row_security", err)
	_, err = Open(t.Context(), o)
	fails("a policy at the start", "postgres_row_security", err, `ALTER ROLE "watcher" BYPASSRLS`)
	s.exec(t, "ALTER ROLE watcher BYPASSRLS")
	if n := count(l); n != 1 {
		t.Errorf("%d rows once the remedy was followed", n)
	}
	s.exec(t, "ALTER ROLE watcher NOBYPASSRLS; ALTER TABLE whole.rows DISABLE ROW LEVEL SECURITY")

	// What is no table.
	s.exec(t, `CREATE VIEW whole.view AS SELECT * FROM whole.rows WHERE id > 1;
		CREATE MATERIALIZED VIEW whole.old AS SELECT * FROM whole.rows;
		CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
		CREATE FOREIGN TABLE whole.elsewhere (id int, u text, a int, t timestamptz)
		SERVER files OPTIONS (filename '/dev/null');
		CREATE SEQUENCE whole.numbers; CREATE TYPE whole.kind AS (id int, u text, a int, t timestamptz);
		CREATE INDEX rows_index ON whole.rows (u, t)`)
	for name, word := range map[string]string{"view": "a view", "old": "materialized", "elsewhere": "foreign",
		"numbers": "no such table", "kind": "no such table", "rows_index": "no such table"} {
		o := o
		o.Table = "whole." + name
		_, err := Open(t.Context(), o)
		fails(name, "postgres_missing", err, word)
	}

	// Tables that inherit: their rows are in no change of the table.
	s.exec(t, "CREATE TABLE whole.child () INHERITS (whole.rows); INSERT INTO whole.child VALUES (1, 'u', 7, 'epoch')")
	if n := count(l); n != 1 {
		t.Errorf("%d rows with those of a table that inherits", n)
	}
	s.exec(t, "DROP TABLE whole.child")

	// Names and operators that stand before PostgreSQL's own for this login.
	s.exec(t, `CREATE SCHEMA evil; GRANT USAGE ON SCHEMA evil TO watcher; ALTER ROLE watcher SET search_path = evil,
		pg_catalog, public;
		CREATE FUNCTION evil.abs(numeric) RETURNS numeric LANGUAGE sql AS 'SELECT 0::pg_catalog.numeric';
		CREATE FUNCTION evil.never(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT false';
		CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.never);
		CREATE FUNCTION evil.never(timestamptz, timestamptz) RETURNS boolean LANGUAGE sql AS 'SELECT false';
		CREATE OPERATOR evil.>= (LEFTARG = timestamptz, RIGHTARG = timestamptz, FUNCTION = evil.never);
		CREATE AGGREGATE evil.sum(numeric) (SFUNC = numeric_smaller, STYPE = numeric);
		CREATE DOMAIN evil.numeric AS pg_catalog.int4 CHECK (VALUE < 0); CREATE DOMAIN evil.text AS pg_catalog.int4;
		CREATE FUNCTION evil.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT true';
		CREATE FUNCTION evil.txid_status(bigint)
		RETURNS pg_catalog.text LANGUAGE sql AS $$SELECT 'in progress'::pg_catalog.text$$;
		CREATE FUNCTION evil.set_config(pg_catalog.text, pg_catalog.text, boolean)
		RETURNS pg_catalog.text LANGUAGE sql AS $$SELECT ''::pg_catalog.text$$;
		CREATE VIEW evil.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false; GRANT SELECT ON evil.pg_class TO watcher`)
	for _, mode := range []string{"", "&default_query_exec_mode=cache_describe"} {
		o := o
		o.URL, o.Timeout = o.URL+mode, time.Second
		l := s.open(t, o)
		f, lsn, err := l.Figures(t.Context(), "u", hour, 0, brimline.Source{TxID: 700, LSN: 1})
		if err != nil || lsn == 0 || f.Count != 1 || f.Total.Format(0) != "5" {
			t.Errorf("with names of its own before PostgreSQL's: %+v %v", f, err)
		}
		if rows, _, err := l.Rows(t.Context(), "u", 0, 0); err != nil || len(rows) != 1 || rows[0].Amount != 5 {
			t.Errorf("with names of its own before PostgreSQL's: %+v %v", rows, err)
		}
	}
	s.exec(t, "ALTER ROLE watcher RESET search_path")

	// The login's defaults.
	for _, set := range []string{"default_transaction_isolation = 'serializable'",
		"default_transaction_read_only = on", "default_transaction_deferrable = on", "row_security = on"} {
		name, _, _ := strings.Cut(set, " ")
		s.exec(t, "ALTER ROLE watcher SET "+set)
		if n := count(s.open(t, o)); n != 1 {
			t.Errorf("%s: %d rows", set, n)
		}
		s.exec(t, "ALTER ROLE watcher RESET "+name)
	}
}

// altered: a table that is altered or replaced while it runs is noticed at the
// next question, and the candidate is not blamed. Once it fits again, the answers go on.
func altered(t *testing.T, s *server) {
	const create = "(id int PRIMARY KEY, u text, a numeric(12,2), t timestamptz, kind text, state char(4))"
	s.exec(t, "CREATE SCHEMA altered")
	for i, c := range []struct {
		what, sql, back string
		kind            string // of the error; empty where the table fits all the same
		count           int64
		want            string // total
		value           any    // of the column kind
	}{
		{"an amount that is gone", "ALTER TABLE altered.x DROP a",
			"ALTER TABLE altered.x ADD a numeric(12,2); UPDATE altered.x SET a = 5", "postgres_missing", 0, "", nil},
		{"a renamed amount", "ALTER TABLE altered.x RENAME a TO b", "ALTER TABLE altered.x RENAME b TO a",
			"postgres_missing", 0, "", nil},
		{"a renamed column of a rule", "ALTER TABLE altered.x RENAME kind TO b",
			"ALTER TABLE altered.x RENAME b TO kind", "postgres_missing", 0, "", nil},
		{"a renamed user", "ALTER TABLE altered.x RENAME u TO b", "ALTER TABLE altered.x RENAME b TO u",
			"postgres_missing", 0, "", nil},
		{"a renamed time", "ALTER TABLE altered.x RENAME t TO b", "ALTER TABLE altered.x RENAME b TO t",
			"postgres_missing", 0, "", nil},
		{"a renamed key", "ALTER TABLE altered.x RENAME id TO b", "ALTER TABLE altered.x RENAME b TO id",
			"postgres_missing", 0, "", nil},
		{"columns that changed places", "ALTER TABLE altered.x RENAME kind TO b; ALTER TABLE altered.x RENAME state TO " +
			"kind; ALTER TABLE altered.x RENAME b TO state", "", "", 1, "5.00", "ab"},
		{"a float amount", "ALTER TABLE altered.x ALTER a TYPE float8",
			"ALTER TABLE altered.x ALTER a TYPE numeric(12,2)", "postgres_missing", 0, "", nil},
		{"a money amount", "ALTER TABLE altered.x ALTER a TYPE money",
			"ALTER TABLE altered.x ALTER a TYPE numeric(12,2)", "postgres_missing", 0, "", nil},
		{"a wider amount", "ALTER TABLE altered.x ALTER a TYPE numeric(30,4)", "", "", 1, "5.00", "card"},
		{"an integer amount", "ALTER TABLE altered.x ALTER a TYPE bigint", "", "", 1, "5.00", "card"},
		{"a user of another type", "ALTER TABLE altered.x ALTER u TYPE bigint USING 7", "", "", 1, "5.00", "card"},
		// asked for as 7
		{"a user that ignores case", "ALTER TABLE altered.x ALTER u TYPE text COLLATE nocase", "", "", 1, "5.00", "card"},
		{"a user of citext", "ALTER TABLE altered.x ALTER u TYPE citext", "ALTER TABLE altered.x ALTER u TYPE text",
			"postgres_missing", 0, "", nil},
		{"a user that cannot be one", "ALTER TABLE altered.x ALTER u TYPE text[] USING ARRAY[u]",
			"ALTER TABLE altered.x ALTER u TYPE text USING u[1]", "postgres_missing", 0, "", nil},
		{"a time as text", "ALTER TABLE altered.x ALTER t TYPE text",
			"ALTER TABLE altered.x ALTER t TYPE timestamptz USING t::timestamptz", "postgres_missing", 0, "", nil},
		{"a time as date", "ALTER TABLE altered.x ALTER t TYPE date",
			"ALTER TABLE altered.x ALTER t TYPE timestamptz USING 'epoch'", "postgres_missing", 0, "", nil},
		{"a time without zone", "ALTER TABLE altered.x ALTER t TYPE timestamp USING t AT TIME ZONE 'UTC'", "", "", 1,
			"5.00", "card"},
		{"a text that is a number", "ALTER TABLE altered.x ALTER kind TYPE int USING 1",
			"ALTER TABLE altered.x ALTER kind TYPE text USING 'card'", "postgres_missing", 0, "", nil},
		{"a padded text", "ALTER TABLE altered.x ALTER kind TYPE char(9)", "", "", 1, "5.00", "card"},
		{"a network address", "ALTER TABLE altered.x ALTER kind TYPE inet USING '10.0.0.1'", "", "", 1, "5.00", "10.0.0.1"},
		{"a further column", "ALTER TABLE altered.x ADD more text DEFAULT 'x'", "", "", 1, "5.00", "card"},
		{"a table that is gone", "ALTER TABLE altered.x RENAME TO y", "ALTER TABLE altered.y RENAME TO x",
			"postgres_missing", 0, "", nil},
		{"a schema that is gone", "ALTER SCHEMA altered RENAME TO gone", "ALTER SCHEMA gone RENAME TO altered",
			"postgres_missing", 0, "", nil},
		{"a table in place of it", "ALTER TABLE altered.x RENAME TO y; CREATE TABLE altered.x " + create +
			"; INSERT INTO altered.x SELECT id, 'u', 6, 'epoch', 'wire' FROM altered.y", "", "", 1, "6.00", "wire"},
		{"another table in place of it", "ALTER TABLE altered.x RENAME TO y; CREATE TABLE altered.x (id int, u text, a " +
			"float8, t timestamptz, kind text)",
			"DROP TABLE altered.x; ALTER TABLE altered.y RENAME TO x", "postgres_missing", 0, "", nil},
		{"a view in place of it", "ALTER TABLE altered.x RENAME TO y; CREATE VIEW altered.x AS SELECT * FROM altered.y",
			"DROP VIEW altered.x; ALTER TABLE altered.y RENAME TO x", "postgres_missing", 0, "", nil},
		{"a partitioned table in place of it", "ALTER TABLE altered.x RENAME TO y; CREATE TABLE altered.x (LIKE " +
			"altered.y) PARTITION BY LIST (u); ALTER TABLE altered.x ATTACH PARTITION altered.y DEFAULT", "", "", 1, "5.00",
			"card"},
	} {
		for _, mode := range []string{"", "&default_query_exec_mode=cache_describe"} {
			s.exec(t, "DROP TABLE IF EXISTS altered.x CASCADE")
			s.exec(t, "DROP TABLE IF EXISTS altered.y CASCADE")
			s.exec(t, "CREATE TABLE altered.x "+create)
			s.exec(t, "INSERT INTO altered.x VALUES (1, 'u', 5, 'epoch', 'card', 'ab')")
			o := Options{URL: s.url() + mode, Table: "altered.x", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u",
				Amount: "a", Time: "t"},
				Extra: []brimline.Column{{Name: "kind", Type: brimline.Text}}}
			l := s.open(t, o)
			user := "u"
			ask := func() (brimline.Figures, []brimline.Transaction, error) {
				f, _, err1 := l.Figures(t.Context(), user, hour, 0)
				rows, _, err2 := l.Rows(t.Context(), user, 0, 0)
				_, _, err3 := l.Edges(t.Context(), user, hour, 0, 0)
				if (err1 == nil) != (err2 == nil) || (err1 == nil) != (err3 == nil) {
					t.Errorf("%d %s%s: %v, but %v, but %v", i, c.what, mode, err1, err2, err3)
				}
				return f, rows, err1
			}
			if f, _, err := ask(); err != nil || f.Total.Format(2) != "5.00" {
				t.Fatal(f, err)
			}
			s.exec(t, c.sql)
			if strings.Contains(c.what, "another type") {
				user = "7"
			}
			for round := range 2 {
				f, rows, err := ask()
				if e, ok := errors.AsType[*brimline.Error](err); c.kind != "" && (!ok || e.Kind != c.kind ||
					e.Class != brimline.ClassEnvironment || e.Remedy == "") {
					t.Errorf("%d %s%s, round %d: %+v %v", i, c.what, mode, round, f, err)
				} else if c.kind == "" && (err != nil || f.Count != c.count || f.Total.Format(2) != c.want || len(rows) != 1 ||
					rows[0].Columns[0].Value != c.value) {
					t.Errorf("%d %s%s, round %d: %+v %+v %v", i, c.what, mode, round, f, rows, err)
				}
			}
			if c.back != "" {
				s.exec(t, c.back)
				if f, _, err := ask(); err != nil || f.Total.Format(2) != "5.00" {
					t.Errorf("%d %s%s, once put right: %+v %v", i, c.what, mode, f, err)
				}
			}
			l.Close()
		}
	}
}

// alteredWhileAsked: questions and changes of the table at the same time; each answer is one of a table that there was.
func alteredWhileAsked(t *testing.T, s *server) {
	s.exec(t, "CREATE TABLE turning (id int PRIMARY KEY, u text, a numeric(12,2), b numeric(12,2), t timestamptz); "+
		"CREATE INDEX ON turning (u, t); INSERT INTO turning VALUES (1, 'u', 5, 6, 'epoch')")
	l := s.open(t, Options{Table: "turning", Scale: 2, Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a",
		Time: "t"}})
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			for _, sql := range []string{
				"BEGIN; ALTER TABLE turning RENAME a TO c; ALTER TABLE turning RENAME b TO a; ALTER TABLE turning RENAME c TO " +
					"b; COMMIT",
				"ALTER TABLE turning ALTER a TYPE numeric(14,2), ALTER b TYPE numeric(14,2)",
				"ALTER TABLE turning ALTER u TYPE varchar(20)",
				"ALTER TABLE turning ALTER a TYPE numeric(12,2), ALTER b TYPE numeric(12,2)",
				"ALTER TABLE turning ALTER u TYPE text",
			} {
				if _, err := s.admin.Exec(t.Context(), sql); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for range 200 {
		f, _, err := l.Figures(t.Context(), "u", hour, 0)
		if err != nil && !temporary(err) {
			t.Error(err)
		} else if total := f.Total.Format(2); err == nil && total != "5.00" && total != "6.00" {
			t.Errorf("a total that never was: %+v", f)
		}
	}
	close(stop)
	<-done
}

// partitions that come and go while questions are asked.
func partitions(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE parted (id int, u text, a int, t timestamptz, PRIMARY KEY (id, t)) PARTITION BY RANGE (t);
		CREATE INDEX ON parted (u, t);
		CREATE TABLE parted_0 PARTITION OF parted FOR VALUES FROM ('1970-01-01') TO ('1970-02-01');
		INSERT INTO parted VALUES (1, 'u', 5, 'epoch')`)
	l := s.open(t, Options{Table: "parted", Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}})
	for i := 1; i < 8; i++ {
		s.exec(t, fmt.Sprintf("CREATE TABLE parted_%d (LIKE parted INCLUDING ALL)", i))
		s.exec(t, fmt.Sprintf("INSERT INTO parted_%d VALUES (%[1]d, 'u', 5, timestamptz 'epoch' + interval '1 month' * "+
			"%[1]d)", i))
		s.exec(t, fmt.Sprintf("ALTER TABLE parted ATTACH PARTITION parted_%d FOR VALUES FROM (%s) TO (%s)", i,
			fmt.Sprintf("'%d-%02d-01'", 1970+i/12, i%12+1), fmt.Sprintf("'%d-%02d-01'", 1970+(i+1)/12, (i+1)%12+1)))
		if rows, _, err := l.Rows(t.Context(), "u", brimline.MinTime, brimline.MaxTime); err != nil || len(rows) != i+1 {
			t.Errorf("%d partitions, %d rows: %v", i+1, len(rows), err)
		}
	}
	s.exec(t, "ALTER TABLE parted DETACH PARTITION parted_3")
	s.exec(t, "DROP TABLE parted_4")
	if rows, _, err := l.Rows(t.Context(), "u", brimline.MinTime, brimline.MaxTime); err != nil || len(rows) != 6 {
		t.Errorf("two partitions are gone, %d rows: %v", len(rows), err)
	}
	one := s.open(t, Options{Table: "parted_5", Columns: Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}})
	if rows, _, err := one.Rows(t.Context(), "u", brimline.MinTime, brimline.MaxTime); err != nil || len(rows) != 1 {
		t.Errorf("a partition by itself: %d rows, %v", len(rows), err)
	}
}
