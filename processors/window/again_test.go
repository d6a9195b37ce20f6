package window

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// stillDismissed is verify's answer to a candidate that PostgreSQL has dismissed for a while.
func stillDismissed(c *brimline.Candidate) brimline.Change {
	answer := dismissed(c)
	answer.Kind = brimline.StillDismissed
	return answer
}

// disbelieved is its answer at a minute, when PostgreSQL has dismissed the doubted candidate as well.
func disbelieved(c *brimline.Candidate, minute int) brimline.Change {
	answer := dismissed(c)
	answer.Kind, answer.Reason, answer.Row.Time = brimline.Disbelieved, brimline.ByDismissals, minutes(minute)
	return answer
}

func restored(c *brimline.Candidate) brimline.Change {
	answer := dismissed(c)
	answer.Kind = brimline.Restored
	return answer
}

// dismissedEdge is a user whose rows at 10 and 20 are above the limit together, of which PostgreSQL says no.
func dismissedEdge(t *testing.T, r brimline.Rule) (*bench, *brimline.Candidate) {
	b := newBench(t, r)
	b.next(inserted(put("a", 100, 10)))
	edge := b.next(inserted(put("b", 30, 20)))
	b.expect("an edge", edge, "r edge 20")
	b.expect("dismissed", b.next(dismissed(&edge[0])))
	return b, &edge[0]
}

// An edge that PostgreSQL goes on dismissing has its user distrusted: up to the newest row, as by a command.
func TestADismissalThatLastsDistrusts(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b, edge := dismissedEdge(t, r)
	b.next(inserted(put("c", 1, 30)))
	word := stillDismissed(edge)
	once := b.next(word)
	b.expect("put once more", once, "r edge 20")
	if !once[0].Doubted {
		t.Error("verify does not hear that the edge still stands")
	}
	if again := b.at(b.offset-1, word); len(again) != 1 || !again[0].Doubted || again[0].Cause != once[0].Cause {
		t.Errorf("replayed: %+v", again)
	}
	b.expect("the first word once more", b.next(word))
	b.expect("dismissed", b.next(dismissed(&once[0])))
	no := disbelieved(&once[0], 50)
	out := b.next(no)
	b.expect("distrusted", out, "r late -31..90")
	b.expect("replayed", b.at(b.offset-1, no), "r late -31..90")
	d := b.st.w.Doubt
	if d.Reason != brimline.ByDismissals || d.Offset != b.offset || d.Floor != minutes(30) || b.st.rows.Len() != 0 {
		t.Errorf("doubt %+v, %d rows held", d, b.st.rows.Len())
	}
	b.expect("its answer", b.next(found(r, out[0].Cause)))
	b.expect("the same once more", b.next(no))
	// What the phantom has hidden comes: PostgreSQL answers.
	out = b.next(inserted(put("d", 100, 40)))
	b.expect("a row", out, "r late 40..90")
	b.expect("its edge", b.next(found(r, out[0].Cause, 40)), "r edge 40")
}

// Only an edge that is still dismissed, of rows that are still above the limit, has its user distrusted.
func TestADismissalThatIsOverDistrustsNobody(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	for what, between := range map[string]func(b *bench, edge *brimline.Candidate){
		"the row is deleted":   func(b *bench, _ *brimline.Candidate) { b.next(gone("a", 10)) },
		"the row becomes less": func(b *bench, _ *brimline.Candidate) { b.next(put("a", 1, 10)) },
		"a row comes and goes": func(b *bench, _ *brimline.Candidate) {
			b.next(put("x", 1, 15))
			b.next(gone("x", 15))
		},
		"PostgreSQL has it now":  func(b *bench, edge *brimline.Candidate) { b.next(restored(edge)) },
		"the user is distrusted": func(b *bench, _ *brimline.Candidate) { b.next(upTo(5)) },
		"the user is forgotten": func(b *bench, edge *brimline.Candidate) {
			b.next(forget(30))
			b.expect("forgotten", b.next(restored(edge)))
		},
		"of another candidate":       func(_ *bench, edge *brimline.Candidate) { edge.Cause.Offset-- },
		"the rule is not in force":   func(_ *bench, edge *brimline.Candidate) { edge.Rule.Limit = brimline.Count(1) },
		"the history has moved past": func(b *bench, _ *brimline.Candidate) { b.st.forgetUpTo(minutes(5)) },
	} {
		b, edge := dismissedEdge(t, r)
		between(b, edge)
		doubt := b.st.w.Doubt
		b.expect(what, b.next(stillDismissed(edge)))
		b.expect(what, b.next(disbelieved(edge, 50)))
		if b.st.w.Doubt != doubt {
			t.Errorf("%s: distrusted all the same: %+v", what, b.st.w.Doubt)
		}
	}
	b := newBench(t, r)
	edge := brimline.Candidate{Rule: r, Edge: minutes(20)}
	b.expect("a user who is not in the table", b.next(stillDismissed(&edge)))
	b.expect("disbelieved", b.next(disbelieved(&edge, 50)))
	b.expect("restored", b.next(restored(&edge)))
	if b.st.w.Last != 0 {
		t.Error("a user came of an answer")
	}
}

