package e2e

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/rulestest"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// wholeGround plays tests of rules on everything from PostgreSQL's table to the alerts topic: one table, one group and
// one process for all of them. Users and row ids carry the number of their test, rules that of their file.
type wholeGround struct {
	*job
	t       *testing.T
	table   testkit.Table
	cluster *kafka.Cluster
	columns []brimline.Column // of all files
	files   []*rules.TestFile
	cases   []*rulestest.Case
	records int64                      // of the source topic, so far
	seen    map[string]map[int32]int64 // of the topics of alerts, by partition: the offset of the next one
	sent    map[*rulestest.Case][]rulestest.Alert
}

var columnTypes = map[brimline.ColumnType]string{
	brimline.Text: "text", brimline.Integer: "bigint", brimline.Numeric: "numeric", brimline.Boolean: "boolean",
	brimline.Timestamp: "timestamptz",
}

// newWholeGround makes the table and puts the rules of all files together. j has everything but these.
func newWholeGround(t *testing.T, j *job, table testkit.Table, cases []*rulestest.Case) *wholeGround {
	t.Helper()
	g := &wholeGround{job: j, t: t, table: table, cases: cases, seen: map[string]map[int32]int64{},
		sent: map[*rulestest.Case][]rulestest.Alert{}}
	for _, c := range cases {
		if !slices.Contains(g.files, c.File) {
			g.files = append(g.files, c.File)
		}
	}
	g.setRules(t, g.together())
	definitions := []string{"id text PRIMARY KEY", "user_id text NOT NULL", "amount numeric(20,2) NOT NULL",
		`"timestamp" timestamptz NOT NULL`}
	for _, c := range g.columns {
		definitions = append(definitions, pgx.Identifier{c.Name}.Sanitize()+" "+columnTypes[c.Type])
	}
	name := table.Name.Sanitize()
	table.Exec(t, "CREATE SCHEMA IF NOT EXISTS "+table.Name[:1].Sanitize())
	table.Exec(t, "CREATE TABLE "+name+" ("+strings.Join(definitions, ", ")+")")
	table.Exec(t, "CREATE INDEX ON "+name+` (user_id, "timestamp")`)
	table.Exec(t, "ALTER TABLE "+name+" REPLICA IDENTITY FULL")
	return g
}

// together is one rules file with the rules of all files. Rows that are late in one of them are late in it.
func (g *wholeGround) together() string {
	var b strings.Builder
	var lateness time.Duration
	b.WriteString("rules:\n")
	for n, file := range g.files {
		if file.Rules.Scale != 2 {
			g.t.Fatalf("%s: the scenarios that are played together have amounts of two decimals", file.Path)
		}
		if l := file.Rules.Lateness; l > 0 && (lateness == 0 || l < lateness) {
			lateness = l
		}
		for _, c := range file.Rules.Columns {
			if !slices.Contains(g.columns, c) {
				g.columns = append(g.columns, c)
			}
		}
		for all := file.Rules.Rules; len(all) > 0; {
			r, tiers := all[0], 1
			for r.ID != r.Of() && tiers < len(all) && all[tiers].Of() == r.Of() {
				tiers++
			}
			fmt.Fprintf(&b, "  - {id: %q, window: %s, measure: %s", ruleOf(n, r.Of()), present.Duration(r.Window), r.Measure)
			if r.Where != "" {
				fmt.Fprintf(&b, ", where: %q", r.Where)
			}
			if r.Shadow {
				b.WriteString(", mode: shadow")
			}
			if r.Quiet != 0 {
				fmt.Fprintf(&b, ", quiet: %s", present.Duration(r.Quiet))
			}
			if r.MinCount != 0 {
				fmt.Fprintf(&b, ", min_count: %d", r.MinCount)
			}
			if r.Column != "" {
				fmt.Fprintf(&b, ", of: %s", r.Column)
			}
			if r.Rearms && r.ID == r.Of() {
				fmt.Fprintf(&b, ", rearm: %q", r.Rearm.Format(r.Measure.Scale(2)))
			}
			if r.ID == r.Of() {
				fmt.Fprintf(&b, ", limit: %q, severity: %q}\n", r.Limit.Format(r.Measure.Scale(2)), r.Severity)
			} else {
				b.WriteString(", limits: [")
				for _, tier := range all[:tiers] {
					fmt.Fprintf(&b, "{limit: %q, severity: %q}, ", tier.Limit.Format(r.Measure.Scale(2)), tier.Severity)
				}
				b.WriteString("]}\n")
			}
			all = all[tiers:]
		}
	}
	if lateness > 0 {
		fmt.Fprintf(&b, "lateness: %s\n", present.Duration(lateness))
	}
	if len(g.columns) > 0 {
		b.WriteString("columns:\n")
	}
	for _, c := range g.columns {
		fmt.Fprintf(&b, "  %s: %s\n", c.Name, c.Type)
	}
	return b.String()
}

