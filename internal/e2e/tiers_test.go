package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestTiersAndShadows: a rule with several limits alerts at each, with the severity of each; what a shadow finds is
// verified, and stands in its own topic alone; a rule that is not enabled finds nothing. Rows come late, and change.
func TestTiersAndShadows(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 3, `
lateness: 6h
rules:
  - {id: day, window: 1d, limits: [300, {limit: "500.50", severity: high}, 900], severity: low}
  - {id: tries, window: 1h, measure: count, limits: [2, 4], mode: shadow}
  - {id: trial, window: 12h, limit: 250, measure: sum_in, mode: shadow, severity: trial}
  - {id: off, window: 1h, limit: 0, enabled: false}
`)
	rows := testkit.Shape{
		Rows: 1200, Users: 12, Start: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Span: 6 * 24 * time.Hour,
		Grain: time.Minute, MaxAmount: 9000,
	}.Draw(r)
	events, ids := j.liveThrough(t, r, rows, 12)
	for i := range events {
		events[i].Partition = int32(ids[i] % 3)
	}
	j.Produce(t, j.names.Source, events)
	j.finish(t)

	live, shadow := map[string]testkit.Verdict{}, map[string]testkit.Verdict{}
	for _, rule := range j.rules.Rules {
		to := live
		if rule.Shadow {
			to = shadow
		}
		for id, v := range j.table.Edges(t, rule, "") {
			to[id] = v
		}
	}
	if len(live) == 0 || len(shadow) == 0 {
		t.Fatalf("nothing to see: %d edges and %d of shadows", len(live), len(shadow))
	}
	alerts := j.alerts(t)
	testkit.Compare(t, alerts, live)
	severities := map[string]string{"day@300": "low", "day@500.5": "high", "day@900": "low"}
	for _, a := range alerts {
		rule := &a.Candidate.Rule
		if want, known := severities[rule.ID]; !known || rule.Severity != want || rule.Of() != "day" || rule.Shadow {
			t.Errorf("an alert of rule %+v", rule)
		}
	}
	shadows := j.shadows(t)
	testkit.Compare(t, shadows, shadow)

	// What is asked for a rule has all its limits, and for a limit that alone.
	count := func(args ...string) (n int) {
		code, out := j.command(t, append([]string{"alerts", "--json", "--limit", "0"}, args...)...)
		if code != 0 {
			t.Fatalf("alerts %v: %d\n%s", args, code, out)
		}
		for line := range strings.Lines(out) {
			if json.Valid([]byte(line)) {
				n++
			}
		}
		return n
	}
	of := func(all []*brimline.Alert, id string) (n int) {
		for _, a := range all {
			if a.Candidate.Rule.ID == id {
				n++
			}
		}
		return n
	}
	for _, tc := range []struct {
		args []string
		want int
	}{
		{nil, len(alerts)},
		{[]string{"--rule", "day"}, len(alerts)},
		{[]string{"--rule", "day@900"}, of(alerts, "day@900")},
		{[]string{"--rule", "trial"}, 0},
		{[]string{"--shadow"}, len(shadows)},
		{[]string{"--shadow", "--rule", "trial"}, of(shadows, "trial")},
	} {
		if got := count(tc.args...); got != tc.want {
			t.Errorf("alerts %v: %d, want %d", tc.args, got, tc.want)
		}
	}
	if ids := slices.Sorted(func(yield func(string) bool) {
		for _, rule := range j.rules.Rules {
			if !yield(rule.ID) {
				return
			}
		}
	}); fmt.Sprint(ids) != "[day@300 day@500.5 day@900 trial tries@2 tries@4]" {
		t.Errorf("the rules are %v", ids)
	}
}
