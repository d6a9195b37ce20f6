package verify

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// candidateLog is a log as the window stage leaves it: in the order of
// causes within a partition, with stretches written again.
type candidateLog struct {
	all       []*brimline.Candidate
	alerts    map[string]int // by id, how many are expected
	dismissed map[string]int
	found     map[string]int // edges that answers to questions bring
}

// Some rows ask about others, too: of old ones, which travel apart. Every tenth user has many rows now and then.
func (w *world) newLog(n int) candidateLog {
	w.heavy = func(user string, at brimline.Time) bool { return strings.HasSuffix(user, "5/ü") && at/hour%3 == 0 }
	return w.logOf(n, true)
}

// newSteadyLog has nothing written again.
func (w *world) newSteadyLog(n int) candidateLog { return w.logOf(n, false) }

func (w *world) logOf(n int, crashes bool) candidateLog {
	rnd := seedOf(w.t)
	h := candidateLog{alerts: map[string]int{}, dismissed: map[string]int{}, found: map[string]int{}}
	for i := range n {
		user := fmt.Sprintf("user %d/ü", rnd.IntN(40))
		if i == 0 {
			user = "user 5/ü" // who has many rows then
		}
		edge := brimline.Time(i) * hour
		if crashes && rnd.IntN(4) == 0 {
			old := lateCandidate(user, edge, edge, int64(i))
			old.Apart = true
			h.all = append(h.all, old)
			h.found[old.ID()]++
		}
		c := edgeCandidate(user, edge, int64(i))
		c.Cause.Index = rnd.IntN(3)
		h.all = append(h.all, c)
		if i%2 == 0 {
			h.alerts[c.ID()]++
		} else {
			h.dismissed[c.ID()]++
		}
		if crashes && rnd.IntN(20) == 0 { // a crash of the window stage: the last few again
			again := h.all[max(0, len(h.all)-rnd.IntN(30)):]
			h.all = append(h.all, slices.Clone(again)...)
		}
	}
	return h
}

// check compares what a reader of committed records sees with what is expected.
func (w *world) check(h candidateLog) {
	w.t.Helper()
	n := w.count
	for topic, want := range map[string]map[string]int{w.streams.Alerts: h.alerts, w.streams.Dismissed: h.dismissed} {
		got := map[string]int{}
		last := map[string]brimline.Time{}
		records := w.read(topic)
		for i, a := range decoded[*brimline.Alert](w.t, codecs.Alert{}, records) {
			user := a.Candidate.User
			got[string(records[i].Key)]++
			if string(records[i].Key) != a.Candidate.ID() || records[i].Partition != processors.Partition(user, n) {
				w.t.Fatalf("alert of %q under key %q in partition %d", user, records[i].Key, records[i].Partition)
			}
			if a.Candidate.Edge < last[user] {
				w.t.Errorf("%q: %v after %v", user, a.Candidate.Edge, last[user])
			}
			last[user] = a.Candidate.Edge
		}
		compare(w.t, topic, got, want)
	}
	answers := map[brimline.ChangeKind]map[string]int{brimline.Dismissal: {}, brimline.EdgesFound: {}}
	closed := map[string]int64{}
	for _, c := range decoded[*brimline.Change](w.t, codecs.Change{}, w.read(w.streams.Changes)) {
		for _, at := range c.Edges {
			answers[c.Kind][brimline.AlertID(c.User, "weekly", at)]++
		}
		if c.Index == 0 {
			continue
		}
		if before, any := closed[c.User]; any && c.Cause <= before {
			w.t.Errorf("%q: the questions up to %d are closed after those up to %d", c.User, c.Cause, before)
		}
		closed[c.User] = c.Cause
	}
	compare(w.t, "answers", answers[brimline.Dismissal], h.dismissed)
	compare(w.t, "answers to questions", answers[brimline.EdgesFound], h.found)
	for _, c := range h.all {
		if c.Kind == brimline.LateCandidate && closed[c.User] < c.Cause.Offset {
			w.t.Errorf("%q: the question of %d is open", c.User, c.Cause.Offset)
		}
	}
}

