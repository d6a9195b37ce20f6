package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5"
)

func login(s *server, user, password, db string) string {
	return strings.Replace(s.URL(db), "brimline@", user+":"+password+"@", 1)
}

func rights(t *testing.T, s *server) {
	const password = "s3cret-Pass"
	s.exec(t, "CREATE ROLE reader LOGIN PASSWORD '"+password+"'")
	s.exec(t, "REVOKE ALL ON DATABASE "+testDB+" FROM public")
	s.exec(t, "REVOKE ALL ON SCHEMA public FROM public")
	o := transactions()
	o.URL = login(s, "reader", password, testDB)
	grants := []string{
		"GRANT CONNECT ON DATABASE " + testDB + " TO reader",
		"GRANT USAGE ON SCHEMA streaming TO reader",
		`GRANT SELECT (id, user_id, amount, "timestamp", kind) ON streaming.transactions TO reader`,
	}
	for _, grant := range grants {
		_, err := Open(t.Context(), o)
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != kindPermission || !strings.Contains(e.Remedy, "GRANT") || temporary(err) ||
			strings.Contains(err.Error(), password) {
			t.Fatalf("before %q: %v", grant, err)
		}
		s.exec(t, grant)
	}
	l := s.open(t, o)
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	if _, _, err := l.Figures(t.Context(), "1", rule, 0, brimline.Source{LSN: 1}); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Edges(t.Context(), "1", rule, 0, 1); err != nil {
		t.Error(err)
	}
	if _, _, err := l.Rows(t.Context(), "1", 0, 1); err != nil {
		t.Error(err)
	}
}

// usesIndex shows that a question touches one user's span and not the table.
func usesIndex(t *testing.T, s *server) {
	s.exec(t, `INSERT INTO streaming.transactions SELECT 10000000 + n, 500000 + n % 500, 1,
		timestamptz '2025-01-01' + n * interval '1 minute' FROM generate_series(1, 20000) n`)
	s.exec(t, "ANALYZE streaming.transactions")
	l := s.open(t, transactions())
	day := func(n int) brimline.Time { return brimline.TimeOf(time.Date(2025, 1, n, 0, 0, 0, 0, time.UTC)) }
	for name, sql := range map[string]string{"sums": l.layout.Load().sql.sums[brimline.SumAbs],
		"amounts": l.layout.Load().sql.amounts, "rows": l.layout.Load().sql.rows,
		"pieces":       l.layout.Load().sql.pieces[brimline.Sum],
		"amounts page": l.layout.Load().sql.amountsPage, "rows page": l.layout.Load().sql.rowsPage,
		"amounts of stretches": l.layout.Load().sql.amountsOf, "rows of stretches": l.layout.Load().sql.rowsOf,
	} {
		more := []any{1000}
		if name == "pieces" {
			more = append(more, "0")
		}
		q := question{from: day(2), to: day(3)}
		if strings.Contains(name, "stretches") {
			q.stretches = []stretch{{day(2), day(3)}, {day(5), day(6)}}
		}
		low, high := q.bounds()
		for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
			conn, err := l.pool.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			plan := ""
			_, err = conn.Exec(t.Context(), "SET plan_cache_mode = "+mode)
			if err == nil {
				rows, err2 := conn.Query(t.Context(), "EXPLAIN "+sql, append([]any{"500001", low, high}, more...)...)
				for err = err2; err == nil && rows.Next(); {
					var line string
					err = rows.Scan(&line)
					plan += line + "\n"
				}
			}
			conn.Release()
			if err != nil || !strings.Contains(plan, "transactions_user_id_timestamp_idx") ||
				strings.Contains(plan, "Filter: ((user") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("%s, %s: %v\n%s", name, mode, err, plan)
			}
		}
	}
	usesIndexForMany(t, l)
}

