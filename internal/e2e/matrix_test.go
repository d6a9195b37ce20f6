package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// The matrix: every type that an amount, a time or a column of a rule can have, in every way that a connector can write
// it. Each cell has one right outcome: PostgreSQL's alerts, or a refusal with its remedy before anything runs. What no
// cell may show is silence: a run that is content and has other alerts than PostgreSQL has edges.

// A stream is one way in which the table's changes are written.
type stream struct {
	time, decimals string // Debezium's time.precision.mode and decimal.handling.mode
	schemas        bool   // every record carries its schema
	capture        bool   // it is `brimline capture` that writes, not Debezium
}

func (s stream) String() string {
	if s.capture {
		return "capture"
	}
	if s.schemas {
		return s.time + "+" + s.decimals + "+schemas"
	}
	return s.time + "+" + s.decimals
}

// streams are all of them. Schemas make every other question easy, so they are there in a third of the combinations.
func streams() []stream {
	all := []stream{{capture: true}}
	for i, time := range []string{"adaptive", "adaptive_time_microseconds", "connect", "microseconds", "nanoseconds",
		"isostring"} {
		for k, decimals := range []string{"string", "precise", "double"} {
			all = append(all, stream{time: time, decimals: decimals, schemas: (i+k)%3 == 2})
		}
	}
	return all
}

// A matrixAmount is a column of the test table that holds the amounts. Its values are 2000.00, 1500.25 and 400.00, as
// far as its type can hold them.
type matrixAmount struct {
	name, kind string
	value      string // in SQL, of the amount $1
	sql        string // the column as PostgreSQL's amount
	flags      []string
	refused    func(stream) bool
}

func fractions(s stream) bool { return s.decimals == "double" }
func always(stream) bool      { return true }
func never(stream) bool       { return false }

var matrixAmounts = []matrixAmount{
	{"a_122", "numeric(12,2)", "$1", "a_122", nil, fractions},
	{"a_124", "numeric(12,4)", "$1", "a_124::numeric(12,2)", nil, fractions},
	{"a_120", "numeric(12,0)", "round($1)", "a_120::numeric(12,2)", nil, fractions},
	{"a_any", "numeric", "$1", "a_any", nil, fractions},
	{"a_domain", "matrix_amount", "$1", "a_domain", nil, fractions},
	{"a_int", "integer", "round($1)", "a_int::numeric(12,2)", []string{"--amount-minor-units=0"}, never},
	{"a_whole", "bigint", "round($1)", "a_whole::numeric(12,2)", []string{"--amount-minor-units=0"}, never},
	{"a_cents", "bigint", "$1 * 100", "(a_cents / 100.0)::numeric(12,2)", []string{"--amount-minor-units=2"}, never},
	{"a_cents0", "numeric(12,0)", "$1 * 100", "(a_cents0 / 100.0)::numeric(12,2)", []string{"--amount-minor-units=2"}, fractions},
	{"a_money", "money", "$1::numeric::money", "a_money::numeric", nil, always},
}

// A matrixTime is a column of the test table that holds the rows' times.
type matrixTime struct {
	name, kind string
	sql        string // the column as PostgreSQL's timestamptz
	refused    func(stream) bool
}

// cut is a stream that leaves microseconds out.
func cut(s stream) bool { return s.time == "connect" }

func matrixTimes() []matrixTime {
	all := []matrixTime{
		{"ts", "timestamp", "ts AT TIME ZONE 'UTC'", cut},
		{"ts_domain", "matrix_time", "ts_domain::timestamp AT TIME ZONE 'UTC'", never},
		{"tz", "timestamptz", "tz", never},
		{"tz_domain", "matrix_zoned", "tz_domain::timestamptz", never},
	}
	for p := range 7 {
		refused := never
		if p > 3 {
			refused = cut
		}
		all = append(all,
			matrixTime{fmt.Sprintf("ts%d", p), fmt.Sprintf("timestamp(%d)", p), fmt.Sprintf("ts%d AT TIME ZONE 'UTC'", p), refused},
			matrixTime{fmt.Sprintf("tz%d", p), fmt.Sprintf("timestamptz(%d)", p), fmt.Sprintf("tz%d", p), never})
	}
	return all
}

