package verify

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// TestManyQuestionsAboutAUserAreFew: while a question about a user with many rows is with PostgreSQL, tens of thousands
// of others are kept back and become one. The partition goes on, for other users, and whoever takes it over does. So
// does it beside one in which nothing happens.
func TestManyQuestionsAboutAUserAreFew(t *testing.T) {
	w := newWorld(t, 2)
	w.heavy = func(user string, _ brimline.Time) bool { return user == "heavy" }
	long := &fakeLedger{}
	hold := make(chan struct{})
	long.set(nil, hold)
	w.config = func(c *Config) { c.Long = long }
	const rows, each, step = 60_000, 3000, hour / 1000
	h := candidateLog{alerts: map[string]int{}, dismissed: map[string]int{}, found: map[string]int{}}
	light := func(i int) (user string) {
		for n := 0; ; n++ {
			user = fmt.Sprint("light", i, "-", n)
			if processors.Partition(user, 2) == processors.Partition("heavy", 2) {
				return user
			}
		}
	}
	var records []*kgo.Record
	for i := range rows {
		at := brimline.Time(i)*step + 1 // no edge is in two spans
		c := lateCandidate("heavy", at, at+step, int64(2*i))
		c.Source.TxID = int64(1000 + i)
		h.all = append(h.all, c)
		records = append(records, w.record(*c))
		if i%each == 0 {
			c := edgeCandidate(light(i), 2*hour, int64(2*i+1))
			h.all, h.alerts[c.ID()] = append(h.all, c), 1
			records = append(records, w.record(*c))
		}
	}
	for _, at := range halfHours(1, rows*step+1) {
		h.found[brimline.AlertID("heavy", "weekly", at)]++
	}
	w.putRaw(records[:len(records)/2]...)
	one := w.start("one")
	<-long.took
	awaitMetric(t, w, "alerts_total", func(now float64) bool { return now == rows/each/2 })
	one.stopped(t)
	w.putRaw(records[len(records)/2:]...)
	two := w.start("two")
	awaitMetric(t, w, "alerts_total", func(now float64) bool { return now == rows/each/2 })
	awaitMetric(t, w, "kept_back", func(now float64) bool { return now == rows })
	if asked := long.asked; asked > 4 {
		t.Errorf("%d long questions", asked)
	}
	if w.ledger.looked == 0 {
		t.Error("all transactions are waited for")
	}
	close(hold)
	w.caughtUp()
	w.check(h)
	if n, left := w.metric("long_questions_total"), w.metric("kept_back"); n > 3 || left != 0 {
		t.Errorf("%v long questions, %v are kept back", n, left)
	}
	if n := w.metric("candidates_total"); n != rows+rows/each/2 {
		t.Errorf("%v candidates were judged", n)
	}
	two.stopped(t)
}

// TestWhatIsNotSeenIsWaitedFor: of the transactions of many candidates those that PostgreSQL shows are forgotten, but
// not the newest of each partition of the source, and none that it does not show.
func TestWhatIsNotSeenIsWaitedFor(t *testing.T) {
	w := newWorld(t, 1)
	w.ledger.open = func(src brimline.Source) bool { return src.TxID%700 == 0 }
	s := w.unstarted("one")
	n := &session{}
	n.ctx, n.end = context.WithCancel(t.Context())
	defer n.end()
	c := &claim{partition: partition{s.near, 0}, member: &member{s: s}, session: n, kept: newKeptBack()}
	want := map[int64]bool{}
	var all []*kept
	for i := range int64(3 * mostWaits) {
		late := lateCandidate("u", brimline.Time(i), brimline.Time(i+1), i)
		late.Source.TxID, late.Source.Partition = i, int32(i%3)
		it := itemOf(late)
		it.message = &kgo.Record{Key: []byte("u"), Offset: i}
		all = append(all, it.keep())
		if i%700 == 0 || i >= 3*mostWaits-3 {
			want[i] = true
		}
	}
	c.kept.add(all)
	_, _, before := c.kept.state()
	if err := c.forgetEnded(); err != nil {
		t.Fatal(err)
	}
	shares := c.kept.next()
	for _, src := range shares[0].after.all {
		if !want[src.TxID] {
			t.Errorf("transaction %d is waited for", src.TxID)
		}
		delete(want, src.TxID)
	}
	if len(want) > 0 {
		t.Errorf("not waited for: %v", want)
	}
	if _, _, bytes := c.kept.state(); bytes >= before || bytes != shares[0].weight() {
		t.Errorf("%d bytes, after %d", bytes, before)
	}
}

