// Package testkit is what the suites share: random histories, the events
// Debezium would make of them, and PostgreSQL as the judge of what must come
// out. Nothing in it is used by the program.
package testkit

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
)

// Table is a table of transactions in a test's database.
type Table struct {
	Conn *pgx.Conn
	Name pgx.Identifier
}

// CreateTable makes a table like that of the README, with its index.
func CreateTable(t testing.TB, conn *pgx.Conn, schema, name string) Table {
	t.Helper()
	table := Table{conn, pgx.Identifier{schema, name}}
	table.Exec(t, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{schema}.Sanitize())
	table.Exec(t, `CREATE TABLE `+table.Name.Sanitize()+` (
		id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
		"timestamp" timestamptz NOT NULL, description text)`)
	table.Exec(t, `CREATE INDEX ON `+table.Name.Sanitize()+` (user_id, "timestamp")`)
	table.Exec(t, `ALTER TABLE `+table.Name.Sanitize()+` REPLICA IDENTITY FULL`)
	return table
}

// OpenTable connects to a table that is there already.
func OpenTable(t testing.TB, url, schema, name string) Table {
	t.Helper()
	return Table{Connect(t, url), pgx.Identifier{schema, name}}
}

// Empty deletes all rows.
func (tb Table) Empty(t testing.TB) {
	t.Helper()
	tb.Exec(t, `TRUNCATE `+tb.Name.Sanitize())
}

// Exec runs a statement.
func (tb Table) Exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := tb.Conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// Analyze has PostgreSQL look at what is in the table.
func (tb Table) Analyze(t testing.TB) {
	t.Helper()
	tb.Exec(t, `ANALYZE `+tb.Name.Sanitize())
}

// Insert writes rows by COPY.
func (tb Table) Insert(t testing.TB, rows []Row) {
	t.Helper()
	if err := tb.TryInsert(t.Context(), rows); err != nil {
		t.Fatal(err)
	}
}

// TryInsert is Insert for who has no test at hand, as beside the test's own goroutine.
func (tb Table) TryInsert(ctx context.Context, rows []Row) error {
	_, err := tb.Conn.CopyFrom(ctx, tb.Name, []string{"id", "user_id", "amount", "timestamp", "description"},
		pgx.CopyFromSlice(len(rows), func(i int) ([]any, error) {
			r := rows[i]
			return []any{r.ID, r.User, r.Amount.Format(2), r.Time.Std(), r.Description}, nil
		}))
	if err != nil {
		return fmt.Errorf("copy into %s: %w", tb.Name.Sanitize(), err)
	}
	return nil
}

// Update sets a row's user, amount and time.
func (tb Table) Update(t testing.TB, r Row) {
	t.Helper()
	tb.Exec(t, `UPDATE `+tb.Name.Sanitize()+`
		SET user_id = $2, amount = $3::text::numeric, "timestamp" = $4 WHERE id = $1`,
		r.ID, r.User, r.Amount.Format(2), r.Time.Std())
}

// Delete removes a row.
func (tb Table) Delete(t testing.TB, id int64) {
	t.Helper()
	tb.Exec(t, `DELETE FROM `+tb.Name.Sanitize()+` WHERE id = $1`, id)
}

// Verdict is one edge as PostgreSQL sees it.
type Verdict struct {
	Before, Total string // with the measure's decimals
	Count         int64
}

// aggregateSQL is the aggregate over the weights of measureSQL.
func aggregateSQL(m brimline.Measure) string {
	if m == brimline.Max {
		return "MAX"
	}
	return "SUM"
}

// beforeSQL is the total before a row's time: of a sum, the total without the rows of that time; EXCLUDE GROUP says the
// same, but takes time with the square of a user's rows. The interval is $1.
func beforeSQL(m brimline.Measure, weight string) string {
	if m == brimline.Max {
		return `COALESCE(MAX(` + weight + `) OVER (PARTITION BY user_id ORDER BY "timestamp"
			RANGE BETWEEN $1::interval PRECEDING AND CURRENT ROW EXCLUDE GROUP), 0)`
	}
	return `SUM(` + weight + `) OVER w - SUM(` + weight + `) OVER (PARTITION BY user_id, "timestamp")`
}

