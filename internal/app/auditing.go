package app

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/audit"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/views"
)

// auditShare is the part of the time that PostgreSQL may be busy with an audit that comes by itself.
const auditShare = 0.2

// auditsEvery is how often is looked whether an audit is due.
const auditsEvery = 5 * time.Second

// watchAudits compares the rows of the windows with the table where that is due, until ctx ends.
func (a *App) watchAudits(ctx context.Context) {
	due := a.started.Add(a.config.AuditEvery) // of the first one
	for ctx.Err() == nil {
		if last := a.reports.audited(); last != nil {
			if next := last.At.Std().Add(a.config.AuditEvery); next.After(due) {
				due = next
			}
		}
		if a.reporting() && !a.clock().Before(due) {
			due = a.clock().Add(a.config.AuditEvery) // also where it fails
			a.auditNow(ctx)
		}
		_ = backoff.Pause(ctx, min(auditsEvery, a.config.AuditEvery))
	}
}

// auditNow compares, and writes down what was found. A failure is told, counted, and made up for at the next time.
func (a *App) auditNow(ctx context.Context) {
	began := a.clock()
	r, err := a.audited(ctx)
	if err == nil {
		report := auditReport(r, a.clock().Sub(began), a.Instance())
		if err = RecordAudit(a.kafka, a.streams, report); err == nil {
			a.reports.setAudit(report)
			a.metrics.audited(report)
			a.log.Info("the windows' rows were compared with the table", "users", r.Users, "rows", r.Rows,
				"missing", report.Missing, "phantom", report.Phantom, "different", report.Different,
				"unknown_users", r.Unknown, "unsettled", report.Unsettled, "lsn", brimline.FormatLSN(r.LSN))
			return
		}
	}
	if ctx.Err() == nil {
		a.metrics.auditFailures.Inc()
		what, remedy := explained(err)
		a.log.Warn("the windows' rows could not be compared with the table: "+what, "remedy", remedy)
	}
}

func (a *App) audited(ctx context.Context) (*audit.Result, error) {
	v, closing, err := a.wholeView(ctx)
	if err != nil {
		return nil, err
	}
	defer closing()
	o := AuditOptions{
		Streams: a.streams, Windows: v, DatabaseURL: cmp.Or(a.config.ReplicaURL, a.config.DatabaseURL),
		TableFrom: brimline.MinTime, Timeout: proofTimeout, Grace: min(proofGrace, a.config.AuditEvery), Wait: proofWait,
		Share: auditShare, Clock: a.clock,
	}
	if a.config.Verify != "replica" { // whose server has no slots
		o.Slot = a.config.Slot
	}
	if a.config.ReplicaURL != "" {
		o.SlotURL = a.config.DatabaseURL
	}
	opened, err := OpenAudit(ctx, a.cluster, o)
	if err != nil {
		return nil, err
	}
	defer opened.Close()
	return opened.Run(ctx)
}

// wholeView is a view of the window table that has been read to its end: that of the HTTP API, or where there is none
// one for the time being.
func (a *App) wholeView(ctx context.Context) (v *views.Windows, closing func(), err error) {
	if a.serving != nil {
		if v = a.serving.windows.Load(); v == nil {
			return nil, nil, errNotOpen()
		}
		return v, func() {}, v.WaitRecovered(ctx)
	}
	c, err := ViewConfig(a.kafka, a.streams.Group)
	if err != nil {
		return nil, nil, err
	}
	c.Dir, c.Rules, c.Log = a.place.Dir, &a.rules.RuleSet, a.log
	if v, err = views.Open(ctx, c); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = v.Run(ctx) // its error is that of WaitRecovered and of the reads
	}()
	closing = func() {
		cancel()
		<-done
	}
	if err = v.WaitRecovered(ctx); err != nil {
		closing()
		return nil, nil, err
	}
	return v, closing, nil
}

func auditStatus(a *codecs.AuditReport) *httpapi.Audit {
	if a == nil {
		return nil
	}
	return &httpapi.Audit{
		At: a.At, LSN: brimline.FormatLSN(a.LSN), Users: a.Users, Rows: a.Rows, Unknown: a.Unknown, Missing: a.Missing,
		Phantom: a.Phantom, Different: a.Different, Unsettled: a.Unsettled, Instance: a.By,
	}
}

// auditNotices tell operators about the newest comparison.
func (a *App) auditNotices(now time.Time) (all []httpapi.Notice) {
	last := a.reports.audited()
	if last != nil && last.Missing+last.Phantom+last.Different > 0 {
		all = append(all, httpapi.Notice{
			Kind: "rows_differ", Level: httpapi.Warning,
			Message: fmt.Sprintf("compared with the table at %s, windows lack %d rows, have %d that it does not have, and %d "+
				"are not alike", present.TimeUTC(last.At), last.Missing, last.Phantom, last.Different),
			Remedy: "`brimline audit` lists them, and `brimline audit --repair` has PostgreSQL answer for their users; see " +
				"docs/proof.md",
		})
	}
	var newest time.Time
	if last != nil {
		newest = last.At.Std()
	}
	return append(all, a.late(now, a.config.AuditEvery, newest, "audit_late", "the windows' rows have", "audit")...)
}
