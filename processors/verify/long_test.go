package verify

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// TestLongQuestionsHoldNoOthers: whoever is about too many rows waits for slots of their own, and no other user does,
// of the same partition or another; one that can never be answered is a dead letter, and stops nothing.
func TestLongQuestionsHoldNoOthers(t *testing.T) {
	w := newWorld(t, 2)
	long := &fakeLedger{}
	hold := make(chan struct{})
	long.set(nil, hold)
	w.ledger.bad = func(user string, _, _ brimline.Time) error {
		if strings.HasPrefix(user, "heavy") {
			return fmt.Errorf("asking: %w", sliding.ErrManyRows)
		}
		return nil
	}
	w.config = func(c *Config) { c.Long, c.Questions, c.LongQuestions = long, 2, 1 }
	of := func(kind string, partition int32) (users []string) {
		for i := 0; len(users) < 6; i++ {
			if user := fmt.Sprint(kind, i); processors.Partition(user, 2) == partition {
				users = append(users, user)
			}
		}
		return users
	}
	h := candidateLog{alerts: map[string]int{}, dismissed: map[string]int{}}
	add := func(users []string) {
		for i, user := range users {
			c := edgeCandidate(user, brimline.Time(2*i)*hour, int64(len(h.all)+1))
			h.all, h.alerts[c.ID()] = append(h.all, c), 1
		}
	}
	add(of("heavy", 0))
	w.put(h.all...)
	one := w.start("one")
	<-long.took
	light := append(of("light", 0), of("light", 1)...)
	add(light)
	w.put(h.all[len(h.all)-len(light):]...)
	deadline := time.Now().Add(patience)
	for ; w.metric("alerts_total") < float64(len(light)); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("light users wait for heavy ones")
		}
	}
	close(hold)
	w.caughtUp()
	w.check(h)
	if n := w.metric("long_questions_total"); n != 6 {
		t.Errorf("%v long questions", n)
	}
	long.set(brimline.BadInput("postgres_long_question", "make an index", "it takes too long"), nil)
	w.put(edgeCandidate("heavy", 100*hour, 100), edgeCandidate("light", 100*hour, 101))
	w.caughtUp()
	dead := decoded[*brimline.DeadLetter](t, codecs.DeadLetter{}, w.read(w.streams.DeadLetters))
	if len(dead) != 1 || dead[0].Kind != "postgres_long_question" || dead[0].User != "heavy" || dead[0].Remedy == "" {
		t.Errorf("dead letters %+v", dead)
	}
	one.stopped(t)
}

// TestSpansOfAHeavyUserAreAskedOneByOne: what is asked about a user at once may be too much for one statement, and
// parts of it too much for any.
func TestSpansOfAHeavyUserAreAskedOneByOne(t *testing.T) {
	w := newWorld(t, 1)
	long := &fakeLedger{}
	w.ledger.bad = func(_ string, _, until brimline.Time) error {
		if until == hour {
			return fmt.Errorf("asking: %w", sliding.ErrManyRows)
		}
		return nil
	}
	w.config = func(c *Config) { c.Long = long }
	w.put(oldCandidate("u", 0, hour, 1), oldCandidate("u", 10*hour, 10*hour, 2))
	one := w.start("one")
	w.caughtUp()
	if n, dead := w.metric("long_questions_total"), w.read(w.streams.DeadLetters); n != 1 || len(dead) > 0 {
		t.Errorf("%v long questions, %d dead letters", n, len(dead))
	}
	var found []brimline.Time
	for _, c := range decoded[*brimline.Change](t, codecs.Change{}, w.read(w.streams.Changes)) {
		found = append(found, c.Edges...)
	}
	if want := append(halfHours(0, hour), halfHours(10*hour, 10*hour)...); !slices.Equal(found, want) {
		t.Errorf("edges %v, want %v", found, want)
	}
	one.stopped(t)
}

// TestKeptBackIsTakenOver: an instance ends while it asks about users with many rows. The next one asks again, and
// repeats nothing of what came behind.
func TestKeptBackIsTakenOver(t *testing.T) { inEachVersion(t, 1, keptBackIsTakenOver) }

func keptBackIsTakenOver(t *testing.T, w *world) {
	h := w.newLog(400)
	long := &fakeLedger{}
	long.set(nil, make(chan struct{})) // no answer ever
	w.config = func(c *Config) { c.Long, c.Batch, c.ApartBatch = long, 20, 20 }
	kept := 0.0
	for i := range 4 {
		one := w.start("one")
		w.put(h.all[i*len(h.all)/4 : (i+1)*len(h.all)/4]...)
		awaitMetric(t, w, "kept_back", func(now float64) bool { return now > kept })
		if i%2 == 0 {
			one.stopped(t)
		} else if err := one.end(t, true); err != nil {
			t.Error(err)
		}
		kept = 0
	}
	w.config = func(c *Config) { c.Batch, c.ApartBatch = 20, 20 }
	w.start("one")
	w.caughtUp()
	w.check(h)
	w.put(h.all...)
	w.caughtUp()
	w.check(h)
}

func awaitMetric(t *testing.T, w *world, name string, done func(float64) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for ; !done(w.metric(name)); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v", name, w.metric(name))
		}
	}
}

// TestNoMoreIsKeptBackThanCanBeNamed: beyond the users whom a commit's metadata holds, and beyond some bytes, the
// partition waits; what does not fit even then is asked about in its turn.
func TestNoMoreIsKeptBackThanCanBeNamed(t *testing.T) {
	for _, c := range []struct {
		batch, users int
		kept         float64
	}{{100, 400, 99}, {100, 150, 2700}, {8000, 400, 0}} {
		w := newWorld(t, 1)
		w.heavy = func(string, brimline.Time) bool { return true }
		long := &fakeLedger{}
		hold := make(chan struct{})
		long.set(nil, hold)
		w.config = func(config *Config) { config.Long, config.Batch, config.LongQuestions = long, c.batch, 8 }
		h := candidateLog{alerts: map[string]int{}, dismissed: map[string]int{}}
		for i := range 8000 {
			c := edgeCandidate(fmt.Sprint("u", i%c.users), brimline.Time(2*i)*hour, int64(i))
			h.all, h.alerts[c.ID()] = append(h.all, c), 1
		}
		w.put(h.all...)
		one := w.start("one")
		<-long.took
		if c.kept > 0 {
			awaitMetric(t, w, "kept_back", func(now float64) bool { return now > c.kept })
		}
		close(hold)
		w.caughtUp()
		w.check(h)
		one.stopped(t)
	}
}

// TestOfAReplayWhatIsNewIsKeptBack: a record with some questions that have their answers and some that are new waits
// for a user with many rows. The former are not asked again.
func TestOfAReplayWhatIsNewIsKeptBack(t *testing.T) {
	w := newWorld(t, 1)
	all := questionsOf("u", 0, hour, 1, 1, 2, 3, 4, 5)
	w.put(all[:2]...)
	w.once()
	before := len(w.answers())
	w.heavy = func(string, brimline.Time) bool { return true }
	w.put(all...)
	w.once()
	if got := len(w.answers()) - before; got != 3 {
		t.Errorf("%d answers to a replay with 3 new questions", got)
	}
	if n := w.metric("long_questions_total"); n != 3 {
		t.Errorf("%v long questions, want 3", n)
	}
	if n := w.metric("kept_back"); n != 0 {
		t.Errorf("%v are kept back", n)
	}
}
