package verify

import (
	"context"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// lane is one of the topics that the stage reads, with what its candidates have to themselves: queues, places with
// PostgreSQL and a producer. So those of one lane never wait for those of another.
type lane struct {
	topic string
	// apart: these are questions about old rows, for which nothing live waits. They come by a client of their own, many
	// at a time, and leave PostgreSQL and the processors time for others.
	apart     bool
	delay     time.Duration // from the writing of a record to its handling; 0 but for what is asked again
	batch     int           // most records of one partition in one transaction
	every     time.Duration // shortest time from one transaction's beginning to the next one's
	slots     chan struct{} // one for each inquiry that may be with PostgreSQL
	committer *committer
}

// partition is one of a lane's topic.
type partition struct {
	*lane
	number int32
}

func (s *Stage) lanes() []*lane { return []*lane{s.near, s.apart, s.again} }

// laneOf is nil for a topic that the stage does not read.
func (s *Stage) laneOf(topic string) *lane {
	for _, l := range s.lanes() {
		if l.topic == topic {
			return l
		}
	}
	return nil
}

// flow tells whether live candidates come.
type flow struct {
	mu     sync.Mutex
	busy   int // batches of theirs that are being decided
	last   time.Time
	clock  func() time.Time
	pauses func(context.Context, time.Duration) // waits; for tests
}

func (f *flow) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy++
}

func (f *flow) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	f.last = f.clock()
}

// stillAfter is how long after its last candidate the live stream counts as flowing.
const stillAfter = time.Second

func (f *flow) flows() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.busy > 0 || !f.last.IsZero() && f.clock().Sub(f.last) < stillAfter
}

const (
	// hurriesFrom is the age from which on questions take all the time that their places with PostgreSQL have.
	hurriesFrom = 8 * time.Minute
	longestRest = time.Second
)

// rest is how long a place stays empty after an inquiry that took so long: while live candidates flow, as long again,
// and the less the older the questions are.
func (f *flow) rest(took, age time.Duration) time.Duration {
	if age >= hurriesFrom || !f.flows() {
		return 0
	}
	return min(time.Duration(float64(took)*(1-max(0, age.Seconds())/hurriesFrom.Seconds())), longestRest)
}

func pause(ctx context.Context, d time.Duration) { _ = backoff.Pause(ctx, d) }

// inquiry is one request to PostgreSQL: a question about an edge, or all about the late candidates of a user.
type inquiry struct {
	questions []*question
}

// together makes one inquiry of all questions about a user's late candidates.
func together(questions []*question) (all []*inquiry) {
	late := map[string]*inquiry{}
	for _, q := range questions {
		if of := late[q.user]; q.late && of != nil {
			of.questions = append(of.questions, q)
			continue
		}
		i := &inquiry{[]*question{q}}
		if q.late {
			late[q.user] = i
		}
		all = append(all, i)
	}
	return all
}

func alone(questions []*question) (all []*inquiry) {
	for _, q := range questions {
		all = append(all, &inquiry{[]*question{q}})
	}
	return all
}

// spans are those that the inquiry asks about, one for each of its questions.
func (i *inquiry) spans() []sliding.Span {
	spans := make([]sliding.Span, len(i.questions))
	for n, q := range i.questions {
		spans[n] = sliding.Span{Rule: q.rule, From: q.from, To: q.to}
	}
	return spans
}

// after are the changes that made it necessary, one per transaction.
func (i *inquiry) after() []brimline.Source {
	var all waits
	for _, q := range i.questions {
		for _, src := range q.after.all {
			all.add(src)
		}
	}
	return all.all
}

func (i *inquiry) fail(err error) {
	for _, q := range i.questions {
		q.err = err
	}
}
