package app

import (
	"runtime"
	"strconv"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/index"
	"github.com/brimline/brimline/processors/route"
	"github.com/brimline/brimline/processors/verify"
	"github.com/brimline/brimline/processors/window"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Metrics are the figures of the app itself; the stages have their own.
type Metrics struct {
	restarts  *prometheus.CounterVec
	up        *prometheus.GaugeVec
	lag       map[processors.StageName]*prometheus.GaugeVec
	handled   map[processors.StageName]*prometheus.CounterVec
	unread    *prometheus.GaugeVec
	strangers prometheus.Gauge
	swept     prometheus.Counter
	unjudged  prometheus.Counter

	proofEdges    prometheus.Gauge
	proofFindings *prometheus.GaugeVec
	proofTime     prometheus.Gauge
	proofFailures prometheus.Counter

	auditRows     prometheus.Gauge
	auditFindings *prometheus.GaugeVec
	auditUnknown  prometheus.Gauge
	auditTime     prometheus.Gauge
	auditFailures prometheus.Counter
}

// NewMetrics registers the app's metrics, each at zero. version is that of the program.
func NewMetrics(r prometheus.Registerer, version string) *Metrics {
	m := &Metrics{
		restarts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_stage_restarts_total", Help: "Times a stage ended by an error and was started again.",
		}, []string{"stage"}),
		up: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "brimline_stage_up", Help: "1 while the stage is a member of its group and its tables are recovered.",
		}, []string{"stage"}),
		lag:     map[processors.StageName]*prometheus.GaugeVec{},
		handled: map[processors.StageName]*prometheus.CounterVec{},
		unread: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "brimline_stage_unread_partitions", Help: "Input partitions of the stage that no instance of the group reads.",
		}, []string{"stage"}),
		strangers: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "brimline_rules_disagreeing_members",
			Help: "Other instances of this group that were last seen to run with other rules.",
		}),
		swept: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_window_sweeps_total",
			Help: "Walks over the window table to remove users whose rows have all aged out.",
		}),
		unjudged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_rules_where_failures_total",
			Help: "Times that a rule's where expression could not be evaluated on a row, which then does not match.",
		}),
	}
	m.proofEdges = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_prove_edges", Help: "Edges that must have an alert, by the group's newest comparison with the table.",
	})
	m.proofFindings = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "brimline_prove_findings",
		Help: "Edges without an alert, and alerts without an edge, by the newest comparison.",
	}, []string{"kind"})
	m.proofTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_prove_time_seconds",
		Help: "When the newest comparison looked at the table, in Unix time; 0 where there was none.",
	})
	m.proofFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_prove_failures_total", Help: "Times that this instance could not compare the alerts with the table.",
	})
	r.MustRegister(m.proofEdges, m.proofFindings, m.proofTime, m.proofFailures)
	m.proven(&codecs.ProofReport{})
	m.registerAudit(r)
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_build_info", Help: "Always 1; its labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r.MustRegister(build, m.restarts, m.up, m.unread, m.strangers, m.swept, m.unjudged)
	for _, stage := range processors.StageNames() {
		m.restarts.WithLabelValues(string(stage))
		m.up.WithLabelValues(string(stage))
		m.lag[stage] = prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "brimline_" + string(stage) + "_lag_messages", Help: "Input not yet handled, as the brokers see it.",
		}, []string{"partition"})
		m.handled[stage] = prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "brimline_" + string(
				stage,
			) + "_handled_messages_total", Help: "Input messages taken in by this instance, replays included.",
		}, []string{"partition"})
		r.MustRegister(m.lag[stage], m.handled[stage])
	}
	return m
}

// stageMetrics are those of the stages, made once however often a stage is started again.
type stageMetrics struct {
	route  *route.Metrics
	window *window.Metrics
	verify *verify.Metrics
	index  *index.Metrics
}

func newStageMetrics(r prometheus.Registerer, rules []brimline.Rule) stageMetrics {
	m := stageMetrics{
		route: route.NewMetrics(
			r,
		), window: window.NewMetrics(r), verify: verify.NewMetrics(r), index: index.NewMetrics(r),
	}
	m.route.Expect(kindTooLarge)
	m.verify.Expect(rules)
	return m
}

// deadLetters are those that this instance has written since its start, by kind.
func (m *stageMetrics) deadLetters() map[string]int64 {
	sums := map[string]int64{}
	for _, of := range []*processors.LetterCount{&m.route.Letters, &m.window.Letters, &m.verify.Letters} {
		of.AddTo(sums)
	}
	return sums
}

// registerProcess adds what Go and the operating system know of this process.
func registerProcess(r prometheus.Registerer) {
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// expect begins to count what every partition of the inputs brings, once their numbers are known.
func (m *Metrics) expect(n partitionCounts) {
	for stage, count := range map[processors.StageName]int{
		processors.Route: n.source, processors.Window: n.users, processors.Verify: n.users, processors.Index: n.alerts,
	} {
		for p := range count {
			m.handled[stage].WithLabelValues(strconv.Itoa(p))
		}
	}
}

// proven shows the newest comparison of the alerts with the table.
func (m *Metrics) proven(p *codecs.ProofReport) {
	m.proofEdges.Set(float64(p.Edges))
	for kind, n := range map[string]int{
		"missing": p.Missing, "false": p.False, "outdated": p.Outdated, "superseded": p.Superseded,
	} {
		m.proofFindings.WithLabelValues(kind).Set(float64(n))
	}
	m.proofTime.Set(float64(p.At) / 1e6)
}

func (m *Metrics) registerAudit(r prometheus.Registerer) {
	m.auditRows = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_audit_rows", Help: "Rows of windows, by their group's newest comparison with the table.",
	})
	m.auditFindings = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "brimline_audit_findings",
		Help: "Rows that windows lack, that they have and the table does not, and that are not alike, by the newest " +
			"comparison.",
	}, []string{"kind"})
	m.auditUnknown = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_audit_unknown_users",
		Help: "Users with rows in the table whom the windows do not know, by the newest comparison.",
	})
	m.auditTime = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "brimline_audit_time_seconds",
		Help: "When the newest comparison looked at the table first, in Unix time; 0 where there was none.",
	})
	m.auditFailures = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_audit_failures_total",
		Help: "Times that this instance could not compare the windows' rows with the table.",
	})
	r.MustRegister(m.auditRows, m.auditFindings, m.auditUnknown, m.auditTime, m.auditFailures)
	m.audited(&codecs.AuditReport{})
}

// audited shows the newest comparison of the windows' rows with the table.
func (m *Metrics) audited(a *codecs.AuditReport) {
	m.auditRows.Set(float64(a.Rows))
	for kind, n := range map[string]int{"missing": a.Missing, "phantom": a.Phantom, "different": a.Different} {
		m.auditFindings.WithLabelValues(kind).Set(float64(n))
	}
	m.auditUnknown.Set(float64(a.Unknown))
	m.auditTime.Set(float64(a.At) / 1e6)
}
