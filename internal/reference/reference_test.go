package reference_test

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/reference"
)

// TestReference is about a PostgreSQL server of its own.
func TestReference(t *testing.T) {
	pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.WithoutCancel(t.Context())) })
	s := &server{url: pg.URL("postgres")}
	s.conn = s.connect(t, s.url)
	t.Run("the documented SQL", s.documentedSQL)
	t.Run("a session", s.session)
	t.Run("rights", s.rights)
	t.Run("bounds", s.bounds)
}

type server struct {
	url  string
	conn *pgx.Conn // for exec
}

func (s *server) connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}

func (s *server) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	if _, err := s.conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func random(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("BRIMLINE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: BRIMLINE_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// history draws rows, many of them at the same times and at the ends of windows.
func randomTable(r *rand.Rand) (table reference.Table, rows []brimline.Transaction) {
	const hour = 3600 * 1000000
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for i := range 120 {
		at := start + brimline.Time(r.Int64N(60)*hour)
		if r.IntN(8) == 0 {
			at += brimline.Time(r.Int64N(3) - 1) // a microsecond beside the hour
		}
		row := brimline.Transaction{
			ID: strconv.Itoa(i), User: []string{"ada", "Ada", "ada ", "7", "7.0"}[r.IntN(5)],
			Amount: brimline.Amount(r.Int64N(100001) - 40000), Time: at,
		}
		row.Columns = []brimline.Field{{Name: "merchant"}}
		if n := r.IntN(6); n > 0 {
			row.Columns[0].Value = fmt.Sprint("m", n)
		}
		table.Put(&row)
	}
	return table, table.Rows()
}

func merchant(row *brimline.Transaction) any {
	v, _ := row.Column("merchant")
	return v
}

// drawRules has a rule for each measure, half of them with a condition that takes most rows.
func drawRules(r *rand.Rand) (all []reference.Rule) {
	for _, m := range brimline.Measures() {
		rule := reference.Rule{
			Rule: brimline.Rule{ID: m.String(), Measure: m, Window: time.Duration(1+r.IntN(20)) * time.Hour},
		}
		rule.Limit = brimline.Amount(r.Int64N(200000)).Total()
		if m == brimline.CountAll {
			rule.Limit = brimline.Count(r.Int64N(6))
		}
		if m == brimline.Avg {
			rule.Limit, rule.MinCount = brimline.Amount(r.Int64N(50000)).Total(), r.Int64N(5)
		}
		if m == brimline.Max {
			rule.Limit = brimline.Amount(r.Int64N(60000)).Total()
		}
		if m == brimline.Distinct {
			rule.Limit, rule.Column, rule.Value = brimline.Count(r.Int64N(4)), "merchant", merchant
		}
		if r.IntN(2) == 0 {
			rule.Quiet = time.Duration(1+r.IntN(30)) * time.Hour
		} else if limit, _ := rule.Limit.Int64(); !m.Shrinks() && r.IntN(2) == 0 {
			rule.Rearms, rule.Rearm = true, brimline.Count(r.Int64N(limit+1))
		}
		if r.IntN(2) == 0 {
			rule.Takes = func(row *brimline.Transaction) bool { return row.Amount%5 != 0 }
		}
		all = append(all, rule)
	}
	return all
}

// byDefinition are the edges of the table in memory, as text.
func byDefinition(table *reference.Table, rule *reference.Rule) (edges []string) {
	var users []string
	for _, row := range table.Rows() {
		users = append(users, row.User)
	}
	slices.Sort(users)
	for _, user := range slices.Compact(users) {
		for _, e := range table.Edges(rule, user, brimline.MinTime, brimline.MaxTime) {
			edges = append(edges, text(e))
		}
	}
	return edges
}

func text(e reference.Edge) string {
	return fmt.Sprintf("%s %s %s %s %d", e.User, e.At, e.Figures.Before, e.Figures.Total, e.Figures.Count)
}

// documented is the SQL that docs/semantics.md shows, and its table of measures.
func documented(t *testing.T) (variables map[string]string, sql string, measures map[string][3]string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, found := strings.Cut(string(page), "```sql\n")
	block, _, closed := strings.Cut(block, "```")
	if !found || !closed {
		t.Fatal("docs/semantics.md shows no SQL")
	}
	variables = map[string]string{}
	set := regexp.MustCompile(`^\\set (\w+) '?([^'\n]*)'?\n`)
	for m := set.FindStringSubmatch(block); m != nil; m = set.FindStringSubmatch(block) {
		variables[m[1]] = m[2]
		block = block[len(m[0]):]
	}
	measures = map[string][3]string{}
	line := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| `(\\w+)` \\| `(.*)` \\| `(.*)` \\|$")
	for _, m := range line.FindAllStringSubmatch(string(page), -1) {
		measures[m[1]] = [3]string{m[2], m[3], m[4]}
	}
	return variables, block, measures
}

// What docs/semantics.md shows is what judges, and says of random rows what the definition says.
func (s *server) documentedSQL(t *testing.T) {
	variables, sql, measures := documented(t)
	page, err := os.ReadFile("../../docs/semantics.md")
	for name, shown := range map[string]string{
		"loud.sql": reference.LoudSQL, "avg.sql": reference.AvgSQL, "distinct.sql": reference.DistinctSQL, "rearm.sql": reference.RearmSQL,
	} {
		if err != nil || !strings.Contains(string(page), "```sql\n"+shown+"```") {
			t.Errorf("docs/semantics.md does not show internal/reference/%s, %v", name, err)
		}
	}
	if sql != reference.EdgesSQL {
		t.Errorf("docs/semantics.md does not show internal/reference/edges.sql, but\n%s", sql)
	}
	aggregate, weight, counts := reference.MeasureSQL(brimline.SumAbs)
	if variables["aggregate"] != aggregate || variables["weight"] != weight || variables["counts"] != counts ||
		variables["where"] != "true" {
		t.Errorf("its variables are %v", variables)
	}
	r := random(t)
	table, rows := randomTable(r)
	s.exec(t, `CREATE SCHEMA streaming`)
	s.exec(
		t,
		`CREATE TABLE streaming.transactions (id text, user_id text, amount numeric(12,2), "timestamp" timestamptz,
			merchant text)`,
	)
	for _, row := range rows {
		s.exec(t, `INSERT INTO streaming.transactions VALUES ($1, $2, $3::text::numeric, $4, $5)`,
			row.ID, row.User, row.Amount.Format(2), row.Time.Std(), merchant(&row))
	}
	s.exec(t, `INSERT INTO streaming.transactions VALUES ('null', 'ada', NULL, $1)`, rows[0].Time.Std())
	s.byPSQL(t, &table)
	conn := s.connect(t, s.url)
	found := 0
	for _, rule := range drawRules(r) {
		var aggregate, weight, counts string
		if rule.Measure == brimline.Distinct {
			aggregate, weight, counts = "COUNT", "DISTINCT of", "of IS NOT NULL"
		} else {
			aggregate, weight, counts = reference.MeasureSQL(rule.Measure)
		}
		shown, ok := measures[rule.Measure.String()]
		if !ok || shown != [3]string{aggregate, weight, counts} {
			t.Errorf("docs/semantics.md has %q for %s", shown, rule.Measure)
		}
		scale := rule.Measure.Scale(2)
		variables["window"] = fmt.Sprintf("%d microseconds", rule.Window.Microseconds())
		variables["limit"] = rule.Limit.Format(scale)
		variables["aggregate"], variables["weight"], variables["counts"] = shown[0], shown[1], shown[2]
		variables["where"] = "true"
		if rule.Takes != nil {
			variables["where"] = "amount * 100 % 5 <> 0"
		}
		sql, shownSQL := sql, sql
		if rule.Measure == brimline.Avg {
			variables["min_count"] = strconv.FormatInt(max(1, rule.MinCount), 10)
			sql, shownSQL = reference.AvgSQL, reference.AvgSQL
		}
		if rule.Measure == brimline.Distinct {
			variables["of"] = rule.Column
			sql, shownSQL = reference.DistinctSQL, reference.DistinctSQL
		}
		if rule.Quiet > 0 {
			variables["quiet"] = fmt.Sprintf("%d microseconds", rule.Quiet.Microseconds())
			variables["edges"] = strings.TrimSuffix(strings.TrimSpace(interpolated(sql, variables)), ";")
			shownSQL = reference.LoudSQL
		}
		if rule.Rearms {
			variables["rearm"] = rule.Rearm.Format(scale)
			variables["totals"], _, _ = strings.Cut(interpolated(sql, variables), " WHERE total > ")
			shownSQL = reference.RearmSQL
		}
		rows, err := conn.Query(t.Context(), interpolated(shownSQL, variables))
		if err != nil {
			t.Fatal(err)
		}
		var (
			got           []string
			e             reference.Edge
			at            time.Time
			before, total string
		)
		_, err = pgx.ForEachRow(rows, []any{&e.User, &at, &before, &total, &e.Figures.Count}, func() error {
			e.At, e.Figures.Before, e.Figures.Total = brimline.TimeOf(
				at,
			), units(
				t,
				before,
				scale,
			), units(
				t,
				total,
				scale,
			)
			got = append(got, text(e))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := byDefinition(&table, &rule); !slices.Equal(got, want) {
			t.Errorf(
				"rule %+v:\n%s\nby the definition\n%s",
				rule.Rule,
				strings.Join(got, "\n"),
				strings.Join(want, "\n"),
			)
		}
		found += len(got)
	}
	if found == 0 {
		t.Error("no rule has an edge")
	}
}

// byPSQL runs the block of docs/semantics.md as it stands there, where there is a psql.
func (s *server) byPSQL(t *testing.T, table *reference.Table) {
	t.Helper()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Log("psql is not here; its variables are put in by the test alone")
		return
	}
	page, err := os.ReadFile("../../docs/semantics.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(page), "```sql\n")
	block, _, _ = strings.Cut(block, "```")
	cmd := exec.CommandContext(t.Context(), psql, s.url, "-X", "-v", "ON_ERROR_STOP=1", "-At", "-F", "|")
	cmd.Stdin = strings.NewReader(block)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	rule := reference.Rule{Rule: brimline.Rule{Window: 168 * time.Hour, Limit: brimline.Amount(3000_00).Total()}}
	want := byDefinition(table, &rule)
	if got := strings.Count(string(out), "\n"); got != len(want) || got == 0 {
		t.Errorf("psql shows %d edges, by the definition there are %d:\n%s", got, len(want), out)
	}
}

// interpolated puts variables into SQL as psql does.
func interpolated(sql string, variables map[string]string) string {
	return regexp.MustCompile(`(:?):('?)(\w+)'?`).ReplaceAllStringFunc(sql, func(s string) string {
		switch name := strings.Trim(s, ":'"); {
		case strings.HasPrefix(s, "::"):
			return s
		case strings.HasPrefix(s, ":'"):
			return "'" + variables[name] + "'"
		default:
			return variables[name]
		}
	})
}

func units(t *testing.T, s string, scale int) *big.Int {
	t.Helper()
	total, err := brimline.ParseTotal(s, scale)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := new(big.Int).SetString(total.Format(0), 10)
	return n
}

// A session says of any rows what the definition says, and leaves nothing behind.
func (s *server) session(t *testing.T) {
	r := random(t)
	session, err := reference.Open(t.Context(), s.url)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	found := 0
	for range 5 {
		table, rows := randomTable(r)
		all := drawRules(r)
		edges, err := session.Edges(t.Context(), rows, all, 2)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			var got []string
			for _, e := range edges[all[i].ID] {
				got = append(got, text(e))
			}
			if want := byDefinition(&table, &all[i]); !slices.Equal(got, want) {
				t.Errorf(
					"rule %+v:\n%s\nby the definition\n%s",
					all[i].Rule,
					strings.Join(got, "\n"),
					strings.Join(want, "\n"),
				)
			}
			found += len(got)
		}
	}
	if found == 0 {
		t.Error("no rule has an edge")
	}
	if edges, err := session.Edges(t.Context(), nil, drawRules(r), 2); err != nil || len(edges["count"]) != 0 {
		t.Errorf("without rows: %v, %v", edges, err)
	}
	var others int
	conn := s.connect(t, s.url)
	const temporary = `SELECT count(*) FROM pg_class WHERE relpersistence = 't'`
	if err := conn.QueryRow(t.Context(), temporary).Scan(&others); err != nil || others != 0 {
		t.Errorf("%d temporary tables can be seen from outside, %v", others, err)
	}
}

// The rights to connect and to make temporary tables are enough; what is lacking is said.
func (s *server) rights(t *testing.T) {
	s.exec(t, `CREATE ROLE tester LOGIN PASSWORD 'tester'`)
	s.exec(t, `ALTER ROLE tester SET default_transaction_read_only = on`)
	s.exec(t, `REVOKE ALL ON DATABASE postgres FROM PUBLIC`)
	s.exec(t, `REVOKE ALL ON SCHEMA public FROM PUBLIC`)
	s.exec(t, `GRANT CONNECT ON DATABASE postgres TO tester`)
	url := regexp.MustCompile(`//[^@]*@`).ReplaceAllString(s.url, "//tester:tester@")
	_, err := reference.Open(t.Context(), url)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != postgres.KindPermission || !strings.Contains(e.Remedy, "GRANT TEMPORARY") ||
		strings.Contains(err.Error(), "tester:") {
		t.Fatalf("without the right to make temporary tables: %v", err)
	}
	s.exec(t, `GRANT TEMPORARY ON DATABASE postgres TO tester`)
	session, err := reference.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	rows := []brimline.Transaction{{ID: "1", User: "u", Amount: 1}}
	if _, err := session.Edges(t.Context(), rows, drawRules(random(t)), 2); err != nil {
		t.Error(err)
	}
}

// A statement that takes too long is ended by the server, whose settings are not those of the session for long.
func (s *server) bounds(t *testing.T) {
	target, err := postgres.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	scratch, err := target.Scratch(t.Context(), "test", 2*time.Second) // to connect as well
	if err != nil {
		t.Fatal(err)
	}
	defer scratch.Close()
	err = scratch.Exec(t.Context(), "SELECT pg_sleep(60)")
	if e, ok := errors.AsType[*brimline.Error](scratch.Fail("waiting", err)); !ok || e.Kind != postgres.KindTimeout {
		t.Errorf("%v", err)
	}
	_, err = reference.Open(t.Context(), "postgres://nobody@127.0.0.1:1/none")
	if brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
		t.Errorf("PostgreSQL away: %v", err)
	}
}