// edgeSQL is the condition of an edge; the limit is $2.
func edgeSQL(r brimline.Rule) string {
	if r.Measure != brimline.Avg {
		return "total > $2::text::numeric AND before <= $2::text::numeric"
	}
	return fmt.Sprintf(`total > $2::text::numeric * count AND count >= %[1]d
		AND NOT (before > $2::text::numeric * earlier AND earlier >= %[1]d)`, r.MinCount)
}

// measureSQL gives the weight that a row adds, and whether it counts.
func measureSQL(m brimline.Measure) (weight, counts string) {
	switch m {
	case brimline.SumAbs, brimline.Max, brimline.Avg:
		return "ABS(amount)", "true"
	case brimline.Sum:
		return "amount", "true"
	case brimline.SumIn:
		return "GREATEST(amount, 0)", "amount > 0"
	case brimline.SumOut:
		return "GREATEST(-amount, 0)", "amount < 0"
	case brimline.CountAll:
		return "1", "true"
	case brimline.Distinct: // what it is of has SQL of its own
		return "", ""
	}
	panic("no SQL for measure " + m.String())
}

// Edges asks PostgreSQL's own window query for all edges of a rule that raise alerts: alert id to
// verdict. where is the rule's expression in SQL, empty for none.
func (tb Table) Edges(t testing.TB, r brimline.Rule, where string) map[string]Verdict {
	t.Helper()
	weight, counts := measureSQL(r.Measure)
	if where == "" {
		where = "true"
	}
	if r.Rearms {
		return tb.rearmed(t, r, weight, counts, where)
	}
	if r.Measure == brimline.Distinct {
		return tb.different(t, r, where)
	}
	tb.Exec(t, `SET work_mem = '1GB'`) // a frame that does not fit takes time with the square of its rows as well
	rows, err := tb.Conn.Query(t.Context(), fmt.Sprintf(`
		SELECT user_id, ts, total, before, count FROM (
		SELECT *, lag(ts) OVER (PARTITION BY user_id ORDER BY ts) AS earlier FROM (
		SELECT DISTINCT user_id::text, ts, total::text, before::text, count FROM (
		  SELECT user_id, "timestamp" AS ts,
		         %[5]s(%[1]s) OVER w AS total,
		         %[6]s AS before,
		         COUNT(*) FILTER (WHERE %[2]s) OVER w AS count,
		         COUNT(*) OVER w - COUNT(*) OVER (PARTITION BY user_id, "timestamp") AS earlier
		  FROM %[3]s WHERE %[4]s
		  WINDOW w AS (PARTITION BY user_id ORDER BY "timestamp" RANGE BETWEEN $1::interval PRECEDING AND CURRENT ROW)
		) x WHERE %[7]s
		) edges) followed WHERE earlier IS NULL OR $3::interval = '0' OR ts - earlier > $3::interval`,
		weight, counts, tb.Name.Sanitize(), where, aggregateSQL(r.Measure), beforeSQL(r.Measure, weight),
		edgeSQL(r)), interval(r.Window), r.Limit.Format(r.Measure.Scale(2)), interval(r.Quiet))
	if err != nil {
		t.Fatalf("the judge: %v", err)
	}
	return verdicts(t, r, rows)
}

