package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// member takes part in the consumer group, and hands what it reads to the
// claims of its partitions. It never waits for one of them.
type member struct {
	s      *Stage
	client *kgo.Client
	ctx    context.Context // of all sessions
	kill   context.CancelFunc
	mu     sync.Mutex
	now    *session // nil while a rebalance runs
}

// session has the partitions that the member holds from one rebalance to the next.
type session struct {
	ctx        context.Context // ends before the partitions go
	end        context.CancelFunc
	id         string // the member's
	instance   *string
	generation int32
	claims     map[partition]*claim // complete before anything is read
	client     *kgo.Client          // the member's, which may call back before it is there for its maker
	reader     *kgo.Client          // of questions; nil where none are to be read
	running    sync.WaitGroup
	begin      func() // ends the wait for the committed offsets
}

// join makes the member; ctx is that of its work.
func (s *Stage) join(ctx context.Context) (*member, error) {
	settings, err := s.Member()
	if err != nil {
		return nil, err
	}
	m := &member{s: s, ctx: ctx}
	var life context.Context
	life, m.kill = context.WithCancel(context.WithoutCancel(ctx))
	m.client, err = kgo.NewClient(append(settings,
		kgo.WithContext(life),
		kgo.ConsumerGroup(s.Streams.VerifyGroup),
		kgo.ConsumeTopics(s.near.topic, s.apart.topic, s.again.topic),
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
	n := &session{claims: map[partition]*claim{}, client: client}
	// These come by the session's reader, and never in one answer with live ones.
	client.PauseFetchTopics(m.s.apart.topic, m.s.again.topic)
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
	pauses := backoff.Backoff{First: m.s.tellAfter, Most: time.Hour}
	for pauses.Pause(ctx) == nil {
		m.s.Log.Warn("candidates wait: the brokers do not give the group's committed offsets, as if a transaction that "+
			"holds them were open", "partitions", partitions, "since", since, "remedy", "a transaction ends by itself after "+
			"its timeout; one that does not was lost by a broker: find it with kafka-transactions.sh find-hanging, and "+
			"end it with abort")
	}
}

// start reads where the partitions stand and starts their claims. ctx ends
// when the session must. The offsets that the client has fetched itself may be
// those from before our own last transaction.
func (m *member) start(ctx context.Context, fetched map[string]map[int32]kgo.Offset) (
	map[string]map[int32]kgo.Offset, error,
) {
	taken := map[string][]int32{}
	for _, l := range m.s.lanes() {
		if partitions := slices.Sorted(maps.Keys(fetched[l.topic])); len(partitions) > 0 {
			taken[l.topic] = partitions
		}
	}
	if len(taken) == 0 {
		return fetched, nil
	}
	n := m.session()
	positions, from, err := m.stand(ctx, taken)
	n.begin()
	if err == nil {
		err = m.readApart(n, from)
	}
	if err != nil {
		if ctx.Err() == nil {
			m.s.fail(err)
		}
		return nil, err
	}
	for p, at := range positions {
		c := &claim{member: m, session: n, partition: p, position: at, source: n.client, more: make(chan struct{}, 1),
			kept: newKeptBack()}
		c.readAgain()
		c.bytes = mostNear
		if p.apart {
			c.source = n.reader
			c.bytes = leastApart
			if p.delay == 0 {
				c.bytes = max(m.s.ApartBytes/len(from[p.topic])/2, leastApart)
			}
		}
		n.claims[p] = c
		m.s.Log.Debug("partition taken", "topic", p.topic, "partition", p.number, "offset", at.committed(),
			"watermark", formatWatermark(at.watermark), "kept_back_users", len(at.open))
	}
	for _, c := range n.claims {
		n.running.Go(c.run)
	}
	if n.reader != nil {
		n.running.Go(func() { m.fetchApart(n) })
	}
	return from, nil
}

// stand tells where partitions stand and from where they are to be read, once no transaction of ours can change it.
func (m *member) stand(ctx context.Context, taken map[string][]int32) (
	positions map[partition]position, from map[string]map[int32]kgo.Offset, err error,
) {
	for _, l := range m.s.lanes() {
		if err := l.committer.settle(ctx); err != nil {
			return nil, nil, err
		}
	}
	if positions, err = m.s.positions(ctx, taken); err != nil {
		return nil, nil, err
	}
	// What is asked again may be deleted by its age: that of a group which stood still is not worth asking any more. The
	// control record of the last transaction goes with it, and lies behind what was committed.
	begins, err := m.s.begins(ctx, m.s.again.topic, taken[m.s.again.topic])
	if err != nil {
		return nil, nil, err
	}
	from = map[string]map[int32]kgo.Offset{}
	for p, at := range positions {
		if from[p.topic] == nil {
			from[p.topic] = map[int32]kgo.Offset{}
		}
		from[p.topic][p.number] = kgo.NewOffset().AtStart()
		if at.next >= 0 {
			first := at.committed()
			if p.lane == m.s.again {
				first = max(first, begins[p.number])
			}
			from[p.topic][p.number] = kgo.NewOffset().At(first)
		}
	}
	return positions, from, nil
}

// mostNear is about how many bytes of candidates a batch and the queue of a partition may have, each. leastApart is the
// least of questions, and the most of what is asked again.
const (
	mostNear   = 4 << 20
	leastApart = 128 << 10
)

// readApart makes the session's reader of questions, and of what is asked again.
func (m *member) readApart(n *session, all map[string]map[int32]kgo.Offset) error {
	from := maps.Clone(all)
	delete(from, m.s.near.topic)
	if len(from) == 0 {
		return nil
	}
	settings, err := m.s.Reader()
	if err != nil {
		return err
	}
	n.reader, err = kgo.NewClient(append(settings,
		kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.MaxVersions(byName()),
	)...)
	return err
}

// fetchApart hands on questions until the session ends.
func (m *member) fetchApart(n *session) {
	defer n.reader.Close()
	for {
		fetches := n.reader.PollFetches(n.ctx)
		if n.ctx.Err() != nil {
			return
		}
		if err := m.take(n, n.reader, fetches); err != nil {
			m.s.fail(err)
			return
		}
	}
}

// take hands what a client has fetched to the claims.
func (m *member) take(n *session, by *kgo.Client, fetches kgo.Fetches) (failed error) {
	fetches.EachError(func(topic string, number int32, err error) {
		if failed == nil {
			failed = m.problem(topic, number, err)
		}
	})
	if n != nil {
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) == 0 {
				return // an error is reported as an empty fetch, also before the claims are there
			}
			if c := n.claims[partition{m.s.laneOf(p.Topic), p.Partition}]; c != nil && c.source == by {
				c.put(p.Records)
			}
		})
	}
	return failed
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
	var mine []int32
	for p := range n.claims {
		if !p.apart {
			mine = append(mine, p.number)
		}
	}
	client.ResumeFetchPartitions(map[string][]int32{m.s.near.topic: mine})
}

// read hands on what comes, until ctx ends.
func (m *member) read(ctx context.Context) error {
	for {
		fetches := m.client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		failed := m.take(m.session(), m.client, fetches)
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
			Where: fmt.Sprintf("group %q on topic %q", s.Streams.VerifyGroup, topic),
			Remedy: "candidates were deleted before they were decided, or the topic was made anew: start a new --group, " +
				"or reset this one",
			Err: err,
		}
	case ok && !answer.Retriable && !isLostPartition(err):
		return fmt.Errorf("consuming in group %q: %w", s.Streams.VerifyGroup, err)
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
