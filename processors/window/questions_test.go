package window

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

// found is PostgreSQL's answer to the questions up to c: edges at these minutes.
func found(r brimline.Rule, c brimline.Cause, at ...int) brimline.Change {
	answer := brimline.Change{Kind: brimline.EdgesFound, Rule: r.Fingerprint(), Cause: c.Offset, Index: c.Index}
	for _, m := range at {
		answer.Edges = append(answer.Edges, minutes(m))
	}
	return answer
}

func gone(id string, minute int) brimline.Change {
	c := put(id, 0, minute)
	c.Kind = brimline.Delete
	return c
}

// shown prints the questions of candidates, in minutes.
func shown(out []brimline.Candidate) (all []string) {
	minute := func(t brimline.Time) string { return fmt.Sprint(int64(t) / 60e6) }
	for _, c := range out {
		what := c.Rule.ID + " edge " + minute(c.Edge)
		if c.Kind == brimline.LateCandidate {
			what = c.Rule.ID + " late " + minute(c.Edge) + ".." + minute(c.Until)
		}
		all = append(all, what)
	}
	return all
}

func (b *bench) expect(what string, out []brimline.Candidate, want ...string) {
	b.t.Helper()
	if got := shown(out); !slices.Equal(got, want) {
		b.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// swept folds the next message of a partition whose users were forgotten up to a minute.
func (b *bench) swept(before int, c brimline.Change) []brimline.Candidate {
	b.offset++
	return b.input(Input{Change: &c, Offset: b.offset - 1, SweptBefore: minutes(before), At: minutes(100_000)})
}

// written folds the next message as one that was written at a minute.
func (b *bench) written(minute int, c brimline.Change) []brimline.Candidate {
	b.offset++
	return b.input(Input{Change: &c, Offset: b.offset - 1, At: minutes(minute)})
}

// What PostgreSQL finds for a user who is new after a sweep is announced, whatever rules there were then.
func TestUsersWhoAreNewAfterASweepAreHeard(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	out := b.swept(500, put("1", 200, 30))
	b.expect("a row below what was swept", out, "r late 30..90")
	b.expect("its edge", b.swept(500, found(r, out[0].Cause, 30)), "r edge 30")

	// The rule came after the user was forgotten. The row came after the rule, so its edge is announced.
	later := hourly("later", 150, brimline.SumAbs)
	b = newBench(t, r, later)
	b.expect("with a later rule", b.swept(500, put("1", 200, 30)), "later late 30..90", "r late 30..90")
	b.expect("its edge", b.swept(500, found(later, brimline.Cause{}, 30)), "later edge 30")

	// A rule that a user meets while in the table starts from the history.
	b = newBench(t, r)
	b.swept(500, put("1", 200, 30))
	b.apply(r, later)
	b.swept(500, put("2", 1, 31))
	b.expect("an edge from before the rule", b.swept(500, found(later, brimline.Cause{}, 30)))
}

// A later rule is quiet about what lies before it and below the history, and about nothing that is still to come.
func TestQuietIsNeverInTheFuture(t *testing.T) {
	h, long := hourly("h", 1000, brimline.SumAbs), hourly("long", 100, brimline.SumAbs)
	long.Window = 5 * time.Hour
	far := 100_000_000 // minutes: two centuries ahead
	for _, tc := range []struct {
		name    string
		history []brimline.Change
		written int // 0: the message has no time
		row     int
		heard   []int
		quiet   []int
	}{
		{"a window longer than the history", []brimline.Change{put("a", 10, 0), put("b", 10, 70), put("c", 10, 140)},
			151, 150, []int{150, 200}, []int{70, 140}},
		{"without a time", []brimline.Change{put("a", 10, 0), put("b", 10, 70), put("c", 10, 140)}, 0, 150,
			[]int{150, 200}, []int{70, 140}},
		{"a newest row from the future", []brimline.Change{put("a", 10, 0), put("b", 10, 140), put("c", 10, 170)},
			160, 155, []int{155, 165}, []int{140}},
		{"a floor in the future", []brimline.Change{put("a", 10, 0), put("b", 10, far), put("c", 10, far+100)}, 160,
			155, []int{155, 200}, []int{154}},
		{"a floor in the future, without a time",
			[]brimline.Change{put("a", 10, 0), put("b", 10, far), put("c", 10, far+100)}, 0, 155, []int{155, 200},
			[]int{154}},
		// The row at 100 came after the rule. Below the history it cannot be told from those before.
		{"a late row", []brimline.Change{put("a", 10, 0), put("b", 10, 70), put("c", 10, 140)}, 151, 100, []int{141},
			[]int{100, 140}},
	} {
		b := newBench(t, h)
		for _, c := range tc.history {
			b.next(c)
		}
		b.apply(h, long)
		b.written(tc.written, put("x", 1, tc.row))
		for _, at := range tc.heard {
			if out := b.next(found(long, brimline.Cause{}, at)); len(out) != 1 {
				t.Errorf("%s: the edge at %d is not heard of", tc.name, at)
			}
		}
		for _, at := range tc.quiet {
			if out := b.next(found(long, brimline.Cause{}, at)); len(out) != 0 {
				t.Errorf("%s: the edge at %d, from before the rule, is announced", tc.name, at)
			}
		}
	}
}

// While a question is open nothing that was announced is forgotten, and the answer to the newest closes all.
func TestNothingIsForgottenWhileAQuestionIsOpen(t *testing.T) {
	r := hourly("r", 0, brimline.SumAbs)
	b := newBench(t, r)
	b.fold.keep = time.Minute
	b.next(put("0", 1, -100_000)) // an edge, and a floor as soon as another comes
	for i := range keptEdges + 50 {
		b.next(put(fmt.Sprint("e", i), 1, 100*i))
	}
	b.offset += replayReach
	first := b.next(put("late", 1, -99_000))
	b.expect("a late row", first, "r late -99000..-98940")
	second := b.next(put("later", 1, -98_970))
	b.next(put("newest", 1, 1_000_000))
	count := func() int { return len(b.table.read(t).Rules[0].Edges) }
	if n := count(); n != keptEdges+52 {
		t.Errorf("%d edges while a question is open, want %d", n, keptEdges+52)
	}
	b.expect("an edge that was announced", b.next(found(r, first[0].Cause, -100_000)))
	if w := b.table.read(t); w.Apart != second[0].Cause {
		t.Errorf("open is %v, want %v", w.Apart, second[0].Cause)
	}
	b.next(found(r, second[0].Cause))
	b.offset += replayReach
	b.next(put("newest", 2, 1_000_000))
	if w := b.table.read(t); w.Apart != (brimline.Cause{}) || count() != keptEdges {
		t.Errorf("answered: open is %v, and %d edges are kept", w.Apart, count())
	}
}

// A question is answered although its rule has gone, and one about several rules when the last of its parts is.
func TestAnswersOfRulesThatAreGoneClose(t *testing.T) {
	one, two := hourly("one", 100, brimline.SumAbs), hourly("two", 100, brimline.SumAbs)
	b := newBench(t, one, two)
	out := b.swept(500, put("1", 200, 30))
	b.expect("two rules", out, "one late 30..90", "two late 30..90")
	open := func() brimline.Cause { return b.table.read(t).Apart }
	b.next(found(one, out[0].Cause))
	if open() != out[1].Cause {
		t.Errorf("half an answer leaves %v open, want %v", open(), out[1].Cause)
	}
	b.apply(one)
	b.next(found(two, out[1].Cause, 30))
	if open() != (brimline.Cause{}) {
		t.Errorf("%v is open after the answer", open())
	}
}

// Rules whose fingerprints agree in their upper 30 bits have questions of their own.
func TestQuestionsOfAllRulesHaveTheirOwnCauses(t *testing.T) {
	b := newBench(t, hourly("rule-18925", 5, brimline.CountAll), hourly("rule-69928", 5, brimline.CountAll),
		hourly("r", 5, brimline.CountAll))
	seen := map[brimline.Cause]string{}
	for _, c := range b.swept(500, put("1", 1, 30)) {
		if other, twice := seen[c.Cause]; twice {
			t.Errorf("%s and %s have one cause", c.Rule.ID, other)
		}
		seen[c.Cause] = c.Rule.ID
	}
	if len(seen) != 3 {
		t.Errorf("questions of %d rules", len(seen))
	}
}

// An answer to someone who is not in the table belongs to no user: a user who waits for one is not forgotten.
func TestAnswersMakeNoUsers(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	for _, c := range []brimline.Change{found(r, brimline.Cause{Offset: 1, Index: -5}, 5),
		{Kind: brimline.Retry, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(5)}}} {
		b := newBench(t, r)
		if out := b.swept(500, c); len(out) != 0 || b.table.value != nil {
			t.Errorf("kind %d: candidates %v, value %x", c.Kind, out, b.table.value)
		}
	}
}

// A question that is put again after a dismissal waits for every change that reached its edge meanwhile, also where an
// earlier one had reached it already.
func TestAQuestionPutAgainWaitsForTheNewestChange(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	at := func(lsn uint64, c brimline.Change) []brimline.Candidate {
		c.Source.LSN = lsn
		return b.next(c)
	}
	out := at(1, put("a", 200, 30))
	b.expect("an edge", out, "r edge 30")
	at(2, gone("a", 30))
	at(3, put("b", 200, 30))
	dismissed := brimline.Change{Kind: brimline.Dismissal, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(30)},
		Cause: out[0].Cause.Offset}
	out = at(1, dismissed)
	b.expect("once more", out, "r edge 30")
	if lsn := out[0].After.LSN; lsn != 3 {
		t.Errorf("PostgreSQL is asked once it shows LSN %d, want 3", lsn)
	}
}