// differentSQL gives user_id, ts, total, before and count of the rule's row times. The interval is $1.
func (tb Table) differentSQL(r brimline.Rule, where string) string {
	return fmt.Sprintf(`
		SELECT DISTINCT t.user_id::text, t."timestamp" AS ts,
		  (SELECT COUNT(DISTINCT %[1]s) FROM %[2]s r WHERE r.user_id = t.user_id AND (%[3]s)
		    AND r."timestamp" >= t."timestamp" - $1::interval AND r."timestamp" <= t."timestamp") AS total,
		  (SELECT COUNT(DISTINCT %[1]s) FROM %[2]s r WHERE r.user_id = t.user_id AND (%[3]s)
		    AND r."timestamp" >= t."timestamp" - $1::interval AND r."timestamp" < t."timestamp") AS before,
		  (SELECT COUNT(%[1]s) FROM %[2]s r WHERE r.user_id = t.user_id AND (%[3]s)
		    AND r."timestamp" >= t."timestamp" - $1::interval AND r."timestamp" <= t."timestamp") AS count
		FROM (SELECT * FROM %[2]s WHERE (%[3]s)) t`, pgx.Identifier{r.Column}.Sanitize(), tb.Name.Sanitize(), where)
}

// different is Edges of the measure distinct.
func (tb Table) different(t testing.TB, r brimline.Rule, where string) map[string]Verdict {
	t.Helper()
	rows, err := tb.Conn.Query(t.Context(), fmt.Sprintf(`
		SELECT user_id, ts, total::text, before::text, count FROM (
		SELECT *, lag(ts) OVER (PARTITION BY user_id ORDER BY ts) AS earlier FROM (%s) x
		WHERE total > $2::text::numeric AND before <= $2::text::numeric
		) followed WHERE earlier IS NULL OR $3::interval = '0' OR ts - earlier > $3::interval`, tb.differentSQL(r, where)),
		interval(r.Window), r.Limit.Format(0), interval(r.Quiet))
	if err != nil {
		t.Fatalf("the judge: %v", err)
	}
	return verdicts(t, r, rows)
}

// rearmed is Edges of a rule that rearms: of the totals at all row times it takes those above the limit, with a total
// at or below the rearm since the last of them.
func (tb Table) rearmed(t testing.TB, r brimline.Rule, weight, counts, where string) map[string]Verdict {
	t.Helper()
	scale := r.Measure.Scale(2)
	all := tb.differentSQL(r, where)
	if r.Measure != brimline.Distinct {
		all = fmt.Sprintf(`SELECT DISTINCT user_id::text, ts, total, before, count FROM (
		  SELECT user_id, "timestamp" AS ts,
		         %[5]s(%[1]s) OVER w AS total,
		         %[6]s AS before,
		         COUNT(*) FILTER (WHERE %[2]s) OVER w AS count
		  FROM %[3]s WHERE %[4]s
		  WINDOW w AS (PARTITION BY user_id ORDER BY "timestamp" RANGE BETWEEN $1::interval PRECEDING AND CURRENT ROW)
		) x`, weight, counts, tb.Name.Sanitize(), where, aggregateSQL(r.Measure), beforeSQL(r.Measure, weight))
	}
	rows, err := tb.Conn.Query(t.Context(), fmt.Sprintf(`
		SELECT user_id, ts, total::text, before::text, count FROM (
		SELECT *, max(ts) FILTER (WHERE before <= $3::text::numeric) OVER (PARTITION BY user_id ORDER BY ts) AS low,
		  max(ts) FILTER (WHERE total > $2::text::numeric) OVER (PARTITION BY user_id ORDER BY ts
		    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS high
		FROM (%s) tb) y WHERE total > $2::text::numeric AND low IS NOT NULL AND (high IS NULL OR low > high)`,
		all), interval(r.Window), r.Limit.Format(scale), r.Rearm.Format(scale))
	if err != nil {
		t.Fatalf("the judge: %v", err)
	}
	return verdicts(t, r, rows)
}

func verdicts(t testing.TB, r brimline.Rule, rows pgx.Rows) map[string]Verdict {
	t.Helper()
	edges := map[string]Verdict{}
	var (
		user string
		ts   time.Time
		v    Verdict
	)
	_, err := pgx.ForEachRow(rows, []any{&user, &ts, &v.Total, &v.Before, &v.Count}, func() error {
		v.Before = normal(v.Before, r.Measure.Scale(2))
		edges[brimline.AlertID(user, r.ID, brimline.TimeOf(ts))] = v
		return nil
	})
	if err != nil {
		t.Fatalf("the judge: %v", err)
	}
	return edges
}