func ruleOf(file int, id string) string { return fmt.Sprintf("f%d.%s", file, id) }

// begin starts the process.
func (g *wholeGround) begin() {
	g.t.Helper()
	g.options = append(g.options, "--table", strings.Join(g.table.Name, "."))
	var err error
	if g.cluster, err = kafka.Dial(g.t.Context(), kafka.Options{Brokers: g.Brokers}, kafka.Lasting); err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { _ = g.cluster.Close() })
	g.start(g.t, 0)
}

func (g *wholeGround) named(c *rulestest.Case, name string) string {
	return fmt.Sprintf("%d:%s", slices.Index(g.cases, c), name)
}

// Do commits each test's step in a transaction of its own, and waits until nothing is on its way any more.
func (g *wholeGround) Do(ctx context.Context, turns []rulestest.Turn) error {
	for _, turn := range turns {
		if len(turn.Step.Changes) == 0 {
			continue
		}
		tx, err := g.table.Conn.Begin(ctx)
		if err != nil {
			return err
		}
		for i := range turn.Step.Changes {
			if err := g.change(ctx, tx, turn.Case, &turn.Step.Changes[i]); err != nil {
				return fmt.Errorf("%s:%d: %w", turn.Case.File.Path, turn.Step.Changes[i].Line, err)
			}
		}
		if err := tx.Commit(ctx); err != nil {
			return err
		}
	}
	bound, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := g.WaitRecords(bound, g.names.Source, g.records); err != nil {
		return fmt.Errorf("waiting for %d records in %s: %w", g.records, g.names.Source, err)
	}
	if err := app.AwaitCaughtUp(bound, g.cluster, g.names, 20*time.Millisecond); err != nil {
		return err
	}
	return g.collect()
}

// change makes one change to the table, and counts the records that it becomes.
func (g *wholeGround) change(ctx context.Context, tx pgx.Tx, c *rulestest.Case, change *rules.RowChange) error {
	table := g.table.Name.Sanitize()
	names := []string{"id", "user_id", "amount", `"timestamp"`}
	values := []string{"$1", "$2", "$3::text::numeric", "$4"}
	var args []any
	if row := change.After; row != nil {
		args = []any{g.named(c, row.ID), g.named(c, row.User), row.Amount.Format(2), row.Time.Std()}
		for _, field := range row.Columns {
			value := field.Value
			cast := ""
			switch v := value.(type) {
			case brimline.Time:
				value = v.Std()
			case brimline.Decimal:
				value, cast = string(v), "::text::numeric"
			}
			args = append(args, value)
			names = append(names, pgx.Identifier{field.Name}.Sanitize())
			values = append(values, fmt.Sprintf("$%d%s", len(args), cast))
		}
	}
	var sql string
	g.records++
	switch {
	case change.After == nil && change.Before == nil:
		sql = "TRUNCATE " + table
	case change.After == nil:
		g.records++ // a tombstone
		sql, args = "DELETE FROM "+table+" WHERE id = $1", []any{g.named(c, change.Before.ID)}
	case change.Before != nil:
		set := make([]string, len(names))
		for i := range names {
			set[i] = names[i] + " = " + values[i]
		}
		sql = "UPDATE " + table + " SET " + strings.Join(set, ", ") + " WHERE id = $1"
	default:
		sql = "INSERT INTO " + table + " (" + strings.Join(names, ", ") + ") VALUES (" + strings.Join(values, ", ") + ")"
	}
	_, err := tx.Exec(ctx, sql, args...)
	return err
}

