package app

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
)

// ownPartitions tells about the partitions that are assigned to this instance.
type ownPartitions interface {
	// of fills in what is known about a partition; false where it is another's.
	of(ctx context.Context, p *httpapi.PartitionStatus) bool
}

// gokaPartitions asks the processor that runs at the moment.
type gokaPartitions struct {
	p atomic.Pointer[goka.Processor]
}

func (g *gokaPartitions) follow(p *goka.Processor) { g.p.Store(p) }

func (g *gokaPartitions) of(ctx context.Context, p *httpapi.PartitionStatus) bool {
	proc := g.p.Load()
	if proc == nil {
		return false
	}
	s, ok := proc.StatsWithContext(ctx).Group[p.Partition]
	if !ok {
		return false
	}
	t := s.TableStats
	if t == nil {
		p.State = httpapi.Running
		return true
	}
	if t.RunMode != 0 { // hot standby
		return false
	}
	switch t.Status {
	case goka.PartitionRunning:
		p.State = httpapi.Running
	case goka.PartitionRecovering, goka.PartitionPreparing:
		p.State = httpapi.Recovering
	default:
		p.State = httpapi.Starting
	}
	if r := t.Recovery; r != nil && p.State == httpapi.Recovering {
		offset, end := r.Offset, r.Hwm
		p.TableOffset, p.TableEnd = &offset, &end
	}
	return true
}

// memberPartitions are the partitions that the brokers last assigned to us.
type memberPartitions struct {
	mu       sync.Mutex
	assigned map[string][]int32
}

func (m *memberPartitions) set(assigned map[string][]int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.assigned = assigned
}

func (m *memberPartitions) of(_ context.Context, p *httpapi.PartitionStatus) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.assigned[p.Topic], p.Partition) {
		return false
	}
	p.State = httpapi.Running
	return true
}

// Status may be asked at any time. It asks no broker for the stages: lag is as it was at the last look.
func (a *App) Status(ctx context.Context) httpapi.Status {
	s := httpapi.Status{
		Group: a.config.Group, Instance: a.Instance(), Version: a.version,
		Started: brimline.TimeOf(a.started), At: brimline.TimeOf(a.clock()), Views: a.serving.status(ctx, a.streams),
	}
	a.mu.Lock()
	parts, lags := a.parts, a.lags
	s.Stopping = a.stopped
	s.Unanswered = a.without.waits()
	if from := a.alertsFrom; from != 0 {
		s.AlertsFrom = &from
	}
	a.mu.Unlock()
	for _, stage := range processors.Topology(a.streams) {
		status := httpapi.StageStatus{Name: stage.Name, Group: stage.Group, Here: a.config.Runs(stage.Name),
			State: httpapi.Starting, Lag: -1}
		var own ownPartitions
		for _, p := range parts {
			if p.stage == stage.Name {
				own = p.own
				describe(&status, p.Status())
			}
		}
		if stage.Name == processors.Verify && status.State == httpapi.Running {
			if since, cause := a.outage.now(); cause != nil {
				what, remedy := explained(cause)
				status.State = httpapi.Waiting
				status.Reason, status.Remedy = "for PostgreSQL since "+present.TimeUTC(brimline.TimeOf(since))+": "+what, remedy
			}
		}
		if reason := a.closed(); reason != nil && status.Here {
			status.State = httpapi.Starting
			if a.gate.Waits() {
				status.State = httpapi.Waiting
			}
			status.Reason, status.Remedy = explained(reason)
		}
		for _, l := range lags {
			if l.Stage == stage.Name {
				partitions(ctx, &status, l.Partitions, own)
			}
		}
		s.Stages = append(s.Stages, status)
	}
	if by := a.disputed(); by != nil {
		n := httpapi.Notice{Kind: "rules_disagree", Level: httpapi.Warning}
		n.Message, n.Remedy = explained(by)
		s.Notices = append(s.Notices, n)
	}
	if n := a.catalog.notice(); n != nil {
		s.Notices = append(s.Notices, *n)
	}
	if n := a.distrustNotice(); n != nil {
		s.Notices = append(s.Notices, *n)
	}
	if n := budgetNotice(a.budget.Starved(), time.Now()); n != nil {
		s.Notices = append(s.Notices, *n)
	}
	s.Notices = append(s.Notices, a.unread.notices(time.Now())...)
	if n := a.letters.notice(time.Now()); n != nil {
		s.Notices = append(s.Notices, *n)
	}
	s.Notices = append(s.Notices, a.serving.notices(time.Now())...)
	if p := a.reports.newest(); p != nil {
		s.Proof = proofStatus(p)
	}
	s.Audit = auditStatus(a.reports.audited())
	s.Notices = append(s.Notices, a.proofNotices(a.clock())...)
	s.Notices = append(s.Notices, a.auditNotices(a.clock())...)
	if a.verified != nil {
		s.Verification = a.verified.status(time.Now(), a.groupLag())
		if n := s.Verification.Notice(a.streams.Dismissed); n != nil {
			s.Notices = append(s.Notices, *n)
		}
	}
	return s
}

// explained takes an error apart for people: what, and what to do.
func explained(err error) (what, remedy string) {
	e, ok := err.(*brimline.Error) //nolint:errorlint // what is wrapped has more to say
	if !ok {
		return err.Error(), ""
	}
	what = e.Err.Error()
	if e.Where != "" {
		what = e.Where + ": " + what
	}
	return what, e.Remedy
}

func describe(status *httpapi.StageStatus, p PartStatus) {
	status.State, status.Served = p.State, p.Served
	if p.Cause != nil && p.State != httpapi.Running {
		what, remedy := explained(p.Cause)
		status.Reason, status.Remedy = "after "+what, remedy
	}
}

func partitions(ctx context.Context, status *httpapi.StageStatus, lags []kafka.PartitionLag, own ownPartitions) {
	status.Lag = 0
	for _, l := range lags {
		p := httpapi.PartitionStatus{Topic: l.Topic, Partition: l.Partition, Committed: l.Committed, End: l.High, Lag: l.Lag}
		if own != nil {
			p.Own = own.of(ctx, &p)
		}
		status.Lag += l.Lag
		status.Partitions = append(status.Partitions, p)
	}
}

// closed is why the stages may not run; nil when they may.
func (a *App) closed() error {
	if a.gate == nil {
		return nil // not started
	}
	return a.gate.Closed()
}

// disputed names the members that apply other rules while the stages run; nil for none.
func (a *App) disputed() error {
	if a.gate == nil {
		return nil
	}
	return a.gate.Disputed()
}
