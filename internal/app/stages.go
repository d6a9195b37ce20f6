package app

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/index"
	"github.com/brimline/brimline/processors/window"
	"github.com/lovoo/goka"
)

// gokaStage is a stage that runs as a goka processor.
type gokaStage struct {
	name    processors.StageName
	inputs  []string
	all     int // partitions of the inputs
	traffic *traffic
	own     *gokaPartitions
	visits  *visits // of the running attempt
	// define makes the group graph and the options that only this stage needs;
	// once per attempt, because goka keeps state in neither but changes both.
	define func(local *table.Local) (*goka.GroupGraph, []goka.ProcessorOption)
	// beside runs next to the processor, from when it serves until it ends; nil for nothing.
	beside func(context.Context, *goka.Processor, *visits)
}

// What part of the memory holds values of the tables, and states of users with segments. The rest is for clients,
// the tables' own buffers, and what the garbage collector has not come to yet.
const (
	cacheShare  = 8
	statesShare = 4
)

func (a *App) windowStage() *gokaStage {
	var ( // the running attempt's
		seen  *window.Seen
		known *window.States
	)
	return &gokaStage{
		name: processors.Window, inputs: []string{a.streams.Changes}, all: a.partitions.users,
		define: func(local *table.Local) (*goka.GroupGraph, []goka.ProcessorOption) {
			markers, states := window.NewMarkers(a.partitions.users), window.NewStates(int(a.config.Memory/statesShare))
			known = states
			seen = window.NewSeen(&a.rules.RuleSet, a.config.KeepEdges, a.clock)
			g := window.Graph(window.Config{
				Streams: a.streams, Rules: a.rules.RuleSet, Compiled: a.compiled,
				MostBytes: a.mostValue(processors.Window), MostAsked: a.mostAsked(),
				Keep:    a.config.KeepEdges,
				NoAbove: !a.asksAbove(),
				Markers: markers, States: states, Seen: seen, Clock: a.clock, Metrics: a.stageMetrics.window,
				Log: a.log.With("stage", processors.Window),
			})
			kept := table.New(table.Options{
				Open: local.Build,
				Keep: processors.KeepNewer, KeepIs: failpoint.KeepNewer,
				Watch: window.Watch(markers, states), Shared: a.shared[processors.Window],
			})
			return g, append(kept.Processor(), goka.WithProducerBuilder(table.Redirected(
				a.writing(processors.Window).ProducerBuilder(), a.streams.WindowSegments, a.streams.WindowTable)))
		},
		beside: func(ctx context.Context, p *goka.Processor, v *visits) {
			var both sync.WaitGroup
			both.Go(func() { a.askAgain(ctx, p, v, known) })
			a.sweep(ctx, p, v, known, seen)
			both.Wait()
		},
	}
}

func (a *App) indexStage() *gokaStage {
	return &gokaStage{
		name: processors.Index, inputs: []string{a.streams.Alerts, a.streams.IndexLoop}, all: a.partitions.alerts,
		define: func(local *table.Local) (*goka.GroupGraph, []goka.ProcessorOption) {
			kept := table.New(table.Options{
				Open: local.Build,
				Keep: processors.KeepAlerts, KeepIs: failpoint.KeepAlerts, Shared: a.shared[processors.Index],
			})
			g := index.Graph(index.Config{Streams: a.streams, Table: kept, PerUser: a.config.AlertsPerUser,
				MostBytes: a.mostValue(processors.Index), Metrics: a.stageMetrics.index})
			return g, kept.Processor()
		},
	}
}

// attempt runs a goka stage once, with a processor of its own.
func (a *App) attempt(s *gokaStage) attempt {
	return func(ctx context.Context, tell func(httpapi.State)) error {
		local := table.NewLocal(table.LocalOptions{
			Dir: a.stateDir(s.name), Log: a.cluster, Cache: a.cache, Logger: a.log.With("stage", s.name),
		})
		s.visits = &visits{}
		graph, options := s.define(local)
		options = append(a.gokaOptions(s), options...)
		if a.config.HotStandby && graph.GroupTable() != nil {
			options = append(options, goka.WithHotStandby(), goka.WithRecoverAhead())
		}
		p, err := goka.NewProcessor(a.config.Brokers, graph, options...)
		if err != nil {
			return kafka.Explain(err, fmt.Sprintf("starting stage %s", s.name))
		}
		s.own.follow(p)
		defer s.own.follow(nil)
		ctx, cancel := context.WithCancel(ctx)
		var beside sync.WaitGroup
		defer beside.Wait()
		defer cancel()
		states := p.StateReader().ObserveStateChange()
		beside.Go(func() { observe(ctx, states, graph.GroupTable() != nil, tell) })
		if s.beside != nil {
			beside.Go(func() { s.beside(ctx, p, s.visits) })
		}
		return kafka.Explain(p.Run(ctx), fmt.Sprintf("stage %s", s.name))
	}
}

