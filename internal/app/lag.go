package app

import (
	"context"
	"slices"
	"time"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// LagCluster is the part of kafka.Cluster that lag is asked of.
type LagCluster interface {
	Lag(ctx context.Context, group string, topics []string) ([]kafka.PartitionLag, error)
}

// inputs are the topics that a stage reads with its consumer group.
func inputs(s processors.Stage) []string {
	var topics []string
	for _, e := range s.In {
		topics = append(topics, e.Topic)
	}
	if s.Loop != nil {
		topics = append(topics, s.Loop.Topic)
	}
	return topics
}

// StageLag is how far one stage is behind.
type StageLag struct {
	Stage      processors.StageName
	Group      string
	Partitions []kafka.PartitionLag
}

// Lags asks for the lag of every stage, in the order of the flow.
func Lags(ctx context.Context, c LagCluster, s processors.Streams) ([]StageLag, error) {
	var all []StageLag
	for _, stage := range processors.Topology(s) {
		lags, err := c.Lag(ctx, stage.Group, inputs(stage))
		if err != nil {
			return nil, err
		}
		for i := range lags {
			if lags[i].Topic == s.Again {
				lags[i].Lost = 0 // where all has aged away, only the last transaction's control record was not read
			}
		}
		all = append(all, StageLag{stage.Name, stage.Group, lags})
	}
	return all, nil
}

// AwaitCaughtUp waits until everything in the source topic has gone through
// all stages. A stage without lag can get new input from the one before it,
// and verify's answers go back to window; so the whole flow is looked at twice
// in its order, and it is at rest when nothing was written anywhere in between.
func AwaitCaughtUp(ctx context.Context, c LagCluster, s processors.Streams, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var before []int64
	for {
		all, err := Lags(ctx, c, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ends, none := ends(all)
		switch {
		case err != nil || !none:
			before = nil
		case before != nil && slices.Equal(before, ends):
			return nil
		default:
			before = ends
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// ends are the ends of all inputs, and whether every stage has read all of its input.
func ends(all []StageLag) (ends []int64, none bool) {
	none = len(all) > 0
	for _, s := range all {
		for _, p := range s.Partitions {
			ends = append(ends, p.High)
			none = none && p.Lag == 0
		}
	}
	return ends, none
}
