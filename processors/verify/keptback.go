package verify

import (
	"slices"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// keptBack are the candidates of a partition whose questions are about more rows than one statement may read, and the
// later ones of their users, so that each user's are handled in their order. They do not hold up the partition: its
// position goes on and names their offsets. They are asked about beside it, all that are there at once. Decision 28.
type keptBack struct {
	mu       sync.Mutex
	messages []*kgo.Record // in their order
	bytes    int
	users    map[string]int // how many of each
	came     chan struct{}  // there are some
	went     chan struct{}  // some were handled
}

func newKeptBack() keptBack {
	return keptBack{users: map[string]int{}, came: make(chan struct{}, 1), went: make(chan struct{}, 1)}
}

// has says whether some of a user are kept back.
func (k *keptBack) has(user string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.users[user] > 0
}

// state is what is kept back, and its bytes.
func (k *keptBack) state() (messages []*kgo.Record, bytes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.messages), k.bytes
}

func (k *keptBack) add(messages []*kgo.Record) {
	if len(messages) == 0 {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.messages = append(k.messages, messages...)
	for _, m := range messages {
		k.users[string(m.Key)]++
		k.bytes += size(m)
	}
	tell(k.came)
}

// remove takes out what has been handled: those that came first.
func (k *keptBack) remove(messages []*kgo.Record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.messages = slices.Clone(k.messages[len(messages):])
	for _, m := range messages {
		user := string(m.Key)
		if k.users[user]--; k.users[user] == 0 {
			delete(k.users, user)
		}
		k.bytes -= size(m)
	}
	if len(k.messages) > 0 {
		tell(k.came)
	}
	tell(k.went)
}

// tell leaves a signal, where none is yet.
func tell(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// unhandled are those of the messages that have not been handled. Of what lies below the position with which the claim
// began, that is what it names as open; it is kept back again.
func (c *claim) unhandled(messages []*kgo.Record) []*kgo.Record {
	c.standing.Lock()
	defer c.standing.Unlock()
	n := 0
	for n < len(messages) && messages[n].Offset < c.next {
		n++
	}
	var again []*kgo.Record
	for _, m := range messages[:n] {
		if _, open := slices.BinarySearch(c.open, m.Offset); open {
			again = append(again, m)
		}
	}
	c.kept.add(again)
	c.member.s.Metrics.kept.Add(float64(len(again)))
	if n < len(messages) && !c.reread {
		// What was open and has not come by now is in the topic no more.
		c.reread = true
		there, _ := c.kept.state()
		c.open = slices.DeleteFunc(c.open, func(offset int64) bool {
			_, came := slices.BinarySearchFunc(there, offset, byOffset)
			return !came
		})
	}
	return messages[n:]
}

// makeRoom sees to it that what a batch keeps back can be named in its commit. It waits for what is kept back already,
// and handles at once what cannot be named even then.
func (c *claim) makeRoom(b *batch) error {
	if len(b.keptBack) == 0 {
		return nil
	}
	for {
		c.standing.Lock()
		after := c.with(b)
		c.standing.Unlock()
		there, bytes := c.kept.state()
		for _, m := range b.keptBack {
			bytes += size(m)
		}
		if len(after.metadata()) <= mostMetadata && bytes <= 2*c.bytes {
			return nil
		}
		if len(there) == 0 {
			break
		}
		if c.tellFull.Due(c.member.s.Clock()) {
			c.member.s.Log.Warn("candidates wait for questions about users with many rows: no more can be kept back",
				"topic", c.topic, "partition", c.number, "kept_back", len(there), "of", string(there[0].Key),
				"remedy", "check that there is an index on user and time, and the load of PostgreSQL")
		}
		select {
		case <-c.kept.went:
		case <-c.session.ctx.Done():
			return c.session.ctx.Err()
		}
	}
	long := c.longBatch(b.keptBack)
	if err := c.member.s.prepare(c.session.ctx, long); err != nil {
		return err
	}
	b.items, b.records, b.keptBack = append(b.items, long.items...), append(b.records, long.records...), nil
	return nil
}

// edgesAtOnce bounds the edges that are asked about before any of their answers is committed: each is a question of its
// own, of seconds or minutes, and one that is given up with the partition is asked from the start. Late candidates of a
// user share one.
const edgesAtOnce = 64

// share is what comes first, with so many edges. What weighs too much beside it prepare leaves out.
func share(messages []*kgo.Record) []*kgo.Record {
	edges := 0
	for i, m := range messages {
		decoded, err := codecs.Candidates{}.Decode(m.Value)
		if err != nil || decoded.([]brimline.Candidate)[0].Kind != brimline.EdgeCandidate {
			continue
		}
		if edges++; edges > edgesAtOnce {
			return messages[:i]
		}
	}
	return messages
}

// handleKeptBack asks about what is kept back, share by share, until the partition is taken away.
func (c *claim) handleKeptBack() error {
	for {
		select {
		case <-c.kept.came:
		case <-c.session.ctx.Done():
			return nil
		}
		messages, _ := c.kept.state()
		if len(messages) == 0 {
			continue
		}
		b := c.longBatch(share(messages))
		b.most = opens * c.bytes
		if err := c.member.s.prepare(c.session.ctx, b); err != nil {
			return err
		}
		if err := c.handOver(b); err != nil {
			return err
		}
	}
}

// batchOf is a batch of consecutive messages.
func (c *claim) batchOf(messages []*kgo.Record) *batch {
	c.standing.Lock()
	defer c.standing.Unlock()
	return &batch{
		lane: c.lane, partition: c.number, watermark: c.watermark, messages: messages, isKeptBack: c.kept.has,
		most: opens * c.bytes, unsent: &c.unsent,
	}
}

// longBatch is one of messages that were kept back.
func (c *claim) longBatch(messages []*kgo.Record) *batch {
	return &batch{lane: c.lane, partition: c.number, long: true, messages: messages, unsent: &c.unsent}
}

// handOver commits a batch, and with it where the partition stands after it: one at a time.
func (c *claim) handOver(b *batch) error {
	c.standing.Lock()
	defer c.standing.Unlock()
	b.after = c.with(b)
	if err := c.commit(b); err != nil {
		return err
	}
	c.position = b.after
	if b.long {
		c.kept.remove(b.messages)
		c.member.s.Metrics.kept.Sub(float64(len(b.messages)))
		return nil
	}
	c.kept.add(b.keptBack)
	c.member.s.Metrics.kept.Add(float64(len(b.keptBack)))
	return nil
}