// observe tells what the processor does, through all its rebalances.
func observe(ctx context.Context, states *goka.StateChangeObserver, hasTable bool, tell func(httpapi.State)) {
	defer states.Stop()
	for {
		select {
		case s := <-states.C():
			switch {
			case s == goka.ProcStateRunning:
				tell(httpapi.Running)
			case s == goka.ProcStateSetup && hasTable:
				tell(httpapi.Recovering)
			default:
				tell(httpapi.Starting)
			}
		case <-ctx.Done():
			return
		}
	}
}

// gokaOptions are common to all goka stages: everything that goka
// would otherwise choose itself, in a way that costs correctness or surprises.
func (a *App) gokaOptions(s *gokaStage) []goka.ProcessorOption {
	return []goka.ProcessorOption{
		goka.WithClientID(a.kafka.ClientID),
		goka.WithLogger(gokaLog{a.log.With("stage", s.name)}),
		goka.WithHasher(processors.Hasher),
		goka.WithNilHandling(goka.NilIgnore),
		// A queue of ten makes the reader and the callback wait for each other all the time. What is queued when
		// partitions move is not acknowledged, and comes again.
		goka.WithPartitionChannelSize(128),
		goka.WithConsumerGroupBuilder(a.kafka.GroupBuilder(kafka.Group{
			Strategy: goka.CopartitioningStrategy, Rules: a.fingerprint, OnExcluded: a.gate.excluded,
			OnAssigned: s.visits.allow, OnRevoked: s.visits.end,
		})),
		goka.WithConsumerSaramaBuilder(a.kafka.ConsumerBuilder()),
		goka.WithProducerBuilder(a.writing(s.name).ProducerBuilder()),
		goka.WithTopicManagerBuilder(topicManagers(a.kafka)),
		goka.WithContextWrapper(s.traffic.wrap(s.inputs)),
		goka.WithRebalanceCallback(func(own goka.Assignment) {
			s.traffic.assigned()
			s.traffic.partitions(slices.Collect(maps.Keys(own)), s.all)
		}),
	}
}

// topicManagers makes goka topic managers that look and never create: goka
// would give tables two replicas, and loops a retention of an hour.
func topicManagers(o kafka.Options) goka.TopicManagerBuilder {
	return func(brokers []string) (goka.TopicManager, error) {
		c, err := o.Config()
		if err != nil {
			return nil, err
		}
		m := goka.NewTopicManagerConfig()
		m.NoCreate = true
		m.MismatchBehavior = goka.TMConfigMismatchBehaviorIgnore // Ensure has checked everything, with better words
		return goka.NewTopicManager(brokers, c, m)
	}
}

// sweep removes aged-out users from the window table from time to time.
func (a *App) sweep(ctx context.Context, p *goka.Processor, v *visits, states *window.States, seen *window.Seen) {
	if a.config.SweepEvery == 0 {
		return
	}
	tick := time.NewTicker(a.config.SweepEvery)
	defer tick.Stop()
	for {
		select {
		case at := <-tick.C:
			if !p.Recovered() {
				continue
			}
			if err := a.announceSweep(seen.Horizons()); err != nil {
				a.log.Warn("sweep put off", "error", err)
				continue
			}
			var users int64
			err := v.visit(ctx, func(ctx context.Context) error {
				return states.Walk(ctx, func() (err error) {
					users, err = p.VisitAllWithStats(ctx, window.SweepVisitor, at)
					return err
				})
			})
			if ctx.Err() != nil {
				return
			}
			if err != nil { // a rebalance ends it; the next one makes up for it
				a.log.Debug("sweep ended early", "error", err)
				continue
			}
			a.metrics.swept.Inc()
			a.log.Debug("window table swept", "visited", users, "took", time.Since(at))
		case <-ctx.Done():
			return
		}
	}
}