// A matrixColumn is a column that a rule asks about. Rows 1 and 2 have the value, row 3 the other.
type matrixColumn struct {
	name, kind, value, other string // the values are SQL literals
	declared, where          string // in the rules file
	refused                  func(stream) bool
}

var matrixColumns = []matrixColumn{
	{"w_char", "char(10)", "'OK'", "'NO'", "text", `w_char == "OK"`, never},
	{"w_char3", "char(3)", "'EUR'", "'NOK'", "text", `w_char3 == "EUR"`, never},
	{"w_varchar", "varchar(20)", "'OK '", "'OK'", "text", `w_varchar == "OK "`, never},
	{"w_text", "text", "'Åse \"x\"'", "NULL", "text", `w_text startsWith "Åse"`, never},
	{"w_citext", "citext", "'Ok'", "'no'", "text", `w_citext == "Ok"`, never},
	{"w_uuid", "uuid", "'6F9619FF-8B86-D011-B42D-00CF4FC964FF'", "'00000000-0000-0000-0000-000000000000'", "text",
		`w_uuid == "6f9619ff-8b86-d011-b42d-00cf4fc964ff"`, never},
	{"w_enum", "matrix_state", "'open'", "'closed'", "text", `w_enum == "open"`, never},
	{"w_inet", "inet", "'203.0.113.7'", "'203.0.113.7/24'", "text", `w_inet == "203.0.113.7"`, never},
	{"w_cidr", "cidr", "'203.0.113.7/32'", "'203.0.113.0/24'", "text", `w_cidr == "203.0.113.7/32"`, never},
	{"w_json", "json", `'{"a":  1}'`, `'{"a": 2}'`, "text", `w_json contains "1"`, never},
	{"w_jsonb", "jsonb", `'{"a":  1}'`, `'{"a": 2}'`, "text", `w_jsonb == "{\"a\": 1}"`, never},
	{"w_domain", "matrix_code", "'x1'", "'x2'", "text", `w_domain == "x1"`, never},
	{"w_domain_char", "matrix_padded", "'y'", "'z'", "text", `w_domain_char == "y"`, never},
	{"w_bool", "boolean", "true", "false", "boolean", `w_bool`, never},
	{"w_flag", "matrix_flag", "true", "NULL", "boolean", `w_flag`, never},
	{"w_int", "integer", "7", "8", "integer", `w_int == 7`, never},
	{"w_numeric", "numeric(10,3)", "0.300", "0.301", "numeric", `w_numeric == 0.3`, fractions},
	{"w_any", "numeric", "0.3", "1e3", "numeric", `w_any == 0.30`, fractions},
	{"w_float", "double precision", "0.1", "0.2", "numeric", `w_float == 0.1`, never},
	{"w_real", "real", "0.1", "0.2", "numeric", `w_real == 0.1`, never},
	{"w_date", "date", "'2026-02-03'", "'2026-02-04'", "timestamp", `w_date == "2026-02-03T00:00:00Z"`, never},
	{"w_ts3", "timestamp(3)", "'2026-02-03 04:05:06.789'", "'2026-02-03 04:05:06.788'", "timestamp", `w_ts3 == "2026-02-03T04:05:06.789Z"`, never},
	{"w_ts", "timestamp", "'2026-02-03 04:05:06.789123'", "'2026-02-03 04:05:06.789'", "timestamp", `w_ts == "2026-02-03T04:05:06.789123Z"`, cut},
	{"w_tz", "timestamptz", "'2026-02-03 04:05:06.789123+00'", "NULL", "timestamp", `w_tz == "2026-02-03T04:05:06.789123Z"`, never},
}

// What a rule must not be told to read in a way in which it cannot be read.
var matrixMistakes = []struct{ name, declared string }{
	{"w_numeric", "integer"}, {"w_int", "text"}, {"w_bool", "text"}, {"w_text", "integer"}, {"w_date", "text"}, {"w_bytes", "text"},
	{"w_array", "text"}, {"w_interval", "text"}, {"w_interval", "timestamp"}, {"w_time", "timestamp"}, {"a_money", "numeric"}, {"w_generated", "numeric"},
}

