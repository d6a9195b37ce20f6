package httpapi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
	"github.com/prometheus/client_golang/prometheus"
)

var noon = brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))

// fakes stand in for views and app.
type fakes struct {
	windows map[string]*brimline.Window
	alerts  []*brimline.Alert // newest first
	status  Status
	err     error
	lag     int64
	rules   brimline.RuleSet
}

func compiled(set *brimline.RuleSet) *views.Rules {
	r, err := views.CompileRules(set)
	if err != nil {
		panic(err)
	}
	return r
}

func (f *fakes) User(_ context.Context, id string, now brimline.Time) (views.User, error) {
	u := views.UserAt(id, f.windows[id], compiled(&f.rules), now)
	u.AsOf.Partition, u.AsOf.Table, u.AsOf.Lag = 3, 412, f.lag
	return u, f.err
}

type fakeAlerts struct{ *fakes }

func (f fakeAlerts) User(id string) (out []*brimline.Alert, err error) {
	for _, a := range f.alerts {
		if a.Candidate.User == id {
			out = append(out, a)
		}
	}
	return out, f.err
}

func (f fakeAlerts) Recent(_ context.Context, n int) ([]*brimline.Alert, error) {
	return f.alerts[:min(n, len(f.alerts))], f.err
}

func total(s string) brimline.Total {
	t, err := brimline.ParseTotal(s, 2)
	if err != nil {
		panic(err)
	}
	return t
}

func amountOf(s string) brimline.Amount {
	a, err := brimline.ParseAmount(s, 2)
	if err != nil {
		panic(err)
	}
	return a
}

// newFakes are believable: a user over the limit, one under it, hostile names, a busy stage.
func newFakes() *fakes {
	f := &fakes{windows: map[string]*brimline.Window{}, rules: brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{
		{ID: "weekly-volume", Window: 168 * time.Hour, Limit: total("3000.00"), Severity: "high", Description: "Turnover of a private account in seven days"},
		{ID: "large-transfers", Window: 24 * time.Hour, Limit: total("1200.00"), Measure: brimline.SumOut, Where: `amount < -500 && country != "DE"`},
		{ID: "velocity", Window: time.Hour, Limit: brimline.Count(10), Measure: brimline.CountAll, Severity: "low"},
	}}}
	f.rules.Columns = []brimline.Column{{Name: "country", Type: brimline.Text}}
	amounts := []string{"212.40", "-89.99", "340.00", "-18.25", "512.00", "-230.10", "75.00", "-640.00",
		"129.90", "310.00", "-42.36", "841.50"}
	w := &brimline.Window{Last: 200, Floor: brimline.MinTime, Scale: 2}
	for i, a := range amounts {
		w.Rows = append(w.Rows, brimline.RowOf(&brimline.Transaction{
			ID: fmt.Sprint(18422 + 13*i), Amount: amountOf(a),
			Time:    noon.Add(-time.Duration(len(amounts)-i) * 13 * time.Hour).Add(17 * time.Minute),
			Columns: []brimline.Field{{Name: "country", Value: []string{"DE", "FR", "NL"}[i%3]}, {Name: "channel", Value: []any{"card", "transfer", nil}[i%3]}},
		}))
	}
	edge := w.Rows[len(w.Rows)-1].Time
	w.Rules = []brimline.RuleState{{Rule: f.rules.Rules[0].Fingerprint(), Edges: []brimline.Edge{{Time: edge}}}}
	f.windows["27956157"] = w
	f.windows["small"] = &brimline.Window{Last: 12, Floor: noon.Add(-24 * time.Hour), Scale: 2,
		Rows: brimline.RowsOf([]brimline.Transaction{
			{ID: "1", Amount: amountOf("-200.00"), Time: noon.Add(-time.Hour)}, {ID: "2", Amount: amountOf("1.00"), Time: noon.Add(time.Hour)},
		})}
	for i, user := range []string{"27956157", "10000482", "8f14e45f-ceea-467f-a8c9-2b4d1f0a77c1", hostile,
		"30118", "27956157", "411", "93220017"} {
		f.alerts = append(f.alerts, f.alert(user, i, edge.Add(-time.Duration(i)*53*time.Minute)))
	}
	f.status = Status{
		Group: "brimline", Instance: "risk-01-4be1", Version: "brimline 0.1.0", Started: noon.Add(-time.Hour), At: noon,
		Views: []ViewStatus{{Table: "brimline-window-table", Recovered: true, Connected: true}},
	}
	for i, name := range processors.StageNames() {
		s := StageStatus{Name: name, Group: "brimline-" + string(name), Here: true,
			State: Running, Lag: []int64{0, 0, 1284, 0}[i]}
		for p := range int32(8) {
			s.Partitions = append(s.Partitions, PartitionStatus{Topic: "brimline-changes", Partition: p, Own: p < 4,
				State: Running, Committed: 50, End: 50})
		}
		f.status.Stages = append(f.status.Stages, s)
	}
	return f
}

// hostile is a user id that tries to be markup, a path and a direction override at once.
const hostile = "\"><script>alert(1)</script>/../\u202eevil"

func (f *fakes) alert(user string, i int, at brimline.Time) *brimline.Alert {
	figures := brimline.Figures{Before: total("2599.99"), Total: total("3441.50").Add(brimline.Count(int64(i) * 4177)),
		Count: int64(12 + i)}
	a := &brimline.Alert{
		Candidate: brimline.Candidate{
			Kind: brimline.EdgeCandidate, User: user, Scale: 2, Rule: f.rules.Rules[0], Edge: at, Stream: figures,
			Trigger: brimline.Transaction{ID: "18565", User: user, Amount: amountOf("841.50"), Time: at},
		},
		Database:     &figures,
		Verification: brimline.Verification{Status: brimline.Verified, At: at.Add(1200 * time.Millisecond), Duration: 3 * time.Millisecond, LSN: 0x1A2B3C},
	}
	if i == 4 {
		a.Database, a.Verification = nil, brimline.Verification{Status: brimline.Unverified}
	}
	return a
}

func (f *fakes) options() Options {
	registry := prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "brimline_test_gauge", Help: "One."}))
	return Options{
		Users: f, Alerts: fakeAlerts{f}, Status: func(context.Context) Status { return f.status },
		Rules: f.rules, Streams: processors.NewStreams("brimline", "postgres.streaming.transactions", "alerts"),
		Metrics: registry, Now: func() time.Time { return noon.Std() },
	}
}

var errNotYet = &brimline.Error{Class: brimline.ClassRuntime, Kind: "view_not_recovered", Where: "view",
	Remedy: "ask again in a moment", Err: errors.New("2 of 8 partitions are complete")}
