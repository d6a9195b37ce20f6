package verify

import (
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
)

// TestTallyTellsRefutedFromEarly: an edge before the group's time was confirmed, so PostgreSQL's figures do not differ.
func TestTallyTellsRefutedFromEarly(t *testing.T) {
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
		edge(brimline.ReasonNotAbove)})
	got := m.Tally()
	if want := map[string]int64{brimline.ReasonNotAbove: 1}; got.Edges != 4 || got.Early != 2 ||
		!maps.Equal(got.Dismissed, want) {
		t.Errorf("%+v", got)
	}
}
