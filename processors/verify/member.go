package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// member takes part in the consumer group, and hands what it reads to the
// claims of its partitions. It never waits for one of them.
type member struct {
	s      *Stage
	c      *committer
	client *kgo.Client
	ctx    context.Context // of all sessions
	kill   context.CancelFunc
	mu     sync.Mutex
	now    *session // nil while a rebalance runs
}

// session is what the member holds from one rebalance to the next.
type session struct {
	ctx        context.Context // ends before the partitions go
	end        context.CancelFunc
	id         string // the member's
	instance   *string
	generation int32
	claims     map[int32]*claim // complete before anything is read
	running    sync.WaitGroup
	begin      func() // ends the wait for the committed offsets
}

// join makes the member; ctx is that of its work.
func (s *Stage) join(ctx context.Context, c *committer) (*member, error) {
	settings, err := s.Member()
	if err != nil {
		return nil, err
	}
	m := &member{s: s, c: c, ctx: ctx}
	var life context.Context
	life, m.kill = context.WithCancel(context.WithoutCancel(ctx))
	m.client, err = kgo.NewClient(append(settings,
		kgo.WithContext(life),
		kgo.ConsumerGroup(s.Streams.VerifyGroup),
		kgo.ConsumeTopics(s.Streams.Candidates),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		// An offset that the broker no longer has must end the stage: with a reset,
		// records below the committed offset would pass for handled ones.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.DisableAutoCommit(),
		// No rebalance comes between a poll and the claims: what was read in one session is never handed to the next.
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.assigned), kgo.OnPartitionsRevoked(m.revoked), kgo.OnPartitionsLost(m.revoked),
		kgo.AdjustFetchOffsetsFn(m.start),
		kgo.MaxVersions(byName()),
	)...)
	if err != nil {
		m.kill()
		return nil, err
	}
	return m, nil
}

// assigned begins a session. Member and generation are taken now: by the time
// of a commit they may be those of the next one.
func (m *member) assigned(_ context.Context, client *kgo.Client, given map[string][]int32) {
	n := &session{claims: map[int32]*claim{}}
	n.ctx, n.end = context.WithCancel(m.ctx)
	var waiting context.Context
	waiting, n.begin = context.WithCancel(n.ctx)
	if partitions := given[m.s.Streams.Candidates]; len(partitions) > 0 {
		go m.tellWaiting(waiting, partitions)
	}
	n.id, n.generation = client.GroupMetadata()
	if id, _ := client.OptValue(kgo.InstanceID).(string); id != "" {
		n.instance = &id
	}
	m.mu.Lock()
	m.now = n
	m.mu.Unlock()
}

// tellWaiting tells that the partitions are not read yet, again and more and more rarely, until ctx ends. The client
// asks for the group's offsets without end while a transaction that holds some is open, and calls start only then.
func (m *member) tellWaiting(ctx context.Context, partitions []int32) {
	since := m.s.Clock()
	for pause := m.s.tellAfter; ; pause = min(2*pause, time.Hour) {
		select {
		case <-time.After(pause):
			m.s.Log.Warn("candidates wait: the brokers do not give the group's committed offsets, as if a transaction that "+
				"holds them were open", "partitions", partitions, "since", since, "remedy", "a transaction ends by itself after "+
				"its timeout; one that does not was lost by a broker: find it with kafka-transactions.sh find-hanging, and "+
				"end it with abort")
		case <-ctx.Done():
			return
		}
	}
}

// start reads where the partitions stand and starts their claims. ctx ends
// when the session must. The offsets that the client has fetched itself may be
// those from before our own last transaction.
func (m *member) start(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error,
) {
	partitions := slices.Sorted(maps.Keys(fetched[m.s.Streams.Candidates]))
	if len(partitions) == 0 {
		return fetched, nil
	}
	err := m.c.settle(ctx)
	var positions map[int32]position
	if err == nil {
		positions, err = m.s.positions(ctx, partitions)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.s.fail(err)
		}
		return nil, err
	}
	n := m.session()
	n.begin()
	from := map[int32]kgo.Offset{}
	for p, at := range positions {
		from[p] = kgo.NewOffset().AtStart()
		if at.next >= 0 {
			from[p] = kgo.NewOffset().At(at.next)
		}
		n.claims[p] = &claim{member: m, session: n, partition: p, position: at, more: make(chan struct{}, 1)}
		m.s.Log.Debug("partition taken", "partition", p, "offset", at.next, "watermark", formatWatermark(at.watermark))
	}
	for _, c := range n.claims {
		n.running.Go(c.run)
	}
	return map[string]map[int32]kgo.Offset{m.s.Streams.Candidates: from}, nil
}

func (m *member) session() *session {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// revoked ends the session: claims finish the transaction that they are in, and nothing else. The client joins in its
// making, and may lose its partitions again before it is the member's.
func (m *member) revoked(_ context.Context, client *kgo.Client, _ map[string][]int32) {
	m.mu.Lock()
	n := m.now
	m.now = nil
	m.mu.Unlock()
	if n == nil {
		return
	}
	n.end()
	n.running.Wait()
	// A pause outlives the session that made it.
	client.ResumeFetchPartitions(map[string][]int32{m.s.Streams.Candidates: slices.Sorted(maps.Keys(n.claims))})
}

// read hands on what comes, until ctx ends.
func (m *member) read(ctx context.Context) error {
	for {
		fetches := m.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var failed error
		fetches.EachError(func(topic string, partition int32, err error) {
			if failed == nil {
				failed = m.problem(topic, partition, err)
			}
		})
		if n := m.session(); n != nil {
			fetches.EachPartition(func(p kgo.FetchTopicPartition) {
				if c := n.claims[p.Partition]; c != nil && len(p.Records) > 0 {
					c.put(p.Records)
				}
			})
		}
		m.client.AllowRebalance()
		if failed != nil {
			return failed
		}
		if fetches.NumRecords() < m.s.Batch {
			// The brokers are asked for more when this has been taken: not for every single one of a stream that flows.
			select {
			case <-time.After(m.s.Every):
			case <-ctx.Done():
			}
		}
	}
}

// problem is an error if the stage must end for what the client reports. What
// the client mends itself, by joining again or asking another broker, is told to the log.
func (m *member) problem(topic string, partition int32, err error) error {
	s := m.s
	answer, ok := errors.AsType[*kerr.Error](err)
	switch {
	case errors.Is(err, kerr.OffsetOutOfRange):
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "offset_out_of_range",
			Where: fmt.Sprintf("group %q on topic %q", s.Streams.VerifyGroup, s.Streams.Candidates),
			Remedy: "candidates were deleted before they were judged, or the topic was made anew: start a new --group, " +
				"or reset this one",
			Err: err,
		}
	case ok && !answer.Retriable && !isLostPartition(err):
		return kafkaError(fmt.Sprintf("consuming in group %q", s.Streams.VerifyGroup), err)
	}
	s.Log.Warn("consuming candidates", "topic", topic, "partition", partition, "error", err)
	return nil
}

// close leaves the group, so that the others need not wait for the session's timeout.
func (m *member) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*m.s.StopTimeout) // claims may need the first half
	defer cancel()
	m.client.AllowRebalance()
	err := m.client.LeaveGroupContext(ctx)
	m.kill()
	m.client.Close()
	// Close takes what is still buffered by a poll of its own, which would block its own second farewell for ever.
	m.client.AllowRebalance()
	return err
}