func compare(t testing.TB, what string, got, want map[string]int) {
	t.Helper()
	missing, extra := 0, 0
	for id, n := range want {
		missing += max(0, n-got[id])
	}
	for id, n := range got {
		extra += max(0, n-want[id])
	}
	if missing+extra > 0 {
		t.Errorf("%s: %d missing, %d extra, of %d", what, missing, extra, len(want))
	}
}

func TestEachOnce(t *testing.T) { inEachVersion(t, 3, eachOnce) }

func eachOnce(t *testing.T, w *world) {
	h := w.newLog(1500)
	w.put(h.all[:len(h.all)/2]...)
	one := w.start("one")
	w.put(h.all[len(h.all)/2:]...)
	w.caughtUp()
	one.stopped(t) // what is committed is counted a moment later
	if got := w.metric("candidates_total") + w.metric("replays_total"); int(got) != len(h.all) {
		t.Errorf("the metrics count %v of %d candidates", got, len(h.all))
	}
	if w.metric("replays_total") == 0 {
		t.Error("no replay was tried")
	}
	// Everything once more, to a stage that knows it from the watermark alone.
	w.put(h.all...)
	again := w.start("one")
	w.caughtUp()
	again.stopped(t)
	if got := w.metric("replays_total"); int(got) != len(h.all) {
		t.Errorf("%v of %d replays were dropped", got, len(h.all))
	}
	w.check(h)
	if w.metric("kept_back") != 0 {
		t.Errorf("%v candidates are kept back", w.metric("kept_back"))
	}
}

// frozen stops instances at a named point until they are thawed.
type frozen struct {
	point string
	after int // transactions that pass before
	mu    sync.Mutex
	there chan struct{}
	thaw  chan struct{}
}

func freeze(point string, after int) *frozen {
	return &frozen{point: point, after: after, there: make(chan struct{}), thaw: make(chan struct{})}
}

func (f *frozen) pause(point string) {
	f.mu.Lock()
	if point == f.point {
		f.after--
	}
	now := point == f.point && f.after == -1
	f.mu.Unlock()
	if now {
		close(f.there)
		<-f.thaw
	}
}

// arm lets the next one stop.
func (f *frozen) arm() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.after = 0
}

func (f *frozen) await(t testing.TB) {
	t.Helper()
	select {
	case <-f.there:
	case <-time.After(patience):
		t.Fatal("nobody came to the point ", f.point)
	}
}

// TestKilled leaves an instance behind in the middle of its transactions, as a
// kill does, lets its next life go on, and then lets the old one try to finish.
func TestKilled(t *testing.T) { inEachVersion(t, 2, killed) }

func killed(t *testing.T, w *world) {
	w.options.TransactionTimeout = 10 * time.Minute
	h := w.newLog(600)
	w.config = func(c *Config) { c.Batch, c.StopTimeout = 20, 100*time.Millisecond }
	var left []*frozen
	for life := range 4 {
		f := freeze("sent", life)
		w.stage = func(s *Stage) { s.pause = f.pause }
		i := w.start("one")
		from := life * len(h.all) / 4
		w.put(h.all[from : (life+1)*len(h.all)/4]...)
		f.await(t)
		if err := i.end(t, true); err != nil {
			t.Errorf("life %d: %v", life, err)
		}
		left = append(left, f)
	}
	w.stage = func(*Stage) {}
	w.config = func(*Config) {}
	w.start("one")
	w.caughtUp()
	w.check(h) // long before the left transactions time out: readers do not wait for them
	for _, f := range left {
		close(f.thaw)
	}
	w.put(h.all[len(h.all)-50:]...)
	w.caughtUp()
	w.check(h)
}

