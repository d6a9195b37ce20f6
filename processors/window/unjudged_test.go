package window

import (
	"fmt"
	"testing"

	"github.com/brimline/brimline"
)

// dead is the news that a candidate has become a dead letter.
func dead(c brimline.Candidate) brimline.Change {
	rule := c.Rule
	answer := brimline.Change{Kind: brimline.Unjudgeable, Rule: rule.Fingerprint(), Edges: []brimline.Time{c.Edge},
		Cause: c.Cause.Offset, Row: c.Trigger}
	if c.Kind == brimline.LateCandidate {
		answer.Edges = append(answer.Edges, c.Until)
	}
	return answer
}

// retry is the message of `brimline deadletter retry` for a candidate.
func retry(c brimline.Candidate) brimline.Change {
	change := dead(c)
	change.Kind, change.Row = brimline.Retry, brimline.Transaction{}
	return change
}

func only(t *testing.T, out []brimline.Candidate) brimline.Candidate {
	t.Helper()
	if len(out) != 1 {
		t.Fatalf("%d candidates: %q", len(out), shown(out))
	}
	return out[0]
}

// The rows of the case nan-candidate: a NaN at 0 that is nowhere in the stream, 2000 at 1, 1500 at 30, limit 3000.
func nanCandidate(t *testing.T, rules ...brimline.Rule) (b *bench, edge []brimline.Candidate) {
	b = newBench(t, rules...)
	b.next(put("2", 2000, 1))
	return b, b.next(put("3", 1500, 30))
}

// An edge that could not be judged is judged again by whatever is done to the bad row, once.
func TestARepairJudgesADeadEdgeAgain(t *testing.T) {
	sum, in, count := hourly("sum", 3000, brimline.SumAbs), hourly("in", 3000, brimline.SumIn),
		hourly("count", 1, brimline.CountAll)
	for name, repair := range map[string]brimline.Change{
		"an update":                        put("1", 10, 0),
		"to nothing":                       put("1", 0, 0),
		"to what does not count for a sum": put("1", -10, 0),
		"a delete":                         gone("1", 0),
		"a delete without a time": {Kind: brimline.Delete,
			Row: brimline.Transaction{ID: "1", Time: brimline.MinTime}},
	} {
		want := map[bool][]string{false: {"sum edge 30", "in edge 30", "count edge 30"},
			true: {"sum edge 30", "in edge 30"}}
		counted := repair.Kind == brimline.Upsert // two rows before 30: no edge of count there any more, but one at 1
		for _, race := range []bool{false, true} {
			b, edges := nanCandidate(t, sum, in, count)
			b.expect(name, edges, want[false]...)
			var got []brimline.Candidate
			if race { // the repair is folded while the dead answers are on their way
				first := b.next(repair)
				if counted {
					b.expect(name+", in the race", first, "count edge 1")
				} else {
					b.expect(name+", in the race", first)
				}
				for _, c := range edges {
					got = append(got, b.next(dead(c))...)
				}
			} else {
				for _, c := range edges {
					b.expect(name, b.next(dead(c)))
				}
				got = b.next(repair)
				if counted {
					got = got[:len(got)-1] // count's other edge
				}
			}
			b.expect(fmt.Sprint(name, ", race ", race), got, want[counted]...)
			for _, c := range edges { // and by nothing again
				b.expect(name+", retried as well", b.next(retry(c)))
				b.expect(name+", old news", b.next(dead(c)))
			}
			b.expect(name+", the same again", b.next(repair))
			same(t, b.table.load(t, b.fold), b.st)
		}
	}
}

// A deleted and newly inserted row is judged once more with what it is.
func TestARepairInTwoStepsAnnouncesOnceEach(t *testing.T) {
	b, edges := nanCandidate(t, hourly("sum", 3000, brimline.SumAbs))
	b.next(dead(only(t, edges)))
	out := b.next(gone("1", 0))
	b.expect("the delete", out, "sum edge 30")
	if out[0].Cause.Offset == edges[0].Cause.Offset {
		t.Error("the edge came again under its old cause: verify takes it for a replay")
	}
	b.expect("the insert", b.next(put("1", 10, 0)))
	// PostgreSQL died of the edge before it saw the insert.
	b.expect("the edge dies again", b.next(dead(out[0])), "sum edge 30")
}

