package app

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/prove"
	"github.com/brimline/brimline/processors"
)

// reports are the newest results of what the group looks at now and then, as its topic of reports has them.
type reports struct {
	mu    sync.Mutex
	proof *codecs.ProofReport
	audit *codecs.AuditReport
}

func (r *reports) newest() *codecs.ProofReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.proof
}

func (r *reports) set(p *codecs.ProofReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.proof = p
}

func (r *reports) audited() *codecs.AuditReport {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.audit
}

func (r *reports) setAudit(a *codecs.AuditReport) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.audit = a
}

// reportsEvery is how often the topic of reports is read; it has a few records.
const reportsEvery = 5 * time.Second

// LastReports reads the newest proof of a group's alerts and the newest audit of its windows from its topic of reports;
// nil where there is none.
func LastReports(ctx context.Context, c *kafka.Cluster, topic string) (*httpapi.Proof, *httpapi.Audit, error) {
	p, a, err := lastReports(ctx, c, topic)
	var proof *httpapi.Proof
	if p != nil {
		proof = proofStatus(p)
	}
	return proof, auditStatus(a), err
}

func lastReports(
	ctx context.Context, c *kafka.Cluster, topic string,
) (proof *codecs.ProofReport, audit *codecs.AuditReport, err error) {
	last := map[string][]byte{}
	err = c.Tail(ctx, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		last[string(m.Key)] = m.Value
		return nil
	})
	if IsMissing(err) { // the group has not run since there is such a topic
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if b := last[processors.ProofKey]; b != nil {
		v, err := codecs.Proof{}.Decode(b)
		if err != nil {
			return nil, nil, err
		}
		proof = v.(*codecs.ProofReport)
	}
	if b := last[processors.AuditKey]; b != nil {
		v, err := codecs.Audit{}.Decode(b)
		if err != nil {
			return proof, nil, err
		}
		audit = v.(*codecs.AuditReport)
	}
	return proof, audit, nil
}

// watchReports keeps what the topic of reports says, and proves where that is due, until ctx ends.
func (a *App) watchReports(ctx context.Context) {
	due := a.started.Add(a.config.ProveEvery) // of the first proof
	for ctx.Err() == nil {
		last, audited, err := lastReports(ctx, a.cluster, a.streams.Reports)
		if audited != nil {
			a.reports.setAudit(audited)
			a.metrics.audited(audited)
		}
		switch {
		case err != nil && ctx.Err() == nil:
			a.log.Debug("reading reports", "error", err)
		case last != nil:
			a.reports.set(last)
			a.metrics.proven(last)
			if next := last.At.Std().Add(a.config.ProveEvery); next.After(due) {
				due = next
			}
		}
		if err == nil && a.config.ProveEvery > 0 && a.reporting() && !a.clock().Before(due) {
			due = a.clock().Add(a.config.ProveEvery) // also where it fails
			a.proveNow(ctx)
			continue
		}
		_ = backoff.Pause(ctx, min(reportsEvery, max(a.config.ProveEvery, time.Second)))
	}
}

// reporting says whether it is for this instance to compare: one of the group does, that which verifies partition 0.
// Another takes over with the partition. Where two do for a moment, PostgreSQL is read twice, and no more.
func (a *App) reporting() bool {
	a.mu.Lock()
	parts := a.parts
	a.mu.Unlock()
	for _, p := range parts {
		if p.stage == processors.Verify && p.own != nil {
			return p.own.of(context.Background(), &httpapi.PartitionStatus{Topic: a.streams.Candidates})
		}
	}
	return false
}

// The bounds of a proof that comes by itself.
const (
	proofTimeout = 10 * time.Minute
	proofGrace   = time.Minute
	proofWait    = 5 * time.Minute
)

