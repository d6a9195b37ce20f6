package window

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
)

func upTo(minute int) brimline.Change {
	return brimline.Change{Kind: brimline.Distrust, Reason: brimline.ByCommand,
		Row: brimline.Transaction{Time: minutes(minute)}}
}

func (b *bench) askAgain(n int) []brimline.Candidate {
	return b.next(brimline.Change{Kind: brimline.AskAgain, Cause: b.st.w.Doubt.Offset, Index: n})
}

func dismissed(c *brimline.Candidate) brimline.Change {
	return brimline.Change{Kind: brimline.Dismissal, Rule: c.Rule.Fingerprint(), Edges: []brimline.Time{c.Edge},
		Cause: c.Cause.Offset}
}

func inserted(c brimline.Change) brimline.Change {
	c.Inserted = true
	return c
}

// distrusted is a user whose rows at 10 and 20, 30 above the limit together, were forgotten up to 50, and about whom
// PostgreSQL had been asked often enough: it knows of no edge.
func distrusted(t *testing.T, r brimline.Rule) *bench {
	b := newBench(t, r)
	b.next(put("a", 100, 10))
	edge := b.next(put("b", 30, 20))
	b.expect("before", edge, "r edge 20")
	b.next(dismissed(&edge[0]))
	out := b.next(upTo(50))
	b.expect("at once", out, "r late -11..110")
	b.next(found(r, out[0].Cause))
	for n := 1; n <= 3; n++ {
		out = b.askAgain(n)
		b.expect("again", out, "r late -11..110")
		b.next(found(r, out[0].Cause))
	}
	b.expect("often enough", b.askAgain(3))
	if _, more := b.st.w.Doubt.Next(); more || b.st.w.Floor != minutes(50) || b.st.rows.Len() != 0 {
		t.Fatalf("more questions %v, floor %v, %d rows", more, b.st.w.Floor, b.st.rows.Len())
	}
	return b
}

// A change to a row that was forgotten, or may be one that was, asks for every window that the row may have been in,
// whatever it weighs.
func TestChangesToForgottenRowsAsk(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	silent := gone("a", 10)
	silent.Row.Time = brimline.MinTime
	update := put("a", 0, 10)
	update.Update = true
	for _, tc := range []struct {
		what string
		c    brimline.Change
		want []string
	}{
		{"a delete", gone("a", 10), []string{"r late 10..70"}},
		{"a delete of a row whose time is not known", silent, []string{"r late -11..110"}},
		{"an update to 0", update, []string{"r late -11..110"}},
		{"a row without operation", put("a", 0, 10), []string{"r late -11..110"}},
		{"a row that may have moved up", put("a", 1, 55), []string{"r late -11..110"}},
		{"a late row of weight 0", inserted(put("new", 0, 15)), []string{"r late 15..75"}},
		{"a new row", inserted(put("new", 5, 70)), []string{"r late 70..110"}},
		{"a new row of weight 0", inserted(put("new", 0, 70)), nil},
		{"a new row that no forgotten one can reach", inserted(put("new", 5, 111)), nil},
	} {
		b := distrusted(t, r)
		b.expect(tc.what, b.next(tc.c), tc.want...)
		b.expect(tc.what+", replayed", b.at(b.offset-1, tc.c), tc.want...)
	}
}

// What is on its way when a user is distrusted, or a forgotten row is changed, comes too late: PostgreSQL said it about
// other rows.
func TestAnswersOnTheirWayAreNotBelieved(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	edge := minutes(20)
	for _, tc := range []struct {
		what string
		c    brimline.Change
	}{
		{"distrusted", upTo(50)}, {"distrusted again", upTo(60)}, {"a forgotten row is deleted", gone("a", 10)},
		{"a forgotten row is changed", put("a", 0, 15)},
	} {
		b := distrusted(t, r)
		out := b.next(found(r, brimline.Cause{}, 20))
		b.expect("an edge", out, "r edge 20")
		question := b.next(tc.c)
		// The newer yes comes before the older no.
		b.expect(tc.what+": known", b.next(found(r, question[0].Cause, 20)))
		again := b.next(dismissed(&out[0]))
		b.expect(tc.what+": asked again", again, "r late 20..20")
		b.expect(tc.what+": announced", b.next(found(r, again[0].Cause, 20)), "r edge 20")
		if _, known := b.st.edge(0, edge); !known {
			t.Errorf("%s: the edge is not known", tc.what)
		}
	}
}

