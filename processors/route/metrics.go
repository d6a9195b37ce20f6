package route

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/processors"
)

// Metrics are the stage's own; lag and restarts are counted by the app for every stage alike.
type Metrics struct {
	changes, nothing, letters prometheus.Counter // records by what became of them
	dead                      *prometheus.CounterVec
	cut                       prometheus.Counter
	delay                     prometheus.Histogram
	skipped                   map[debezium.Passed]prometheus.Counter // records that came to nothing, by why

	Letters processors.LetterCount // since the start
}

// NewMetrics registers the stage's metrics with r, counters at zero.
func NewMetrics(r prometheus.Registerer) *Metrics {
	records := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brimline_route_records_total",
		Help: "Records of the source topic taken in, by what became of them.",
	}, []string{"outcome"})
	m := &Metrics{
		changes: records.WithLabelValues("changes"), nothing: records.WithLabelValues("nothing"),
		letters: records.WithLabelValues("deadletter"),
		dead: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_route_deadletters_total",
			Help: "Records written to the dead letter topic, by kind of error.",
		}, []string{"kind"}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_route_cut_deadletters_total",
			Help: "Dead letters that do not hold the whole record: it is larger than a record of their topic may be.",
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "brimline_route_delay_seconds",
			Help:    "Time from a row's commit in PostgreSQL to its arrival at this stage.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 10),
		}),
		skipped: map[debezium.Passed]prometheus.Counter{},
	}
	skipped := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brimline_route_skipped_total",
		Help: "Records that say nothing about rows of the watched table, by why.",
	}, []string{"reason"})
	for _, reason := range debezium.PassedReasons() {
		m.skipped[reason] = skipped.WithLabelValues(string(reason))
	}
	r.MustRegister(records, m.dead, m.cut, m.delay, skipped)
	m.Expect(debezium.Kinds()...)
	m.Expect(kindIDTooLong, kindColumnsTooLong, kindBadUser, kindUnknown)
	return m
}

// Expect begins to count dead letters of further kinds, those of a decoder's own.
func (m *Metrics) Expect(kinds ...string) {
	for _, kind := range kinds {
		m.dead.WithLabelValues(kind)
	}
}

func (m *Metrics) observe(out outcome, now time.Time) {
	switch {
	case out.dead != nil: // whatever changes there are beside it
		m.letters.Inc()
		m.dead.WithLabelValues(out.dead.Kind).Inc()
		m.Letters.Add(out.dead.Kind)
	case len(out.changes) == 0:
		m.nothing.Inc()
		if c := m.skipped[out.passed]; c != nil {
			c.Inc()
		}
	default:
		m.changes.Inc()
		if commit := out.changes[0].Source.Commit; commit != 0 {
			m.delay.Observe(now.Sub(commit.Std()).Seconds())
		}
	}
}
