package verify

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// keptBack are the candidates of a partition whose questions are about more rows than one statement may read, and the
// later ones of their users, so that each user's are handled in their order. They do not hold up the partition: its
// position goes on and names the users. They are asked about beside it. Decisions 28 and 37.
//
// What is asked of a user's late candidates is a span for each rule, however many candidates there are. So what is kept
// of a user is a few spans, and the candidates that need a verdict of their own.
type keptBack struct {
	mu      sync.Mutex
	users   map[string][]*share // each one's are handled in their order
	records int                 // how many they are of
	bytes   int
	came    chan struct{} // there are some
	went    chan struct{} // some were handled
}

func newKeptBack() keptBack {
	return keptBack{users: map[string][]*share{}, came: make(chan struct{}, 1), went: make(chan struct{}, 1)}
}

// share is the part of a user's candidates that one inquiry asks about: those of consecutive messages. It grows until
// it is asked about or full.
type share struct {
	user    string
	from    place
	since   *kgo.Record // the first message
	records int
	late    []*kept
	edges   []*kept
	last    int64                     // offset of the newest message
	after   waits                     // the changes that PostgreSQL must have seen for the late ones
	newest  map[int32]brimline.Source // of these the newest of each partition of the source
	asked   bool
	bytes   int // of the candidates
}

// kept is a candidate that is kept back, or several late ones of a rule that are one question.
type kept struct {
	message   *kgo.Record // the newest of them
	candidate *brimline.Candidate
	of        uint64 // the rule
	joined    int    // how many candidates they are
	from      place
	bad       bool // it can only become a dead letter
}

// Bounds of a share. Each edge is a question of its own, of seconds or minutes, and one that is given up with the
// partition is asked from the start. Transactions beyond mostWaits are looked at once, and those forgotten that have
// ended.
const (
	edgesAtOnce = 64
	mostSpans   = 1024
	mostWaits   = 1000
)

// size is about how many bytes the candidate takes.
func (k *kept) size() int {
	if k.candidate.Kind == brimline.LateCandidate {
		return weight(k.candidate)
	}
	return weight(k.candidate) + size(k.message)
}

const bytesOfWait = 128

// add takes a candidate into the share.
func (s *share) add(k *kept) {
	if s.since == nil {
		s.since, s.from, s.last = k.message, k.from, k.message.Offset-1
	}
	if k.message.Offset > s.last {
		s.last = k.message.Offset
		s.records++
	}
	if k.candidate.Kind != brimline.LateCandidate || k.bad {
		s.edges = append(s.edges, k)
		s.bytes += k.size()
	} else {
		src := k.candidate.Source
		s.after.of(k.candidate)
		if s.newest == nil {
			s.newest = map[int32]brimline.Source{}
		}
		s.newest[src.Partition] = src
		s.join(k)
	}
}

// weight is about how many bytes the share takes.
func (s *share) weight() int { return s.bytes + bytesOfWait*len(s.after.all) }

// all are the candidates of the share, in the order of their causes.
func (s *share) all() []*kept {
	all := slices.Concat(s.late, s.edges)
	slices.SortStableFunc(all, func(a, b *kept) int { return a.candidate.Cause.Compare(b.candidate.Cause) })
	return all
}

// join takes in a late candidate: into the span of its rule that it touches, or as one more.
func (s *share) join(k *kept) {
	for _, other := range s.late {
		if other.of == k.of && other.candidate.Scale == k.candidate.Scale &&
			k.candidate.Edge <= other.candidate.Until && other.candidate.Edge <= k.candidate.Until {
			before := other.size()
			other.take(k)
			s.bytes += other.size() - before
			return
		}
	}
	s.late = append(s.late, k)
	s.bytes += k.size()
}

// take makes one question of two. What is told of it is the newest one's.
func (k *kept) take(other *kept) {
	a, b := k.candidate, other.candidate
	joined := *a
	if b.Cause.Compare(a.Cause) > 0 {
		joined, k.message = *b, other.message
	}
	joined.Edge, joined.Until = min(a.Edge, b.Edge), max(a.Until, b.Until)
	k.candidate, k.joined = &joined, k.joined+other.joined
}

// full says whether a share takes no further message.
func (s *share) full() bool {
	return s.asked || len(s.edges) >= edgesAtOnce || len(s.late) >= mostSpans
}

// has says whether some of a user are kept back.
func (k *keptBack) has(user string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.users[user]) > 0
}

// state is of how many users and records there are some, and about how many bytes they take.
func (k *keptBack) state() (users, records, bytes int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.users), k.records, k.bytes
}

