package verify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/sliding"
)

// telling answers about edges as told: by user, and the how manieth asking about that user it is.
type telling struct {
	*fakeLedger
	mu    sync.Mutex
	tell  func(user string, asking int) brimline.Figures
	times map[string]int
}

func (l *telling) Figures(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, _ ...brimline.Source,
) (brimline.Figures, uint64, error) {
	if err := l.question(ctx); err != nil {
		return brimline.Figures{}, 0, err
	}
	if err := l.judge(user, rule, at, at); err != nil {
		return brimline.Figures{}, 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times[user]++
	return l.tell(user, l.times[user]), 99, nil
}

func (l *telling) asked(user string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times[user]
}

// less has PostgreSQL's figures of an edge candidate whose row before it is gone.
var less = brimline.Figures{Total: total(60), Count: 1}

// distrusting is a world in which PostgreSQL says so, and dismissals last for a while.
func distrusting(
	t *testing.T, partitions int32, after time.Duration, tell func(user string, asking int) brimline.Figures,
) (*world, *telling) {
	w := newWorld(t, partitions)
	l := &telling{fakeLedger: w.ledger, tell: tell, times: map[string]int{}}
	w.config = func(c *Config) { c.Ledger, c.DistrustAfter, c.ApartEvery = l, after, 5*time.Millisecond }
	return w, l
}

var kindNames = map[brimline.ChangeKind]string{brimline.Dismissal: "refuted", brimline.Restored: "restored",
	brimline.StillDismissed: "stands", brimline.Disbelieved: "disbelieved"}

// said are the answers to candidates, as kind and user, in the order of users.
func (w *world) said(kinds ...brimline.ChangeKind) (all []string) {
	for _, c := range decoded[*brimline.Change](w.t, codecs.Change{}, w.read(w.streams.Changes)) {
		if slices.Contains(kinds, c.Kind) {
			all = append(all,
				fmt.Sprint(kindNames[c.Kind], " ", c.User, " ", int64(c.Edges[0]/hour), " ", c.Cause, " ", c.Reason))
		}
	}
	slices.Sort(all)
	return all
}

func (w *world) expectSaid(what string, want []string, kinds ...brimline.ChangeKind) {
	w.t.Helper()
	slices.Sort(want)
	if got := w.said(kinds...); !slices.Equal(got, want) {
		w.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// settled waits until nothing is to be asked again any more. It looks twice: between the look at the ends and that at
// the offsets, one topic's records may have become another's.
func (w *world) settled() {
	w.t.Helper()
	c := must(kafka.Dial(w.t.Context(), w.options, kafka.Lasting))
	defer c.Close()
	var before []kafka.PartitionLag
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		lags, err := c.Lag(w.t.Context(), w.streams.VerifyGroup, []string{w.streams.Candidates, w.streams.Questions,
			w.streams.Again})
		if err == nil && !slices.ContainsFunc(lags, func(l kafka.PartitionLag) bool { return l.Lag > 0 }) {
			if slices.Equal(lags, before) {
				return
			}
			before = lags
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not settled: %+v, %v", lags, err)
		}
	}
}

// TestDismissedEdgesAreAskedAgain: what PostgreSQL dismisses with less than the window has is asked again, and what
// it says then, or goes on saying, is told to the window stage, once. What it dismisses otherwise is not.
func TestDismissedEdgesAreAskedAgain(t *testing.T) {
	edge := brimline.Figures{Before: total(60), Total: total(120), Count: 2}
	w, l := distrusting(t, 2, 300*time.Millisecond, func(user string, asking int) brimline.Figures {
		switch user {
		case "late": // a server that is behind
			if asking > 2 {
				return edge
			}
		case "goes on": // the change of a row comes to both sides
			if asking > 2 {
				return brimline.Figures{Before: total(101), Total: total(161), Count: 3}
			}
		case "restless": // PostgreSQL has something else each time
			return brimline.Figures{Total: total(int64(asking) % 50), Count: 1}
		case "above":
			return brimline.Figures{Before: total(101), Total: total(110), Count: 9}
		case "more":
			return brimline.Figures{Before: total(0), Total: total(100), Count: 9}
		case "right":
			return edge
		}
		return less
	})
	users := []string{"late", "goes on", "restless", "above", "right", "lost"}
	for i, user := range users {
		w.put(edgeCandidate(user, 2*hour, int64(i)))
	}
	partial := edgeCandidate("more", 2*hour, 99) // PostgreSQL found it: the window has not all of its rows
	partial.Stream = brimline.Figures{Total: total(60), Count: 1}
	w.put(partial)
	one := w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("dismissed at first", []string{"refuted late 2 0 ", "refuted goes on 2 1 ", "refuted restless 2 2 ",
		"refuted above 2 3 ", "refuted lost 2 5 ", "refuted more 2 99 "}, brimline.Dismissal)
	w.expectSaid("at last", []string{"restored late 2 0 ", "stands restless 2 2 ", "stands lost 2 5 "},
		brimline.Restored, brimline.StillDismissed, brimline.Disbelieved)
	for user, want := range map[string]int{"late": 3, "goes on": 3, "above": 1, "right": 1, "more": 1} {
		if n := l.asked(user); n != want {
			t.Errorf("%q was asked about %d times, want %d", user, n, want)
		}
	}
	if n := l.asked("lost"); n < 2 || n > askings+2 {
		t.Errorf("lost was asked about %d times", n)
	}
	if n := len(w.read(w.streams.Alerts)); n != 1 {
		t.Errorf("%d alerts, want 1", n)
	}
	// The window stage puts two of them once more. Of one the change came in the meantime.
	for i, user := range []string{"lost", "right"} {
		c := edgeCandidate(user, 2*hour, int64(100+i))
		c.Doubted = true
		w.put(c)
	}
	one = w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("of what was put once more", []string{"disbelieved lost 2 100 refuted"}, brimline.Disbelieved)
	if n := len(w.read(w.streams.Dismissed)); n != 6 {
		t.Errorf("%d edges dismissed, want 6, each once", n)
	}
	if told := one.Metrics.Tally(); told.Edges != 1 || len(told.Dismissed) != 0 {
		t.Errorf("of two that were put once more, one an edge now, the tally says %+v", told)
	}
	for _, c := range decoded[*brimline.Change](t, codecs.Change{}, w.read(w.streams.Changes)) {
		if c.Kind == brimline.Restored && (c.Row.ID == "" || c.Source.LSN == 0) {
			t.Errorf("the row is not told: %+v", c)
		}
		if c.Kind == brimline.Disbelieved && time.Since(c.Row.Time.Std()) > patience {
			t.Errorf("not told when: %+v", c)
		}
	}
}

// TestAskedAgainOnceInEveryLife: instances are stopped, killed in their transactions and thawed. Each dismissal has one
// last word, however often it was asked about.
func TestAskedAgainOnceInEveryLife(t *testing.T) { inEachVersion(t, 2, askedAgainOnce) }

func askedAgainOnce(t *testing.T, w *world) {
	l := &telling{fakeLedger: w.ledger, times: map[string]int{}, tell: func(user string, asking int) brimline.Figures {
		if len(user)%2 == 0 && asking > 3 {
			return brimline.Figures{Before: total(60), Total: total(120), Count: 2}
		}
		return less
	}}
	configure := func(c *Config) {
		c.Ledger, c.DistrustAfter, c.ApartEvery = l, 500*time.Millisecond, 5*time.Millisecond
		c.Batch, c.StopTimeout = 7, 100*time.Millisecond
	}
	w.config = configure
	w.options.TransactionTimeout = 10 * time.Minute
	var want []string
	for i := range 60 {
		user := fmt.Sprint("u", i)
		if len(user)%2 == 0 {
			want = append(want, fmt.Sprint("restored ", user, " 2 ", i, " "))
		} else {
			want = append(want, fmt.Sprint([]string{"stands", "disbelieved"}[i%2], " ", user, " 2 ", i,
				[]string{" ", " refuted"}[i%2]))
		}
	}
	var left []*frozen
	for life := range 6 {
		for i := 10 * life; i < 10*life+10; i++ {
			c := edgeCandidate(fmt.Sprint("u", i), 2*hour, int64(i))
			c.Doubted = i >= 10 && i%2 == 1
			w.put(c)
		}
		f := freeze([]string{"sent", "offsets"}[life%2], life)
		w.stage = func(s *Stage) { s.pause = f.pause }
		killed := w.start("one")
		f.await(t)
		left = append(left, f)
		killed.stop()
	}
	w.stage = func(*Stage) {}
	w.keep("one")
	for _, f := range left {
		close(f.thaw)
	}
	w.settled()
	got := w.said(brimline.Restored, brimline.StillDismissed, brimline.Disbelieved)
	// Where all that was asked before is of transactions that were aborted, PostgreSQL has the edge at the first asking.
	for _, a := range decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Alerts)) {
		got = append(got, fmt.Sprint("restored ", a.Candidate.User, " 2 ", a.Candidate.Cause.Offset, " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("last words %q, want %q", got, want)
	}
}

// TestNothingIsAskedAgainWhileCatchingUp: until the stream is folded up to the dismissal, PostgreSQL is not asked
// again.
func TestNothingIsAskedAgainWhileCatchingUp(t *testing.T) {
	w, l := distrusting(t, 1, time.Millisecond, func(string, int) brimline.Figures { return less })
	var mu sync.Mutex
	var folded time.Time
	looked := make(chan struct{}, 1)
	configure := w.config
	w.config = func(c *Config) {
		configure(c)
		c.Folded = func(context.Context) (time.Time, error) {
			mu.Lock()
			defer mu.Unlock()
			select {
			case looked <- struct{}{}:
			default:
			}
			return folded, nil
		}
	}
	w.put(edgeCandidate("u", 2*hour, 1))
	w.start("one")
	for range 3 {
		<-looked
	}
	if n := l.asked("u"); n != 1 {
		t.Errorf("asked %d times while the group catches up", n)
	}
	mu.Lock()
	folded = time.Now().Add(time.Hour)
	mu.Unlock()
	w.settled()
	w.expectSaid("once it has", []string{"stands u 2 1 "}, brimline.StillDismissed)
}

// TestAConnectorWithoutDeletes: so many users at once have one cause. A few are distrusted, at once and then one by
// one; of the others nothing is lost, and PostgreSQL is spared.
func TestAConnectorWithoutDeletes(t *testing.T) {
	w, l := distrusting(t, 2, time.Millisecond, func(string, int) brimline.Figures { return less })
	budget := NewBudget(3, time.Hour)
	var ahead sync.Map
	configure := w.config
	w.config = func(c *Config) {
		configure(c)
		c.Budget = budget
		c.Clock = func() time.Time {
			by, _ := ahead.LoadOrStore("by", time.Duration(0))
			return time.Now().Add(by.(time.Duration))
		}
	}
	const users = 40
	for i := range users {
		user := fmt.Sprint("u", i)
		for n := range 2 {
			c := edgeCandidate(user, brimline.Time(2+2*n)*hour, int64(2*i+n))
			c.Doubted = true
			w.put(c)
		}
	}
	one := w.start("one")
	w.caughtUp()
	wait := func(what string, done func() bool) {
		t.Helper()
		for deadline := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("waiting for ", what)
			}
		}
	}
	distrusted := func() (users []string) {
		for _, c := range decoded[*brimline.Change](t, codecs.Change{}, w.read(w.streams.Changes)) {
			if c.Kind == brimline.Disbelieved && !slices.Contains(users, c.User) {
				users = append(users, c.User)
			}
		}
		return users
	}
	wait("edges to wait for a token", func() bool { return w.metric("asked_again_total") > 5*users })
	if n := len(distrusted()); n != 3 {
		t.Errorf("%d users are distrusted, want 3", n)
	}
	if n := w.said(brimline.Disbelieved); len(n) != 6 {
		t.Errorf("a user's edges need a token each: %q", n)
	}
	if budget.Starved().IsZero() {
		t.Error("nothing says that there is no token")
	}
	questions := 0
	for i := range users {
		questions += l.asked(fmt.Sprint("u", i))
	}
	if questions > 3*2*users {
		t.Errorf("%d questions about %d users", questions, users)
	}
	one.stopped(t)
	ahead.Store("by", 2*time.Hour)
	w.start("one")
	wait("two tokens more", func() bool { return len(distrusted()) == 5 })
}