const matrixTypes = `
	CREATE EXTENSION IF NOT EXISTS citext;
	CREATE DOMAIN matrix_amount AS numeric(12,2) CHECK (VALUE <> 'NaN');
	CREATE DOMAIN matrix_time AS timestamp(3);
	CREATE DOMAIN matrix_zoned AS timestamptz;
	CREATE DOMAIN matrix_code AS varchar(5);
	CREATE DOMAIN matrix_padded AS char(4);
	CREATE DOMAIN matrix_truth AS boolean;
	CREATE DOMAIN matrix_flag AS matrix_truth;
	CREATE TYPE matrix_state AS ENUM ('open', 'closed');`

// matrixTable makes a table with every column, and its first row.
func matrixTable(t *testing.T, table testkit.Table, times []matrixTime) {
	t.Helper()
	columns := []string{"id bigint PRIMARY KEY", "user_id bigint NOT NULL"}
	for _, a := range matrixAmounts {
		columns = append(columns, a.name+" "+a.kind+" NOT NULL")
	}
	for _, c := range times {
		columns = append(columns, c.name+" "+c.kind+" NOT NULL")
	}
	for _, c := range matrixColumns {
		columns = append(columns, c.name+" "+c.kind)
	}
	columns = append(columns, "w_bytes bytea", "w_array text[]", "w_interval interval", "w_time time",
		"w_generated numeric GENERATED ALWAYS AS (a_122 * 2) STORED")
	name := table.Name.Sanitize()
	table.Exec(t, "CREATE TABLE "+name+" ("+strings.Join(columns, ", ")+")")
	table.Exec(t, "ALTER TABLE "+name+" REPLICA IDENTITY FULL")
	table.Exec(t, "GRANT SELECT ON "+name+" TO cdc, brimline")
	for _, c := range times {
		table.Exec(t, "CREATE INDEX ON "+name+" (user_id, "+c.name+")")
	}
}

// matrixRow inserts row n of 1 to 3; the second and third come after the snapshot.
func matrixRow(t *testing.T, table testkit.Table, times []matrixTime, n int) {
	t.Helper()
	amount := []string{"2000.00", "1500.25", "400.00"}[n-1]
	at := []string{"2026-11-23 01:02:03.456789", "2026-11-24 01:00:00.000300", "2026-11-24 00:30:00.999999"}[n-1]
	names, values := []string{"id", "user_id"}, []string{fmt.Sprint(n), "5"}
	for _, a := range matrixAmounts {
		names, values = append(names, a.name), append(values,
			"("+strings.ReplaceAll(a.value, "$1", "'"+amount+"'::numeric")+")::"+a.kind)
	}
	for _, c := range times {
		names, values = append(names, c.name), append(values, "(timestamptz '"+at+"+00')::timestamp::"+c.kind)
	}
	for _, c := range matrixColumns {
		value := c.value
		if n == 3 {
			value = c.other
		}
		names, values = append(names, c.name), append(values, value+"::"+c.kind)
	}
	table.Exec(t, "INSERT INTO "+table.Name.Sanitize()+" ("+strings.Join(names, ", ")+") VALUES ("+strings.Join(values,
		", ")+")")
}

// cell is one combination.
type cell struct{ stream, amount, time int }

// matrixCells are all combinations, or as few as show every pair of a factor's values with another's.
func matrixCells(r *rand.Rand, all []stream, times int) (cells []cell) {
	var product []cell
	for s := range all {
		for a := range matrixAmounts {
			for c := range times {
				product = append(product, cell{s, a, c})
			}
		}
	}
	if os.Getenv("BRIMLINE_MATRIX") == "all" {
		return product
	}
	type pair [4]any
	pairs := func(c cell) []pair {
		s := all[c.stream]
		factors := []any{s.time, s.decimals, c.amount, c.time}
		var list []pair
		for i := range factors {
			for k := range i {
				list = append(list, pair{i, factors[i], k, factors[k]})
			}
		}
		return list
	}
	missing := map[pair]bool{}
	for _, c := range product {
		for _, p := range pairs(c) {
			missing[p] = true
		}
	}
	r.Shuffle(len(product), func(i, k int) { product[i], product[k] = product[k], product[i] })
	for want := 6; want > 0; want-- {
		for _, c := range product {
			fresh := 0
			for _, p := range pairs(c) {
				if missing[p] {
					fresh++
				}
			}
			if fresh < want {
				continue
			}
			cells = append(cells, c)
			for _, p := range pairs(c) {
				delete(missing, p)
			}
		}
	}
	return cells
}

