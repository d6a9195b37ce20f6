package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
)

func oldCandidate(user string, from, until brimline.Time, offset int64) *brimline.Candidate {
	c := lateCandidate(user, from, until, offset)
	c.Apart = true
	return c
}

// holding answers nothing about late candidates until it may.
type holding struct {
	*fakeLedger
	came chan struct{} // gets one with each such question, if there is room
	hold chan struct{} // closed when they may be answered
}

func (l holding) wait(ctx context.Context) error {
	select {
	case l.came <- struct{}{}:
	default:
	}
	select {
	case <-l.hold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l holding) Edges(
	ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after ...brimline.Source,
) ([]brimline.Time, uint64, error) {
	if err := l.wait(ctx); err != nil {
		return nil, 0, err
	}
	return l.fakeLedger.Edges(ctx, user, rule, from, to, after...)
}

func (l holding) EdgesOf(
	ctx context.Context, user string, spans []sliding.Span, after ...brimline.Source,
) ([][]brimline.Time, uint64, error) {
	if err := l.wait(ctx); err != nil {
		return nil, 0, err
	}
	return l.fakeLedger.EdgesOf(ctx, user, spans, after...)
}

// TestNothingLiveWaitsForQuestions: while more questions are with PostgreSQL than may be, and a transaction of theirs
// is held up, alerts of the same users and partitions are written.
func TestNothingLiveWaitsForQuestions(t *testing.T) {
	w := newWorld(t, 2)
	l := holding{w.ledger, make(chan struct{}, 1), make(chan struct{})}
	w.config = func(c *Config) { c.Ledger = l }
	const users = 40
	var questions, live []*brimline.Candidate
	for i := range users {
		user := fmt.Sprint("u", i)
		questions = append(questions, oldCandidate(user, brimline.Time(i)*hour, brimline.Time(i)*hour, int64(2*i)))
		live = append(live, edgeCandidate(user, brimline.Time(2*i)*hour, int64(2*i+1)))
	}
	w.put(questions...)
	one := w.start("one")
	<-l.came
	w.put(live...)
	w.caughtUpWith(w.streams.Candidates)
	if alerts := w.read(w.streams.Alerts); len(alerts) != users {
		t.Errorf("%d alerts while questions are held, want %d", len(alerts), users)
	}
	if answers := w.answers(); len(answers) != 0 {
		t.Errorf("answers while questions are held: %q", answers)
	}
	one.stopped(t)
	f := freeze("sent", 0)
	w.stage = func(s *Stage) { s.pause = f.pause }
	two := w.start("one")
	close(l.hold)
	f.await(t) // in the middle of a transaction of answers
	for _, c := range live {
		c.Cause.Offset += 1000
		c.Edge += 1000 * hour
	}
	w.put(live...)
	w.caughtUpWith(w.streams.Candidates)
	close(f.thaw)
	w.caughtUp()
	two.stopped(t)
	if alerts := w.read(w.streams.Alerts); len(alerts) != 2*users {
		t.Errorf("%d alerts, want %d", len(alerts), 2*users)
	}
	if answers := w.answers(); len(answers) != users {
		t.Errorf("%d answers, want %d: %q", len(answers), users, answers)
	}
}

// TestWatermarksAreApart: each topic has its own. A question is no replay because a later candidate was judged, nor a
// candidate because a later question was; and what was asked in one topic is answered in the other, too.
func TestWatermarksAreApart(t *testing.T) {
	w := newWorld(t, 1)
	w.put(oldCandidate("u", hour, hour, 100), edgeCandidate("u", 2*hour, 50))
	w.once()
	w.put(
		oldCandidate("u", hour, hour, 99),
		oldCandidate("u", 3*hour, 3*hour, 101),
		lateCandidate("u", 5*hour, 5*hour, 99),
		edgeCandidate("u", 4*hour, 49),
		edgeCandidate("u", 4*hour, 102),
	)
	w.once()
	if n := w.metric("replays_total"); n != 2 {
		t.Errorf("%v replays, want 2", n)
	}
	got := w.answers()
	slices.Sort(got)
	want := []string{"u: 1 edges, all apart up to 100", "u: 1 edges, all apart up to 101", "u: 1 edges, all up to 99"}
	if !slices.Equal(got, want) {
		t.Errorf("answers %q, want %q", got, want)
	}
	if alerts := w.read(w.streams.Alerts); len(alerts) != 2 {
		t.Errorf("%d alerts, want 2", len(alerts))
	}
}

// TestAUsersQuestionsGoTogether: those of a batch about one user are one statement, whatever their rules and spans, and
// a row that cannot be judged is in the way of those alone that need it.
func TestAUsersQuestionsGoTogether(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.refuse(300 * hour)
	other := func(c *brimline.Candidate) *brimline.Candidate {
		c.Rule.ID, c.Rule.Window = "hourly", time.Hour
		c.Cause.Index = -1 - int(c.Rule.Fingerprint()>>1)
		return c
	}
	w.put(oldCandidate("u", hour, hour, 1), oldCandidate("v", hour, hour, 2), other(oldCandidate("u", 9*hour, 9*hour, 3)),
		oldCandidate("u", 50*hour, 50*hour, 4), other(oldCandidate("v", hour, hour, 5)), oldCandidate("w", hour, hour, 6))
	w.once()
	if asked, together := w.ledger.asked, w.ledger.together; asked != 3 || together != 2 {
		t.Errorf("%d statements, %d about several spans; want 3 and 2", asked, together)
	}
	w.put(oldCandidate("u", hour, hour, 11), oldCandidate("u", 301*hour, 301*hour, 12))
	w.once()
	w.expect("u: 1 edges", "v: 1 edges", "u: 1 edges", "u: 1 edges, all apart up to 4", "v: 1 edges, all apart up to 5",
		"w: 1 edges, all apart up to 6", "u: 1 edges",
		fmt.Sprintf("u: unjudgeable %v of 12", []brimline.Time{301 * hour, 301 * hour}), "u: 0 edges, all apart up to 12")
	dead := decoded[*brimline.DeadLetter](t, codecs.DeadLetter{}, w.read(w.streams.DeadLetters))
	if len(dead) != 1 || dead[0].Topic != w.streams.Questions || dead[0].Kind != "postgres_amount" {
		t.Errorf("dead letters %+v", dead)
	}
}

// TestRests: places of questions stay empty for as long as the inquiry took while live candidates flow, and the less
// the older the questions are.
func TestRests(t *testing.T) {
	now := time.Unix(1e9, 0)
	f := flow{clock: func() time.Time { return now }}
	expect := func(what string, age, want time.Duration) {
		t.Helper()
		if got := f.rest(100*time.Millisecond, age); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	expect("nothing has come", 0, 0)
	f.begin()
	expect("a batch is judged", 0, 100*time.Millisecond)
	expect("dated in the future", -time.Hour, 100*time.Millisecond)
	expect("four minutes old", 4*time.Minute, 50*time.Millisecond)
	expect("eight minutes old", 8*time.Minute, 0)
	if got := f.rest(time.Hour, 0); got != longestRest {
		t.Errorf("a slow one rests %v", got)
	}
	f.end()
	expect("just now", 0, 100*time.Millisecond)
	now = now.Add(stillAfter)
	expect("a while ago", 0, 0)
}

// TestQuestionsLeaveTime: the stage does rest, and only for questions.
func TestQuestionsLeaveTime(t *testing.T) {
	w := newWorld(t, 1)
	var mu sync.Mutex
	var rests int
	w.stage = func(s *Stage) {
		s.flow.pauses = func(context.Context, time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			rests++
		}
	}
	w.put(edgeCandidate("u", 2*hour, 1), lateCandidate("u", hour, hour, 2))
	w.once()
	if rests != 0 {
		t.Errorf("live candidates rested %d times", rests)
	}
	w.put(oldCandidate("u", hour, hour, 3), oldCandidate("v", hour, hour, 4))
	w.once()
	if rests != 2 {
		t.Errorf("questions rested %d times, want 2", rests)
	}
}

// TestQuestionsAreBoundInBytes: a claim takes and holds no more than it may, and one that is larger by itself all the
// same.
func TestQuestionsAreBoundInBytes(t *testing.T) {
	w := newWorld(t, 1)
	s := w.unstarted("one")
	source := must(kgo.NewClient(kgo.SeedBrokers(w.brokers...)))
	defer source.Close()
	n := &session{}
	n.ctx, n.end = context.WithCancel(t.Context())
	c := &claim{partition: partition{s.apart, 0}, session: n, source: source, bytes: 1000, more: make(chan struct{}, 1)}
	paused := func() bool { return len(source.PauseFetchPartitions(nil)[s.apart.topic]) > 0 }
	record := func(bytes int) *kgo.Record { return &kgo.Record{Value: make([]byte, bytes-200)} }
	c.put([]*kgo.Record{record(400), record(500)})
	if paused() {
		t.Error("paused below the bound")
	}
	c.put([]*kgo.Record{record(300), record(5000), record(300)})
	if !paused() {
		t.Error("not paused above the bound")
	}
	for i, want := range []int{2, 1, 1, 1} {
		if got := c.take(); len(got) != want {
			t.Fatalf("batch %d has %d records, want %d", i, len(got), want)
		}
	}
	if paused() || c.queued != 0 {
		t.Errorf("paused %v with %d bytes queued", paused(), c.queued)
	}
}