func TestBudget(t *testing.T) {
	b, now := NewBudget(2, time.Minute), time.Unix(1e9, 0)
	take := func(user string, want bool) {
		t.Helper()
		if had := b.left(user, now); had != want {
			t.Errorf("%s has a token: %v", user, had)
		}
		if got := b.take(user, now); got != want {
			t.Errorf("%s got a token: %v", user, got)
		}
	}
	take("a", true)
	take("a", true)
	take("b", true)
	take("c", false)
	if b.Starved() != now {
		t.Error("not told")
	}
	now = now.Add(time.Minute)
	take("c", true)
	take("d", false)
	now = now.Add(time.Hour)
	take("a", true)
	take("d", true)
	take("e", false)
	if len(b.users) != 2 {
		t.Errorf("%d users remembered", len(b.users))
	}
}

// TestAskedAgainLess: where no user is to be distrusted nothing is put to be asked again, and what was is passed over,
// as are candidates that cannot be read, added up or decided any more.
func TestAskedAgainLess(t *testing.T) {
	w, l := distrusting(t, 1, time.Millisecond, func(string, int) brimline.Figures { return less })
	configure := w.config
	again := func(c *brimline.Candidate) *kgo.Record {
		s := w.unstarted("none")
		s.partitions.changes = w.count
		return must(s.againRecord(&brimline.Again{Candidate: *c, Database: less, First: 1, Since: 1}))
	}
	w.config = func(c *Config) { configure(c); c.DistrustAfter = 0 }
	w.put(edgeCandidate("u", 2*hour, 1))
	w.putRaw(again(edgeCandidate("v", 2*hour, 2)))
	one := w.start("one")
	w.settled()
	one.stopped(t)
	if n := len(w.read(w.streams.Again)); n != 1 || l.asked("v") != 0 {
		t.Errorf("%d edges to be asked again, %d questions", n, l.asked("v"))
	}
	w.config = configure
	other := edgeCandidate("w", 2*hour, 3)
	other.Rule.Where = "no such"
	scale := edgeCandidate("x", 2*hour, 4)
	scale.Scale = 3
	garbage := again(scale)
	garbage.Value = []byte("{")
	w.putRaw(again(other), again(scale), garbage, again(edgeCandidate("bad", 9*hour, 5)))
	w.ledger.refuse(9 * hour)
	one = w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("no user is distrusted", nil, brimline.StillDismissed, brimline.Restored, brimline.Disbelieved)
	if n := len(w.read(w.streams.DeadLetters)); n != 1 {
		t.Errorf("%d dead letters, want that of what cannot be read", n)
	}
}