// A user whose rows are in segments is distrusted as others are: all of them are forgotten.
func TestADismissalOfAHeavyUserDistrusts(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	for i := range 400 {
		b.next(inserted(put(fmt.Sprintf("row-of-u-%d", i), 1, i)))
	}
	edge := b.next(inserted(put("phantom", 100, 400)))
	b.expect("an edge", edge, "r edge 400")
	if b.table.read(t).Older.Len() == 0 {
		t.Fatal("the user has no segments")
	}
	b.expect("dismissed", b.next(dismissed(&edge[0])))
	once := b.next(stillDismissed(&edge[0]))
	b.expect("put once more", once, "r edge 400")
	b.expect("dismissed", b.next(dismissed(&once[0])))
	no := disbelieved(&once[0], 500)
	out := shown(b.next(no))
	w := b.table.read(t)
	if len(out) != 1 || w.Doubt.Floor != minutes(400) || w.Floor != minutes(400) || len(w.Rows) != 0 ||
		w.Older.Len() != 0 {
		t.Errorf("asked %q, left are %+v", out, w)
	}
	if again := shown(b.at(b.offset-1, no)); !slices.Equal(again, out) {
		t.Errorf("replayed: %q, want %q", again, out)
	}
}

// An edge that PostgreSQL shows later than the stream is announced then, once.
func TestAnEdgeThatPostgreSQLShowsLateIsAnnounced(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b, edge := dismissedEdge(t, r)
	yes := restored(edge)
	again := b.next(yes)
	b.expect("announced", again, "r edge 20")
	b.expect("replayed", b.at(b.offset-1, yes), "r edge 20")
	b.expect("the same answer once more", b.next(yes))
	b.next(dismissed(&again[0]))
	b.expect("an answer to the first candidate", b.next(yes))
	b.expect("and to the second", b.next(restored(&again[0])), "r edge 20")

	// An edge that is not dismissed is none of these.
	b = newBench(t, r)
	b.next(inserted(put("a", 100, 10)))
	first := b.next(inserted(put("b", 30, 20)))
	b.expect("a yes before the no", b.next(restored(&first[0])))
	b.expect("a last no before the first", b.next(disbelieved(&first[0], 50)))

	// An edge that is not known any more was announced and forgotten, for all that is known: it stays forgotten.
	b, edge = dismissedEdge(t, r)
	b.st.forget(0, 0)
	b.expect("forgotten", b.next(restored(edge)))
}

// A row that is dated ten years ahead and that PostgreSQL does not have: an edge of it has the window's rows forgotten
// up to it, since nothing else would take it away, and PostgreSQL answers for the user.
func TestADismissalInTheFutureDoesNotGoRound(t *testing.T) {
	r := hourly("r", 120, brimline.SumAbs)
	b := newBench(t, r)
	years := 10 * 365 * 24 * 60
	b.written(10, inserted(put("a", 100, 10)))
	edge := b.written(11, inserted(put("phantom", 200, years)))
	b.expect("an edge", edge, "r edge 5256000")
	b.written(12, dismissed(&edge[0]))
	out := b.written(13, disbelieved(&edge[0], 13))
	if len(out) != 1 || out[0].Kind != brimline.LateCandidate || b.st.w.Floor != edge[0].Edge {
		t.Fatalf("%q up to %v", shown(out), b.st.w.Floor)
	}
	b.written(14, found(r, out[0].Cause))
	out = b.written(20, inserted(put("b", 30, 20)))
	b.expect("the rows of today", out, "r late 20..80")
	b.expect("have their edges", b.written(21, found(r, out[0].Cause, 20)), "r edge 20")
}