// interval is an exact duration as every release reads it: before 15, microseconds alone had to fit 32 bits.
func interval(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d:%02d:%02d.%06d", us/3_600_000_000, us/60_000_000%60, us/1_000_000%60, us%1_000_000)
}

// normal gives a numeric's text the decimals of the scale: COALESCE(…, 0) has none.
func normal(s string, scale int) string {
	if t, err := brimline.ParseTotal(s, scale); err == nil {
		return t.Format(scale)
	}
	return s
}

// Totals asks PostgreSQL for each user's newest row time and the rule's total and count there. where is the rule's
// expression in SQL, empty for none; users of whom it takes no row are left out.
func (tb Table) Totals(t testing.TB, r brimline.Rule, where string) map[string]Verdict {
	t.Helper()
	if where == "" {
		where = "true"
	}
	weight, counts := measureSQL(r.Measure)
	aggregate := aggregateSQL(r.Measure)
	if r.Measure == brimline.Distinct {
		of := pgx.Identifier{r.Column}.Sanitize()
		aggregate, weight, counts = "COUNT", "DISTINCT "+of, of+" IS NOT NULL"
	}
	rows, err := tb.Conn.Query(t.Context(), fmt.Sprintf(`
		SELECT user_id::text, %[4]s(%[1]s)::text, COUNT(*) FILTER (WHERE %[2]s)
		FROM (SELECT *, MAX("timestamp") OVER (PARTITION BY user_id) AS newest FROM %[3]s) x
		WHERE "timestamp" >= newest - $1::interval AND (%[5]s) GROUP BY user_id`,
		weight, counts, tb.Name.Sanitize(), aggregate, where), interval(r.Window))
	if err != nil {
		t.Fatalf("the judge: %v", err)
	}
	totals := map[string]Verdict{}
	var (
		user string
		v    Verdict
	)
	if _, err = pgx.ForEachRow(rows, []any{&user, &v.Total, &v.Count}, func() error {
		v.Total = normal(v.Total, r.Measure.Scale(2))
		totals[user] = v
		return nil
	}); err != nil {
		t.Fatalf("the judge: %v", err)
	}
	return totals
}

// Compare fails the test where alerts differ from the judge's edges.
func Compare(t testing.TB, got []*brimline.Alert, want map[string]Verdict) {
	t.Helper()
	if wrong := Differences(got, want); len(wrong) > 0 {
		t.Fatalf(
			"%d alerts, PostgreSQL has %d edges; %d wrong:\n%s",
			len(got),
			len(want),
			len(wrong),
			strings.Join(wrong[:min(len(wrong), 20)], "\n"),
		)
	}
}

// Story compares the links between alerts, of which some are no edge any more.
type Story struct {
	Told       int      // alerts that are an edge
	Superseded int      // alerts that are none, and that another supersedes
	Outdated   []string // alerts that are none, and that none supersedes
	Revived    int      // alerts that are an edge, and that another superseded before
	Unsent     int      // ids that are superseded, and were never sent
	Wrong      []string
}

func (s Story) String() string {
	return fmt.Sprintf(
		"%d alerts are edges (%d superseded before), %d superseded, %d outdated; %d links to what was not sent",
		s.Told, s.Revived, s.Superseded, len(s.Outdated), s.Unsent)
}