// TestSpansThatTouchAreOne: what was asked is asked, whatever is joined, and nothing that lies between.
func TestSpansThatTouchAreOne(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s share
		var all []*brimline.Candidate
		newest := brimline.Cause{Offset: -1}
		for i := range rapid.IntRange(1, 200).Draw(t, "candidates") {
			from := brimline.Time(rapid.IntRange(-5000, 5000).Draw(t, "from"))
			c := lateCandidate("u", from, from+brimline.Time(rapid.IntRange(0, 100).Draw(t, "long")), int64(i))
			c.Rule.Limit = total(int64(rapid.IntRange(1, 2).Draw(t, "rule")))
			it := itemOf(c)
			it.message = &kgo.Record{Offset: int64(i)}
			all = append(all, c)
			s.add(it.keep())
			newest = c.Cause
		}
		joined, bytes := 0, 0
		for _, k := range s.late {
			joined += k.joined
			bytes += k.size()
		}
		if joined != len(all) || bytes != s.bytes {
			t.Fatalf("%d candidates became %d; %d bytes, not %d", len(all), joined, s.bytes, bytes)
		}
		asked := func(of uint64, at brimline.Time) (before, after bool) {
			for _, c := range all {
				before = before || of == c.Rule.Fingerprint() && c.Edge <= at && at <= c.Until
			}
			for _, k := range s.late {
				after = after || of == k.of && k.candidate.Edge <= at && at <= k.candidate.Until
			}
			return before, after
		}
		for _, c := range all {
			for _, at := range []brimline.Time{c.Edge - 1, c.Edge, c.Until, c.Until + 1} {
				if before, after := asked(c.Rule.Fingerprint(), at); before != after {
					t.Fatalf("%v: asked %v, then %v", at, before, after)
				}
			}
		}
		if last := s.all()[len(s.late)-1].candidate.Cause; last != newest {
			t.Fatalf("the last cause is %v, want %v", last, newest)
		}
	})
}

// TestKeptBackInEveryLife: batches, shares and takeovers in any order. What is new is handled once, in the order of its
// user's, and what was written again never; a user's questions are closed up to the newest.
func TestKeptBackInEveryLife(t *testing.T) {
	s := newWorld(t, 1).unstarted("one")
	rapid.Check(t, func(t *rapid.T) {
		users := []string{"a", "b", "c", "d"}
		var (
			log       []*kgo.Record
			causes    [][]brimline.Cause // of each record's candidates
			causeOf   int64
			isNew     = map[brimline.Cause]bool{}
			watermark = beforeAll()
			offset    int64
		)
		write := func(candidates []brimline.Candidate) {
			value, err := codecs.Candidates{}.Encode(candidates)
			if err != nil {
				t.Fatal(err)
			}
			log = append(log, &kgo.Record{Key: []byte(candidates[0].User), Value: value, Offset: offset})
			offset += int64(rapid.IntRange(1, 3).Draw(t, "gap"))
			var of []brimline.Cause
			for i := range candidates {
				of = append(of, candidates[i].Cause)
				if candidates[i].Cause.Compare(watermark) > 0 {
					isNew[candidates[i].Cause], watermark = true, candidates[i].Cause
				}
			}
			causes = append(causes, of)
		}
		for range rapid.IntRange(1, 60).Draw(t, "records") {
			if len(log) > 0 && rapid.IntRange(0, 5).Draw(t, "again") == 0 { // the last few once more
				for i := max(0, len(log)-rapid.IntRange(1, 8).Draw(t, "many")); i < len(log); i++ {
					r := *log[i]
					r.Offset, offset = offset, offset+1
					log, causes = append(log, &r), append(causes, causes[i])
					if len(causes) > 200 {
						break
					}
				}
				continue
			}
			user := rapid.SampledFrom(users).Draw(t, "user")
			causeOf++
			if n := rapid.IntRange(0, 3).Draw(t, "questions"); n > 0 {
				var questions []brimline.Candidate
				for _, c := range questionsOf(user, brimline.Time(causeOf), brimline.Time(causeOf), causeOf, 1, 2, 3)[:n] {
					questions = append(questions, *c)
				}
				write(questions)
			}
			for i := range rapid.IntRange(0, 2).Draw(t, "edges") {
				c := edgeCandidate(user, brimline.Time(causeOf), causeOf)
				c.Cause.Index = i
				write([]brimline.Candidate{*c})
			}
		}
		handled := map[brimline.Cause]int{}
		lastOf := map[string]brimline.Cause{}
		judge := func(items []item) {
			for i := range items {
				it := &items[i]
				if it.replay || it.kept {
					continue
				}
				c := it.candidate
				if c.Cause.Compare(lastOf[c.User]) <= 0 && lastOf[c.User] != (brimline.Cause{}) {
					t.Fatalf("%s: %v after %v", c.User, c.Cause, lastOf[c.User])
				}
				lastOf[c.User] = c.Cause
				handled[c.Cause] += it.joined
			}
		}
		var c *claim
		var asked *batch // is with PostgreSQL
		var next int     // in the log
		stands := position{next: -1, watermark: beforeAll()}
		begin := func() {
			p := position{next: -1, watermark: beforeAll()}
			if stands.next >= 0 {
				var err error
				if p, err = parsePosition(stands.committed(), stands.metadata()); err != nil {
					t.Fatal(err)
				}
			}
			c = &claim{partition: partition{s.near, 0}, member: &member{s: s}, position: p, kept: newKeptBack(), bytes: 1 << 20}
			c.readAgain()
			asked, next = nil, 0
			for next < len(log) && log[next].Offset < max(p.committed(), 0) {
				next++
			}
			if p.next < 0 {
				next = 0
			}
		}
		commit := func(b *batch) {
			b.after = c.with(b)
			stands = b.after
			c.handed(b)
			judge(b.items)
		}
		long := func() {
			if users, _, _ := c.kept.state(); users == 0 {
				return
			}
			if asked == nil {
				asked = c.longBatch(c.kept.next())
				s.takeKept(asked)
				return
			}
			commit(asked)
			asked = nil
		}
		begin()
		for next < len(log) {
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				begin()
			case 1, 2:
				long()
			default:
				upTo := min(len(log), next+rapid.IntRange(1, 6).Draw(t, "batch"))
				messages := c.unhandled(log[next:upTo])
				next = upTo
				if len(messages) == 0 {
					continue
				}
				b := c.batchOf(messages)
				b.isKeptBack = c.kept.has
				s.takeMessages(b)
				kept := map[string]bool{}
				for _, user := range users {
					kept[user] = c.kept.has(user) || rapid.IntRange(0, 4).Draw(t, "heavy") == 0
				}
				b.keepBack(kept)
				for i := range b.items {
					if it := &b.items[i]; it.kept {
						b.keptBack = append(b.keptBack, it.keep())
					}
				}
				commit(b)
			}
		}
		for {
			if users, _, _ := c.kept.state(); users == 0 {
				break
			}
			long()
		}
		late := map[string]int{}
		for cause := range isNew {
			if cause.Index >= 0 && handled[cause] != 1 {
				t.Fatalf("%v was handled %d times", cause, handled[cause])
			}
			if cause.Index < 0 {
				late["new"]++
			}
		}
		for cause, n := range handled {
			if !isNew[cause] {
				t.Fatalf("%v was handled, and is not new", cause)
			}
			if cause.Index < 0 {
				late["handled"] += n
			}
		}
		if late["new"] != late["handled"] {
			t.Fatalf("%d questions, %d handled", late["new"], late["handled"])
		}
		if len(stands.open) > 0 {
			t.Fatalf("open at the end: %+v", stands)
		}
	})
}