// TestDismissalsRepairByThemselves: the cases of kind B, in which the stream's loss makes an edge that PostgreSQL
// dismisses, with everything that happens on the way in every order that departs at most twice from the plain one. No
// command is given.
func TestDismissalsRepairByThemselves(t *testing.T) {
	rule := brimline.Rule{ID: "r", Window: 168 * time.Hour, Limit: brimline.Count(3000)}
	for name, script := range map[string][]write{
		"a row deleted unseen": {made("a", 2500, 0), unseen(removed("a")), made("b", 2600, 24), made("c", 700, 25)},
		"the edge comes first": {made("a", 2500, 0), unseen(removed("a")), made("b", 2600, 24), made("c", 2700, 25)},
		"a row becomes less":   {made("a", 2900, 0), unseen(made("a", 10, 0)), made("b", 600, 1), made("c", 2500, 2)},
		"a row every few hours": {made("a", 2900, 0), unseen(removed("a")), made("b", 600, 1), made("c", 900, 2),
			made("d", 1501, 3)},
		"deleted, and a late row": {made("a", 2900, 10), unseen(removed("a")), made("b", 600, 12), made("c", 2500, 11)},
		"two losses": {made("a", 2900, 0), unseen(removed("a")), made("b", 600, 1), unseen(removed("b")),
			made("c", 3001, 400)},
		"lost, and another edge": {made("a", 2900, 0), unseen(removed("a")), made("b", 600, 1), made("c", 3600, 1000),
			made("d", 10, 1001)},
		"a standby is stuck": {unplaced(made("a", 2900, 0)), unplaced(made("b", 600, 1))},
	} {
		distrusts := 0
		n := schedules(2, func(pick func(int) int) {
			d := newDoubts(t, slices.Clone(script), rule)
			d.byItself, d.noCommand = true, true
			d.run(pick)
			if wrong := d.wrong(); wrong != "" {
				t.Fatalf("%s: %s%s", name, wrong, d)
			}
			distrusts += d.count(brimline.Disbelieved)
		})
		t.Logf("%s: %d interleavings, %d dismissals that lasted", name, n, distrusts)
		if distrusts == 0 {
			t.Errorf("%s: only %d dismissals that lasted in %d interleavings", name, distrusts, n)
		}
	}
}

func unplaced(w write) write { w.unplaced = true; return w }

// drawLosses draws transactions of rows above a limit of 10, deletions and losses among them, one of which is certain.
func drawLosses(t *rapid.T) (all []write) {
	all = []write{made("lost", 9, 0), unseen(removed("lost"))}
	n := rapid.IntRange(2, 12).Draw(t, "transactions")
	for i := range n {
		id, amount := rapid.IntRange(0, 5).Draw(t, "row"), rapid.Int64Range(1, 9).Draw(t, "amount")
		w := made(fmt.Sprint(id), brimline.Amount(amount), i+rapid.IntRange(-3, 1).Draw(t, "hour"))
		w.gone = rapid.IntRange(0, 2).Draw(t, "gone") == 0
		w.lost = i < n-1 && w.gone && rapid.IntRange(0, 2).Draw(t, "lost") > 0
		all = append(all, w)
	}
	return all
}

// TestDismissalsDisturbNothing: whatever the stream loses and PostgreSQL shows late, what is asked again and the
// distrusts that come of it lose and double no edge, beside a distrust by command at the end, which brings what no
// dismissal tells of.
func TestDismissalsDisturbNothing(t *testing.T) {
	lasting, restored := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		d := newDoubts(t, drawLosses(t), brimline.Rule{ID: "r", Window: 6 * time.Hour, Limit: brimline.Count(10)},
			brimline.Rule{ID: "s", Window: 3 * time.Hour, Limit: brimline.Count(8), Measure: brimline.Sum})
		d.byItself = true
		d.live(t)
		lasting += d.count(brimline.Disbelieved)
		restored += d.count(brimline.Restored)
	})
	t.Logf("%d dismissals lasted, %d did not", lasting, restored)
	if lasting == 0 {
		t.Error("no dismissal lasted")
	}
}

// TestPostgreSQLThatIsBehindLosesNothing: the stream has all rows, and no place of theirs in PostgreSQL's log. A server
// that is behind for less than it takes to be believed dismisses edges; they are alerted all the same, each once.
func TestPostgreSQLThatIsBehindLosesNothing(t *testing.T) {
	restored := 0
	rapid.Check(t, func(t *rapid.T) {
		var script []write
		for i := range rapid.IntRange(1, 10).Draw(t, "transactions") {
			script = append(script, unplaced(made(fmt.Sprint(i), brimline.Amount(rapid.Int64Range(1, 9).Draw(t, "amount")),
				i+rapid.IntRange(-3, 1).Draw(t, "hour"))))
		}
		d := newDoubts(t, script, brimline.Rule{ID: "r", Window: 6 * time.Hour, Limit: brimline.Count(10)})
		d.byItself, d.patient = true, true
		d.live(t)
		restored += d.count(brimline.Restored)
	})
	t.Logf("%d dismissals did not last", restored)
	if restored == 0 {
		t.Error("no edge came late")
	}
}
