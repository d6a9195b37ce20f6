package backtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/backtest"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/reference"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/testkit"
)

var url string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		pg, err := embedded.StartPostgres(context.Background(), embedded.PostgresOptions{NoSync: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = pg.Stop(context.Background()) }()
		url = pg.URL("")
		return m.Run()
	}())
}

// world is a table of its own, and a ledger on it.
type world struct {
	table  testkit.Table
	ledger *ledger.Ledger
}

func newWorld(t testing.TB, set *rules.Set) *world {
	t.Helper()
	schema := testkit.Unique(t)
	w := &world{table: testkit.CreateTable(t, testkit.Connect(t, url), schema, "transactions")}
	w.open(t, schema, set)
	return w
}

func (w *world) open(t testing.TB, schema string, set *rules.Set) {
	t.Helper()
	var err error
	w.ledger, err = ledger.Open(t.Context(), ledger.Options{
		URL: url, Table: schema + ".transactions", Extra: set.Columns, Scale: set.Scale,
		Columns: ledger.Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.ledger.Close)
}

func parse(t testing.TB, yaml string) *rules.Set {
	t.Helper()
	set, err := rules.Parse("rules.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

const start = "2026-01-01T00:00:00Z"

func draw(t testing.TB, r *rand.Rand, rows, users int) []testkit.Row {
	t.Helper()
	begin, err := time.Parse(time.RFC3339, start)
	if err != nil {
		t.Fatal(err)
	}
	return testkit.Shape{
		Rows: rows, Users: users, Start: begin, Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000, Heavy: 0.4,
	}.Draw(r)
}

// everyMeasure is a rules file with each measure, and a where.
func everyMeasure(r *rand.Rand) string {
	var b strings.Builder
	b.WriteString("columns: {description: text}\nrules:\n")
	for i, m := range brimline.Measures() {
		limit, of := brimline.Amount(r.Int64N(50_000)).Format(2), m.String()
		if m == brimline.CountAll {
			limit = fmt.Sprint(r.IntN(8))
		}
		if m == brimline.Avg {
			limit = brimline.Amount(r.Int64N(8_000)).Format(2)
			of += fmt.Sprintf(", min_count: %d", 1+r.IntN(4))
		}
		if m == brimline.Max {
			limit = brimline.Amount(r.Int64N(10_000)).Format(2)
		}
		if m == brimline.Distinct {
			limit = fmt.Sprint(r.IntN(8))
			of += ", of: description"
		}
		window := 1 + r.IntN(96)
		fmt.Fprintf(&b, "  - {id: r%d, window: %dh, limit: %q, measure: %s}\n", i, window, limit, of)
		same := fmt.Sprintf("window: %dh, limit: %q, measure: %s", window, limit, of)
		fmt.Fprintf(&b, "  - {id: q%d, %s, quiet: %dh}\n", i, same, 1+r.IntN(200))
		if !m.Shrinks() {
			fmt.Fprintf(&b, "  - {id: a%d, %s, rearm: %d%%}\n", i, same, r.IntN(101))
		}
	}
	fmt.Fprintf(&b, "  - {id: w, window: 50h, limit: \"200\", where: 'description endsWith \"1\"'}\n")
	return b.String()
}

// where is that in SQL.
var where = map[string]string{"w": "description LIKE '%1'"}

func all(span func(*backtest.Options)) backtest.Options {
	o := backtest.Options{From: brimline.MinTime, To: brimline.MaxTime}
	if span != nil {
		span(&o)
	}
	return o
}

// edges are the alerts of a run by id, as the judge writes them.
func (w *world) edges(t testing.TB, set *rules.Set, o backtest.Options) (*backtest.Report, map[string]testkit.Verdict) {
	t.Helper()
	found := map[string]testkit.Verdict{}
	o.Rules = set.Compiled()
	o.Each = func(a *backtest.Alert) error {
		scale := a.Rule.Measure.Scale(2)
		if _, twice := found[a.ID()]; twice {
			t.Errorf("%s twice", a.ID())
		}
		found[a.ID()] = testkit.Verdict{
			Before: a.Figures.Before.Format(scale), Total: a.Figures.Total.Format(scale), Count: a.Figures.Count,
		}
		return nil
	}
	report, err := backtest.Run(t.Context(), w.ledger, o)
	if err != nil {
		t.Fatal(err)
	}
	return report, found
}

func (w *world) judged(t testing.TB, set *rules.Set) map[string]testkit.Verdict {
	t.Helper()
	want := map[string]testkit.Verdict{}
	for _, r := range set.Rules {
		maps.Copy(want, w.table.Edges(t, r, where[r.ID]))
	}
	return want
}

// TestAlertsAreTheEdges: a backtest finds PostgreSQL's edges, with its figures, of all measures; its heavy user has
// more rows than are evaluated at once. What it counts by rule, user and day is what it found.
func TestAlertsAreTheEdges(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	set := parse(t, everyMeasure(r))
	w := newWorld(t, set)
	w.table.Insert(t, draw(t, r, 15_000, 12))
	report, got := w.edges(t, set, all(nil))
	want := w.judged(t, set)
	if len(want) == 0 || !maps.Equal(got, want) {
		t.Fatalf("%d alerts, PostgreSQL has %d edges", len(got), len(want))
	}
	if report.Rows != 15_000 || report.Users != 12 || report.Position == 0 {
		t.Errorf("%d rows, %d users, position %d", report.Rows, report.Users, report.Position)
	}
	counted := map[string]int64{}
	for id := range want {
		user, rule, edge := splitID(t, id)
		counted[rule]++
		counted[rule+" "+user]++
		counted[rule+" "+edge[:len("2026-01-01")]]++
	}
	for _, rule := range report.Rules {
		id := rule.Rule.ID
		if rule.Alerts != counted[id] {
			t.Errorf("rule %s: %d alerts, want %d", id, rule.Alerts, counted[id])
		}
		var days, most int64
		for i, d := range rule.Days {
			days += d.Alerts
			if n := counted[id+" "+d.At.Std().Format(time.DateOnly)]; n != d.Alerts ||
				i > 0 && rule.Days[i-1].At >= d.At {
				t.Errorf("rule %s, %v: %d alerts, want %d", id, d.At, d.Alerts, n)
			}
		}
		for _, u := range rule.Most {
			most = max(most, u.Alerts)
			if n := counted[id+" "+u.User]; n != u.Alerts {
				t.Errorf("rule %s, user %s: %d alerts, want %d", id, u.User, u.Alerts, n)
			}
		}
		if days != rule.Alerts || rule.Alerts > 0 && most != rule.Most[0].Alerts ||
			len(rule.Most) != min(int(rule.Users), 10) {
			t.Errorf("rule %s: %d alerts on its days; %v of %d users", id, days, rule.Most, rule.Users)
		}
	}
}

func splitID(t testing.TB, id string) (user, rule, edge string) {
	t.Helper()
	parts := strings.Split(id, "/")
	if len(parts) != 3 {
		t.Fatalf("the id %q", id)
	}
	return parts[0], parts[1], parts[2]
}

// TestSpan: of a span the same alerts come as of the whole, since the rows of the windows before it are read too.
func TestSpan(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	set := parse(t, everyMeasure(r))
	w := newWorld(t, set)
	rows := draw(t, r, 6_000, 5)
	w.table.Insert(t, rows)
	from, to := rows[2000].Time, rows[4000].Time
	_, got := w.edges(t, set, all(func(o *backtest.Options) { o.From, o.To = from, to }))
	want := w.judged(t, set)
	maps.DeleteFunc(want, func(id string, _ testkit.Verdict) bool {
		_, _, edge := splitID(t, id)
		return edge < from.String() || edge > to.String()
	})
	if len(want) == 0 || !maps.Equal(got, want) {
		t.Errorf("%d alerts, PostgreSQL has %d edges in the span", len(got), len(want))
	}
}

// TestCurve: the curve says for random limits, and for those where it steps, what PostgreSQL finds for a rule with
// that limit.
func TestCurve(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	set := parse(t, everyMeasure(r))
	w := newWorld(t, set)
	w.table.Insert(t, draw(t, r, 2_000, 6))
	report, _ := w.edges(t, set, all(nil))
	compared := 0
	for _, rule := range report.Rules {
		steps, known := rule.Curve.Steps()
		if rule.Rule.Silences() || rule.Rule.Measure == brimline.Avg {
			if known {
				t.Errorf("rule %s has a curve", rule.Rule.ID)
			}
			continue
		}
		if !known || len(steps) < 3 {
			t.Fatalf("rule %s: %d steps, %v", rule.Rule.ID, len(steps), known)
		}
		lowest, _ := steps[0].Limit.Int64()
		highest, _ := steps[len(steps)-1].Limit.Int64()
		for n := range 20 {
			limit := brimline.Amount(lowest - 3 + r.Int64N(highest-lowest+6)).Total()
			if n%2 == 0 {
				limit = steps[r.IntN(len(steps))].Limit
			}
			with := *rule.Rule
			with.Limit = limit
			want := int64(len(w.table.Edges(t, with, where[with.ID])))
			if got := backtest.AlertsAt(steps, limit); got != want {
				t.Errorf("rule %s, limit %s: %d alerts, PostgreSQL has %d edges", with.ID, limit.Format(2), got, want)
			}
			compared++
		}
	}
	if compared < 100 {
		t.Errorf("only %d limits were compared", compared)
	}
}

// TestAgainst: what is kept, gained, lost and moved between two files adds up, and is what the definition says of the
// edges of both.
func TestAgainst(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	now := parse(t, `rules:
  - {id: same, window: 24h, limit: "150"}
  - {id: limit, window: 24h, limit: "170"}
  - {id: window, window: 30h, limit: "300"}
  - {id: new, window: 24h, limit: "150"}
  - {id: quiet, window: 24h, limit: "150", quiet: 40h}
  - {id: quieter, window: 24h, limit: "150", quiet: 90h}
  - {id: rearm, window: 24h, limit: "150", rearm: 50%}
`)
	old := parse(t, `rules:
  - {id: same, window: 24h, limit: "150"}
  - {id: limit, window: 24h, limit: "150"}
  - {id: window, window: 20h, limit: "300"}
  - {id: gone, window: 24h, limit: "100"}
  - {id: quiet, window: 24h, limit: "150"}
  - {id: quieter, window: 24h, limit: "150", quiet: 60h}
  - {id: rearm, window: 24h, limit: "150", rearm: 80%}
`)
	w := newWorld(t, now)
	w.table.Insert(t, draw(t, r, 3_000, 6))
	o := all(func(o *backtest.Options) { o.Compare, o.Against = true, old.Compiled() })
	report, _ := w.edges(t, now, o)
	if len(report.Rules) != 8 {
		t.Fatalf("%d rules", len(report.Rules))
	}
	for _, rule := range report.Rules {
		nowEdges, oldEdges := map[string]testkit.Verdict{}, map[string]testkit.Verdict{}
		id := ""
		if rule.Rule != nil {
			id, nowEdges = rule.Rule.ID, w.table.Edges(t, *rule.Rule, "")
		}
		if rule.Old != nil {
			id, oldEdges = rule.Old.ID, w.table.Edges(t, *rule.Old, "")
		}
		kept := 0
		for edge := range nowEdges {
			if _, ok := oldEdges[edge]; ok {
				kept++
			}
		}
		if rule.Alerts != int64(len(nowEdges)) || rule.OldAlerts != int64(len(oldEdges)) || rule.Kept != int64(kept) ||
			rule.Gained+rule.Moved+rule.Kept != rule.Alerts || rule.Lost+rule.Moved+rule.Kept != rule.OldAlerts {
			t.Errorf(
				"rule %s: %d alerts, %d old, kept %d, gained %d, lost %d, moved %d; PostgreSQL: %d, %d, kept %d",
				id,
				rule.Alerts,
				rule.OldAlerts,
				rule.Kept,
				rule.Gained,
				rule.Lost,
				rule.Moved,
				len(nowEdges),
				len(oldEdges),
				kept,
			)
		}
		if id == "same" && (rule.Gained+rule.Lost+rule.Moved != 0 || rule.Kept == 0) {
			t.Errorf("the same rule: %+v", rule)
		}
		for _, m := range rule.MovedExamples {
			_, inNow := nowEdges[m.From.ID()]
			_, inOld := oldEdges[m.To.ID()]
			gap := m.To.Time - m.From.Time
			if inNow || inOld || max(gap, -gap) > brimline.Time(30*time.Hour/time.Microsecond) ||
				m.From.User != m.To.User {
				t.Errorf("rule %s has moved %s to %s", id, m.From.ID(), m.To.ID())
			}
		}
		for _, a := range rule.GainedExamples {
			if _, ok := nowEdges[a.ID()]; !ok {
				t.Errorf("rule %s gained %s", id, a.ID())
			}
		}
		for _, a := range rule.LostExamples {
			if _, ok := oldEdges[a.ID()]; !ok {
				t.Errorf("rule %s lost %s", id, a.ID())
			}
		}
	}
	var out bytes.Buffer
	if err := report.WriteJSON(&out, 2); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Rules []struct {
			ID      string
			Against *struct{ Lost int64 }
			Curve   *struct{ Steps []any }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	last := read.Rules[7]
	if last.ID != "gone" || last.Against == nil || last.Against.Lost != report.Rules[7].Lost || last.Curve != nil ||
		len(read.Rules[0].Curve.Steps) == 0 || len(read.Rules[0].Curve.Steps) > 1000 ||
		read.Rules[4].ID != "quiet" || read.Rules[4].Curve != nil {
		t.Errorf("as JSON: %s", out.Bytes())
	}
}

// TestManyRowsOfOneTime: rows of one time that are more than are evaluated at once make one edge.
func TestManyRowsOfOneTime(t *testing.T) {
	set := parse(t, `rules: [{id: r, window: 1h, limit: "100"}]`)
	w := newWorld(t, set)
	at, err := brimline.ParseTime("2026-01-01T00:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	var rows []testkit.Row
	for i := range int64(20_000) {
		rows = append(rows, testkit.Row{ID: i, User: 7, Amount: 100, Time: at})
	}
	w.table.Insert(t, rows)
	_, got := w.edges(t, set, all(nil))
	want := map[string]testkit.Verdict{
		brimline.AlertID("7", "r", at): {Before: "0.00", Total: "20000.00", Count: 20_000},
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestNothingThere: a table without rows has a report, and one that is stopped or out of time has none.
func TestNothingThere(t *testing.T) {
	set := parse(t, `rules: [{id: r, window: 1h, limit: "100"}]`)
	w := newWorld(t, set)
	report, got := w.edges(t, set, all(nil))
	if len(got) != 0 || report.Rows != 0 || report.Users != 0 || len(report.Rules) != 1 {
		t.Errorf("of no rows: %+v", report)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o := all(func(o *backtest.Options) { o.Rules = set.Compiled() })
	if _, err := backtest.Run(ctx, w.ledger, o); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	w.table.Insert(t, draw(t, testkit.Rand(testkit.Seed(t)), 30_000, 1))
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	o.Progress = func(int64, int64) { cancel() } // after some thousand rows
	if report, err := backtest.Run(ctx, w.ledger, o); !errors.Is(err, context.Canceled) || report != nil {
		t.Errorf("stopped in the middle: %v, %v", report, err)
	}
	o.Progress, o.Budget = nil, 1
	_, err := backtest.Run(t.Context(), w.ledger, o)
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "backtest_budget" {
		t.Errorf("out of time: %v", err)
	}
}

// BenchmarkBacktest reads a million rows: alone by COPY from PostgreSQL, and judged by one rule and by five.
func BenchmarkBacktest(b *testing.B) {
	set := parse(b, everyMeasure(rand.New(rand.NewPCG(1, 2))))
	w := newWorld(b, set)
	const rows = 1_000_000
	w.table.Insert(b, draw(b, rand.New(rand.NewPCG(1, 2)), rows, 5_000))
	w.table.Analyze(b)
	run := func(n int) func(b *testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				o := all(func(o *backtest.Options) { o.Rules = set.Compiled()[:n] })
				if _, err := backtest.Run(b.Context(), w.ledger, o); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
		}
	}
	b.Run("postgres", func(b *testing.B) {
		for b.Loop() {
			read, err := w.table.Conn.PgConn().
				CopyTo(b.Context(), discard{}, `COPY (SELECT user_id, "timestamp", amount FROM `+
					w.table.Name.Sanitize()+` ORDER BY user_id, "timestamp") TO STDOUT`)
			if err != nil || read.RowsAffected() != rows {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
	b.Run("rules=1", run(1))
	b.Run("rules=5", run(5))
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// TestByTheDefinition: the definition word by word, over rows in memory, finds the same edges.
func TestByTheDefinition(t *testing.T) {
	r := testkit.Rand(testkit.Seed(t))
	set := parse(t, everyMeasure(r))
	w := newWorld(t, set)
	rows := draw(t, r, 800, 4)
	w.table.Insert(t, rows)
	var table reference.Table
	users := map[string]bool{}
	for _, row := range rows {
		user := fmt.Sprint(row.User)
		users[user] = true
		table.Put(&brimline.Transaction{
			ID: fmt.Sprint(row.ID), User: user, Amount: row.Amount, Time: row.Time,
			Columns: []brimline.Field{{Name: "description", Value: row.Description}},
		})
	}
	var want []string
	for _, rule := range set.Compiled() {
		for user := range users {
			judged := &reference.Rule{Rule: rule.Rule, Takes: rule.Takes, Value: rule.Value}
			for _, e := range table.Edges(judged, user, brimline.MinTime, brimline.MaxTime) {
				want = append(want, brimline.AlertID(user, rule.ID, e.At))
			}
		}
	}
	_, got := w.edges(t, set, all(nil))
	slices.Sort(want)
	if have := slices.Sorted(maps.Keys(got)); !slices.Equal(have, want) || len(want) == 0 {
		t.Errorf("%d alerts, by the definition there are %d", len(have), len(want))
	}
}
