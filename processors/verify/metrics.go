package verify

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// Metrics are the stage's own; lag and restarts are counted by the app for every stage alike.
type Metrics struct {
	candidates   *prometheus.CounterVec
	shadows      *prometheus.CounterVec
	alerts       *prometheus.CounterVec
	dismissed    *prometheus.CounterVec
	edgesFound   prometheus.Counter
	replays      prometheus.Counter
	dead         prometheus.Counter
	long         prometheus.Counter
	reasked      *prometheus.CounterVec
	queries      prometheus.Histogram
	waits        prometheus.Histogram
	transactions prometheus.Histogram
	delay        prometheus.Histogram
	aborts       prometheus.Counter
	cut          prometheus.Counter
	waiting      prometheus.Gauge
	kept         prometheus.Gauge
	tally        tally
	Letters      processors.LetterCount // since the start
}

// NewMetrics registers the stage's metrics with r, counters at zero. All but
// the histograms, long_questions_total, kept_back and waiting count what was committed.
func NewMetrics(r prometheus.Registerer) *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "brimline_verify_" + name, Help: help})
	}
	m := &Metrics{
		candidates: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_verify_candidates_total", Help: "Candidates decided, by kind; replays are not among them.",
		}, []string{"kind"}),
		alerts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_verify_alerts_total", Help: "Alerts written, by rule and the rule's severity.",
		}, []string{"rule", "severity"}),
		shadows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_verify_shadow_alerts_total",
			Help: "Alerts of rules in mode shadow, written to the group's topic of them, by rule and the rule's severity.",
		}, []string{"rule", "severity"}),
		dismissed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_verify_dismissed_total", Help: "Candidates dismissed, by reason.",
		}, []string{"reason"}),
		edgesFound: counter("edges_found_total", "Edges that PostgreSQL found for late candidates."),
		replays:    counter("replays_total", "Candidates dropped because they had been handled before."),
		dead:       counter("deadletters_total", "Candidates written to the dead letter topic."),
		long: counter(
			"long_questions_total",
			"Questions put to PostgreSQL in pieces, since their users have many rows.",
		),
		reasked: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_verify_asked_again_total",
			Help: "Edges that PostgreSQL dismissed, having less than the window, and that were due to be asked about again, " +
				"by what came of it.",
		}, []string{"outcome"}),
		queries: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "brimline_verify_query_duration_seconds",
			Help:    "Time of one question to PostgreSQL, the wait for a replica included.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 15),
		}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "brimline_verify_question_wait_seconds",
			Help:    "From the writing of a question about old rows until its answer is written: the oldest of each batch.",
			Buckets: prometheus.ExponentialBuckets(0.01, 3, 13),
		}),
		transactions: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "brimline_verify_transaction_duration_seconds", Help: "Time of one Kafka transaction from begin to commit.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		delay: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "brimline_verify_alert_delay_seconds",
			Help:    "Time from the commit of the row that caused an alert to the alert's own commit, where the row says it.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2.5, 14),
		}),
		aborts: counter("aborts_total", "Kafka transactions aborted; their candidates are handled again."),
		cut: counter("cut_alerts_total", "Alerts and dismissed candidates that leave out contributing transactions or "+
			"columns: with them they were too large for a record."),
		waiting: prometheus.NewGauge(
			prometheus.GaugeOpts{Name: "brimline_verify_waiting", Help: "1 while PostgreSQL does not answer, else 0."},
		),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "brimline_verify_kept_back",
			Help: "Records of candidates that wait for questions about users with many rows, while their partitions go on.",
		}),
	}
	r.MustRegister(
		m.candidates,
		m.alerts,
		m.shadows,
		m.dismissed,
		m.edgesFound,
		m.replays,
		m.dead,
		m.long,
		m.reasked,
		m.queries,
		m.waits,
		m.transactions,
		m.delay,
		m.aborts,
		m.cut,
		m.waiting,
		m.kept,
	)
	for _, outcome := range reaskings {
		m.reasked.WithLabelValues(outcome)
	}
	for _, kind := range []brimline.CandidateKind{brimline.EdgeCandidate, brimline.LateCandidate} {
		m.candidates.WithLabelValues(string(kind))
	}
	for _, reason := range []string{brimline.ReasonAlreadyAbove, brimline.ReasonNotAbove, brimline.ReasonNoDatabase,
		brimline.ReasonBeforeAlertsFrom, brimline.ReasonQuiet, brimline.ReasonNotRearmed} {
		m.dismissed.WithLabelValues(reason)
	}
	return m
}

// Expect begins to count the alerts of rules; those of others are counted from their first one on.
func (m *Metrics) Expect(rules []brimline.Rule) {
	for i := range rules {
		m.alertsOf(&rules[i])
	}
}

// alertsOf counts the alerts of a rule. A severity is any text, and a label is not: one that is no plain word counts as
// other.
func (m *Metrics) alertsOf(rule *brimline.Rule) prometheus.Counter {
	severity := rule.Severity
	if strings.Trim(severity, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-. ") != "" {
		severity = "other"
	}
	if rule.Shadow {
		return m.shadows.WithLabelValues(rule.ID, severity)
	}
	return m.alerts.WithLabelValues(rule.ID, severity)
}

// waited notes how long the oldest question of a committed batch has waited.
func (m *Metrics) waited(b *batch, now time.Time) {
	if at := b.messages[0].Timestamp; b.lane.apart && b.lane.delay == 0 && at.Unix() > 0 {
		m.waits.Observe(max(0, now.Sub(at).Seconds()))
	}
}

// count adds what a batch did that was committed at a time.
func (m *Metrics) count(items []item, at time.Time) {
	for i := range items {
		it := &items[i]
		switch {
		case it.kept: // it is counted when it is handled
			continue
		case it.replay:
			m.replays.Inc()
			continue
		case it.out.dead != nil:
			m.dead.Inc()
			m.Letters.Add(it.out.dead.Kind)
			continue
		case it.reask != "":
			m.reasked.WithLabelValues(it.reask).Inc()
			continue
		}
		m.candidates.WithLabelValues(string(it.candidate.Kind)).Add(float64(it.joined))
		if !it.candidate.Doubted || it.out.again == nil { // else it was counted before
			m.tally.add(it)
		}
		if it.out.cut {
			m.cut.Inc()
		}
		if it.out.alert != nil {
			m.alertsOf(&it.candidate.Rule).Inc()
			if row := it.candidate.Source.Commit; row != 0 && !it.candidate.Rule.Shadow {
				m.delay.Observe(at.Sub(row.Std()).Seconds())
			}
		}
		if it.out.dismissed != nil {
			m.dismissed.WithLabelValues(it.out.dismissed.Reason).Inc()
		}
		for _, c := range it.out.answers {
			if c.Kind == brimline.EdgesFound {
				m.edgesFound.Add(float64(len(c.Edges)))
			}
		}
	}
}