// add keeps candidates back, in their order, and gives of how many more records that is.
func (k *keptBack) add(all []*kept) (records int) {
	if len(all) == 0 {
		return 0
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range all {
		user := string(one.message.Key)
		shares := k.users[user]
		last := len(shares) - 1
		if last < 0 || shares[last].full() && shares[last].last < one.message.Offset {
			shares, last = append(shares, &share{user: user}), last+1
			k.users[user] = shares
		}
		s := shares[last]
		bytes, of := s.weight(), s.records
		s.add(one)
		k.bytes += s.weight() - bytes
		records += s.records - of
	}
	k.records += records
	tell(k.came)
	return records
}

// next are the shares to ask about now: of each user the first one, as long as those before have not many questions.
func (k *keptBack) next() (shares []*share) {
	k.mu.Lock()
	defer k.mu.Unlock()
	firsts := make([]*share, 0, len(k.users))
	for _, of := range k.users {
		firsts = append(firsts, of[0])
	}
	slices.SortFunc(firsts, func(a, b *share) int { return cmp.Compare(a.from.offset, b.from.offset) })
	for questions, i := 0, 0; i < len(firsts) && questions < edgesAtOnce; i++ {
		questions += len(firsts[i].late) + len(firsts[i].edges)
		firsts[i].asked = true
		shares = append(shares, firsts[i])
	}
	return shares
}

// remove takes out shares that have been handled, and gives of how many records they were.
func (k *keptBack) remove(shares []*share) (records int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, s := range shares {
		if k.users[s.user] = k.users[s.user][1:]; len(k.users[s.user]) == 0 {
			delete(k.users, s.user)
		}
		k.bytes -= s.weight()
		records += s.records
	}
	k.records -= records
	if len(k.users) > 0 {
		tell(k.came)
	}
	tell(k.went)
	return records
}

// open says which users are open once the shares are handled, and from where on.
func (k *keptBack) open(without []*share) map[userKey]place {
	k.mu.Lock()
	defer k.mu.Unlock()
	places := make(map[userKey]place, len(k.users))
	for user, shares := range k.users {
		if slices.Contains(without, shares[0]) {
			shares = shares[1:]
		}
		if len(shares) > 0 {
			places[userKeyOf(user)] = shares[0].from
		}
	}
	return places
}

// waiting gives a share that grows and waits for more transactions than it may, or nil.
func (k *keptBack) waiting() *share {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, shares := range k.users {
		if s := shares[len(shares)-1]; !s.asked && len(s.after.all) > mostWaits {
			return s
		}
	}
	return nil
}

// waitFor has a share that still grows wait for these changes, and for the newest of each partition of the source. It
// says whether the share may grow on.
func (k *keptBack) waitFor(s *share, unseen []brimline.Source) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s.asked {
		return true
	}
	k.bytes -= s.weight()
	s.after = waits{}
	for _, src := range unseen {
		s.after.add(src)
	}
	for _, src := range s.newest {
		s.after.add(src)
	}
	k.bytes += s.weight()
	return len(s.after.all) <= mostWaits
}

// tell leaves a signal, where none is yet.
func tell(signal chan struct{}) {
	select {
	case signal <- struct{}{}:
	default:
	}
}

// readAgain begins to read again what was open when the claim began.
func (c *claim) readAgain() {
	if len(c.open) == 0 {
		return
	}
	begin := c.begin
	c.reading, c.left = &begin, make(map[userKey]int64, len(c.open))
	for _, u := range c.open {
		c.left[u.user] = u.from
	}
}

// unhandled are those of the messages that have not been handled. Of what lies below the position with which the claim
// began, that is what is of open users and was no replay then; it is kept back again.
func (c *claim) unhandled(messages []*kgo.Record) []*kgo.Record {
	c.standing.Lock()
	defer c.standing.Unlock()
	n := 0
	for n < len(messages) && messages[n].Offset < c.next {
		n++
	}
	if n > 0 && c.reading != nil {
		// Those below the position go through the steps in which they were found to be new.
		b := &batch{lane: c.lane, partition: c.number, watermark: c.reading.before}
		for _, m := range messages[:n] {
			c.member.s.take(m, b)
		}
		var again []*kept
		for i := range b.items {
			it := &b.items[i]
			if it.candidate == nil || it.replay {
				continue
			}
			if from, open := c.left[userKeyOf(string(it.message.Key))]; open && it.message.Offset >= from {
				again = append(again, it.keep())
			}
		}
		c.reading = &place{messages[n-1].Offset + 1, b.watermark}
		c.member.s.Metrics.kept.Add(float64(c.kept.add(again)))
	}
	if c.reading != nil && (n < len(messages) || c.reading.offset >= c.next) {
		c.reading, c.left = nil, nil // what was open and has not come by now is in the topic no more
	}
	return messages[n:]
}

// keep makes an item one that is kept back.
func (it *item) keep() *kept {
	it.kept = true
	k := &kept{message: it.message, candidate: it.candidate, joined: 1, from: it.from, bad: it.out.dead != nil}
	if it.rule != nil {
		k.of = it.rule.Fingerprint
	}
	return k
}

