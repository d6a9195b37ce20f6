package crash

import (
	"context"
	"fmt"
	"maps"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/views"
)

// judge lets PostgreSQL say what must be there, and gives what is wrong.
func (r *round) judge() (wrong []string) {
	table := testkit.Table{Conn: testkit.Connect(r, r.adminURL()), Name: []string{"streaming", "transactions"}}
	edges := map[string]testkit.Verdict{}
	for _, rule := range r.rules.Rules {
		maps.Copy(edges, table.Edges(r, rule, rule.Where))
	}
	alerts := r.g.Alerts(r, r.names.Alerts)
	switch {
	case r.roll != nil:
		wrong = r.judgeRoll(alerts, table)
	case r.fault.changes: // an alert was true when PostgreSQL confirmed it, before later changes
		s := testkit.Stories(alerts, edges, false)
		wrong = s.Wrong
		r.Logf("%v", s)
	case r.fault.later: // rows came late, after alerts that had been true
		wrong = r.judgeStories(alerts, table)
	default:
		wrong = testkit.Differences(alerts, edges)
	}
	wrong = append(wrong, r.g.WrongTotals(r, r.names, r.rules, table)...)
	wrong = append(wrong, r.wrongIndex(alerts)...)
	seen := map[string]int{}
	for _, record := range r.g.Records(r, r.names.DeadLetters) {
		d, err := codecs.DeadLetter{}.Decode(record.Value)
		if err != nil {
			r.Fatal(err)
		}
		letter := d.(*brimline.DeadLetter)
		if !r.bad[string(letter.Value)] {
			wrong = append(wrong, fmt.Sprintf("dead letter of a good record: %+v", letter))
		}
		seen[string(letter.Value)]++
	}
	for value := range r.bad {
		if seen[value] == 0 {
			wrong = append(wrong, "no dead letter for "+value)
		}
	}
	r.Logf("%d edges, %d alerts, %d dead letters: %d wrong", len(edges), len(alerts), len(seen), len(wrong))
	r.alerts = len(alerts)
	return wrong
}

// judgeStories is for rows that were only inserted: each edge has its alert, and each other alert is superseded.
func (r *round) judgeStories(alerts []*brimline.Alert, table testkit.Table) (wrong []string) {
	for _, rule := range r.rules.Rules {
		var of []*brimline.Alert
		for _, a := range alerts {
			if a.Candidate.Rule.ID == rule.ID {
				of = append(of, a)
			}
		}
		edges := table.Edges(r, rule, rule.Where)
		s := testkit.Stories(of, edges, !rule.Measure.Shrinks())
		r.Logf("rule %s: %v", rule.ID, s)
		if wrong = append(wrong, s.Wrong...); s.Told != len(edges) {
			wrong = append(wrong, fmt.Sprintf("rule %s: %d of %d edges have an alert", rule.ID, s.Told, len(edges)))
		}
	}
	return wrong
}

// wrongIndex compares the table of alerts by user with the alerts.
func (r *round) wrongIndex(alerts []*brimline.Alert) (wrong []string) {
	const kept = 100 // of one user
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	view, err := views.OpenAlerts(ctx, views.Config{Brokers: r.g.Brokers, Group: r.names.Group})
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	r.must(view.WaitRecovered(ctx))
	byUser := map[string]map[string]bool{}
	for _, a := range alerts {
		of := byUser[a.Candidate.User]
		if of == nil {
			of = map[string]bool{}
			byUser[a.Candidate.User] = of
		}
		of[a.Candidate.ID()] = true
	}
	for user, want := range byUser {
		got, err := view.User(user)
		r.must(err)
		if len(got) != min(kept, len(want)) {
			wrong = append(wrong, fmt.Sprintf("index: %d alerts of user %s, want %d", len(got), user, min(kept, len(want))))
			continue
		}
		for _, a := range got {
			if !want[a.Candidate.ID()] {
				wrong = append(wrong, "index: no such alert: "+a.Candidate.ID())
			}
		}
	}
	cancel()
	r.must(<-ended)
	return wrong
}
