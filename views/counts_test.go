package views

import (
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

// A row counts where the rule takes it, where it moves the measure, and from its own time until its window's end.
func TestCountedBy(t *testing.T) {
	set := &brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{
		{ID: "out", Window: time.Hour, Limit: brimline.Count(1), Measure: brimline.SumOut},
		{ID: "large", Window: time.Hour, Limit: brimline.Count(1), Where: "amount > 100"},
		{ID: "day", Window: 24 * time.Hour, Limit: brimline.Count(1), Measure: brimline.CountAll},
	}}
	compiled, err := CompileRules(set)
	if err != nil {
		t.Fatal(err)
	}
	now := brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	u := UserAt("u", nil, compiled, now)
	for _, c := range []struct {
		amount brimline.Amount
		at     time.Duration
		want   []string
	}{
		{-20000, 0, []string{"out", "day"}},
		{20000, -time.Hour, []string{"large", "day"}}, // a window's end is closed
		{20000, -time.Hour - time.Microsecond, []string{"day"}},
		{5000, -time.Minute, []string{"day"}},
		{5000, time.Microsecond, []string{}},
		{5000, -25 * time.Hour, []string{}},
	} {
		row := brimline.Transaction{Amount: c.amount, Time: now.Add(c.at)}
		if got := u.CountedBy(&row); !slices.Equal(got, c.want) {
			t.Errorf("%d at %s is counted by %q, want %q", c.amount, c.at, got, c.want)
		}
	}
	if u.Counts(3, &brimline.Transaction{}) || u.Counts(-1, &brimline.Transaction{}) {
		t.Error("a rule that there is not counts")
	}
}
