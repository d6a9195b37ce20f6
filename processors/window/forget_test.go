package window

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"

	"github.com/brimline/brimline"
)

func forget(minute int) brimline.Change {
	return brimline.Change{Kind: brimline.Forget, Row: brimline.Transaction{Time: minutes(minute)}}
}

// known is a user of whom there is everything that the table can have: many rows in segments, versions, edges, one of
// them not judged, a doubt, and questions of both ways that have no answer.
func known(t *testing.T, r brimline.Rule) *bench {
	b := newBench(t, r)
	for i := range 400 {
		b.next(put(fmt.Sprintf("row-of-u-%d", i), 40, i))
		if i%7 == 0 {
			b.next(put(fmt.Sprintf("row-of-u-%d", i), 41, i))
		}
	}
	b.next(
		brimline.Change{Kind: brimline.Unjudgeable, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(1), minutes(9)}},
	)
	b.next(upTo(350))
	b.next(put("old", 500, 2))
	w := b.table.read(t)
	if len(w.Rows) == 0 || len(w.Changed) == 0 || len(w.Rules[0].Edges) == 0 || len(w.Rules[0].Unjudged) == 0 ||
		w.Asked == (brimline.Cause{}) && w.Apart == (brimline.Cause{}) || w.Doubt.Offset == 0 || w.Older.Next == 0 {
		t.Fatalf("the user lacks something: %+v", w)
	}
	return b
}

// TestForgetLeavesNothing: of a user who is forgotten the table has neither row nor edge, question, segment or text.
// Only up to when is left, so that PostgreSQL answers for what reaches below. A replay leaves the same.
func TestForgetLeavesNothing(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := known(t, r)
	asked := b.offset - 1
	b.expect("forgotten", b.next(forget(500)))
	check := func(when string) {
		t.Helper()
		w := b.table.read(t)
		want := &brimline.Window{
			Last: w.Last, Floor: minutes(500), Scale: w.Scale, Older: brimline.Segments{First: w.Older.Next, Next: w.Older.Next},
			Rules: []brimline.RuleState{{Rule: r.Fingerprint(), Quiet: minutes(500)}},
		}
		if w.Last != b.offset || !reflect.DeepEqual(w, want) || len(b.table.segments) != 0 ||
			bytes.Contains(b.table.value, []byte("row-of")) {
			t.Errorf("%s: left are %+v, want %+v; %d segments, %q", when, w, want, len(b.table.segments), b.table.value)
		}
		if !isForgotten(w, b.offset, minutes(501)) {
			t.Errorf("%s: no sweep would take what is left", when)
		}
	}
	check("at once")
	for offset := int64(0); offset < b.offset; offset += 13 { // messages from before come again, after a crash
		b.expect("a replay", b.at(offset, put(fmt.Sprintf("row-of-u-%d", offset), 400, int(offset))))
		check("after a replay")
	}
	b.expect("the same again", b.at(b.offset-1, forget(500)))
	check("after the same message")
	// What PostgreSQL still says of the rows from before.
	for _, late := range []brimline.Change{
		found(r, brimline.Cause{Offset: asked, Index: -1}, 30, 60),
		{Kind: brimline.Dismissal, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(2)}, Cause: 3},
		{Kind: brimline.Unjudgeable, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(2)}, Cause: 3},
		{Kind: brimline.Unjudgeable, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(2), minutes(62)}, Cause: asked},
		{Kind: brimline.AskAgain, Cause: asked - 1, Index: 1},
		{Kind: brimline.Delete, Row: brimline.Transaction{ID: "row-of-u-7", User: "u", Time: minutes(7)}},
	} {
		b.expect("an answer from before", b.at(b.offset, late))
		check("after an answer from before")
	}
	b.offset++
	b.expect("a second time", b.next(forget(500)))
	check("a second time")
}

// TestForgottenUsersComeBack: rows that come afterwards raise each alert once, with PostgreSQL asked for what reaches
// below; what was or would have been alerted before is not.
func TestForgottenUsersComeBack(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := known(t, r)
	b.next(forget(500))
	out := b.next(put("new", 60, 510))
	b.expect("a row", out, "r late 510..560")
	b.expect("PostgreSQL knows more", b.next(found(r, out[0].Cause, 480, 510)), "r edge 510")
	b.expect("a row above what was forgotten", b.next(put("later", 60, 565)), "r edge 565")
	// A row from before, which is still in the table, is changed.
	out = b.next(put("row-of-u-399", 200, 490))
	b.expect("an old row", out, "r late 490..550")
	b.expect("its edge is an old one", b.next(found(r, out[0].Cause, 490)))
}

// TestForgetUnknown: nothing begins with it.
func TestForgetUnknown(t *testing.T) {
	b := newBench(t, hourly("r", 100, brimline.SumAbs))
	b.expect("unknown", b.next(forget(500)))
	if b.table.value != nil {
		t.Errorf("the table has %q", b.table.value)
	}
}

// TestForgetRowsAhead: rows that are dated ahead go as well, and PostgreSQL answers up to them.
func TestForgetRowsAhead(t *testing.T) {
	b := newBench(t, hourly("r", 100, brimline.SumAbs))
	b.written(10, put("ahead", 90, 700))
	b.written(20, forget(20))
	w := b.table.read(t)
	if len(w.Rows) != 0 || w.Floor != minutes(700) || w.Rules[0].Quiet != minutes(20) {
		t.Errorf("%+v", w)
	}
	b.expect("beside it", b.written(30, put("new", 20, 690)), "r late 690..750")
}

// TestForgetByASlowClock: when the command came is told by the brokers. By a clock that is behind, edges that were
// announced since would be taken for new ones.
func TestForgetByASlowClock(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	for clock, minute := range map[string]int{"behind": 3, "ahead": 9000} {
		b := newBench(t, r)
		b.expect(clock+": an edge", b.written(300, put("1", 101, 300)), "r edge 300")
		b.written(310, forget(minute))
		out := b.written(320, put("2", 1, 320))
		b.expect(clock+": a row", out, "r late 320..370")
		b.expect(clock+": PostgreSQL still has the first row", b.written(321, found(r, out[0].Cause, 300)))
		b.expect(clock+": an edge after the command", b.written(380, put("3", 101, 380)), "r edge 380")
	}
}