// TestThawed freezes an instance until its partitions are another's, and thaws it.
func TestThawed(t *testing.T) { inEachVersion(t, 2, thawed) }

func thawed(t *testing.T, w *world) {
	h := w.newLog(200)
	f := freeze("sent", 1)
	w.stage = func(s *Stage) { s.pause = f.pause }
	w.config = func(c *Config) { c.Batch, c.StopTimeout = 20, 100*time.Millisecond }
	one := w.start("one")
	w.put(h.all...)
	f.await(t)
	w.stage = func(*Stage) {}
	w.start("two") // joins at once; one cannot give its transaction up, and its batch is refused
	one.stop()
	w.caughtUp()
	close(f.thaw)
	if err := one.end(t, true); err != nil {
		t.Log("the thawed instance ended with:", err)
	}
	w.check(h)
}

func TestRebalance(t *testing.T) { inEachVersion(t, 4, rebalance) }

func rebalance(t *testing.T, w *world) {
	h := w.newLog(1200)
	part := func(i int) []*brimline.Candidate { return h.all[i*len(h.all)/4 : (i+1)*len(h.all)/4] }
	one := w.start("one")
	w.put(part(0)...)
	w.start("two")
	w.put(part(1)...)
	three := w.start("three")
	w.put(part(2)...)
	one.stopped(t)
	w.put(part(3)...)
	w.caughtUp()
	three.stopped(t)
	w.caughtUp()
	w.check(h)
}

func TestDatabaseAway(t *testing.T) {
	w := newWorld(t, 2)
	h := w.newLog(50)
	away := &brimline.Error{Class: brimline.ClassEnvironment, Kind: "postgres_away", Err: errors.New("connection refused")}
	w.ledger.set(away, nil)
	one := w.start("one")
	w.put(h.all...)
	for range 2 { // questions come again and again
		<-w.ledger.took
	}
	if w.metric("waiting") != 1 || w.metric("alerts_total") != 0 {
		t.Errorf("waiting %v, alerts %v", w.metric("waiting"), w.metric("alerts_total"))
	}
	began := time.Now()
	one.stopped(t) // in the middle of the outage
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("a stop during an outage took %v", took)
	}
	if w.metric("waiting") != 0 {
		t.Error("a stopped stage waits")
	}
	w.start("one")
	<-w.ledger.took
	w.start("two") // a rebalance in the middle of the outage
	w.ledger.set(nil, nil)
	w.caughtUp()
	if w.metric("waiting") != 0 {
		t.Error("still waiting")
	}
	w.check(h)
}

// An outage is known before there is a candidate, and is told until it is over.
func TestOutageIsKnownWithoutAQuestion(t *testing.T) {
	w := newWorld(t, 1)
	away := &brimline.Error{Class: brimline.ClassEnvironment, Kind: "postgres_away", Err: errors.New("connection refused")}
	type told struct {
		since time.Time
		cause error
	}
	heard := make(chan told, 1000)
	w.config = func(c *Config) {
		c.ProbeEvery = 5 * time.Millisecond
		c.Waiting = func(since time.Time, cause error) { heard <- told{since, cause} }
	}
	next := func(when string) (n told) {
		t.Helper()
		select {
		case n = <-heard:
		case <-time.After(patience):
			t.Fatalf("nothing was told %s", when)
		}
		return n
	}
	began := time.Now()
	w.ledger.set(away, nil)
	one := w.start("one")
	first := next("of the outage")
	if !errors.Is(first.cause, away.Err) && first.cause.Error() != away.Error() || first.since.Before(began) {
		t.Errorf("told since %v: %v", first.since, first.cause)
	}
	if w.metric("waiting") != 1 {
		t.Error("the metric does not know")
	}
	if again := next("the second time"); again.cause == nil || again.since != first.since {
		t.Errorf("the same outage is told since %v, then %v", first.since, again.since)
	}
	w.ledger.set(nil, nil)
	for n := next("of its end"); n.cause != nil; n = next("of its end") {
	}
	if w.metric("waiting") != 0 {
		t.Error("the metric waits on")
	}
	w.ledger.set(away, nil)
	for n := next("of the second outage"); n.cause == nil; n = next("of the second outage") {
	}
	one.stopped(t) // in the middle of it
	var last told
	for len(heard) > 0 {
		last = <-heard
	}
	if last.cause != nil {
		t.Errorf("a stopped stage waits: %v", last.cause)
	}
}