// While the bad row stays, rows that come in time order ask nothing about what is old, ties included.
func TestNewRowsAskNothingAboutDeadEdges(t *testing.T) {
	b, edges := nanCandidate(t, hourly("sum", 3000, brimline.SumAbs), hourly("net", 3000, brimline.Sum))
	for _, c := range edges {
		b.next(dead(c))
	}
	for i := range 100 {
		b.expect("a new row", b.next(put(fmt.Sprint("n", i), 1, 31+i/4)))
	}
	// A late one that reaches them asks once. While that is open no other does.
	asked := b.next(put("late", 1, 20))
	b.expect("a late row", asked, "sum edge 30", "net edge 30")
	for i := range 10 {
		b.expect("others while that is asked", b.next(put(fmt.Sprint("l", i), 1, 10+i)))
	}
	var again []brimline.Candidate
	for _, c := range asked {
		again = append(again, b.next(dead(c))...)
	}
	b.expect("rows came meanwhile", again, "sum edge 30", "net edge 30")
	for _, c := range again {
		b.expect("none came meanwhile", b.next(dead(c)))
	}
}

// A retry is judged by the window stage, which knows what became of the edge.
func TestARetryJudgesADeadEdgeOnce(t *testing.T) {
	sum, day := hourly("sum", 3000, brimline.SumAbs), hourly("day", 3100, brimline.SumAbs)
	day.Window *= 24
	b, edges := nanCandidate(t, sum, day)
	for _, c := range edges {
		b.expect("before it has died", b.next(retry(c)))
		b.next(dead(c))
	}
	out := b.next(retry(edges[0]))
	b.expect("retried", out, "sum edge 30")
	b.expect("a second time", b.next(retry(edges[0])))
	if again := b.at(b.offset-2, retry(edges[0])); len(again) != 1 || again[0].Cause != out[0].Cause {
		t.Errorf("the retry replayed: %q", shown(again))
	}
	b.expect("it dies again", b.next(dead(out[0])))
	b.expect("an old letter asks for what is dead now", b.next(retry(edges[0])), "sum edge 30")
	b.apply(day)
	b.expect("of a rule that is gone", b.next(retry(edges[0])))
	b.expect("of one that is not", b.next(retry(edges[1])), "day edge 30")
}

// An edge whose window is no longer retained when it is judged again is asked of PostgreSQL.
func TestADeadEdgeBelowTheHistoryIsAsked(t *testing.T) {
	r := hourly("sum", 3000, brimline.SumAbs)
	for _, by := range []string{"repair", "retry"} {
		b, edges := nanCandidate(t, r)
		b.next(dead(edges[0]))
		b.next(put("4", 1, 75)) // the row at 1 falls out
		again := put("1", 10, 0)
		if by == "retry" {
			again = retry(edges[0])
		}
		out := b.next(again)
		want := map[string]string{"repair": "sum late 0..60", "retry": "sum late 30..30"}
		b.expect(by, out, want[by])
		late := out[0]
		replay := b.at(b.offset-1, again)
		b.expect(by+" replayed", replay, want[by])
		b.expect(by+": a second time while it is asked", b.next(retry(edges[0])))
		// The question had been put before that. It is put once more, for what the operator has done since.
		b.expect(by+": answered", b.next(found(r, late.Cause, 30)), want[by], "sum edge 30")
	}
}

