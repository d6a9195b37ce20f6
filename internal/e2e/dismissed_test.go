package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestDismissedFiguresAreTold: what PostgreSQL dismisses is told by the API, by reason. Silence would leave a stream
// whose amounts are wrong with no sign of it but a topic.
func TestDismissedFiguresAreTold(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rows := []testkit.Row{{ID: 1, User: 7, Amount: 150_000, Time: at}, {ID: 2, User: 8, Amount: 150_000, Time: at}}
	j.table.Insert(t, rows[:1]) // PostgreSQL does not have the second
	var events []testkit.Event
	for i := range rows {
		events = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], 0))
	}
	j.Produce(t, j.names.Source, events)
	p := j.start(t, 0, "--listen", "127.0.0.1:0")
	var status struct {
		Verification struct {
			SinceStart struct {
				Candidates int64
				Dismissed  map[string]int64
			} `json:"since_start"`
		}
		Notices []struct{ Kind, Level, Message string }
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := regexp.MustCompile(`msg=listening url=(\S+)`)
	err := testkit.Eventually(ctx, func() (bool, error) {
		m := address.FindStringSubmatch(p.Output())
		if m == nil {
			return false, nil
		}
		r, err := http.Get(m[1] + "/api/v1/status")
		if err != nil {
			return false, err
		}
		defer r.Body.Close()
		err = json.NewDecoder(r.Body).Decode(&status)
		return status.Verification.SinceStart.Candidates == 2, err
	})
	if err != nil {
		t.Fatalf("%v: %+v", err, status)
	}
	if got := status.Verification.SinceStart.Dismissed; got[brimline.ReasonNotAbove] != 1 || len(got) != 1 {
		t.Errorf("dismissed %v, want one not_above", got)
	}
	want := regexp.MustCompile(`^PostgreSQL's figures differ from the stream's for 1 of 2 candidates ` +
		`in the last (\d+ (s|min)|minute): not_above 1; `)
	if !slices.ContainsFunc(status.Notices, func(n struct{ Kind, Level, Message string }) bool {
		return n.Kind == "figures_differ" && n.Level == "note" && want.MatchString(n.Message)
	}) {
		t.Errorf("the notices do not say it: %+v", status.Notices)
	}
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
}
