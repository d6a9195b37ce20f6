package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestLateRowsTellOneStory: rows come in any order, some at a time, and each time the group catches up, so that what
// was an edge may be none afterwards. At rest each edge has its alert, no alert that is an edge is superseded, and from
// the others links lead to the edge of which they are a part, but where a row joined two alerts that had been sent.
func TestLateRowsTellOneStory(t *testing.T) {
	t.Parallel()
	first := testkit.Seed(t)
	for n := range seeds(t, 1) {
		seed := first + uint64(n)
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := testkit.Rand(seed)
			const partitions = 3
			j := newJob(t, parts(t), partitions, drawRules(r, 5000))
			rows := testkit.Shape{
				Rows: 600, Users: 12, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
				Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000, Heavy: 0.1,
			}.Draw(r)
			r.Shuffle(len(rows), func(a, b int) { rows[a], rows[b] = rows[b], rows[a] })
			for lsn := int64(1000); len(rows) > 0; {
				some := rows[:min(len(rows), 80+r.IntN(80))]
				rows = rows[len(some):]
				j.table.Insert(t, some)
				events := make([]testkit.Event, len(some))
				for i := range some {
					events[i] = testkit.Envelope("transactions", "c", nil, &some[i], lsn)
					events[i].Partition = int32(some[i].ID % partitions)
					lsn++
				}
				j.Produce(t, j.names.Source, events)
				j.finish(t)
			}
			alerts, superseded := map[string][]*brimline.Alert{}, 0
			for _, a := range j.alerts(t) {
				alerts[a.Candidate.Rule.ID] = append(alerts[a.Candidate.Rule.ID], a)
			}
			for _, rule := range j.rules.Rules {
				edges := j.table.Edges(t, rule, "")
				for id := range edges {
					if !slices.ContainsFunc(alerts[rule.ID], func(a *brimline.Alert) bool { return a.Candidate.ID() == id }) {
						t.Errorf("no alert %s", id)
					}
				}
				s := testkit.Stories(alerts[rule.ID], edges, !rule.Unsteady())
				if len(s.Wrong) > 0 {
					t.Errorf("rule %s, %v: %d wrong:\n%s", rule.ID, rule.Measure, len(s.Wrong), strings.Join(s.Wrong, "\n"))
				}
				t.Logf("rule %s, %v: %v", rule.ID, rule.Measure, s)
				superseded += s.Superseded
			}
			if superseded == 0 {
				t.Error("no alert is superseded")
			}
		})
	}
}
