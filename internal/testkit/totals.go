package testkit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
)

// CompareTotals fails the test where a user's totals in the window table, at their newest row, differ from SQL over the
// table.
func (p *Parts) CompareTotals(t testing.TB, names processors.Streams, set *rules.Set, table Table) {
	t.Helper()
	if wrong := p.WrongTotals(t, names, set, table); len(wrong) > 0 {
		t.Errorf("%d totals differ:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 20)], "\n"))
	}
}

// WrongTotals are the differences between every user's totals in the window table and SQL over the table, where
// conditions of rules are SQL as well. Those of distrusted users are left out as long as they are not known.
func (p *Parts) WrongTotals(t testing.TB, names processors.Streams, set *rules.Set, table Table) (wrong []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w, err := views.Open(ctx, views.Config{Brokers: p.Brokers, Group: names.Group, Rules: &set.RuleSet})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	if err := w.WaitRecovered(ctx); err != nil {
		t.Fatal(err)
	}
	distrusted := 0
	users := map[string]views.User{} // each looked up once: the view asks the brokers each time how old its answer is
	for _, rule := range set.Compiled() {
		totals := table.Totals(t, rule.Rule, rule.Where)
		for _, id := range slices.Sorted(maps.Keys(totals)) {
			u, known := users[id]
			if !known {
				if u, err = w.User(ctx, id, brimline.MaxTime); err != nil {
					t.Fatal(err)
				}
				users[id] = u
			}
			if len(u.Rows) == 0 && u.Doubt != nil {
				distrusted++
				continue
			}
			if len(u.Rows) == 0 {
				wrong = append(wrong, fmt.Sprintf("user %s: no rows, PostgreSQL has some", id))
				continue
			}
			newest := u.Rows[len(u.Rows)-1].Time
			if u.Doubt != nil && newest.Add(-rule.Window) <= u.Floor { // PostgreSQL answers until the window has filled again
				distrusted++
				continue
			}
			at := sliding.FiguresAt(u.Rows, &rule, newest)
			got := Verdict{Total: at.Total.Format(rule.Measure.Scale(2)), Count: at.Count}
			if got != totals[id] {
				wrong = append(wrong, fmt.Sprintf("user %s, rule %s: %+v, PostgreSQL says %+v", id, rule.ID, got, totals[id]))
			}
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("view: %v", err)
	}
	t.Logf("%d users, %d rules: %d totals differ, %d are not known, of distrusted users", len(users), len(set.Rules),
		len(wrong), distrusted)
	return wrong
}