// Stories judges what alerts supersede: that is of the same user and rule, as their ids are, and lies at a later time.
// atRest says that rows were only inserted, and that the rules' measures cannot shrink. Then each edge has its alert,
// no alert that is an edge is superseded, and the links from any other lead to the latest edge before it, or to one
// that is outdated: a row joined that to an earlier alert, which had been sent already.
func Stories(alerts []*brimline.Alert, edges map[string]Verdict, atRest bool) (s Story) {
	by, sent := map[string][]*brimline.Alert{}, map[string]*brimline.Alert{}
	for _, a := range alerts {
		id := a.Candidate.ID()
		if sent[id] != nil {
			s.Wrong = append(s.Wrong, "doubled "+id)
		}
		sent[id] = a
		for n, superseded := range a.SupersededIDs() {
			by[superseded] = append(by[superseded], a)
			if a.Supersedes[n] <= a.Candidate.Edge {
				s.Wrong = append(s.Wrong, id+" supersedes what is not later: "+superseded)
			}
		}
	}
	for id := range by {
		if sent[id] == nil {
			s.Unsent++
		}
	}
	for id, a := range sent {
		_, isEdge := edges[id]
		switch {
		case isEdge:
			s.Told++
			if len(by[id]) > 0 {
				s.Revived++
			}
		case len(by[id]) == 0:
			s.Outdated = append(s.Outdated, id)
		default:
			s.Superseded++
			if atRest {
				s.follow(a, by, edges)
			}
		}
	}
	if !atRest {
		return s
	}
	if s.Revived > 0 {
		s.Wrong = append(s.Wrong, fmt.Sprintf("%d alerts are superseded although they are edges", s.Revived))
	}
	for id := range edges {
		if sent[id] == nil {
			s.Wrong = append(s.Wrong, "missing "+id)
		}
	}
	return s
}

// follow follows the links from an alert. Each leads to an earlier time.
func (s *Story) follow(a *brimline.Alert, by map[string][]*brimline.Alert, edges map[string]Verdict) {
	end := a
	for next := by[end.Candidate.ID()]; len(next) > 0; next = by[end.Candidate.ID()] {
		end = next[len(next)-1]
	}
	if _, isEdge := edges[end.Candidate.ID()]; !isEdge {
		return
	}
	of := strings.TrimSuffix(a.Candidate.ID(), a.Candidate.Edge.String())
	for id := range edges {
		at, ours := strings.CutPrefix(id, of)
		t, err := brimline.ParseTime(at)
		if ours && err == nil && t <= a.Candidate.Edge && t > end.Candidate.Edge {
			s.Wrong = append(s.Wrong, fmt.Sprintf("the links from %s lead to %s, and %s is the later edge",
				a.Candidate.ID(), end.Candidate.ID(), id))
		}
	}
}

// Differences are the alerts that are missing, extra, doubled or have other figures than the judge's, and those that
// supersede an edge.
func Differences(got []*brimline.Alert, want map[string]Verdict) (wrong []string) {
	seen := map[string]int{}
	for _, a := range got {
		id := a.Candidate.ID()
		seen[id]++
		v, ok := want[id]
		switch {
		case seen[id] == 2:
			wrong = append(wrong, "doubled "+id)
		case !ok:
			wrong = append(wrong, "extra   "+id)
		case a.Database == nil:
			wrong = append(wrong, "without figures from the database "+id)
		default:
			scale := a.Candidate.Rule.Measure.Scale(a.Candidate.Scale)
			if f := (Verdict{a.Database.Before.Format(scale), a.Database.Total.Format(scale), a.Database.Count}); f != v {
				wrong = append(wrong, fmt.Sprintf("wrong   %s: %v, PostgreSQL says %v", id, f, v))
			}
		}
	}
	for _, a := range got {
		for n, id := range a.SupersededIDs() {
			if _, isEdge := want[id]; isEdge || a.Supersedes[n] <= a.Candidate.Edge {
				wrong = append(wrong, fmt.Sprintf("%s supersedes %s", a.Candidate.ID(), id))
			}
		}
	}
	for id := range want {
		if seen[id] == 0 {
			wrong = append(wrong, "missing "+id)
		}
	}
	return wrong
}

// Connect opens a connection that the test closes.
func Connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return conn
}
