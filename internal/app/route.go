package app

import (
	"context"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/route"
	"github.com/lovoo/goka"
)

// routeAttempt runs the route stage once. It is not a goka processor: it has
// no table, and takes whole fetches at a time.
func (a *App) routeAttempt(t *traffic, own *memberPartitions) attempt {
	return func(ctx context.Context, tell func(httpapi.State)) error {
		defer own.set(nil)
		t.assigned()
		binding, life, err := a.bindSource(ctx)
		if err != nil {
			return err
		}
		stage := route.New(route.Config{
			Streams: a.streams, Decoder: limited{current{&a.decoder}, a.config.MaxRecordBytes}, Partitions: a.partitions.users,
			MostBytes: a.mostValue(processors.Route), Life: life, Binding: binding,
			Alone: func() bool { return a.sourcePartitions.Load() == 1 },
			Clock: a.clock, Metrics: a.stageMetrics.route, Log: a.log.With("stage", "route"), Truncated: a.truncated,
			Member: func() ([]kafka.Setting, error) {
				settings, err := a.kafka.MemberSettings(kafka.Group{
					// The one strategy of all groups: members of different ones never agree.
					Strategy: goka.CopartitioningStrategy, Rules: a.fingerprint, OnExcluded: a.gate.excluded,
				})
				return append(settings, kafka.OnTaken(t.take)), err
			},
			Producer: func() ([]kafka.Setting, error) {
				return a.writing(processors.Route).ProducerSettings(processors.Hasher)
			},
			Assigned: func(given []int32) {
				t.assigned()
				t.partitions(given, a.partitions.source)
				own.set(map[string][]int32{a.streams.Source: given})
				tell(httpapi.Running)
			},
		})
		return kafka.Explain(a.whileBound(binding, stage.Run)(ctx), "stage route")
	}
}

// truncated tells of a TRUNCATE in one of several partitions that does not say its place in the log: where a topic is
// read from its beginning, rows that came after it may be met before it.
func (a *App) truncated(at brimline.Source) {
	if at.LSN == 0 && a.sourcePartitions.Load() > 1 {
		a.log.Warn("a TRUNCATE came whose place among the rows of other partitions is not known: rows written after it "+
			"may be "+
			"missing from the totals, and their alerts with them", "partition", at.Partition, "offset", at.Offset,
			"remedy", "compare `brimline user` with the table; where rows are missing, start a new --group over a new source "+
				"topic with a new snapshot; a source topic with one partition keeps their order")
	}
}
