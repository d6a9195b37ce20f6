package route

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// member takes part in the consumer group and turns what it reads into records on their way.
type member struct {
	s      *Stage
	client *kgo.Client
	kill   context.CancelFunc
	mu     sync.Mutex
	now    *session // nil while a rebalance runs
	done   chan struct{}
	// anew are the partitions of the assignment at hand whose offsets are of another topic. Only the client's goroutine
	// that calls fetched, and then start, has it.
	anew []int32
}

func (s *Stage) join(ctx context.Context) (*member, error) {
	settings, err := s.Member()
	if err != nil {
		return nil, err
	}
	m := &member{s: s, done: make(chan struct{})}
	var life context.Context
	life, m.kill = context.WithCancel(context.WithoutCancel(ctx))
	m.client, err = kgo.NewClient(append(settings,
		kgo.WithContext(life),
		kgo.ConsumerGroup(s.Streams.RouteGroup),
		kgo.ConsumeTopics(s.Streams.Source),
		kgo.DisableAutoCommit(),
		// No rebalance comes between a poll and its records being on their way: none is taken for a later session's.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.lost),
		kgo.OnOffsetsFetched(m.fetched), kgo.AdjustFetchOffsetsFn(m.start),
		kgo.MaxVersions(byName()),
	)...)
	if err != nil {
		m.kill()
		return nil, err
	}
	go m.commit(life)
	return m, nil
}

// byName are the versions of requests that name topics, not their ids: offsets are kept by name.
func byName() *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(kmsg.NewPtrOffsetCommitRequest().Key(), 9)
	v.SetMaxKeyVersion(kmsg.NewPtrOffsetFetchRequest().Key(), 9)
	return v
}

// assigned begins a session. Member and generation are taken now: by the time
// of a commit they may be those of the next one.
func (m *member) assigned(_ context.Context, client *kgo.Client, given map[string][]int32) {
	n := newSession(m.s)
	n.id, n.generation = client.GroupMetadata()
	if id, _ := client.OptValue(kgo.InstanceID).(string); id != "" {
		n.instance = &id
	}
	m.mu.Lock()
	m.now = n
	m.mu.Unlock()
	if m.s.Assigned != nil {
		m.s.Assigned(slices.Sorted(slices.Values(given[m.s.Streams.Source])))
	}
}

// fetched notes which of the group's offsets are of another topic.
func (m *member) fetched(_ context.Context, _ *kgo.Client, offsets *kmsg.OffsetFetchResponse) error {
	m.anew = nil
	if m.s.Binding == nil {
		return nil
	}
	for _, t := range offsets.Topics {
		for _, p := range t.Partitions {
			if p.Offset >= 0 && p.Metadata != nil && m.s.Binding.OfAnother(*p.Metadata) {
				m.anew = append(m.anew, p.Partition)
			}
		}
	}
	return nil
}

// start puts partitions whose offsets are of another topic to their beginning. Where the source is another topic by
// now, the stage ends: what it says of the source is no longer so.
func (m *member) start(ctx context.Context, from map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error,
) {
	s := m.s
	if s.Binding == nil {
		return from, nil
	}
	if err := s.Binding.Broken(); err != nil {
		if ctx.Err() == nil {
			s.fail(err)
		}
		return nil, err
	}
	for _, p := range m.anew {
		s.Log.Info("the group's offset is of a topic that is no more: the partition is read from its beginning",
			"partition", p)
		from[s.Streams.Source][p] = kgo.NewOffset().AtStart()
	}
	return from, nil
}

// revoked ends the session: what it has on its way is waited for, and committed. The client joins in its making, and
// may lose its partitions again before it is the member's.
func (m *member) revoked(ctx context.Context, client *kgo.Client, _ map[string][]int32) {
	n := m.over()
	if n == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, m.s.DrainWithin)
	defer cancel()
	n.drain(ctx)
	if err := n.commit(ctx, client); err != nil {
		m.s.Log.Warn("offsets were not committed before partitions were given up: their records come again", "error", err)
	}
}

// lost ends a session of which the brokers know no more.
func (m *member) lost(context.Context, *kgo.Client, map[string][]int32) { m.over() }

func (m *member) over() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.now
	m.now = nil
	return n
}

func (m *member) session() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// read turns what comes into changes, until ctx ends.
func (m *member) read(ctx context.Context) error {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var last time.Time
	for {
		fetches := m.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		last = time.Now()
		fetches.EachError(m.s.problem)
		if n := m.session(); n != nil {
			fetches.EachPartition(func(p kgo.FetchTopicPartition) {
				if len(p.Records) > 0 {
					n.take(p.Partition, p.Records)
				}
			})
			_ = m.s.producer.Flush(over) // starts sending, and does not wait
		}
		m.client.AllowRebalance()
		if fetches.NumRecords() < fewRecords {
			select {
			case <-time.After(time.Until(last.Add(m.s.Every))):
			case <-ctx.Done():
			}
		}
	}
}

// commit commits what is finished, again and again, until the client's life ends.
func (m *member) commit(life context.Context) {
	defer close(m.done)
	tick := time.NewTicker(m.s.CommitEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-life.Done():
			return
		}
		n := m.session()
		if n == nil {
			continue
		}
		err := n.commit(life, m.client)
		switch {
		case err == nil || isLostPartition(err) || life.Err() != nil:
		case isAnswer(err):
			m.s.failed("committing offsets of group "+m.s.Streams.RouteGroup, err)
		default:
			m.s.Log.Warn("offsets were not committed yet", "error", err)
		}
	}
}

// close leaves the group, so that the others need not wait for the session's timeout.
func (m *member) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*m.s.DrainWithin)
	defer cancel()
	m.client.AllowRebalance()
	if err := m.client.LeaveGroupContext(ctx); err != nil && !errors.Is(err, context.Canceled) {
		m.s.Log.Debug("leaving the group", "error", err)
	}
	m.kill()
	m.client.Close()
	// Close takes what is still buffered by a poll of its own, which would block its own second farewell for ever.
	m.client.AllowRebalance()
	<-m.done
}
