// Package index is the stage that makes alerts askable by user.
//
// # In
//
// The alerts topic, keyed by alert id.
//
// # Out
//
// Nothing but its own loop: goka keeps a table value under the key of the
// message at hand, so each alert goes once through the loop, keyed by user.
//
// # State
//
// Per user the newest alerts, newest first. A view directly on the alerts topic
// would never recover: the last record of a transactional topic is a control record.
//
// # On replay
//
// An alert that is already in the list replaces itself. A list that was deleted, as `brimline forget` has it, is
// deleted again.
//
// # On bad input
//
// The alerts topic is open to other writers; what is not an alert is counted
// and passed over.
package index

import (
	"slices"

	"github.com/lovoo/goka"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// MostList bounds a user's list, in bytes: it is read and written whole with each alert.
const MostList = 4 << 20

// listAround is the size of a list beside its only alert.
const listAround = 64

// Config configures the stage. All fields are required.
type Config struct {
	Streams processors.Streams
	Table   *table.Table
	PerUser int // how many alerts of a user are kept
	// MostBytes is the largest value that the table and the loop take. Of a user with more the oldest alerts go.
	MostBytes int
	Metrics   *Metrics
}

// Graph declares the goka group. Its consumer must read committed records only.
func Graph(c Config) *goka.GroupGraph {
	most := min(c.MostBytes, MostList)
	return goka.DefineGroup(goka.Group(c.Streams.IndexGroup),
		goka.Input(goka.Stream(c.Streams.Alerts), codecs.Raw{}, func(ctx goka.Context, msg any) {
			alert, err := codecs.Alert{}.Decode(msg.([]byte))
			if err != nil {
				c.Metrics.foreign.Inc()
				return
			}
			a := alert.(*brimline.Alert)
			if len(a.Candidate.User) > processors.MaxID {
				c.Metrics.foreign.Inc()
				return
			}
			value, cut, err := codecs.FitAlert(a, most-listAround)
			if err != nil {
				c.Metrics.foreign.Inc()
				return
			}
			if cut {
				c.Metrics.cut.Inc()
			}
			ctx.Loopback(a.Candidate.User, value)
		}),
		goka.Loop(codecs.Raw{}, func(ctx goka.Context, msg any) {
			if string(msg.([]byte)) == codecs.ForgetAlerts {
				ctx.Delete()
				return
			}
			alert, err := codecs.Alert{}.Decode(msg.([]byte))
			if err != nil {
				c.Metrics.foreign.Inc()
				return
			}
			c.Metrics.dropped.Add(float64(put(ctx, c.Table, alert.(*brimline.Alert), c.PerUser, most)))
			failpoint.Hit(failpoint.IndexSet)
			c.Metrics.alerts.Inc()
		}),
		goka.Persist(codecs.AlertLog{}),
	)
}

// put puts an alert into its user's list in the table, which it keeps to n alerts and most bytes. It gives how many
// alerts the bytes have cost.
func put(ctx goka.Context, in *table.Table, a *brimline.Alert, n, most int) (dropped int) {
	partition := in.Partition(ctx.Partition())
	log, _ := partition.Value(ctx, codecs.AlertLog{}).([]*brimline.Alert)
	log = add(log, a, n)
	kept, err := codecs.FitAlertLog(log, most)
	if err != nil {
		table.Fail(ctx, err)
	}
	partition.SetValue(ctx, kept)
	return len(log) - len(kept)
}

// add puts an alert at its place in a list that is newest edge first, and keeps the list to n.
func add(log []*brimline.Alert, a *brimline.Alert, n int) []*brimline.Alert {
	id := a.Candidate.ID()
	log = slices.DeleteFunc(log, func(o *brimline.Alert) bool { return o.Candidate.ID() == id })
	at := slices.IndexFunc(log, func(o *brimline.Alert) bool { return o.Candidate.Edge <= a.Candidate.Edge })
	if at < 0 {
		at = len(log)
	}
	log = slices.Insert(log, at, a)
	return log[:min(n, len(log))]
}

// Metrics are the stage's own.
type Metrics struct {
	alerts  prometheus.Counter
	foreign prometheus.Counter
	dropped prometheus.Counter
	cut     prometheus.Counter
}

// NewMetrics registers the stage's metrics with r.
func NewMetrics(r prometheus.Registerer) *Metrics {
	m := &Metrics{
		alerts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_index_alerts_total", Help: "Alerts put into the table of alerts by user.",
		}),
		foreign: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "brimline_index_foreign_records_total", Help: "Records of the alerts topic that are not alerts.",
		}),
	}
	m.dropped = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_index_dropped_alerts_total",
		Help: "Alerts that went out of the table of alerts by user before their number said so: the list was too large " +
			"for a record. They stay in the topic of alerts.",
	})
	m.cut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "brimline_index_cut_alerts_total",
		Help: "Alerts that are in the table of alerts by user without contributing transactions or columns.",
	})
	r.MustRegister(m.alerts, m.foreign, m.dropped, m.cut)
	return m
}
