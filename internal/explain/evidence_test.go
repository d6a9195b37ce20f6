package explain

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors/window"
	"github.com/brimline/brimline/views"
)

const (
	rounds   = 12
	perRound = 900
	users    = 14
	day      = 24 * time.Hour
)

var begin = brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))

// Reasons and figures for more than 10,000 questions about random tables are those of SQL over the rows of the table,
// those that the stream has, and what became of its edges. PostgreSQL is asked in one half of them.
func TestReasonsAgreeWithSQL(t *testing.T) {
	postgres, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	must(t, err)
	t.Cleanup(func() { _ = postgres.Stop(context.Background()) })
	conn := testkit.Connect(t, postgres.URL(""))
	seed := testkit.Seed(t)
	seen, asked := map[Reason]int{}, 0
	for round := range rounds {
		r := testkit.Rand(seed + uint64(round))
		table := testkit.CreateTable(t, conn, "streaming", fmt.Sprint("t", round))
		set := drawRules(r)
		w := newScene(t, r, set, table)
		w.live()
		w.write()
		l, err := ledger.Open(t.Context(), ledger.Options{
			URL: postgres.URL(""), Table: "streaming." + table.Name[1], Scale: 2, Extra: set.Columns,
			Columns: ledger.Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp"},
		})
		must(t, err)
		for _, p := range w.points() {
			asked++
			got := w.explain(l, &p)
			if p.want.reason != string(got.Reason) {
				t.Errorf(
					"round %d, user %s, rule %s, at %s, database %v: %s, SQL says %s (total %s, SQL %s; edge %s, SQL %s)",
					round,
					p.user,
					p.rule.ID,
					p.at,
					p.db,
					got.Reason,
					p.want.reason,
					got.Total.Format(got.Scale),
					p.want.total,
					got.Edge,
					p.want.edge,
				)
			}
			seen[got.Reason]++
			if total := got.Total.Format(got.Scale); total != p.want.total || got.Count != p.want.count {
				t.Errorf(
					"round %d, user %s, rule %s, at %s, database %v: %s of %d, SQL says %s of %d",
					round,
					p.user,
					p.rule.ID,
					p.at,
					p.db,
					total,
					got.Count,
					p.want.total,
					p.want.count,
				)
			}
			if (got.Reason == AboveSince || got.Reason == Alerted) && p.want.edge != got.Edge {
				t.Errorf(
					"round %d, user %s, rule %s, at %s: edge %s, SQL says %s",
					round,
					p.user,
					p.rule.ID,
					p.at,
					got.Edge,
					p.want.edge,
				)
			}
			if t.Failed() && asked > 50 {
				t.FailNow()
			}
		}
		l.Close()
	}
	t.Logf("%d questions: %v", asked, seen)
	if asked < 10_000 {
		t.Errorf("%d questions", asked)
	}
	for _, reason := range Reasons() {
		if seen[reason] == 0 {
			t.Errorf("no question was answered with %s", reason)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func drawRules(r *rand.Rand) *rules.Set {
	set := &rules.Set{
		RuleSet: brimline.RuleSet{Scale: 2, Columns: []brimline.Column{{Name: "description", Type: brimline.Text}}},
	}
	for i, m := range brimline.Measures() {
		limit := brimline.Amount(20_000 + r.IntN(60_000)).Total()
		if m == brimline.CountAll {
			limit = brimline.Count(int64(2 + r.IntN(6)))
		}
		if m == brimline.Avg {
			limit = brimline.Amount(2_000 + r.IntN(10_000)).Total()
		}
		if m == brimline.Max {
			limit = brimline.Amount(5_000 + r.IntN(12_000)).Total()
		}
		rule := brimline.Rule{
			ID: m.String(), Measure: m, Limit: limit, Window: time.Duration(2+r.IntN(7)) * day, Shadow: r.IntN(6) == 0,
		}
		if m == brimline.Avg {
			rule.MinCount = int64(r.IntN(4))
		}
		if m == brimline.Distinct {
			rule.Column, rule.Limit, limit = "description", brimline.Count(int64(r.IntN(2))), brimline.Count(0)
		}
		if i%2 == 0 {
			rule.Where = `description == "x"`
		}
		switch n := r.IntN(3); {
		case n == 0:
			rule.Quiet = time.Duration(1+r.IntN(6)) * day
		case n == 1 && !m.Shrinks():
			rule.Rearms, rule.Rearm = true, limit
			if !m.Counts() {
				rule.Rearm = brimline.Amount(r.IntN(20_000)).Total()
			}
		}
		set.Rules = append(set.Rules, rule)
	}
	return set
}

// scene is a table, what the stream has of it, and what became of the edges that it found.
type scene struct {
	t          *testing.T
	r          *rand.Rand
	table      testkit.Table
	set        *rules.Set
	compiled   []sliding.Rule
	truth      []testkit.Row
	windows    map[string]*brimline.Window
	alerts     map[string][]*brimline.Alert // by user and rule
	dismissals map[string][]*brimline.Alert
	letters    map[string][]*brimline.DeadLetter
	cut        map[string]bool
	batch      pgx.Batch
}

func newScene(t *testing.T, r *rand.Rand, set *rules.Set, table testkit.Table) *scene {
	w := &scene{
		t: t, r: r, table: table, set: set, windows: map[string]*brimline.Window{}, alerts: map[string][]*brimline.Alert{},
		dismissals: map[string][]*brimline.Alert{}, letters: map[string][]*brimline.DeadLetter{}, cut: map[string]bool{},
	}
	for _, rule := range set.Rules {
		c, err := rules.CompileRule(rule, set.Columns, 2)
		must(t, err)
		w.compiled = append(w.compiled, c)
	}
	return w
}

func (w *scene) moment() brimline.Time { return begin.Add(time.Duration(w.r.IntN(40*24)) * time.Hour) }

func (w *scene) chance(percent int) bool { return w.r.IntN(100) < percent }

// live draws each user's rows, has them folded, and draws what became of the edges.
func (w *scene) live() {
	id := int64(0)
	for user := range users {
		name := strconv.Itoa(user + 1)
		var held []brimline.Transaction
		for range 3 + w.r.IntN(60) {
			id++
			row := testkit.Row{
				ID: id, User: int64(user + 1), Amount: brimline.Amount(w.r.IntN(30_000) - 12_000), Time: w.moment(),
				Description: []string{"x", "x", "y"}[w.r.IntN(3)],
			}
			has := brimline.Transaction{ID: strconv.FormatInt(id, 10), User: name, Amount: row.Amount, Time: row.Time,
				Columns: []brimline.Field{{Name: "description", Value: row.Description}}}
			switch lost := user%4 == 1; {
			case lost && w.chance(12): // the stream has never had it
				w.truth = append(w.truth, row)
				if w.chance(40) {
					w.letters[name] = append(w.letters[name], &brimline.DeadLetter{
						Topic: "source", Row: has.ID, User: name, At: w.moment(),
					})
				}
			case lost && w.chance(8): // PostgreSQL has it no more
				held = append(held, has)
			default:
				w.truth, held = append(w.truth, row), append(held, has)
			}
		}
		switch {
		case user == 12: // whom the stream does not know
		case user == 13:
			w.windows[name] = &brimline.Window{Last: 1, Scale: 2, Floor: brimline.MinTime}
		default:
			w.fold(name, held)
		}
	}
	w.table.Insert(w.t, w.truth)
}

// fold folds rows in any order, and answers what is asked.
func (w *scene) fold(user string, held []brimline.Transaction) {
	f := window.NewFolder(&w.set.RuleSet, w.compiled, 90*day)
	state, offset := f.NewState(user, nil, nil, 0), int64(0)
	asked := map[string][]brimline.Candidate{}
	w.r.Shuffle(len(held), func(i, j int) { held[i], held[j] = held[j], held[i] })
	for i := range held {
		candidates, _ := f.Fold(state, window.Input{Offset: offset, Change: &brimline.Change{
			Kind: brimline.Upsert, User: user, Row: held[i], Inserted: true,
			Source: brimline.Source{Topic: "source", Offset: offset, LSN: uint64(offset + 1)},
		}})
		for _, c := range candidates {
			if c.Kind == brimline.EdgeCandidate {
				asked[c.Rule.ID] = append(asked[c.Rule.ID], c)
			}
		}
		offset++
	}
	kept := &brimline.Window{Last: offset, Scale: 2, Floor: brimline.MinTime}
	if w.chance(40) {
		kept.Floor = w.moment()
		if w.chance(50) {
			kept.Doubt = brimline.Doubt{
				Offset: 1,
				Reason: brimline.ByCommand,
				At:     kept.Floor,
				From:   begin,
				Floor:  kept.Floor,
			}
		}
	}
	slices.SortFunc(held, func(a, b brimline.Transaction) int { return a.Compare(&b) })
	for i := range held {
		if held[i].Time > kept.Floor {
			kept.Rows = append(kept.Rows, brimline.RowOf(&held[i]))
		}
	}
	w.cut[user] = w.chance(50)
	for i := range w.compiled {
		kept.Rules = append(kept.Rules, w.became(user, &w.compiled[i], asked[w.compiled[i].ID]))
	}
	w.windows[user] = kept
}

// became draws what became of the edges that a rule has found.
func (w *scene) became(user string, rule *sliding.Rule, asked []brimline.Candidate) brimline.RuleState {
	state, key := brimline.RuleState{Rule: rule.Fingerprint}, user+" "+rule.ID
	if w.chance(15) {
		state.Quiet = w.moment()
	}
	if w.chance(10) {
		from := w.moment()
		state.Unjudged = []brimline.Span{{From: from, Until: from.Add(2 * day)}}
	}
	edges := map[brimline.Time]brimline.Edge{}
	for i := range asked {
		c := &asked[i]
		edge := brimline.Edge{Time: c.Edge, Cause: c.Cause}
		if w.chance(5) { // lost without a trace
			continue
		}
		switch n := w.r.IntN(100); {
		case n < 45:
			w.alert(key, c)
		case n < 52:
			w.refuse(key, c, brimline.ReasonBeforeAlertsFrom)
		case n < 66 && rule.Quiet != 0:
			w.refuse(key, c, brimline.ReasonQuiet)
		case n < 66 && rule.Rearms:
			w.refuse(key, c, brimline.ReasonNotRearmed)
		case n < 80:
			w.refuse(key, c, brimline.ReasonAlreadyAbove)
			edge.Status = brimline.EdgeDismissed
			if w.chance(20) { // put once more
				edge.Status = brimline.Announced
				edge.Cause.Offset++
			}
		case n < 86:
			edge.Status = brimline.Unjudged
		case n < 90:
			edge.Status = brimline.Disturbed
		case n < 93:
			edge.Status = brimline.EdgeDismissed
		}
		if c.Edge > state.Quiet && !w.chance(4) { // or forgotten, by age
			edges[c.Edge] = edge
		}
	}
	for _, edge := range edges {
		state.Edges = append(state.Edges, edge)
	}
	slices.SortFunc(state.Edges, func(a, b brimline.Edge) int { return int(a.Time - b.Time) })
	if w.chance(10) {
		from := w.moment()
		w.refuse(key, &brimline.Candidate{Kind: brimline.LateCandidate, User: user, Rule: rule.Rule, Edge: from,
			Until: from.Add(day)}, brimline.ReasonNoDatabase)
	}
	return state
}

func (w *scene) alert(key string, c *brimline.Candidate) {
	a := &brimline.Alert{Candidate: *c, Verification: brimline.Verification{Status: brimline.Verified}}
	for _, other := range w.alerts[key] {
		if other.Candidate.Edge > c.Edge && w.chance(40) {
			a.Supersedes = append(a.Supersedes, other.Candidate.Edge)
		}
	}
	w.alerts[key] = append([]*brimline.Alert{a}, w.alerts[key]...)
}

func (w *scene) refuse(key string, c *brimline.Candidate, reason string) {
	d := &brimline.Alert{Candidate: *c, Reason: reason, Verification: brimline.Verification{Status: brimline.Dismissed}}
	w.dismissals[key] = append([]*brimline.Alert{d}, w.dismissals[key]...)
}

// explain asks the product.
func (w *scene) explain(l *ledger.Ledger, p *point) *Report {
	w.t.Helper()
	compiled, err := views.CompileRules(&w.set.RuleSet)
	must(w.t, err)
	key := p.user + " " + p.rule.ID
	e := &Evidence{
		Rule: p.rule, User: views.UserAt(p.user, w.windows[p.user], compiled, p.at), Alerts: w.alerts[key],
		Dismissed: w.dismissals[key], AlertsCut: w.cut[p.user], Letters: w.letters[p.user],
	}
	if p.db {
		e.Database, err = consult(w.t.Context(), l, p.user, p.rule, p.at)
		must(w.t, err)
	}
	return e.Report()
}

type point struct {
	user string
	rule *sliding.Rule
	at   brimline.Time
	db   bool
	want struct {
		reason, total string
		count         int64
		edge          brimline.Time
	}
}

// write puts into the database what is no row of the table.
func (w *scene) write() {
	w.table.Exec(w.t, `DROP SCHEMA IF EXISTS seen CASCADE`)
	for _, sql := range []string{
		`CREATE SCHEMA seen`,
		// No window function of PostgreSQL's counts different values.
		`CREATE OR REPLACE FUNCTION number_of_different(numeric[]) RETURNS numeric LANGUAGE sql IMMUTABLE AS
			'SELECT count(DISTINCT v) FROM unnest($1) v'`,
		`CREATE OR REPLACE AGGREGATE different(numeric) (sfunc = array_append, stype = numeric[], initcond = '{}',
			finalfunc = number_of_different)`,
		`CREATE TABLE seen.rules (rule text, span interval, lim numeric, measure text, only_x boolean, shadow boolean, quiet_for interval,
			rearm numeric, fewest int)`,
		`CREATE TABLE seen.stream (user_id text, id text, amount numeric, ts timestamptz, description text)`,
		`CREATE TABLE seen.users (user_id text, floor timestamptz, doubt timestamptz, cut boolean)`,
		`CREATE TABLE seen.edges (user_id text, rule text, ts timestamptz, status int, cause bigint)`,
		`CREATE TABLE seen.quiet (user_id text, rule text, ts timestamptz)`,
		`CREATE TABLE seen.unjudged (user_id text, rule text, ts timestamptz, until timestamptz)`,
		`CREATE TABLE seen.alerts (user_id text, rule text, ts timestamptz, supersedes timestamptz[])`,
		`CREATE TABLE seen.dismissed (user_id text, rule text, ts timestamptz, until timestamptz, reason text, cause bigint, n int)`,
		`CREATE TABLE seen.letters (user_id text, row_id text, at timestamptz)`,
		`CREATE TABLE seen.points (n int, user_id text, rule text, at timestamptz, db boolean)`,
	} {
		w.table.Exec(w.t, sql)
	}
	for _, r := range w.set.Rules {
		var rearm any
		if r.Rearms {
			rearm = r.Rearm.Format(r.Measure.Scale(2))
		}
		w.insert(
			"rules",
			r.ID,
			r.Window,
			r.Limit.Format(r.Measure.Scale(2)),
			r.Measure.String(),
			r.Where != "",
			r.Shadow,
			r.Quiet,
			rearm,
			r.MinCount,
		)
	}
	for user, v := range w.windows {
		var floor, doubt any
		if v.Floor != brimline.MinTime {
			floor = v.Floor.Std()
		}
		if v.Doubt.Offset != 0 {
			doubt = v.Doubt.Floor.Std()
		}
		w.insert("users", user, floor, doubt, w.cut[user])
		for i := range v.Rows {
			row := v.Rows[i].Transaction(user)
			w.insert("stream", user, row.ID, row.Amount.Format(2), row.Time.Std(), row.Columns[0].Value)
		}
		for i, state := range v.Rules {
			rule := w.set.Rules[i].ID
			for _, edge := range state.Edges {
				w.insert("edges", user, rule, edge.Time.Std(), int(edge.Status), edge.Cause.Offset)
			}
			if state.Quiet != 0 {
				w.insert("quiet", user, rule, state.Quiet.Std())
			}
			for _, s := range state.Unjudged {
				w.insert("unjudged", user, rule, s.From.Std(), s.Until.Std())
			}
		}
	}
	for _, all := range w.alerts {
		for _, a := range all {
			old := []time.Time{}
			for _, s := range a.Supersedes {
				old = append(old, s.Std())
			}
			w.insert("alerts", a.Candidate.User, a.Candidate.Rule.ID, a.Candidate.Edge.Std(), old)
		}
	}
	for _, all := range w.dismissals {
		for n, d := range all {
			c := &d.Candidate
			until := c.Edge
			if c.Kind == brimline.LateCandidate {
				until = c.Until
			}
			w.insert("dismissed", c.User, c.Rule.ID, c.Edge.Std(), until.Std(), d.Reason, c.Cause.Offset, n)
		}
	}
	for user, all := range w.letters {
		for _, d := range all {
			w.insert("letters", user, d.Row, d.At.Std())
		}
	}
}

func (w *scene) insert(table string, values ...any) {
	w.t.Helper()
	places := ""
	for i := range values {
		if i > 0 {
			places += ", "
		}
		places += "$" + strconv.Itoa(i+1)
	}
	w.batch.Queue(`INSERT INTO seen.`+table+` VALUES (`+places+`)`, values...)
}

// flush has PostgreSQL take what was inserted.
func (w *scene) flush() {
	w.t.Helper()
	must(w.t, w.table.Conn.SendBatch(w.t.Context(), &w.batch).Close())
	w.batch = pgx.Batch{}
}

// points are questions with the answers that SQL gives them: at times of rows and edges, and at any others.
func (w *scene) points() (all []point) {
	for n := range perRound {
		p := point{
			user: strconv.Itoa(
				1 + w.r.IntN(users+1),
			), rule: &w.compiled[w.r.IntN(len(w.compiled))], at: w.moment(), db: n%2 == 0,
		}
		if rows := w.truth; w.chance(70) {
			row := rows[w.r.IntN(len(rows))]
			p.user, p.at = strconv.FormatInt(row.User, 10), row.Time
		} else if alerts := w.alerts[p.user+" "+p.rule.ID]; len(alerts) > 0 && w.chance(60) {
			p.at = alerts[w.r.IntN(len(alerts))].Candidate.Edge
		}
		w.insert("points", n, p.user, p.rule.ID, p.at.Std(), p.db)
		all = append(all, p)
	}
	w.flush()
	w.table.Exec(w.t, fmt.Sprintf(weighedSQL, w.table.Name.Sanitize()))
	w.table.Exec(w.t, `CREATE INDEX ON seen.weighed (user_id, rule, db, ts)`)
	w.table.Exec(
		w.t,
		`CREATE TABLE seen.figures (db boolean, user_id text, rule text, ts timestamptz, span interval, lim numeric,
			total numeric, before numeric, is_above boolean, was_above boolean)`,
	)
	for _, rule := range w.set.Rules {
		aggregate := "sum"
		switch rule.Measure {
		case brimline.Max:
			aggregate = "max"
		case brimline.Distinct:
			aggregate = "different"
		}
		w.table.Exec(w.t, fmt.Sprintf(figuresSQL, rule.ID, fmt.Sprintf("%d hours", int(rule.Window.Hours())), aggregate))
	}
	w.table.Exec(w.t, `CREATE TABLE seen.crossings AS SELECT * FROM seen.figures WHERE is_above AND NOT was_above`)
	w.table.Exec(w.t, `CREATE INDEX ON seen.figures (user_id, rule, db, ts)`)
	w.table.Exec(w.t, `CREATE INDEX ON seen.crossings (user_id, rule, db, ts)`)
	w.table.Exec(w.t, `ANALYZE`)
	w.table.Exec(w.t, `SET jit = off`) // it would compile for longer than the statement takes
	rows, err := w.table.Conn.Query(w.t.Context(), judgeSQL)
	must(w.t, err)
	var (
		n             int
		reason, total string
		count         int64
		edge          *time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&n, &reason, &total, &count, &edge}, func() error {
		want := &all[n].want
		want.reason, want.count = reason, count
		sum, err := brimline.ParseTotal(total, 2)
		if err != nil {
			return err
		}
		want.total = sum.Format(2)
		switch all[n].rule.Measure {
		case brimline.CountAll:
			want.total = strconv.FormatInt(count, 10)
		case brimline.Distinct:
			want.total = total
		}
		if edge != nil {
			want.edge = brimline.TimeOf(*edge)
		}
		return nil
	})
	must(w.t, err)
	return all
}

// weighedSQL gives the weight that each row adds to each rule, in the table (db) and in the stream.
const weighedSQL = `
CREATE TABLE seen.weighed AS
	SELECT h.db, h.user_id, h.id, h.ts, r.rule, r.span, r.lim, r.measure, r.fewest,
		NOT r.only_x OR h.description = 'x' AS taken,
		CASE r.measure WHEN 'sum_abs' THEN abs(amount) WHEN 'sum' THEN amount WHEN 'sum_in' THEN greatest(amount, 0)
			WHEN 'sum_out' THEN greatest(-amount, 0) WHEN 'max' THEN abs(amount)
			WHEN 'avg' THEN abs(amount) WHEN 'distinct' THEN hashtext(description) ELSE 1 END AS weight,
		CASE r.measure WHEN 'sum_in' THEN amount > 0 WHEN 'sum_out' THEN amount < 0 ELSE true END AS counts
	FROM (SELECT true AS db, user_id::text, id::text, amount, "timestamp" AS ts, description FROM %s
		UNION ALL SELECT false, user_id, id, amount, ts, description FROM seen.stream) h CROSS JOIN seen.rules r`

// figuresSQL gives the figures that the definition of an edge compares. A frame takes no column, so each rule has a
// query of its own.
const figuresSQL = `
INSERT INTO seen.figures SELECT DISTINCT db, user_id, rule, ts, span, lim, total, before,
	CASE measure WHEN 'avg' THEN total > lim * n AND n >= fewest ELSE total > lim END,
	CASE measure WHEN 'avg' THEN before > lim * nb AND nb >= fewest ELSE before > lim END FROM (
	SELECT *, %[3]s(weight) OVER w AS total, coalesce(%[3]s(weight) OVER b, 0) AS before,
		count(*) OVER w AS n, count(*) OVER b AS nb FROM seen.weighed
	WHERE taken AND rule = '%[1]s'
	WINDOW w AS (PARTITION BY db, user_id ORDER BY ts RANGE BETWEEN INTERVAL '%[2]s' PRECEDING AND CURRENT ROW),
		b AS (PARTITION BY db, user_id ORDER BY ts RANGE BETWEEN INTERVAL '%[2]s' PRECEDING AND CURRENT ROW EXCLUDE GROUP)
) x`

// judgeSQL says the same as docs/explain.md, by other means: a total by a join, edges by the definition's query.
const judgeSQL = `
WITH p AS MATERIALIZED (
	SELECT p.*, r.span, r.lim, r.shadow, r.measure, r.quiet_for, r.rearm, r.fewest,
		u.user_id IS NOT NULL AS found, u.floor, u.doubt, u.cut,
		p.db OR (coalesce(u.floor, '-infinity') < p.at - r.span AND coalesce(u.doubt, '-infinity') < p.at - r.span) AS known
	FROM seen.points p JOIN seen.rules r USING (rule) LEFT JOIN seen.users u USING (user_id)
), f AS MATERIALIZED (
	SELECT p.*, s.*, s.total > p.lim * CASE p.measure WHEN 'avg' THEN s.counted ELSE 1 END
			AND (p.measure <> 'avg' OR s.counted >= p.fewest) AS over,
		s.withall > p.lim * CASE p.measure WHEN 'avg' THEN s.counted + s.others ELSE 1 END
			AND (p.measure <> 'avg' OR s.counted + s.others >= p.fewest) AS over_all,
		(SELECT count(*) FROM seen.weighed w WHERE NOT w.db AND w.user_id = p.user_id
			AND w.rule = p.rule AND w.taken AND w.ts BETWEEN p.at - p.span AND p.at) AS streamed_n,
		(SELECT coalesce(CASE p.measure WHEN 'max' THEN max(weight) WHEN 'distinct' THEN different(weight)
			ELSE sum(weight) END, 0) FROM seen.weighed w
			WHERE NOT w.db AND w.user_id = p.user_id
			AND w.rule = p.rule AND w.taken AND w.ts BETWEEN p.at - p.span AND p.at) AS streamed
	FROM p CROSS JOIN LATERAL (
		SELECT coalesce(CASE p.measure WHEN 'max' THEN max(weight) FILTER (WHERE taken)
				WHEN 'distinct' THEN different(weight) FILTER (WHERE taken) ELSE sum(weight) FILTER (WHERE taken) END,
				0) AS total, count(*) FILTER (WHERE taken AND counts) AS counted,
			coalesce(CASE p.measure WHEN 'max' THEN max(weight) WHEN 'distinct' THEN different(weight)
				ELSE sum(weight) END, 0) AS withall,
			count(*) FILTER (WHERE NOT taken AND counts) AS others,
			max(ts) FILTER (WHERE taken) AS newest, count(*) FILTER (WHERE db) AS there
		FROM seen.weighed w WHERE w.db = p.db AND w.user_id = p.user_id AND w.rule = p.rule
		AND w.ts BETWEEN p.at - p.span AND p.at) s
), e AS MATERIALIZED (
	SELECT f.*, CASE WHEN f.over THEN (SELECT max(c.ts) FROM seen.crossings c
		WHERE c.db = f.db AND c.user_id = f.user_id
			AND c.rule = f.rule AND c.ts <= f.at AND (f.db OR f.floor IS NULL OR c.ts - c.span > f.floor)) END AS latest,
		CASE WHEN f.db AND f.streamed > f.lim * CASE f.measure WHEN 'avg' THEN f.streamed_n ELSE 1 END
			AND (f.measure <> 'avg' OR f.streamed_n >= f.fewest) THEN (SELECT max(c.ts) FROM seen.crossings c WHERE NOT c.db
			AND c.user_id = f.user_id AND c.rule = f.rule AND c.ts <= f.at) END AS theirs
	FROM f
), g AS MATERIALIZED (
	SELECT e.*, CASE WHEN e.measure NOT IN ('sum', 'avg') OR NOT EXISTS (
		SELECT FROM seen.weighed m CROSS JOIN LATERAL (VALUES (m.ts), (m.ts + e.span + '1 microsecond'::interval)) i (ts)
			CROSS JOIN LATERAL (SELECT coalesce(sum(w.weight), 0) AS total, count(*) FILTER (WHERE w.counts) AS counted
				FROM seen.weighed w WHERE w.db = e.db AND w.user_id = e.user_id AND w.rule = e.rule AND w.taken
				AND w.ts BETWEEN i.ts - e.span AND i.ts) s
		WHERE m.db = e.db AND m.user_id = e.user_id AND m.rule = e.rule AND i.ts > e.latest AND i.ts <= e.at
			AND NOT (s.total > e.lim * CASE e.measure WHEN 'avg' THEN s.counted ELSE 1 END
				AND (e.measure <> 'avg' OR s.counted >= e.fewest))) THEN e.latest END AS edge
	FROM e
), state AS (
	SELECT g.n, t.ts, CASE
		WHEN e.ts IS NULL AND EXISTS (SELECT FROM seen.unjudged j WHERE j.user_id = g.user_id AND j.rule = g.rule
			AND t.ts BETWEEN j.ts AND j.until) THEN 'dead_letter'
		WHEN e.status = 3 THEN 'dead_letter'
		WHEN d.reason IS NOT NULL AND (e.ts IS NULL OR e.status = 2 OR d.cause >= e.cause)
			THEN CASE d.reason WHEN 'before_alerts_from' THEN 'before_alerts_from'
			WHEN 'quiet' THEN 'silent' WHEN 'not_rearmed' THEN 'not_armed' ELSE 'dismissed' END
		WHEN e.status = 2 THEN 'dismissed'
		WHEN e.ts IS NOT NULL AND g.cut THEN 'alert_not_kept'
		WHEN e.ts IS NOT NULL THEN 'in_question' END AS verdict
	FROM g CROSS JOIN LATERAL (SELECT DISTINCT ts FROM (VALUES (g.at), (g.edge), (g.theirs)) v (ts) WHERE ts IS NOT NULL) t
	LEFT JOIN seen.edges e ON e.user_id = g.user_id AND e.rule = g.rule AND e.ts = t.ts
	LEFT JOIN LATERAL (SELECT * FROM seen.dismissed d WHERE d.user_id = g.user_id AND d.rule = g.rule
		AND t.ts BETWEEN d.ts AND d.until ORDER BY d.n LIMIT 1) d ON true
), h AS (
	SELECT g.*,
		EXISTS (SELECT FROM seen.crossings c WHERE c.db = g.db AND c.user_id = g.user_id AND c.rule = g.rule
			AND c.ts >= g.edge - g.quiet_for AND c.ts < g.edge
			AND (g.db OR g.floor IS NULL OR c.ts - c.span > g.floor)) AS hushed,
		(SELECT coalesce(max(c.ts) FILTER (WHERE c.is_above AND c.ts < g.edge)
				>= coalesce(max(c.ts) FILTER (WHERE c.before <= g.rearm), '-infinity'), false)
			FROM seen.figures c WHERE g.rearm IS NOT NULL AND c.db = g.db AND c.user_id = g.user_id AND c.rule = g.rule
			AND c.ts <= g.edge AND (g.db OR g.floor IS NULL OR c.ts - c.span > g.floor)) AS unarmed,
		EXISTS (SELECT FROM seen.alerts a WHERE a.user_id = g.user_id AND a.rule = g.rule AND a.ts = g.at) AS sent_at,
		EXISTS (SELECT FROM seen.alerts a WHERE a.user_id = g.user_id AND a.rule = g.rule AND a.ts = g.edge) AS sent_edge,
		EXISTS (SELECT FROM seen.alerts a WHERE a.user_id = g.user_id AND a.rule = g.rule AND a.ts = g.theirs) AS sent_theirs,
		EXISTS (SELECT FROM seen.alerts a WHERE a.user_id = g.user_id AND a.rule = g.rule
		AND g.at = ANY (a.supersedes)) AS taken_over,
		(SELECT verdict FROM state s WHERE s.n = g.n AND s.ts = g.at) AS at_state,
		(SELECT verdict FROM state s WHERE s.n = g.n AND s.ts = g.edge) AS edge_state,
		(SELECT verdict FROM state s WHERE s.n = g.n AND s.ts = g.theirs) AS their_state,
		(SELECT max(q.ts) FROM seen.quiet q WHERE q.user_id = g.user_id AND q.rule = g.rule) AS quiet,
		(SELECT array_agg(w.id) FROM seen.weighed w WHERE g.db AND w.db AND w.user_id = g.user_id AND w.rule = g.rule
			AND w.ts >= g.edge - g.span AND w.ts <= g.at AND w.ts > coalesce(g.floor, '-infinity')
			AND NOT EXISTS (SELECT FROM seen.stream s WHERE s.user_id = w.user_id AND s.id = w.id AND s.ts <= g.at)) AS missing,
		EXISTS (SELECT FROM seen.letters l WHERE l.user_id = g.user_id AND l.at >= g.at - g.span
			AND NOT EXISTS (SELECT FROM seen.stream s WHERE s.user_id = l.user_id AND s.id = l.row_id)) AS letter
	FROM g
)
SELECT n, CASE
	WHEN sent_at THEN CASE
		WHEN edge = at AND NOT hushed AND NOT unarmed OR NOT known THEN CASE WHEN shadow THEN 'shadow' ELSE 'alerted' END
		WHEN taken_over THEN 'superseded' ELSE 'outdated' END
	WHEN NOT found AND there = 0 THEN 'unknown_user'
	WHEN at_state IS NOT NULL THEN at_state
	WHEN NOT known THEN CASE WHEN doubt >= at - span THEN 'distrusted' ELSE 'not_retained' END
	WHEN NOT over THEN CASE
		WHEN theirs IS NOT NULL AND NOT sent_theirs AND their_state IS NOT NULL THEN their_state
		WHEN others > 0 AND over_all THEN 'row_not_counted'
		WHEN NOT db AND letter THEN 'dead_letter'
		ELSE 'short_by' END
	WHEN edge IS NULL THEN CASE WHEN measure IN ('sum', 'avg') THEN 'above_without_edge' ELSE 'above_since' END
	WHEN sent_edge THEN CASE WHEN shadow THEN 'shadow' WHEN edge = newest THEN 'alerted' ELSE 'above_since' END
	WHEN edge_state IS NOT NULL THEN edge_state
	WHEN hushed THEN 'silent'
	WHEN unarmed THEN 'not_armed'
	WHEN quiet >= edge THEN 'before_rule'
	WHEN EXISTS (SELECT FROM seen.letters l WHERE l.user_id = h.user_id AND l.row_id = ANY (missing)) THEN 'dead_letter'
	WHEN doubt >= edge - span THEN 'distrusted'
	WHEN missing IS NOT NULL OR NOT found THEN 'not_in_stream'
	WHEN floor >= edge - span THEN 'not_retained'
	ELSE 'unexplained' END, total::text, counted, CASE WHEN sent_at AND NOT known THEN at ELSE edge END
FROM h ORDER BY n`