// What lasts is said again, more and more rarely.
func TestOutageIsSaidAgain(t *testing.T) {
	var log strings.Builder
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	tries := 0
	s := &Stage{Config: Config{
		Clock: func() time.Time { return now }, Patience: time.Nanosecond, Log: slog.New(slog.NewTextHandler(&log, nil)),
		Waiting: func(time.Time, error) {}, Metrics: NewMetrics(prometheus.NewRegistry()),
	}}
	s.outage.s = s
	for range 2 {
		tries = 0
		err := s.outage.endure(t.Context(), func() error {
			if tries++; tries > 61 {
				return nil
			}
			now = now.Add(time.Minute)
			return &brimline.Error{Class: brimline.ClassEnvironment, Kind: "postgres_away", Err: errors.New("refused")}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "does not answer"); n != 2*6 { // after 0, 1, 3, 7, 15 and 31 minutes
		t.Errorf("said %d times in two hours:\n%s", n, log.String())
	}
	if !strings.Contains(log.String(), "since=2026-11-26T03:01:00Z") {
		t.Errorf("since when is not said:\n%s", log.String())
	}
}

// TestStopWhileAsked stops while a question is under way.
func TestStopWhileAsked(t *testing.T) {
	w := newWorld(t, 1)
	hold := make(chan struct{})
	w.ledger.set(nil, hold)
	h := w.newLog(10)
	w.put(h.all...)
	one := w.start("one")
	<-w.ledger.took
	one.stopped(t)
	close(hold)
	w.start("one")
	w.caughtUp()
	w.check(h)
}

func TestLateCandidates(t *testing.T) {
	w := newWorld(t, 1)
	w.put(lateCandidate("u", 0, hour, 1), lateCandidate("u", hour/2, 2*hour, 2), lateCandidate("v", hour+1, hour+2, 3))
	w.config = func(c *Config) { c.AsOfNow = true }
	w.start("one")
	w.put(edgeCandidate("u", 4*hour, 4))
	w.caughtUp()
	var edges []brimline.Time
	for _, c := range decoded[*brimline.Change](t, codecs.Change{}, w.read(w.streams.Changes)) {
		// The span of v has no edge: its question is answered all the same.
		if c.Kind != brimline.EdgesFound || (c.User == "v") != (c.Edges == nil) || c.Row.ID == "" || c.Source.LSN == 0 {
			t.Errorf("answer %+v", c)
		}
		edges = append(edges, c.Edges...)
	}
	slices.Sort(edges)
	if want := []brimline.Time{0, hour / 2, hour, 3 * hour / 2, 2 * hour}; !slices.Equal(slices.Compact(edges), want) {
		t.Errorf("edges %v, want %v", edges, want)
	}
	alerts := decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Alerts))
	if len(alerts) != 1 || alerts[0].AsOfNow == nil || alerts[0].AsOfNow.Count != 1 ||
		alerts[0].Verification.LSN != 99 || alerts[0].Verification.At == 0 {
		t.Errorf("alerts %+v", alerts)
	}
}