// TestStackMatrix is the matrix on real Debezium and `brimline capture`: pairs of values, or with
// BRIMLINE_MATRIX=all every combination.
func TestStackMatrix(t *testing.T) {
	s := realStack(t)
	seed := testkit.Seed(t)
	all, times := streams(), matrixTimes()
	prefix := testkit.Unique(t)
	admin := testkit.OpenTable(t, s.Env["DATABASE_URL"], "streaming", "none")
	admin.Exec(t, "SET search_path = streaming; "+matrixTypes)
	m := &matrix{stack: s, times: times, sources: make([]source, len(all))}
	for i := range all {
		m.begin(t, i, all[i], fmt.Sprintf("%s_%d", prefix, i))
	}
	for i, st := range all {
		t.Run(st.String(), func(t *testing.T) {
			for _, c := range matrixCells(testkit.Rand(seed), all, len(times)) {
				if c.stream != i {
					continue
				}
				a, at := matrixAmounts[c.amount], times[c.time]
				t.Run(a.name+"/"+at.name, func(t *testing.T) {
					t.Parallel()
					m.judge(t, i, st, a, at)
				})
			}
			for _, c := range matrixColumns {
				if c.refused(st) {
					t.Run("refused/"+c.name, func(t *testing.T) {
						t.Parallel()
						m.mustRefuse(t, i, st, c.name, "columns: {"+c.name+": "+c.declared+"}\nrules: [{id: r, window: 7d, limit: "+
							"3000, where: '"+c.where+"'}]")
					})
				}
			}
			for _, c := range matrixMistakes {
				t.Run("mistake/"+c.name+"/"+c.declared, func(t *testing.T) {
					t.Parallel()
					m.mustRefuse(t, i, st, c.name, "columns: {"+c.name+": "+c.declared+"}\nrules: [{id: r, window: 7d, limit: "+
						"3000, where: '"+c.name+" != nil'}]")
				})
			}
		})
	}
}

type matrix struct {
	*stack
	times   []matrixTime
	sources []source
}

// source is the table of a stream, and the topic with its changes.
type source struct {
	table testkit.Table
	topic string
}

// begin makes a stream: its table, one row by the snapshot and two by the stream.
func (m *matrix) begin(t *testing.T, i int, st stream, name string) {
	t.Helper()
	table := testkit.OpenTable(t, m.Env["DATABASE_URL"], "streaming", name)
	table.Exec(t, "SET search_path = streaming; SET timezone = 'UTC'")
	matrixTable(t, table, m.times)
	matrixRow(t, table, m.times, 1)
	m.sources[i] = source{table, name + ".streaming." + name}
	rest := func() {
		matrixRow(t, table, m.times, 2)
		matrixRow(t, table, m.times, 3)
		m.waitTopic(t, m.sources[i].topic, 3)
	}
	if st.capture {
		m.CreateTopic(t, m.sources[i].topic, 2)
		p := testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + m.Env["ADMIN_DATABASE_URL"]}, "capture",
			"--brokers", strings.Join(m.Brokers, ","), "--source", m.sources[i].topic, "--table", "streaming."+name, "--slot", name, "--publication", name)
		waitOutput(t, p, "capture is streaming")
		rest()
		return
	}
	c := m.connect(t, name, "streaming."+name, map[string]string{
		"time.precision.mode": st.time, "decimal.handling.mode": st.decimals,
		"key.converter.schemas.enable": fmt.Sprint(st.schemas), "value.converter.schemas.enable": fmt.Sprint(st.schemas),
	})
	m.waitTopic(t, m.sources[i].topic, 1)
	rest()
	c.remove(t)
}

func (m *matrix) waitTopic(t *testing.T, topic string, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := m.WaitRecords(ctx, topic, n); err != nil {
		t.Fatalf("waiting for %d records of %s: %v", n, topic, err)
	}
}

// job is a group of its own over a stream.
func (m *matrix) job(t *testing.T, i int, rules string) *job {
	t.Helper()
	name := testkit.Unique(t)
	j := &job{Parts: m.Parts, url: m.Env["BRIMLINE_DATABASE_URL"],
		names: processors.NewStreams("g_"+name, m.sources[i].topic, "alerts_"+name), state: t.TempDir()}
	j.setRules(t, rules)
	j.options = []string{"--table", "streaming." + m.sources[i].table.Name[1]}
	return j
}