// TestHeavyUsersAreAskedAgain: an edge of one who has too many rows for a statement is asked about again as it was
// asked about first, in pieces.
func TestHeavyUsersAreAskedAgain(t *testing.T) {
	w, l := distrusting(t, 1, time.Millisecond, func(string, int) brimline.Figures { return less })
	configure := w.config
	w.config = func(c *Config) { configure(c); c.Ledger, c.Long = short{w.ledger, w}, l }
	w.heavy = func(string, brimline.Time) bool { return true }
	doubted := edgeCandidate("v", 2*hour, 2)
	doubted.Doubted = true
	w.put(edgeCandidate("u", 2*hour, 1), doubted)
	one := w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("at last", []string{"stands u 2 1 ", "disbelieved v 2 2 refuted"},
		brimline.StillDismissed, brimline.Restored, brimline.Disbelieved)
}

// TestWhatIsAskedAgainAgesAway: a topic in which nothing was written for a week is empty, and begins behind the
// control record of its last transaction, which no committed offset has passed.
func TestWhatIsAskedAgainAgesAway(t *testing.T) {
	w, _ := distrusting(t, 1, time.Millisecond, func(string, int) brimline.Figures { return less })
	w.put(edgeCandidate("u", 2*hour, 1))
	one := w.start("one")
	w.settled()
	one.stopped(t)
	admin := kadm.NewClient(w.client)
	ends := must(admin.ListEndOffsets(t.Context(), w.streams.Again))
	if err := must(admin.DeleteRecords(t.Context(), ends.Offsets())).Error(); err != nil {
		t.Fatal(err)
	}
	w.put(edgeCandidate("v", 2*hour, 2))
	one = w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("at last", []string{"stands u 2 1 ", "stands v 2 2 "}, brimline.StillDismissed)
}