// collect gives each test its new alerts. A rule of another file says nothing about it.
func (g *wholeGround) collect() error {
	for _, r := range append(g.Records(g.t, g.names.Alerts), g.Records(g.t, g.names.Shadow)...) {
		if r.Offset < g.seen[r.Topic][r.Partition] {
			continue
		}
		if g.seen[r.Topic] == nil {
			g.seen[r.Topic] = map[int32]int64{}
		}
		g.seen[r.Topic][r.Partition] = r.Offset + 1
		value, err := codecs.Alert{}.Decode(r.Value)
		if err != nil {
			return err
		}
		a := value.(*brimline.Alert)
		if a.Verification.Status != brimline.Verified || a.Database == nil {
			return fmt.Errorf("alert %s is %s", r.Key, a.Verification.Status)
		}
		var n int
		number, user, _ := strings.Cut(a.Candidate.User, ":")
		if _, err := fmt.Sscan(number, &n); err != nil {
			return err
		}
		c := g.cases[n]
		rule, ours := strings.CutPrefix(a.Candidate.Rule.ID, ruleOf(slices.Index(g.files, c.File), ""))
		if ours {
			g.sent[c] = append(g.sent[c], rulestest.Alert{
				Rule: rule, User: user, At: a.Candidate.Edge, Figures: *a.Database, Severity: a.Candidate.Rule.Severity,
			})
		}
	}
	return nil
}

// Sent are the test's alerts since the call before it.
func (g *wholeGround) Sent(_ context.Context, c *rulestest.Case) ([]rulestest.Alert, error) {
	sent := g.sent[c]
	delete(g.sent, c)
	return sent, nil
}

// truncates says whether a test empties the table, which all tests share.
func truncates(c *rulestest.Case) bool {
	return slices.ContainsFunc(c.Steps, func(s rules.Step) bool {
		return slices.ContainsFunc(s.Changes, func(r rules.RowChange) bool { return r.Before == nil && r.After == nil })
	})
}

// play plays all tests side by side, and after them those that empty the table, one by one.
func (g *wholeGround) play() {
	g.t.Helper()
	var together []*rulestest.Case
	var rounds [][]*rulestest.Case
	for _, c := range g.cases {
		if truncates(c) {
			rounds = append(rounds, []*rulestest.Case{c})
		} else {
			together = append(together, c)
		}
	}
	for _, round := range append([][]*rulestest.Case{together}, rounds...) {
		results, err := rulestest.Play(g.t.Context(), g, round, rulestest.Options{})
		if err != nil {
			g.t.Fatal(err)
		}
		for i := range results {
			if r := &results[i]; !r.Passed() {
				var b bytes.Buffer
				r.WriteText(&b)
				g.t.Errorf("%s", b.Bytes())
			}
		}
	}
	if dead := g.deadLetters(g.t); len(dead) > 0 {
		g.t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
	}
}

// ruleScenarios are the tests of testdata/scenarios.
func ruleScenarios(t *testing.T) (cases []*rulestest.Case) {
	t.Helper()
	paths, err := filepath.Glob("../../testdata/scenarios/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	files, err := rules.LoadTests(paths...)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		for i := range f.Tests {
			cases = append(cases, &rulestest.Case{File: f, Test: &f.Tests[i]})
		}
	}
	return cases
}

// TestRuleScenarios plays the scenarios on the embedded parts, with brimline's own capture.
func TestRuleScenarios(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 3, "rules: [{id: none, window: 1d, limit: 1}]")
	table := testkit.Table{Conn: j.table.Conn, Name: pgx.Identifier{"scenarios", "transactions"}}
	g := newWholeGround(t, j, table, ruleScenarios(t))
	slot := testkit.Unique(t)
	j.names.Source = slot + ".scenarios.transactions"
	j.CreateTopic(t, j.names.Source, 3)
	testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, "capture",
		"--brokers", strings.Join(j.Brokers, ","), "--table", "scenarios.transactions", "--source", j.names.Source,
		"--slot", slot, "--publication", slot)
	g.begin()
	g.play()
}

// TestStackRuleScenarios plays them with real Kafka and Debezium.
func TestStackRuleScenarios(t *testing.T) {
	s := realStack(t)
	name := testkit.Unique(t)
	j := &job{Parts: s.Parts, url: s.Env["BRIMLINE_DATABASE_URL"], state: t.TempDir(),
		names: processors.NewStreams("g_"+name, "", "alerts_"+name)}
	table := testkit.OpenTable(t, s.Env["DATABASE_URL"], name, "transactions")
	g := newWholeGround(t, j, table, ruleScenarios(t))
	table.Exec(t, "GRANT USAGE ON SCHEMA "+table.Name[:1].Sanitize()+" TO cdc, brimline")
	table.Exec(t, "GRANT SELECT ON "+table.Name.Sanitize()+" TO cdc, brimline")
	c := s.connect(t, name, name+".transactions", map[string]string{
		"decimal.handling.mode": "string", "skipped.operations": "none",
	})
	defer c.remove(t)
	j.names.Source = c.name + "." + c.table
	j.CreateTopic(t, j.names.Source, 3)
	g.begin()
	g.play()
}