// usesIndexForMany: a comparison of many users reads the index for each of them, not the whole table for all.
func usesIndexForMany(t *testing.T, l *Ledger) {
	t.Helper()
	of := []Holding{}
	for n := range 500 {
		of = append(of, Holding{User: fmt.Sprint(500000 + n)})
	}
	plan := func(sql func(*Look) string) (lines string) {
		err := l.Look(t.Context(), func(k *Look) error {
			users, lows := owners(of)
			args := []any{users, lows, highest(brimline.MaxTime)}
			return k.snapshot.Read(t.Context(), "EXPLAIN "+sql(k), args, func(rows pgx.Rows) error {
				all, err := pgx.CollectRows(rows, pgx.RowTo[string])
				lines = strings.Join(all, "\n")
				return err
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if there, _, _, err := l.Index(t.Context()); err != nil || !there {
		t.Fatal(there, err)
	}
	for name, sql := range map[string]func(*Look) string{"sums": (*Look).sumsSQL, "rows": (*Look).presentSQL} {
		if p := plan(sql); !strings.Contains(p, "transactions_user_id_timestamp_idx") || strings.Contains(p, "Seq Scan") {
			t.Errorf("%s of many users:\n%s", name, p)
		}
	}
}

func openErrors(t *testing.T, s *server) {
	s.exec(t, `CREATE TABLE floats (id int, u int, a float8, t date)`)
	const password = "hunter2-Zz"
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	columns := Columns{ID: []string{"id"}, User: "u", Amount: "a", Time: "t"}
	for name, c := range map[string]struct {
		o    Options
		kind string
		says string
	}{
		"refused":        {Options{URL: "postgres://u:" + password + "@" + closed.Addr().String() + "/x", Table: "t"}, kindAway, "refused"},
		"wrong password": {Options{URL: login(s, "reader", password, testDB), Table: "t"}, kindLogin, "password authentication failed"},
		"no database":    {Options{URL: s.URL("nowhere"), Table: "t"}, kindDatabase, "nowhere"},
		"no table":       {Options{URL: s.url(), Table: "streaming.nothing"}, kindMissing, "no such table"},
		"no column":      {Options{URL: s.url(), Table: "floats", Columns: Columns{ID: []string{"id"}, User: "who", Amount: "u", Time: "when"}}, kindMissing, `"when"`},
		"types":          {Options{URL: s.url(), Table: "floats", Columns: columns}, kindMissing, "double precision, not numeric"},
		"types too":      {Options{URL: s.url(), Table: "floats", Columns: columns}, kindMissing, "is date, not timestamp with time zone"},
		"rule column":    {Options{URL: s.url(), Table: "floats", Columns: columns, Extra: []brimline.Column{{Name: "u", Type: brimline.Boolean}}}, kindMissing, "rules file"},
		"unescaped":      {Options{URL: "postgres://u:" + password + "%zz@localhost/x"}, "postgres_url", "cannot be read"},
		"bad port":       {Options{URL: "postgres://u:" + password + "@localhost:port/x"}, "postgres_url", "cannot be read"},
		"a slash":        {Options{URL: "postgres://u:" + password + "/@localhost:x/x"}, "postgres_url", "cannot be read"},
		"keywords":       {Options{URL: "user=u password='" + password + " host=h"}, "postgres_url", "cannot be read"},
		"simple":         {Options{URL: s.url() + "&default_query_exec_mode=simple_protocol"}, "postgres_url", "every year"},
		"exec":           {Options{URL: s.url() + "&default_query_exec_mode=exec"}, "postgres_url", "every year"},
	} {
		l, err := Open(t.Context(), c.o)
		if err == nil {
			l.Close()
		}
		e, ok := errors.AsType[*brimline.Error](err)
		if !ok || e.Kind != c.kind || e.Remedy == "" || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
		} else if as, jsonErr := json.Marshal(err); jsonErr == nil && strings.Contains(fmt.Sprintf("%v %+v %#v %s", err,
			err, e.Err, as), password) {
			t.Errorf("%s: the password shows in %v, or in %s", name, err, as)
		} else if temporary(err) != (c.kind == kindAway) {
			t.Errorf("%s: temporary: %v", name, temporary(err))
		}
	}
}

func session(t *testing.T, s *server) {
	s.exec(t, "CREATE SEQUENCE streaming.numbers")
	o := transactions()
	o.Timeout = 200 * time.Millisecond
	l := s.open(t, o)
	conn, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(sql string, into ...any) error {
		return postgres.Ask(t.Context(), conn.Conn(), o.Timeout, func(b *pgx.Batch) { b.Queue(sql) },
			func(results pgx.BatchResults) error {
				if len(into) > 0 {
					return results.QueryRow().Scan(into...)
				}
				_, err := results.Exec()
				return err
			})
	}
	for _, sql := range []string{
		"DELETE FROM streaming.transactions", "CREATE TABLE x (i int)",
		"INSERT INTO streaming.transactions (id, user_id, \"timestamp\") VALUES (-1, -1, 'epoch')",
		"SELECT set_config('transaction_read_only', 'off', false), (SELECT 1)", "SELECT nextval('streaming.numbers')",
		"TRUNCATE streaming.transactions",
	} {
		if err := ask(sql); err == nil || !strings.Contains(err.Error(), "read-only") && !strings.Contains(err.Error(),
			"read-write") {
			t.Errorf("%s: %v", sql, err)
		}
	}
	var zone, timeout, isolation string
	if err := ask("SELECT current_setting('timezone'), current_setting('statement_timeout'), "+
		"current_setting('transaction_isolation')", &zone, &timeout, &isolation); err != nil ||
		zone != "UTC" || timeout != "200ms" || isolation != "read committed" {
		t.Error(zone, timeout, isolation, err)
	}
	if status := conn.Conn().PgConn().TxStatus(); status != 'I' {
		t.Errorf("a refused question leaves its transaction behind: %c", status)
	}
	conn.Release()
	lock, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Rollback(context.Background())
	if _, err := lock.Exec(t.Context(), "LOCK TABLE streaming.transactions IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	if _, _, err := l.Figures(t.Context(), "1", rule, 0); err == nil || !temporary(err) {
		t.Errorf("a locked table: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := l.Figures(ctx, "1", rule, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled question: %v", err)
	}
}

// outage cuts every session, as a restart does, and asks again.
func outage(t *testing.T, s *server) {
	o := transactions()
	o.Name = "outage"
	l := s.open(t, o)
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}
	cut := func() {
		s.exec(t, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'outage'")
	}
	held, err := l.pool.Acquire(t.Context()) // pgx finds a connection dead only when it is used
	if err != nil {
		t.Fatal(err)
	}
	cut()
	_, err = held.Exec(t.Context(), "SELECT 1")
	held.Release()
	if err == nil || !temporary(l.fail(t.Context(), "asking", err)) {
		t.Errorf("a cut session: %v", err)
	}
	if err := retried(t, func() error { _, _, err := l.Figures(t.Context(), "1", rule, 0); return err }); err != nil {
		t.Error(err)
	}
	s.exec(t, "ALTER TABLE streaming.transactions ALTER amount TYPE numeric(30,2)")
	if err := retried(t, func() error {
		_, _, err := l.Edges(t.Context(), "1", rule, 0, math.MaxInt32)
		return err
	}); err != nil {
		t.Error("after ALTER TABLE:", err)
	}
}

// retried asks up to three times while the failure is temporary.
func retried(t *testing.T, ask func() error) (err error) {
	for range 3 {
		if err = ask(); err == nil || !temporary(err) {
			return err
		}
		t.Log("asked again after:", err)
	}
	return err
}

// poolerMode is how one connects through a pooler that knows no prepared
// statements; times must come through it as exactly.
func poolerMode(t *testing.T, s *server) {
	o := transactions()
	o.URL = s.url() + "&default_query_exec_mode=cache_describe"
	l := s.open(t, o)
	s.exec(t, "INSERT INTO streaming.transactions VALUES (-77, -77, 5, $1)", instant{at: 1<<62 + 1, valid: true})
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Microsecond}}
	for at, want := range map[brimline.Time]int64{1 << 62: 0, 1<<62 + 1: 1, 1<<62 + 2: 1, 1<<62 + 3: 0} {
		if f, _, err := l.Figures(t.Context(), "-77", rule, at); err != nil || f.Count != want {
			t.Errorf("at %v: %+v, want %d: %v", at, f, want, err)
		}
		if e, _, err := l.Edges(t.Context(), "-77", rule, at, at); err != nil || len(e) == 1 != (at == 1<<62+1) {
			t.Errorf("edges at %v: %v %v", at, e, err)
		}
	}
}
