package window

import (
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

// ways are which questions travel apart, by the rule.
func ways(out []brimline.Candidate) (all []string) {
	for _, c := range out {
		way := " near"
		if c.Apart {
			way = " apart"
		}
		all = append(all, c.Rule.ID+way)
	}
	return all
}

func expectWays(t *testing.T, what string, out []brimline.Candidate, want ...string) {
	t.Helper()
	if got := ways(out); !slices.Equal(got, want) {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// apartBench has a lateness of an hour and a user whose floor is at 1000 minutes and whose newest row is at 1010.
func apartBench(t *testing.T, r brimline.Rule) *bench {
	b := newBench(t, r)
	b.fold.lateness, b.fold.retention = time.Hour, 2*time.Hour
	out := b.swept(1000, put("new", 1, 1010)) // the window of which is not all retained
	expectWays(t, "the newest row", out, "r near")
	b.next(found(r, out[0].Cause))
	return b
}

// What is asked about a row travels apart if the row is older than the user's newest by more than the lateness.
func TestTheRowDecidesTheWay(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := apartBench(t, r)
	for minute, want := range map[int]string{1009: "r near", 950: "r near", 949: "r apart", 10: "r apart"} {
		at := minutes(minute).String()
		expectWays(t, "a row at "+at, b.written(1020, put(at, 1, minute)), want)
	}
	// An update is about what the row was, too; the newer of the two decides.
	b.written(1020, put("moved", 1, 1005))
	expectWays(t, "a row that moves back", b.written(1020, put("moved", 1, 20)), "r near")

	// A row that is dated in the future is not the newest.
	b = apartBench(t, r)
	b.written(1010, put("future", 1, 90_000))
	expectWays(t, "a live row", b.written(1010, put("now", 1, 1008)), "r near")
	expectWays(t, "an old row", b.written(1010, put("old", 1, 100)), "r apart")
}

// The answers of the one way leave the questions of the other open: they are in no order.
func TestAnswersOfOneWayLeaveTheOtherOpen(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	for _, apartFirst := range []bool{false, true} {
		b := apartBench(t, r)
		old := b.next(put("old", 1, 10))
		near := b.next(put("near", 1, 1001))
		expectWays(t, "an old row", old, "r apart")
		expectWays(t, "a row near the newest", near, "r near")
		older := b.next(put("older", 1, 5))
		open := func(what string, wantNear, wantApart brimline.Cause) {
			t.Helper()
			if w := b.table.read(t); w.Asked != wantNear || w.Apart != wantApart {
				t.Errorf("%s: open are %v and %v, want %v and %v", what, w.Asked, w.Apart, wantNear, wantApart)
			}
			if w := b.table.read(t); waits(w) != (w.Asked != w.Apart) {
				t.Errorf("%s: the user waits: %v", what, waits(w))
			}
		}
		none := brimline.Cause{}
		open("both", near[0].Cause, older[0].Cause)
		if apartFirst {
			b.next(found(r, older[0].Cause))
			open("the older ones are answered", near[0].Cause, none)
			b.next(found(r, near[0].Cause))
		} else {
			b.next(found(r, near[0].Cause))
			open("the near one is answered", none, older[0].Cause)
			b.next(found(r, old[0].Cause))
			open("and the first old one", none, older[0].Cause)
			b.next(found(r, older[0].Cause))
		}
		open("all are answered", none, none)
	}
}

// A replayed question goes each way on which it may be open: which way it went is not known any more.
func TestAReplayedQuestionGoesWhereItMayBeOpen(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := apartBench(t, r)
	near := put("near", 1, 990)
	at := b.offset
	first := b.next(near)
	expectWays(t, "a row near the newest", first, "r near")
	b.next(put("newest", 1, 1070)) // by which the row is an old one
	expectWays(t, "replayed", b.at(at, near), "r near")
	old := b.next(put("old", 1, 10))
	expectWays(t, "an old row", old, "r apart")
	expectWays(t, "replayed with both open", b.at(at, near), "r near", "r apart")
	b.apart[first[0].Cause] = false
	b.next(found(r, first[0].Cause))
	expectWays(t, "replayed behind its answer", b.at(at, near), "r apart")
	b.next(found(r, old[0].Cause))
	expectWays(t, "replayed with none open", b.at(at, near))
}

// A span that could not be judged is closed by the answer of the way that its question went.
func TestASpanIsClosedByItsOwnWay(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := apartBench(t, r)
	old := b.next(put("old", 1, 10))
	b.next(dead(old[0]))
	b.next(found(r, old[0].Cause))
	again := b.next(retry(old[0]))
	expectWays(t, "a retry", again, "r apart")
	near := b.next(put("near", 1, 1001))
	b.next(found(r, near[0].Cause))
	if spans := b.table.read(t).Rules[0].Unjudged; len(spans) != 1 || !spans[0].Apart || spans[0].Asked == 0 {
		t.Errorf("the answer about another row leaves %+v", spans)
	}
	b.next(found(r, again[0].Cause))
	if w := b.table.read(t); len(w.Rules[0].Unjudged) != 0 || waits(w) {
		t.Errorf("its own answer leaves %+v", w)
	}
}