// judge runs a cell: one rule without a condition and one for each column that can be read in this stream.
func (m *matrix) judge(t *testing.T, i int, st stream, a matrixAmount, at matrixTime) {
	var columns, rules strings.Builder
	where := map[string]string{}
	for _, c := range matrixColumns {
		if !c.refused(st) {
			fmt.Fprintf(&columns, "  %s: %s\n", c.name, c.declared)
			fmt.Fprintf(&rules, "  - {id: %s, window: 7d, limit: 3000, where: %s}\n", c.name, yamlQuote(c.where))
			where[c.name] = "matches_" + c.name
		}
	}
	j := m.job(t, i, "columns:\n"+columns.String()+"rules:\n  - {id: plain, window: 7d, limit: 3000}\n"+rules.String())
	j.options = append(j.options, "--amount-column", a.name, "--time-column", at.name)
	j.options = append(j.options, a.flags...)
	if a.refused(st) || at.refused(st) {
		m.refused(t, j, regexp.QuoteMeta(a.name)+"|"+regexp.QuoteMeta(at.name))
		return
	}
	view := m.view(t, i, a, at)
	j.table, j.where = view, where
	j.finish(t)
	if dead := j.deadLetters(t); len(dead) > 0 {
		t.Errorf("%d dead letters, the first: %s: %s", len(dead), dead[0].Kind, dead[0].Error)
	}
	j.judge(t)
	if got := len(j.alerts(t)); got != 1+len(where) {
		t.Errorf("%d alerts, want one for each of %d rules", got, 1+len(where))
	}
}

// view is the stream's table as the judge wants it: id, user_id, amount, timestamp, and for each column of a rule
// whether SQL takes the row.
func (m *matrix) view(t *testing.T, i int, a matrixAmount, at matrixTime) testkit.Table {
	t.Helper()
	table := m.sources[i].table
	view := testkit.OpenTable(t, m.Env["DATABASE_URL"], "streaming", "v_"+testkit.Unique(t))
	view.Exec(t, "SET search_path = streaming; SET timezone = 'UTC'")
	columns := []string{"id", "user_id", a.sql + " AS amount", "(" + at.sql + `) AS "timestamp"`}
	for _, c := range matrixColumns {
		same := c.name + " = " + c.value + "::" + c.kind
		if c.kind == "json" {
			same = c.name + "::text LIKE '%1%'"
		}
		columns = append(columns, fmt.Sprintf("coalesce(%s, false) AS matches_%s", same, c.name))
	}
	view.Exec(t, "CREATE VIEW "+view.Name.Sanitize()+" AS SELECT "+strings.Join(columns,
		", ")+" FROM "+table.Name.Sanitize())
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), m.Env["DATABASE_URL"])
		if err == nil {
			_, err = conn.Exec(context.Background(), "DROP VIEW "+view.Name.Sanitize())
			_ = conn.Close(context.Background())
		}
		if err != nil {
			t.Error(err)
		}
	})
	return view
}

// mustRefuse expects that a run with these rules does not start, and says why by the column's name.
func (m *matrix) mustRefuse(t *testing.T, i int, _ stream, column, rules string) {
	j := m.job(t, i, rules)
	j.options = append(j.options, "--amount-column", "a_cents", "--amount-minor-units=2", "--time-column", "tz")
	m.refused(t, j, regexp.QuoteMeta(column))
}

func (m *matrix) refused(t *testing.T, j *job, named string) {
	t.Helper()
	p := j.start(t, 0, "--until-caught-up")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, err := p.Wait(ctx)
	if err != nil || code != 2 && code != 3 {
		t.Fatalf("run ended with code %d, %v; it must not start", code, err)
	}
	lines := strings.Split(p.Output(), "\n")
	said := slices.ContainsFunc(lines, func(line string) bool {
		return strings.Contains(line, "error: ") && regexp.MustCompile(named).MatchString(line)
	})
	if !said || !strings.Contains(p.Output(), "remedy: ") {
		t.Errorf("the refusal names neither %s nor a remedy:\n%s", named, p.Output())
	}
}

func yamlQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
