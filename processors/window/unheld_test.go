package window

import (
	"testing"

	"github.com/brimline/brimline"
)

// goneUnseen is a deletion that does not say when its row was.
func goneUnseen(id string) brimline.Change {
	c := gone(id, 0)
	c.Row.Time = brimline.MinTime
	return c
}

// updated is a row that was there before, with other contents.
func updated(id string, amount brimline.Amount, minute int) brimline.Change {
	c := put(id, amount, minute)
	c.Update = true
	return c
}

// dismissedWith is the dismissal of a candidate, with the row that brought it about.
func dismissedWith(c brimline.Candidate) brimline.Change {
	rule := c.Rule
	return brimline.Change{Kind: brimline.Dismissal, Rule: rule.Fingerprint(), Edges: []brimline.Time{c.Edge},
		Cause: c.Cause.Offset, Row: c.Trigger}
}

// A row that route could not take in, and PostgreSQL counts, hides an edge: the total before it is above the limit
// already. What is done to that row brings the edge back, though the window has never held it.
func TestARowThatWasNotTakenInHidesNoEdgeForLong(t *testing.T) {
	sum := hourly("sum", 3000, brimline.SumAbs)
	for name, repair := range map[string]brimline.Change{
		"an update":               updated("1", 10, 0),
		"an update to nothing":    updated("1", 0, 0),
		"a delete":                gone("1", 0),
		"a delete without a time": goneUnseen("1"),
	} {
		for _, race := range []bool{false, true} {
			b, edges := nanCandidate(t, sum)
			no := dismissedWith(only(t, edges))
			var got []brimline.Candidate
			if race { // the repair is folded while the answer is on its way
				b.expect(name+", in the race", b.next(repair))
				got = b.next(no)
			} else {
				b.expect(name, b.next(no))
				got = b.next(repair)
			}
			b.expect(name, got, "sum edge 30")
			b.expect(name+", the same again", b.next(repair))
			same(t, b.table.load(t, b.fold), b.st)
		}
	}
}

// The same where the edge's window is no longer retained: PostgreSQL is asked.
func TestARowThatWasNotTakenInIsAskedAboutBelowTheHistory(t *testing.T) {
	sum := hourly("sum", 3000, brimline.SumAbs)
	for name, tc := range map[string]struct {
		repair brimline.Change
		want   string
	}{
		"an update":               {updated("1", 10, 12), "sum late 12..69"},
		"an update to nothing":    {updated("1", 0, 12), "sum late 12..69"},
		"a delete":                {gone("1", 12), "sum late 12..69"},
		"a delete without a time": {goneUnseen("1"), "sum late 14..69"},
		"an insert of nothing":    {put("1", 0, 12), ""},
		// What only a change below the retained history makes possible is not looked for.
		"an update below the history": {updated("1", 0, 9), ""},
		"a delete below the history":  {gone("1", 9), ""},
	} {
		b := newBench(t, sum)
		b.next(put("0", 1, 9))
		b.next(put("2", 2000, 14))
		edge := only(t, b.next(put("3", 1500, 30)))
		b.next(dismissedWith(edge))
		b.next(put("4", 1, 75)) // the row at 9 falls out
		if floor := b.table.read(t).Floor; floor != minutes(9) {
			t.Fatalf("a floor at %v", floor)
		}
		var want []string
		if tc.want != "" {
			want = []string{tc.want}
		}
		out := b.next(tc.repair)
		b.expect(name, out, want...)
		if tc.want == "" {
			continue
		}
		again := b.at(b.offset-1, tc.repair)
		if len(again) != 1 || again[0].Cause != out[0].Cause || again[0].Edge > out[0].Edge ||
			again[0].Until < out[0].Until {
			t.Errorf("%s, replayed: %q", name, shown(again))
		}
		b.expect(name+": the answer", b.next(found(sum, out[0].Cause, 30)), "sum edge 30")
	}
}

// What is written once more after a row has gone, by an instance that thaws or as a dead letter that is tried again,
// does not bring it back: not where the deletion did not say when the row was either, nor where the row was never
// held.
func TestADeletionOfARowThatIsNotHeldIsRemembered(t *testing.T) {
	for name, first := range map[string][]brimline.Change{
		"a user with rows":      {put("2", 20, 1), put("3", 1, 30)},
		"a user without a row":  nil,
		"a user with a history": {put("0", 1, -1000), put("2", 20, 1), put("3", 1, 30)},
	} {
		for what, newer := range map[string]brimline.Change{
			"deleted at a time": gone("1", 5), "deleted without a time": goneUnseen("1"), "updated": updated("1", 5, 5),
		} {
			b := newBench(t, hourly("sum", 3000, brimline.SumAbs))
			old := put("1", 7, 5)
			old.Source.Offset = 1000
			for _, c := range first {
				b.next(c)
			}
			newer.Source.Offset = 1001
			b.written(50, newer)
			rows := len(b.table.read(t).Rows)
			b.written(51, old)
			w := b.table.read(t)
			if len(w.Rows) != rows || what == "updated" && w.Rows[max(0, len(w.Rows)-2)].Amount == 7 {
				t.Errorf("%s, %s: an older change is taken in: %+v", name, what, w.Rows)
			}
			for i := range 40 { // the version goes with the rows of its time
				b.written(200+60*i, put("n", 1, 200+60*i))
			}
			if w := b.table.read(t); len(w.Changed) > 1 {
				t.Errorf("%s, %s: %+v is remembered for ever", name, what, w.Changed)
			}
		}
	}
}