// TestAClockThatIsBehindHoldsUpNothing: the edge was written by an instance whose clock is an hour ahead.
func TestAClockThatIsBehindHoldsUpNothing(t *testing.T) {
	w, _ := distrusting(t, 1, time.Millisecond, func(string, int) brimline.Figures { return less })
	configure := w.config
	w.config = func(c *Config) {
		configure(c)
		c.Folded = func(context.Context) (time.Time, error) { return time.Now(), nil }
	}
	s := w.unstarted("none")
	s.partitions.changes = w.count
	edge := must(s.againRecord(&brimline.Again{
		Candidate: *edgeCandidate("u", 2*hour, 1), Database: less, First: 1, Since: 1,
	}))
	edge.Timestamp = time.Now().Add(time.Hour)
	w.putRaw(edge)
	one := w.start("one")
	w.settled()
	one.stopped(t)
	w.expectSaid("at last", []string{"stands u 2 1 "}, brimline.StillDismissed)
}

// TestNoStopWaitsForTheBrokers: whoever asks how far the stream is folded may wait for an answer; the partitions go
// before it comes.
func TestNoStopWaitsForTheBrokers(t *testing.T) {
	w, _ := distrusting(t, 2, time.Millisecond, func(string, int) brimline.Figures { return less })
	configure := w.config
	asked, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	defer close(answer)
	w.config = func(c *Config) {
		configure(c)
		c.StopTimeout = time.Hour
		c.Folded = func(context.Context) (time.Time, error) {
			once.Do(func() { close(asked) })
			<-answer
			return time.Now(), nil
		}
	}
	w.put(edgeCandidate("u", 2*hour, 1))
	one := w.start("one")
	<-asked
	one.stopped(t)
}