// with is the position after the batch. standing is held.
func (c *claim) with(b *batch) position {
	after := position{next: c.next, watermark: c.watermark}
	if !b.long {
		after.next, after.watermark = b.messages[len(b.messages)-1].Offset+1, b.watermark
	}
	begin := place{after.next, after.watermark}
	if c.reading != nil {
		begin = *c.reading
	}
	open := map[userKey]int64{}
	for user, from := range c.left { // more of theirs may be still to be read
		open[user] = max(from, c.reading.offset)
	}
	name := func(user userKey, from place) {
		if at, known := open[user]; !known || from.offset < at {
			open[user] = from.offset
		}
		if from.offset < begin.offset {
			begin = from
		}
	}
	for user, from := range c.kept.open(b.shares) {
		name(user, from)
	}
	for _, k := range b.keptBack {
		name(userKeyOf(string(k.message.Key)), k.from)
	}
	if len(open) == 0 {
		return after
	}
	after.begin = begin
	for user, from := range open {
		after.open = append(after.open, openUser{user, from})
	}
	slices.SortFunc(after.open, func(a, b openUser) int {
		return cmp.Or(cmp.Compare(a.from, b.from), slices.Compare(a.user[:], b.user[:]))
	})
	return after
}

// makeRoom sees to it that what a batch keeps back can be named in its commit, and held. It waits for what is kept back
// already, and handles at once what cannot be named even then.
func (c *claim) makeRoom(b *batch) error {
	if len(b.keptBack) == 0 {
		return nil
	}
	for {
		c.standing.Lock()
		after := c.with(b)
		c.standing.Unlock()
		users, records, bytes := c.kept.state()
		if len(after.metadata()) <= mostMetadata && bytes <= 2*c.bytes {
			return nil
		}
		if users == 0 {
			break
		}
		if c.tellFull.Due(c.member.s.Clock()) {
			c.member.s.Log.Warn("candidates wait for questions about users with many rows: no more can be kept back",
				"topic", c.topic, "partition", c.number, "records", records, "users", users,
				"remedy", "check that there is an index on user and time, and the load of PostgreSQL")
		}
		select {
		case <-c.kept.went:
		case <-c.session.ctx.Done():
			return c.session.ctx.Err()
		}
	}
	atOnce := newKeptBack()
	atOnce.add(b.keptBack)
	long := c.longBatch(slices.Concat(slices.Collect(maps.Values(atOnce.users))...))
	if err := c.member.s.prepare(c.session.ctx, long); err != nil {
		return err
	}
	b.items, b.records, b.keptBack = append(b.items, long.items...), append(b.records, long.records...), nil
	return nil
}

// forgetEnded looks at the transactions that a share waits for, where they are many, and has it wait only for those
// that PostgreSQL does not show, and for the newest of each partition of the source: a server that is behind another
// one shows no transaction before an older one.
func (c *claim) forgetEnded() error {
	for s := c.kept.waiting(); s != nil; s = c.kept.waiting() {
		var unseen []brimline.Source
		err := c.member.s.outage.endure(c.session.ctx, func() (err error) {
			unseen, err = c.member.s.Ledger.Unseen(c.session.ctx, s.after.all)
			return err
		})
		if err != nil {
			return err
		}
		if c.kept.waitFor(s, unseen) {
			continue
		}
		select { // PostgreSQL shows none of very many
		case <-c.kept.went:
		case <-c.session.ctx.Done():
			return c.session.ctx.Err()
		}
	}
	return nil
}

// longestBreak bounds how long nothing is asked about what is kept back after its last questions.
const longestBreak = 10 * time.Second

// handleKeptBack asks about what is kept back, until the partition is taken away. While live candidates flow, it rests
// for as long as it has asked: questions about a user with millions of rows, one after the other, would take PostgreSQL
// a processor for good.
func (c *claim) handleKeptBack() error {
	for {
		select {
		case <-c.kept.came:
		case <-c.session.ctx.Done():
			return nil
		}
		shares := c.kept.next()
		if len(shares) == 0 {
			continue
		}
		s := c.member.s
		b, start := c.longBatch(shares), s.Clock()
		if err := s.prepare(c.session.ctx, b); err != nil {
			return err
		}
		took := s.Clock().Sub(start)
		if err := c.handOver(b); err != nil {
			return err
		}
		if s.flow.flows() {
			s.flow.pauses(c.session.ctx, min(took, longestBreak))
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

// longBatch is one of what was kept back.
func (c *claim) longBatch(shares []*share) *batch {
	b := &batch{lane: c.lane, partition: c.number, long: true, shares: shares, unsent: &c.unsent}
	for _, s := range shares {
		b.messages = append(b.messages, s.since)
	}
	return b
}

// handOver commits a batch, and with it where the partition stands after it: one at a time.
func (c *claim) handOver(b *batch) error {
	c.standing.Lock()
	defer c.standing.Unlock()
	b.after = c.with(b)
	if err := c.commit(b); err != nil {
		return err
	}
	c.member.s.Metrics.kept.Add(float64(c.handed(b)))
	return nil
}

// handed notes that a batch is committed, and gives of how many more records something is kept back. standing is held.
func (c *claim) handed(b *batch) (records int) {
	c.position = b.after
	if b.long {
		return -c.kept.remove(b.shares)
	}
	return c.kept.add(b.keptBack)
}
