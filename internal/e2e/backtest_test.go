package e2e

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/testkit"
)

// backtest runs the command on a job's table, and gives what it wrote.
func (j *job) backtest(t *testing.T, code int, args ...string) string {
	t.Helper()
	p := testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, append([]string{"backtest"}, args...)...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := p.Wait(ctx); err != nil || got != code {
		t.Fatalf("backtest ended with code %d, %v:\n%s", got, err, p.Output())
	}
	return p.Output()
}

// TestBacktestIsLive: of a table at rest a backtest finds the alerts that a group sends: id, limit, edge, and the
// database's figures. It writes nothing to Kafka.
func TestBacktestIsLive(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 3, drawRules(r, 5000))
	rows := testkit.Shape{
		Rows: 1500, Users: 9, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000, Heavy: 0.2,
	}.Draw(r)
	j.table.Insert(t, rows)
	var (
		events []testkit.Event
		ids    []int64
	)
	for i := range rows {
		events = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(1000+i)))
		ids = append(ids, rows[i].ID)
	}
	j.Produce(t, j.names.Source, testkit.Spread(r, events, ids, 3, 50))
	j.finish(t)
	sent, err := j.Written(t.Context(), j.names.Alerts)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(j.backtest(t, 0, "--rules", j.rulesFile(), "--csv"))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	got, want := map[string]string{}, map[string]string{}
	for _, line := range lines[1:] {
		got[line[0]] = strings.Join(line[1:], " ")
	}
	for _, a := range j.alerts(t) {
		c := &a.Candidate
		scale := c.Rule.Measure.Scale(c.Scale)
		want[c.ID()] = strings.Join([]string{
			c.Rule.ID, c.User, c.Edge.String(), c.Rule.Limit.Format(scale), a.Database.Before.Format(scale),
			a.Database.Total.Format(scale), fmt.Sprint(a.Database.Count),
		}, " ")
	}
	if len(want) == 0 || !maps.Equal(got, want) || len(lines)-1 != len(got) {
		t.Errorf("%d lines of %d alerts, and %d were sent", len(lines)-1, len(got), len(want))
	}
	if now, err := j.Written(t.Context(), j.names.Alerts); err != nil || now != sent {
		t.Errorf("the topic of alerts has %d records after %d, %v", now, sent, err)
	}

	// The other forms count the same.
	var report struct {
		Rows  int64
		Rules []struct {
			ID     string
			Alerts int64
		}
	}
	if err := json.Unmarshal([]byte(j.backtest(t, 0, "--rules", j.rulesFile(), "--json")), &report); err != nil {
		t.Fatal(err)
	}
	text := j.backtest(t, 0, "--rules", j.rulesFile(), "--against", j.rulesFile(), "--currency", "")
	page := j.backtest(t, 0, "--rules", j.rulesFile(), "--html")
	var all int64
	for _, rule := range report.Rules {
		all += rule.Alerts
		_, section, _ := strings.Cut(page, "<h2><bdi>"+rule.ID+"</bdi></h2>")
		section, _, _ = strings.Cut(section, "</section>")
		if figure := "<dt>alerts</dt><dd>" + present.Count(rule.Alerts) + "</dd>"; !strings.Contains(section, figure) {
			t.Errorf("the page has no %q of rule %s:\n%s", figure, rule.ID, section)
		}
		n := regexp.MustCompile(`(?m)^` + rule.ID + ` \(.*\): (\d+) alerts? of `).FindStringSubmatch(text)
		if n == nil || n[1] != fmt.Sprint(rule.Alerts) {
			t.Errorf("rule %s: %v, as JSON %d", rule.ID, n, rule.Alerts)
		}
	}
	if all != int64(len(want)) || report.Rows != int64(len(rows)) {
		t.Errorf("%d alerts of %d rows, want %d of %d", all, report.Rows, len(want), len(rows))
	}
	if strings.Count(text, ", 0 gained, 0 lost, 0 moved\n") != len(report.Rules) {
		t.Errorf("against the same file:\n%s", text)
	}
}

// TestBacktestRefuses: a column that the table has not, and a large table without an index, before rows are read.
func TestBacktestRefuses(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	unknown := filepath.Join(t.TempDir(), "unknown.yaml")
	const yaml = "columns: {nothing: text}\nrules: [{id: r, window: 7d, limit: 1, where: 'nothing == \"\"'}]"
	if err := os.WriteFile(unknown, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := j.backtest(t, 3, "--rules", unknown); !strings.Contains(out, `no column "nothing"`) {
		t.Errorf("of a column that is not there:\n%s", out)
	}
	j.table.Exec(t, `DROP INDEX streaming.transactions_user_id_timestamp_idx`)
	if out := j.backtest(t, 0, "--rules", j.rulesFile()); !strings.HasPrefix(out, "0 rows of 0 users") {
		t.Errorf("of an empty table:\n%s", out)
	}
	// Rows of 7 KB that PostgreSQL does not put aside: few of them make a table large.
	j.table.Exec(t, `ALTER TABLE streaming.transactions ALTER COLUMN description SET STORAGE PLAIN`)
	j.table.Exec(t, `INSERT INTO streaming.transactions SELECT n, 1, 1, timestamptz '2026-01-01', repeat('x', 7000)
		FROM generate_series(1, 17000) n`)
	const create = `CREATE INDEX CONCURRENTLY ON "streaming"."transactions" ("user_id", "timestamp")`
	out := j.backtest(t, 2, "--rules", j.rulesFile())
	if !strings.Contains(out, create) || !strings.Contains(out, "--without-index") {
		t.Errorf("of a large table:\n%s", out)
	}
	without := j.backtest(t, 0, "--rules", j.rulesFile(), "--without-index")
	j.table.Exec(t, create)
	with := j.backtest(t, 0, "--rules", j.rulesFile())
	position := regexp.MustCompile(`at [0-9A-F]+/[0-9A-F]+\n`)
	if position.ReplaceAllString(with, "") != position.ReplaceAllString(without, "") ||
		!strings.Contains(with, "1 alert of 1 user") {
		t.Errorf("without an index:\n%s\nwith one:\n%s", without, with)
	}
	if at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)); !slices.Contains(strings.Fields(
		strings.ReplaceAll(j.backtest(t, 0, "--rules", j.rulesFile(), "--csv"), ",", " ")), at.String()) {
		t.Errorf("the alert is not at %v", at)
	}
}
