package e2e

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// waitOutput waits until p has printed text.
func waitOutput(t *testing.T, p *testkit.Process, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := testkit.Eventually(ctx, func() (bool, error) {
		return strings.Contains(p.Output(), text), nil
	}); err != nil {
		t.Fatalf("waiting for %q: %v", text, err)
	}
}

// TestChangedRulesTakeEffectByRestart: an instance that comes with other rules
// waits while the old ones live. A new rule starts from the retained history
// and does not alert for edges before the change.
func TestChangedRulesTakeEffectByRestart(t *testing.T) {
	t.Parallel()
	const (
		before = "rules: [{id: old, window: 7d, limit: 100}]"
		after  = "rules: [{id: old, window: 7d, limit: 100}, {id: new, window: 1d, limit: 50}]"
		longer = "rules: [{id: old, window: 7d, limit: 100}, {id: new, window: 90d, limit: 50}]"
	)
	j := newJob(t, parts(t), 3, before)
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	produce := func(rows ...testkit.Row) {
		j.table.Insert(t, rows)
		var events []testkit.Event
		for i := range rows {
			events = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], rows[i].ID))
		}
		j.Produce(t, j.names.Source, events)
	}
	ids := func() (ids []string) {
		for _, a := range j.alerts(t) {
			ids = append(ids, a.Candidate.Rule.ID+" "+a.Database.Total.Format(2))
		}
		return ids
	}
	// 60 is an edge of the rule to come.
	produce(testkit.Row{ID: 1, User: 1, Amount: 6000, Time: at})
	old := j.start(t, 1)
	j.waitHandled(t, 1)

	j.setRules(t, after)
	next := j.start(t, 2)
	waitOutput(t, next, "other rules")
	produce(testkit.Row{ID: 2, User: 1, Amount: 4500, Time: at.Add(time.Hour)}) // 105: an edge of the old rule
	j.waitHandled(t, 2)
	old.Signal(syscall.SIGTERM)
	j.mustEnd(t, old)
	// Alone in its day: an edge of the new rule
	produce(testkit.Row{ID: 3, User: 1, Amount: 5500, Time: at.Add(72 * time.Hour)})
	j.waitHandled(t, 3)
	next.Signal(syscall.SIGTERM)
	j.mustEnd(t, next)
	j.finish(t)
	if got := strings.Join(ids(), ", "); got != "old 105.00, new 55.00" {
		t.Errorf("alerts: %s", got)
	}

	j.setRules(t, longer)
	refused := j.start(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if code, err := refused.Wait(ctx); err != nil || code != int(brimline.ClassInput) ||
		!strings.Contains(refused.Output(), "--group") {
		t.Errorf("a window longer than the history: exit code %d, %v", code, err)
	}
}