// A span that could not be judged is asked about again, whole, by what reaches it; and is forgotten with its answer.
func TestADeadSpanIsAskedAboutAgain(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	begin := func() (*bench, brimline.Candidate) {
		b := newBench(t, r)
		b.swept(500, put("1", 50, 30)) // a floor at 500
		return b, only(t, b.next(put("2", 50, 100)))
	}
	for name, tc := range map[string]struct {
		repair brimline.Change
		want   string
	}{
		"a row below it":             {put("bad", 10, 45), "r late 45..160"},
		"a row in it":                {put("bad", 10, 150), "r late 100..210"},
		"a row of no weight":         {put("bad", 0, 45), "r late 100..160"},
		"a deleted row":              {gone("bad", 45), "r late 100..160"},
		"a deleted row without time": {gone("bad", -1), "r late 100..160"},
		"a retry": {retry(brimline.Candidate{Rule: r, Kind: brimline.LateCandidate,
			Edge: minutes(100), Until: minutes(160)}), "r late 100..160"},
		"a row that does not reach":   {put("bad", 10, 39), "r late 39..99"},
		"a row that does not, either": {put("bad", 0, 161), ""},
	} {
		if tc.repair.Row.Time == minutes(-1) {
			tc.repair.Row.Time = brimline.MinTime
		}
		want := []string{tc.want}
		if tc.want == "" {
			want = nil
		}
		for _, race := range []bool{false, true} {
			b, late := begin()
			var out []brimline.Candidate
			if race {
				if tc.repair.Kind == brimline.Retry {
					continue
				}
				b.next(tc.repair)
				// What came is known by its time no more: the span is asked about once, in any case.
				b.expect(name+", in the race", b.next(dead(late)), "r late 100..160")
				continue
			}
			b.expect(name, b.next(dead(late)))
			b.next(found(r, late.Cause))
			if w := b.table.read(t); len(w.Rules[0].Unjudged) != 1 || w.Asked != (brimline.Cause{}) {
				t.Fatalf("%s: spans %+v, open %v", name, w.Rules[0].Unjudged, w.Asked)
			}
			out = b.next(tc.repair)
			b.expect(name, out, want...)
			if len(out) == 0 || tc.want == "r late 39..99" {
				continue
			}
			again := want
			if tc.repair.Row.Time == brimline.MinTime { // rows may have come since, so that the row may have been among them
				again = []string{"r late 100..560"}
			}
			b.expect(name+": replayed", b.at(b.offset-1, tc.repair), again...)
			same(t, b.table.load(t, b.fold), b.st)
			b.expect(name+": the answer", b.next(found(r, out[0].Cause, 100)), "r edge 100")
			if w := b.table.read(t); len(w.Rules[0].Unjudged) != 0 || w.Asked != (brimline.Cause{}) {
				t.Errorf("%s: answered, and spans are %+v, open %v", name, w.Rules[0].Unjudged, w.Asked)
			}
			b.expect(name+": retried after that", b.next(retry(late)))
		}
	}
}

// Questions that die one after the other, with rows coming between, make a bounded number of further ones, and no end.
func TestDeadSpansComeToRest(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	b.swept(500, put("0", 50, 30))
	var open []brimline.Candidate
	for i := range 50 {
		open = append(open, b.next(put(fmt.Sprint("n", i), 1, 100+i))...)
	}
	letters, last := 0, brimline.Cause{}
	for len(open) > 0 {
		c := open[0]
		open = open[1:]
		last = c.Cause
		open = append(open, b.next(dead(c))...)
		if letters++; letters > 60 {
			t.Fatalf("%d dead letters of 50 rows, and still asking: %q", letters, shown(open))
		}
	}
	b.next(found(r, last))
	w := b.table.read(t)
	if spans := w.Rules[0].Unjudged; len(spans) != 1 || spans[0].From != minutes(100) ||
		spans[0].Until != minutes(209) || spans[0].Asked != 0 || w.Asked != (brimline.Cause{}) {
		t.Errorf("spans %+v, open %v", spans, w.Asked)
	}
	b.expect("repaired", b.next(put("bad", 1, 120)), "r late 100..209")
}

// The list of spans is bounded, and what is far apart is asked about by itself.
func TestDeadSpansAreBounded(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	b.swept(500_000, put("0", 50, 30))
	for i := range 3 * maxSpans {
		late := only(t, b.next(put(fmt.Sprint("n", i), 1, 1000*i+i)))
		b.next(dead(late))
		b.next(found(r, late.Cause))
	}
	spans := b.table.read(t).Rules[0].Unjudged
	if len(spans) != maxSpans {
		t.Fatalf("%d spans", len(spans))
	}
	for i := range 3 * maxSpans {
		out := b.next(gone("x", 1000*i+i+30))
		if len(out) > 1 || len(out) == 0 && b.table.read(t).Rules[0].Unjudged == nil {
			t.Errorf("span %d: %q", i, shown(out))
		}
	}
	for _, s := range b.table.read(t).Rules[0].Unjudged {
		if s.Asked == 0 {
			t.Errorf("span %v..%v is asked about by nothing", s.From, s.Until)
		}
	}
}

// A truncation leaves nothing to judge.
func TestATruncationForgetsWhatCouldNotBeJudged(t *testing.T) {
	b, edges := nanCandidate(t, hourly("sum", 3000, brimline.SumAbs))
	b.next(dead(edges[0]))
	c := put("5", 1, 2)
	b.input(Input{Change: &c, Offset: 10, TruncatedAt: 9})
	b.offset = 11
	b.expect("a retry", b.next(retry(edges[0])))
	b.expect("the rows once more", append(b.next(put("2", 2000, 1)), b.next(put("3", 1500, 30))...), "sum edge 30")
}
