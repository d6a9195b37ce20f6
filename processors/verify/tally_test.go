package verify

import (
	"maps"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
)

// TestTallyTellsDismissedFromEarly: an edge before the group's time was confirmed, so PostgreSQL's figures do not
// differ.
func TestTallyTellsDismissedFromEarly(t *testing.T) {
	m := NewMetrics(prometheus.NewRegistry())
	edge := func(reason string) item {
		it := item{candidate: &brimline.Candidate{Kind: brimline.EdgeCandidate}}
		if reason == "" {
			it.out.alert = &brimline.Alert{}
		} else {
			it.out.dismissed = &brimline.Alert{Reason: reason}
		}
		return it
	}
	m.count([]item{edge(""), edge(brimline.ReasonBeforeAlertsFrom), edge(brimline.ReasonBeforeAlertsFrom),
		edge(brimline.ReasonNotAbove)}, time.Now())
	got := m.Tally()
	if want := map[string]int64{brimline.ReasonNotAbove: 1}; got.Edges != 4 || got.Early != 2 ||
		!maps.Equal(got.Dismissed, want) {
		t.Errorf("%+v", got)
	}
}

// The delay of an alert is that from the commit of its row, which not every row's record says.
func TestAlertDelay(t *testing.T) {
	r := prometheus.NewRegistry()
	m := NewMetrics(r)
	commit := brimline.TimeOf(time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC))
	alert := func(commit brimline.Time) item {
		return item{
			candidate: &brimline.Candidate{Kind: brimline.EdgeCandidate, Source: brimline.Source{Commit: commit}},
			out:       outcome{alert: &brimline.Alert{}},
		}
	}
	dismissed := alert(commit)
	dismissed.out = outcome{dismissed: &brimline.Alert{Reason: brimline.ReasonNotAbove}}
	replay := alert(commit)
	replay.replay = true
	m.count([]item{alert(commit), alert(commit.Add(time.Second)), alert(0), dismissed, replay},
		commit.Std().Add(1500*time.Millisecond))
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "brimline_verify_alert_delay_seconds" {
			h := f.GetMetric()[0].GetHistogram()
			if h.GetSampleCount() != 2 || h.GetSampleSum() != 2 {
				t.Errorf("%d alerts with %v seconds in all, want 2 with 2", h.GetSampleCount(), h.GetSampleSum())
			}
			return
		}
	}
	t.Error("there is no such metric")
}
