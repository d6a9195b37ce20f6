package app

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/verify"
	"github.com/lovoo/goka"
)

// mostAlert bounds alerts where their topic takes more: other programs read them, whose topics have Kafka's default.
const mostAlert = 900_000

// verifyAttempt runs the verify stage once. It is not a goka processor:
// its alerts and its offset go into one transaction.
func (a *App) verifyAttempt(t *traffic, own *memberPartitions) attempt {
	return func(ctx context.Context, tell func(httpapi.State)) error {
		c := verify.Config{
			Streams: a.streams, Instance: a.place.Instance, Scale: a.rules.Scale,
			Client: a.kafka.ClientSettings, Transactions: a.writing(processors.Verify).TransactionSettings,
			MaxAlertBytes: min(mostAlert, a.mostValue(processors.Verify)), MaxRecordBytes: a.mostValue(processors.Verify),
			Member: func() ([]kafka.Setting, error) {
				settings, err := a.kafka.MemberSettings(kafka.Group{
					// The one strategy of all groups: members of different ones never agree.
					Strategy: goka.CopartitioningStrategy, Rules: a.fingerprint, OnExcluded: a.gate.excluded,
				})
				return append(settings, kafka.OnTaken(t.take)), err
			},
			Reader: func() ([]kafka.Setting, error) {
				settings, err := a.kafka.ReaderSettings()
				return append(settings, kafka.OnTaken(t.take)), err
			},
			Compile: func(rule brimline.Rule) (sliding.Rule, error) {
				return rules.CompileRule(rule, a.rules.Columns, a.rules.Scale, a.whereFailed())
			},
			Off: a.config.Verify == "off", AsOfNow: a.config.AsOf == "now", AlertsFrom: a.alertsFrom,
			DistrustAfter: a.config.DistrustAfter, Budget: a.budget, Folded: a.folded.now,
			Waiting: a.outage.set,
			Metrics: a.stageMetrics.verify, Log: a.log.With("stage", "verify"), Clock: a.clock,
		}
		if !c.Off {
			o := LedgerOptions(&a.config, &a.rules.RuleSet)
			o.MaxConns = verify.Connections + verify.ApartConnections + verify.AgainConnections
			l, err := ledger.Open(ctx, o)
			if err != nil {
				return err
			}
			defer l.Close()
			c.Ledger, c.Long = l, l.Long()
		}
		stage, err := verify.New(c)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		var beside sync.WaitGroup
		defer beside.Wait()
		defer cancel()
		t.assigned()
		beside.Go(func() { a.observeMember(ctx, t, own, tell) })
		return kafka.Explain(stage.Run(ctx), "stage verify")
	}
}

// observeMember tells whether this instance is a member of a settled group,
// and what it has been given: the brokers show a member's fingerprint only then.
func (a *App) observeMember(ctx context.Context, t *traffic, own *memberPartitions, tell func(httpapi.State)) {
	defer own.set(nil)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	var told []int32 // nil: nothing yet
	for {
		select {
		case <-tick.C:
			members, err := a.cluster.Members(ctx, a.streams.VerifyGroup)
			if err != nil {
				continue // the stage meets the same trouble, and says so
			}
			state := httpapi.Starting
			for _, m := range members {
				if m.ClientID == a.kafka.ClientID && len(m.UserData) > 0 {
					state = httpapi.Running
					own.set(m.Assigned)
					if given := m.Assigned[a.streams.Candidates]; told == nil || !slices.Equal(told, given) {
						told = append([]int32{}, given...)
						t.partitions(told, a.partitions.users)
					}
				}
			}
			tell(state)
		case <-ctx.Done():
			return
		}
	}
}