// Rows above the floor stay, with their versions and edges.
func TestRowsAboveTheFloorStay(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	b.next(put("old", 70, 10))
	b.next(put("moved", 1, 11))
	b.next(put("moved", 50, 50))
	b.expect("an edge", b.next(put("new", 30, 55)), "r edge 55")
	b.next(upTo(40))
	w := b.table.read(t)
	if len(w.Rows) != 2 || len(w.Changed) != 1 || w.Floor != minutes(40) ||
		w.Rules[0].Edges[0].Status != brimline.Disturbed {
		t.Errorf(
			"left are %d rows and %d versions above %v, edges %v",
			len(w.Rows),
			len(w.Changed),
			w.Floor,
			w.Rules[0].Edges,
		)
	}
	// A later word about an earlier time takes nothing back.
	b.expect("again", b.next(upTo(5)), "r late -21..100")
	if w := b.table.read(t); w.Floor != minutes(40) || w.Doubt.Floor != minutes(40) {
		t.Errorf("the floor is %v, of the doubt %v", w.Floor, w.Doubt.Floor)
	}
}

// A row that is dated ten years ahead ages nothing, and the window fills again.
func TestARowFromTheFutureDoesNotBlind(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	years := 10 * 365 * 24 * 60
	b.written(10, inserted(put("a", 100, 10)))
	b.written(11, inserted(put("phantom", 100, years)))
	if n := b.st.rows.Len(); n != 2 {
		t.Errorf("%d rows held, want 2", n)
	}
	out := b.written(20, upTo(20))
	b.written(20, found(r, out[0].Cause))
	for n := 1; n <= 3; n++ {
		out = b.written(20, brimline.Change{Kind: brimline.AskAgain, Cause: b.st.w.Doubt.Offset, Index: n})
		b.written(20, found(r, out[0].Cause))
	}
	b.expect("while it fills", b.written(70, inserted(put("b", 100, 70))), "r late 70..80")
	b.expect("filled", b.written(90, inserted(put("c", 30, 90))), "r edge 90")
	b.written(150, inserted(put("d", 1, 150)))
	b.written(151, found(r, brimline.Cause{Offset: b.offset}))
	b.written(300, found(r, brimline.Cause{Offset: b.offset, Index: -1}))
	b.written(301, inserted(put("e", 1, 300)))
	if b.st.w.Doubt != (brimline.Doubt{}) {
		t.Errorf("the doubt outlives its rows: %+v", b.st.w.Doubt)
	}
}

// No sweep forgets a user about whom PostgreSQL is still to be asked, and a TRUNCATE ends the doubt.
func TestADoubtIsNotSweptAway(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	b.next(put("a", 100, 10))
	out := b.next(upTo(50))
	b.next(found(r, out[0].Cause))
	if w := b.table.read(t); isForgotten(w, b.offset, minutes(100_000)) {
		t.Error("swept while PostgreSQL is still to be asked")
	}
	for n := 1; n <= 3; n++ {
		b.next(found(r, b.askAgain(n)[0].Cause))
	}
	if w := b.table.read(t); !isForgotten(w, b.offset, minutes(100_000)) {
		t.Error("not swept afterwards")
	}
	b.offset++
	c := inserted(put("b", 1, 20))
	b.input(Input{Change: &c, Offset: b.offset - 1, TruncatedAt: b.offset - 1})
	if w := b.table.read(t); w.Doubt != (brimline.Doubt{}) || len(w.Rows) != 1 {
		t.Errorf("after a TRUNCATE: %+v, %d rows", w.Doubt, len(w.Rows))
	}
}

// A user who is not in the table can be distrusted: rows that never came are asked for.
func TestAnUnknownUserIsDistrusted(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	out := b.next(upTo(500))
	b.expect("asked", out, "r late 439..560")
	b.expect("its edge", b.next(found(r, out[0].Cause, 470)), "r edge 470")
}

func TestWhenPostgreSQLIsAskedAgain(t *testing.T) {
	d := brimline.Doubt{At: minutes(5)}
	if _, more := d.Next(); more {
		t.Error("without a doubt")
	}
	d.Offset = 1
	for _, want := range []time.Duration{time.Minute, 10 * time.Minute, time.Hour} {
		if at, more := d.Next(); !more || at != minutes(5).Add(want) {
			t.Errorf("time %d: %v, %v", d.Asked, at, more)
		}
		d.Asked++
	}
	if _, more := d.Next(); more {
		t.Error("a fourth time")
	}
}
