package window

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
)

// Metrics are the stage's own; lag and restarts are counted by the app for every stage alike.
type Metrics struct {
	changes     *prometheus.CounterVec
	candidates  *prometheus.CounterVec
	rows        prometheus.Histogram
	swept       prometheus.Counter
	undecodable prometheus.Counter
	broken      prometheus.Counter
}

var changeKinds = map[brimline.ChangeKind]string{
	brimline.Upsert: "upsert", brimline.Delete: "delete", brimline.Truncate: "truncate",
	brimline.EdgesFound: "edges_found", brimline.Refuted: "refuted", brimline.Sweep: "sweep",
}

// NewMetrics registers the stage's metrics with r, counters at zero.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		changes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_window_changes_total",
			Help: "Changes folded, by kind and by what they did: changed the window, changed nothing, or were a replay.",
		}, []string{"kind", "effect"}),
		candidates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_window_candidates_total",
			Help: "Candidates emitted, by kind: edge, or late for a span that reaches below the retained history.",
		}, []string{"kind"}),
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "brimline_window_rows", Help: "Rows retained for a user, at each change.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 10),
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_swept_users_total", Help: "Users deleted from the table because everything of theirs had aged out.",
		}),
		undecodable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_deadletters_total", Help: "Messages of the changes stream that could not be decoded.",
		}),
		broken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_broken_states_total", Help: "States of users whose segments were missing or damaged. Not zero is a defect: report it.",
		}),
	}
	r.MustRegister(m.changes, m.candidates, m.rows, m.swept, m.undecodable, m.broken)
	for _, kind := range changeKinds {
		for _, effect := range []string{"changed", "nothing", "replay"} {
			m.changes.WithLabelValues(kind, effect)
		}
	}
	m.candidates.WithLabelValues(string(brimline.EdgeCandidate))
	m.candidates.WithLabelValues(string(brimline.LateCandidate))
	return m
}

func (m *Metrics) observe(c *brimline.Change, found []brimline.Candidate, replay, write bool, rows int) {
	effect := "nothing"
	switch {
	case replay:
		effect = "replay"
	case write:
		effect = "changed"
	}
	m.changes.WithLabelValues(changeKinds[c.Kind], effect).Inc()
	m.rows.Observe(float64(rows))
	for i := range found {
		m.candidates.WithLabelValues(string(found[i].Kind)).Inc()
	}
}
