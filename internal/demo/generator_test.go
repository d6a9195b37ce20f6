package demo

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
)

var now = time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC)

// edges are those of each user's rows, which are in time order, under the demo's own rules.
func edges(t *testing.T, rows []Row) map[int64][]sliding.Edge {
	t.Helper()
	set, err := rules.Parse("rules.yaml", []byte(rulesText))
	if err != nil {
		t.Fatal(err)
	}
	byUser := map[int64][]brimline.Transaction{}
	for _, r := range rows {
		byUser[r.User] = append(byUser[r.User], brimline.Transaction{Amount: r.Amount, Time: brimline.TimeOf(r.Time)})
	}
	compiled, found := set.Compiled(), map[int64][]sliding.Edge{}
	for user, own := range byUser {
		for i := range compiled {
			found[user] = append(found[user], sliding.Edges(own, &compiled[i], brimline.MinTime, brimline.MaxTime)...)
		}
	}
	return found
}

func count(found map[int64][]sliding.Edge) (n int) {
	for _, e := range found {
		n += len(e)
	}
	return n
}

// The alert of the README must be there whatever the seed.
func TestTheStoryIsInEveryBacklog(t *testing.T) {
	for seed := range uint64(50) {
		found := edges(t, NewGenerator(seed).Backlog(now, 500))[StoryUser]
		if len(found) != 1 || found[0].Figures.Total != StoryTotal.Total() || found[0].Figures.Count != 12 {
			t.Fatalf("seed %d: %+v, want one edge at %s with 12 transactions", seed, found, StoryTotal.Format(Scale))
		}
	}
}

func TestBacklog(t *testing.T) {
	rows := NewGenerator(1).Backlog(now, 4000)
	if len(rows) != 4000 {
		t.Errorf("%d rows, want 4000", len(rows))
	}
	if !slices.IsSortedFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) }) {
		t.Error("not in time order")
	}
	if first, last := rows[0].Time, rows[len(rows)-1].Time; now.Sub(first) > 10*24*time.Hour || last.After(now) {
		t.Errorf("from %v to %v, want within the ten days before %v", first, last, now)
	}
	alerts := count(edges(t, rows))
	if alerts < 2 || alerts > 20 {
		t.Errorf("%d alerts in the backlog: too few to see, or too many to be believed", alerts)
	}
}

func TestSameSeedSameRows(t *testing.T) {
	a, b := NewGenerator(7), NewGenerator(7)
	if !slices.Equal(a.Backlog(now, 300), b.Backlog(now, 300)) || !slices.Equal(a.Live(now, 300), b.Live(now, 300)) {
		t.Error("two generators of one seed differ")
	}
}

// A minute at the default rate raises an alert, and none of its rows is ahead of the clock.
func TestLiveRaisesAlerts(t *testing.T) {
	for seed := range uint64(10) {
		g := NewGenerator(seed)
		var rows []Row
		for beat := range 60 {
			at := now.Add(time.Duration(beat) * time.Second)
			for _, r := range g.Live(at, 20) {
				if r.Time.After(at) {
					t.Fatalf("seed %d: a row of %v at %v", seed, r.Time, at)
				}
				if r.User == StoryUser {
					t.Fatalf("seed %d: StoryUser got a live row", seed)
				}
				rows = append(rows, r)
			}
		}
		slices.SortStableFunc(rows, func(a, b Row) int { return a.Time.Compare(b.Time) })
		if count(edges(t, rows)) == 0 {
			t.Errorf("seed %d: no alert within a minute", seed)
		}
	}
}

// The README's rules are the demo's where they have the same names.
func TestReadmeHasTheDemosRules(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(readme), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")
	theirs, err := rules.Parse("README.md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := rules.Parse("rules.yaml", []byte(rulesText))
	if err != nil {
		t.Fatal(err)
	}
	shared := 0
	for _, r := range theirs.Rules {
		i := slices.IndexFunc(ours.Rules, func(o brimline.Rule) bool { return o.ID == r.ID })
		if i < 0 {
			continue
		}
		shared++
		o := ours.Rules[i]
		whole := r.ID == "card-testing"
		if o.Window != r.Window || o.Limit != r.Limit || whole && (o.Measure != r.Measure || o.Severity != r.Severity) {
			t.Errorf("%s is %+v in the README, and %+v in the demo", r.ID, r, o)
		}
	}
	if shared < 2 {
		t.Errorf("%d rules of one name", shared)
	}
}

// A stolen card is tried out often enough in every backlog.
func TestCardTestingIsInEveryBacklog(t *testing.T) {
	for seed := range uint64(50) {
		tried := 0
		for _, found := range edges(t, NewGenerator(seed).Backlog(now, 500)) {
			for _, e := range found {
				if e.Figures.Count > 20 && e.Figures.Total == brimline.Count(21) {
					tried++
				}
			}
		}
		if tried != 1 {
			t.Errorf("seed %d: %d alerts of 21 transactions, want one", seed, tried)
		}
	}
}