// proveNow compares, and writes down what was found. A failure is told, counted, and made up for at the next time: how
// old the last result is says the rest.
func (a *App) proveNow(ctx context.Context) {
	began := a.clock()
	r, err := a.proof(ctx, began)
	if err == nil {
		report := a.reportOf(r, a.clock().Sub(began))
		record := map[string]any{processors.ProofKey: report}
		if err = a.emit(a.streams.Reports, codecs.Proof{}, record, "writing a report"); err == nil {
			a.reports.set(report)
			a.metrics.proven(report)
			a.log.Info(
				"the alerts were compared with the table",
				"edges",
				r.Edges,
				"missing",
				len(r.Missing),
				"outdated",
				len(
					r.Outdated,
				),
				"false",
				len(r.False),
				"superseded",
				len(r.Superseded),
				"lsn",
				brimline.FormatLSN(r.LSN),
			)
			return
		}
	}
	if ctx.Err() == nil {
		a.metrics.proofFailures.Inc()
		what, remedy := explained(err)
		a.log.Warn("the alerts could not be compared with the table: "+what, "remedy", remedy)
	}
}

func (a *App) proof(ctx context.Context, now time.Time) (*prove.Result, error) {
	p, err := OpenProof(ctx, a.cluster, ProofOptions{
		Streams: a.streams, DatabaseURL: cmp.Or(a.config.ReplicaURL, a.config.DatabaseURL), Timeout: proofTimeout,
		Grace: min(proofGrace, a.config.ProveEvery), Wait: proofWait, Clock: a.clock,
	})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Span(ctx, brimline.TimeOf(now.Add(-a.config.ProveSince)), brimline.TimeOf(now))
}

func (a *App) reportOf(r *prove.Result, took time.Duration) *codecs.ProofReport {
	return &codecs.ProofReport{
		From: r.From, To: r.To, At: r.At, LSN: r.LSN, Took: took.Truncate(time.Microsecond), Edges: r.Edges, Alerts: r.Alerts,
		Missing: len(r.Missing), Superseded: len(r.Superseded), Outdated: len(r.Outdated), False: len(r.False),
		By: a.Instance(),
	}
}

func proofStatus(p *codecs.ProofReport) *httpapi.Proof {
	return &httpapi.Proof{
		From: p.From, To: p.To, At: p.At, LSN: brimline.FormatLSN(p.LSN), Edges: p.Edges, Alerts: p.Alerts,
		Missing:    p.Missing,
		Superseded: p.Superseded, Outdated: p.Outdated, False: p.False, Instance: p.By,
	}
}

// lateProofs is how many times of a proof may pass without a result before that is a warning.
const lateProofs = 3

// proofNotices tell operators about the newest comparison.
func (a *App) proofNotices(now time.Time) (all []httpapi.Notice) {
	p := a.reports.newest()
	if p != nil && p.Missing+p.False > 0 {
		all = append(all, httpapi.Notice{
			Kind: "alerts_not_proven", Level: httpapi.Warning,
			Message: fmt.Sprintf("compared with the table at %s, %s no alert, and %s no edge", present.TimeUTC(p.At),
				have(p.Missing, "edge"), have(p.False, "alert")),
			Remedy: "`brimline prove` lists them; see docs/proof.md for what to do about each",
		})
	}
	var newest time.Time
	if p != nil {
		newest = p.At.Std()
	}
	return append(all, a.late(now, a.config.ProveEvery, newest, "proof_late", "the alerts have", "prove")...)
}

// late warns of a comparison that should be made every so often and was not made for several times as long.
func (a *App) late(now time.Time, every time.Duration, newest time.Time, kind, what, command string) []httpapi.Notice {
	if a.started.After(newest) {
		newest = a.started
	}
	if every == 0 || now.Sub(newest) <= lateProofs*every+proofGrace+proofWait {
		return nil
	}
	return []httpapi.Notice{{
		Kind: kind, Level: httpapi.Warning,
		Message: what + " not been compared with the table since " + present.TimeUTC(brimline.TimeOf(newest)),
		Remedy: "the log of the instance that verifies partition 0 says why; `brimline " + command +
			"` does as well",
	}}
}

// have is "1 edge has" or "3 edges have".
func have(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " has"
	}
	return fmt.Sprintf("%d %ss have", n, noun)
}
