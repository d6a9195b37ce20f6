package window

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// Metrics are the stage's own; lag and restarts are counted by the app for every stage alike.
type Metrics struct {
	changes     [brimline.LastChange + 1][effects]prometheus.Counter // by kind and effect
	candidates  map[brimline.CandidateKind]prometheus.Counter
	rows        prometheus.Histogram
	swept       prometheus.Counter
	undecodable prometheus.Counter
	older       prometheus.Counter
	elsewhere   prometheus.Counter
	broken      prometheus.Counter
	cut         prometheus.Counter
	shortened   prometheus.Counter
	Letters     processors.LetterCount // since the start
	distrusts   map[brimline.DistrustReason]prometheus.Counter
	distrusted  prometheus.Gauge
	above       prometheus.Gauge
}

// What a change did to its window.
const (
	changed = iota
	nothing
	replayed
	effects
)

var effectNames = [effects]string{changed: "changed", nothing: "nothing", replayed: "replay"}

var changeKinds = map[brimline.ChangeKind]string{
	brimline.Upsert: "upsert", brimline.Delete: "delete", brimline.Truncate: "truncate",
	brimline.EdgesFound: "edges_found", brimline.Dismissal: "refuted", brimline.Sweep: "sweep",
	brimline.Unjudgeable: "unjudgeable", brimline.Retry: "retry",
	brimline.Distrust: "distrust", brimline.AskAgain: "ask_again", brimline.AskAbove: "ask_above",
	brimline.Forget:   "forget",
	brimline.Restored: "restored", brimline.StillDismissed: "still_refuted", brimline.Disbelieved: "disbelieved",
}

// NewMetrics registers the stage's metrics with r, counters at zero.
func NewMetrics(r prometheus.Registerer) *Metrics {
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brimline_window_changes_total",
		Help: "Changes folded, by kind and by what they did: changed the window, changed nothing, or were a replay.",
	}, []string{"kind", "effect"})
	candidates := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brimline_window_candidates_total",
		Help: "Candidates emitted, by kind: edge, or late for a span that reaches below the retained history.",
	}, []string{"kind"})
	m := &Metrics{
		candidates: map[brimline.CandidateKind]prometheus.Counter{},
		rows: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "brimline_window_rows", Help: "Rows retained for a user, at each change.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 10),
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_swept_users_total",
			Help: "Users deleted from the table because everything of theirs had aged out.",
		}),
		older: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_older_changes_total",
			Help: "Changes left alone because a newer one of their row was folded before.",
		}),
		elsewhere: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_other_timeline_changes_total",
			Help: "Changes with a lower LSN and a later commit than their row's newest, folded as they came: the database was " +
				"restored, or a standby took over, or a snapshot was taken while their transaction was open.",
		}),
		undecodable: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_deadletters_total", Help: "Messages of the changes stream that could not be decoded.",
		}),
		broken: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_broken_states_total",
			Help: "States of users whose segments were missing or damaged. Not zero is a defect: report it.",
		}),
	}
	m.cut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_window_cut_candidates_total",
		Help: "Candidates that leave out contributing transactions or columns: with them they were too large for a record.",
	})
	m.shortened = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_window_shortened_histories_total",
		Help: "Changes at which a user's oldest rows were given up before their time: rows, or what is remembered of " +
			"changed ones, had more bytes than a user may have. PostgreSQL is asked in their place.",
	})
	distrusts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "brimline_window_distrusts_total",
		Help: "Users distrusted, by reason: their rows were forgotten, and PostgreSQL answers for them.",
	}, []string{"reason"})
	m.distrusts = map[brimline.DistrustReason]prometheus.Counter{
		brimline.ByCommand:    distrusts.WithLabelValues(string(brimline.ByCommand)),
		brimline.ByDismissals: distrusts.WithLabelValues(string(brimline.ByDismissals)),
	}
	m.distrusted = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_window_distrusted_users",
		Help: "Users for whom PostgreSQL answers because they were distrusted, until their windows have filled again.",
	})
	m.above = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_window_above_limit_users",
		Help: "About how many users are above a limit and wait for PostgreSQL to be asked about them: rows that it does " +
			"not have would hide edges.",
	})
	r.MustRegister(m.above, changes, candidates, m.rows, m.swept, m.undecodable, m.older, m.elsewhere, m.broken, distrusts,
		m.distrusted, m.cut, m.shortened)
	for kind, name := range changeKinds {
		for effect, what := range effectNames {
			m.changes[kind][effect] = changes.WithLabelValues(name, what)
		}
	}
	for _, kind := range []brimline.CandidateKind{brimline.EdgeCandidate, brimline.LateCandidate} {
		m.candidates[kind] = candidates.WithLabelValues(string(kind))
	}
	return m
}

// Above says about how many users above a limit PostgreSQL is to be asked.
func (m *Metrics) Above(n int) { m.above.Set(float64(n)) }

// Distrusted says how many distrusted users there are.
func (m *Metrics) Distrusted(n int) { m.distrusted.Set(float64(n)) }

func (m *Metrics) observe(c *brimline.Change, found []brimline.Candidate, stands brimline.Order, replay, write bool,
	rows int,
) {
	switch stands {
	case brimline.Older:
		m.older.Inc()
	case brimline.Elsewhere:
		m.elsewhere.Inc()
	}
	effect := nothing
	switch {
	case replay:
		effect = replayed
	case write:
		effect = changed
	}
	m.changes[c.Kind][effect].Inc()
	if by := m.distrusts[c.Reason]; by != nil && effect == changed {
		by.Inc()
	}
	m.rows.Observe(float64(rows))
	for i := range found {
		m.candidates[found[i].Kind].Inc()
	}
}
