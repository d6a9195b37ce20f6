package app

import (
	"context"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// folded knows a time so that the window stage has folded everything that the source topic had then. No change on its
// way explains what PostgreSQL said of an edge before that time, and still says.
type folded struct {
	cluster LagCluster
	streams processors.Streams
	clock   func() time.Time

	mu     sync.Mutex
	at     time.Time
	looked time.Time
	// next is a time at which the ends of the source topic were looked at, zero for none. changes are those of the
	// changes stream once route had read up to these, nil before.
	next            time.Time
	source, changes []kafka.PartitionLag
}

// foldedEvery is how often the brokers are asked, however many partitions wait.
const foldedEvery = 200 * time.Millisecond

// now looks how far the group has come, and gives the newest such time; zero where none is known yet.
func (f *folded) now(ctx context.Context) (time.Time, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.clock()
	if since := now.Sub(f.looked); !f.looked.IsZero() && since >= 0 && since < foldedEvery {
		return f.at, nil
	}
	f.looked = now
	if f.changes == nil {
		source, err := f.cluster.Lag(ctx, f.streams.RouteGroup, []string{f.streams.Source})
		if err != nil {
			return f.at, err
		}
		if f.next.IsZero() || madeAnew(source, f.source) {
			f.next, f.source = now, source
		}
		if !hasRead(source, f.source) {
			return f.at, nil
		}
	}
	// After route's commit was seen: what it had written for that is below these ends.
	changes, err := f.cluster.Lag(ctx, f.streams.WindowGroup, []string{f.streams.Changes})
	if err != nil {
		return f.at, err
	}
	if f.changes == nil || madeAnew(changes, f.changes) {
		f.changes = changes
	}
	if hasRead(changes, f.changes) {
		f.at, f.next, f.source, f.changes = f.next, time.Time{}, nil, nil
	}
	return f.at, nil
}

// hasRead says whether a group stands at or beyond the ends of before in every partition that there was.
func hasRead(lags, before []kafka.PartitionLag) bool {
	stands := map[int32]int64{}
	for _, l := range lags {
		stands[l.Partition] = l.High - l.Lag
	}
	for _, l := range before {
		if at, there := stands[l.Partition]; !there || at < l.High {
			return false
		}
	}
	return len(before) > 0
}

// madeAnew says whether a topic does not have what it had before: no group will ever stand there.
func madeAnew(lags, before []kafka.PartitionLag) bool {
	ends := map[int32]int64{}
	for _, l := range lags {
		ends[l.Partition] = l.High
	}
	for _, l := range before {
		if end, there := ends[l.Partition]; !there || end < l.High {
			return true
		}
	}
	return len(before) == 0
}

// awaited are the lags that --until-caught-up waits for. Edges that wait because too many users were distrusted may do
// so for hours, and are not among them: the next run goes on.
type awaited struct {
	LagCluster
	again   string // topic
	starved func() bool
}

func (a awaited) Lag(ctx context.Context, group string, topics []string) ([]kafka.PartitionLag, error) {
	if a.starved() {
		var others []string
		for _, topic := range topics {
			if topic != a.again {
				others = append(others, topic)
			}
		}
		topics = others
	}
	return a.LagCluster.Lag(ctx, group, topics)
}