// TestSharesOfEdges: what is kept back is committed after some edges, however many there are, and no message is in two
// shares.
func TestSharesOfEdges(t *testing.T) {
	k := newKeptBack()
	var all []*kept
	rule := &sliding.Rule{Rule: testRule(), Fingerprint: 1}
	for i := range 3 * edgesAtOnce {
		m := &kgo.Record{Key: []byte("u"), Offset: int64(i)}
		for _, c := range []*brimline.Candidate{
			lateCandidate("u", 0, hour, int64(i)), edgeCandidate("u", brimline.Time(i), int64(i)),
			edgeCandidate("u", brimline.Time(i), int64(i)),
		} {
			it := item{message: m, candidate: c, rule: rule}
			all = append(all, it.keep())
		}
	}
	if n := k.add(all); n != 3*edgesAtOnce {
		t.Errorf("%d records", n)
	}
	for range 6 {
		shares := k.next()
		if len(shares) != 1 || len(shares[0].edges) != edgesAtOnce || len(shares[0].late) != 1 {
			t.Fatalf("shares %+v", shares)
		}
		if n := k.remove(shares); n != edgesAtOnce/2 {
			t.Errorf("%d records", n)
		}
	}
	if users, records, bytes := k.state(); users+records+bytes != 0 {
		t.Errorf("%d users, %d records and %d bytes are left", users, records, bytes)
	}
}

// TestKeptBackRests: while live candidates flow, nothing is asked about what is kept back for as long as it took
// before.
func TestKeptBackRests(t *testing.T) {
	w := newWorld(t, 1)
	w.heavy = func(user string, _ brimline.Time) bool { return user == "heavy" }
	rested := make(chan time.Duration, 100)
	w.stage = func(s *Stage) {
		s.flow.pauses = func(_ context.Context, d time.Duration) { rested <- d }
	}
	w.put(edgeCandidate("heavy", 2*hour, 1))
	w.once()
	if d := <-rested; d < 0 || d > longestBreak {
		t.Errorf("rested for %v", d)
	}
}