func TestOff(t *testing.T) {
	w := newWorld(t, 1)
	w.config = func(c *Config) { c.Off, c.Ledger, c.Long = true, nil, nil }
	w.put(edgeCandidate("u", hour, 1), lateCandidate("u", 0, hour, 2))
	w.start("one")
	w.caughtUp()
	alerts := decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Alerts))
	dismissed := decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Dismissed))
	if len(alerts) != 1 || alerts[0].Verification.Status != brimline.Unverified || alerts[0].Database != nil {
		t.Errorf("alerts %+v", alerts)
	}
	if len(dismissed) != 1 || dismissed[0].Reason != brimline.ReasonNoDatabase {
		t.Errorf("dismissed %+v", dismissed)
	}
	answers := decoded[*brimline.Change](t, codecs.Change{}, w.read(w.streams.Changes))
	if len(answers) != 1 || answers[0].Kind != brimline.EdgesFound || answers[0].Edges != nil ||
		answers[0].Cause != 2 || answers[0].Index >= 0 {
		t.Errorf("the question's answer: %+v", answers)
	}
}

func TestBadCandidates(t *testing.T) {
	w := newWorld(t, 1)
	encoded := func(c *brimline.Candidate) *kgo.Record {
		return &kgo.Record{Topic: w.streams.Candidates, Key: []byte(c.User), Value: must(codecs.Candidate{}.Encode(c))}
	}
	scale := edgeCandidate("u", 2*hour, 2)
	scale.Scale = 3
	where := edgeCandidate("u", 4*hour, 3)
	where.Rule.Where = "gone > 1"
	broken := encoded(edgeCandidate("u", 2*hour, 1))
	broken.Value = broken.Value[:len(broken.Value)-5]
	broken.Headers = []kgo.RecordHeader{{Key: "h", Value: []byte("v")}}
	nothing := &kgo.Record{Topic: w.streams.Candidates}
	w.putRaw(broken, nothing, encoded(scale), encoded(where), encoded(edgeCandidate("u", 8*hour, 4)),
		encoded(edgeCandidate("u", 10*hour, 3)))
	one := w.start("one")
	w.caughtUp()
	var ids []string
	for _, a := range decoded[*brimline.Alert](t, codecs.Alert{}, w.read(w.streams.Alerts)) {
		ids = append(ids, a.Candidate.ID())
	}
	if want := []string{brimline.AlertID("u", "weekly", 8*hour)}; !slices.Equal(ids, want) {
		t.Errorf("alerts %v, want %v", ids, want)
	}
	dead := decoded[*brimline.DeadLetter](t, codecs.DeadLetter{}, w.read(w.streams.DeadLetters))
	if len(dead) != 4 || string(dead[0].Value) != string(broken.Value) ||
		string(dead[0].Key) != "u" || len(dead[0].Headers) != 1 {
		t.Fatalf("dead letters %+v", dead)
	}
	for i, kind := range []string{codecs.KindCorruptRecord, codecs.KindCorruptRecord, "changed_scale", "bad_rule"} {
		d := dead[i]
		if who := d.User + " " + d.Row; i > 1 && who != fmt.Sprintf("u %d", i) || i <= 1 && who != " " {
			t.Errorf("dead letter %d is about %q", i, who)
		}
		if i > 1 && d.Kind != kind || d.Offset != int64(i) || d.Topic != w.streams.Candidates || d.Error == "" ||
			d.Remedy == "" {
			t.Errorf("dead letter %+v, want %s", d, kind)
		}
	}
	if w.metric("deadletters_total") != 4 || w.metric("replays_total") != 1 {
		t.Errorf("%v dead letters, %v replays", w.metric("deadletters_total"), w.metric("replays_total"))
	}
	// A row that PostgreSQL's answer cannot be read for.
	w.ledger.set(brimline.BadInput("postgres_amount", "correct the row", "NaN"), nil)
	w.putRaw(encoded(edgeCandidate("u", 12*hour, 5)), encoded(lateCandidate("u", 12*hour, 13*hour, 6)))
	w.caughtUp()
	if dead := w.read(w.streams.DeadLetters); len(dead) != 6 {
		t.Errorf("%d dead letters, want 6", len(dead))
	}
	one.stopped(t)
}
