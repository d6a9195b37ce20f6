package verify

import (
	"maps"
	"sync"

	"github.com/brimline/brimline"
)

// Tally counts the outcomes of edges since the start, for callers in the same process; what the
// metrics say, in numbers.
type Tally struct {
	Edges     int64            // candidates of kind edge
	Dismissed map[string]int64 // of them, those that PostgreSQL dismissed, by reason
	Early     int64            // of them, those that it confirmed, before the time from which the group alerts
}

// tally is a Tally that is being kept.
type tally struct {
	mu  sync.Mutex
	sum Tally
}

// Tally gives the sums of the moment.
func (m *Metrics) Tally() Tally {
	m.tally.mu.Lock()
	defer m.tally.mu.Unlock()
	return Tally{m.tally.sum.Edges, maps.Clone(m.tally.sum.Dismissed), m.tally.sum.Early}
}

// add counts a candidate that was committed.
func (t *tally) add(it *item) {
	if it.candidate.Kind != brimline.EdgeCandidate {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum.Edges++
	switch d := it.out.dismissed; {
	case d == nil || d.Reason == brimline.ReasonQuiet || d.Reason == brimline.ReasonNotRearmed: // PostgreSQL has the edge
	case d.Reason == brimline.ReasonBeforeAlertsFrom:
		t.sum.Early++
	default:
		if t.sum.Dismissed == nil {
			t.sum.Dismissed = map[string]int64{}
		}
		t.sum.Dismissed[d.Reason]++
	}
}
