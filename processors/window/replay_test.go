package window

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// bench folds messages into one window by hand.
type bench struct {
	t      *testing.T
	rules  []sliding.Rule
	fold   *Folder
	st     *State
	table  *userTable
	offset int64
	apart  map[brimline.Cause]bool // questions by the way that they went
}

func newBench(t *testing.T, rules ...brimline.Rule) *bench {
	b := &bench{t: t, table: newTable(), apart: map[brimline.Cause]bool{}}
	b.apply(rules...)
	return b
}

// apply puts other rules in force.
func (b *bench) apply(rules ...brimline.Rule) {
	set := &brimline.RuleSet{Rules: rules, Lateness: time.Minute}
	b.rules = nil
	for _, r := range rules {
		b.rules = append(b.rules, sliding.Rule{Rule: r, Fingerprint: r.Fingerprint()})
	}
	b.fold = NewFolder(set, b.rules, time.Hour)
	b.st = b.table.load(b.t, b.fold)
}

func (b *bench) at(offset int64, c brimline.Change) []brimline.Candidate {
	c.User = "u"
	c.Source.Offset = offset
	out := b.input(Input{Change: &c, Offset: offset})
	for i := 1; i < len(out); i++ {
		if c := out[i-1].Cause.Compare(out[i].Cause); c > 0 || c == 0 && out[i-1].Apart == out[i].Apart {
			b.t.Errorf("candidates out of order: %+v, %+v", out[i-1].Cause, out[i].Cause)
		}
	}
	return out
}

func (b *bench) input(in Input) []brimline.Candidate {
	in.Change.User = "u"
	if c := in.Change; c.Kind == brimline.EdgesFound {
		c.Apart = b.apart[brimline.Cause{Offset: c.Cause, Index: c.Index}]
	}
	out, write := b.fold.Fold(b.st, in)
	for i := range out {
		b.apart[out[i].Cause] = out[i].Apart
	}
	if write {
		b.table.write(b.t, b.st)
	}
	return out
}

func (b *bench) next(c brimline.Change) []brimline.Candidate {
	b.offset++
	return b.at(b.offset-1, c)
}

func minutes(n int) brimline.Time {
	return brimline.Time(time.Duration(n) * time.Minute / time.Microsecond)
}

func put(id string, amount brimline.Amount, minute int) brimline.Change {
	return brimline.Change{Kind: brimline.Upsert, Row: brimline.Transaction{ID: id, User: "u",
		Amount: amount, Time: minutes(minute)}}
}

func hourly(id string, limit int64, m brimline.Measure) brimline.Rule {
	return brimline.Rule{ID: id, Window: time.Hour, Limit: brimline.Count(limit), Measure: m}
}

func causes(out []brimline.Candidate) map[string]brimline.Cause {
	m := map[string]brimline.Cause{}
	for _, c := range out {
		m[string(c.Kind)+" "+c.Rule.ID] = c.Cause
	}
	return m
}

// A rule that is added between a crash and the replay must not change the
// numbers of the candidates that were emitted before it.
func TestReplayUnderMoreRulesKeepsCauses(t *testing.T) {
	a := hourly("a", 100, brimline.SumAbs)
	b := newBench(t, a)
	b.next(put("0", 1, -1000)) // evicted by the next: the history has a floor
	b.next(put("1", 90, 0))
	first := causes(b.next(put("2", 20, 59)))
	b.apply(hourly("b", 5, brimline.SumAbs), a)
	again := causes(b.at(b.offset-1, put("2", 20, 59)))
	if first["edge a"] != again["edge a"] || first["edge a"].Offset != 2 {
		t.Errorf("first %v, again %v", first, again)
	}
}

func TestReplayAsksAgainWhatADismissalAsked(t *testing.T) {
	r := hourly("r", 100, brimline.Sum)
	b := newBench(t, r)
	b.next(put("1", 110, 10))
	b.next(put("2", -1, 5))  // disturbs the edge while it is being asked about
	b.next(put("3", 1, 100)) // and moves the floor past its window
	dismissed := brimline.Change{
		Kind: brimline.Dismissal, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(10)}, Cause: 0,
	}
	first := causes(b.next(dismissed))
	again := causes(b.at(b.offset-1, dismissed))
	if first["late r"].Offset != 3 || again["late r"] != first["late r"] {
		t.Errorf("first %v, again %v", first, again)
	}
}

func TestTruncationMakesDismissedEdgesEligible(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	b.next(put("1", 110, 10))
	b.next(brimline.Change{Kind: brimline.Dismissal, Rule: r.Fingerprint(), Edges: []brimline.Time{minutes(10)}, Cause: 0})
	c := put("2", 110, 10)
	out := b.input(Input{Change: &c, Offset: 5, TruncatedAt: 4})
	if len(out) != 1 || out[0].Kind != brimline.EdgeCandidate {
		t.Errorf("after the truncation: %+v", out)
	}
}

func TestARemovedRowAsksBelowTheHistory(t *testing.T) {
	b := newBench(t, hourly("r", 100, brimline.SumAbs))
	b.next(put("0", 1, -300))
	b.next(put("1", 50, 0))
	b.next(put("2", 96, 30)) // edge here; without row 1 it is at 50
	b.next(put("3", 10, 50))
	b.st.w.Floor = minutes(-1)
	gone := put("1", 50, 0)
	gone.Kind = brimline.Delete
	out := causes(b.next(gone))
	if _, ok := out["late r"]; !ok {
		t.Errorf("the delete asked nothing: %v", out)
	}
	b.st.w.Floor = minutes(-1)
	out = causes(b.next(put("2", 96, 90))) // where it is now, memory suffices; where it was, it does not
	if _, ok := out["late r"]; !ok {
		t.Errorf("the update asked nothing: %v", out)
	}
}

func TestNoEdgeIsForgottenInTheMessageThatFoundIt(t *testing.T) {
	r := hourly("r", 100, brimline.SumAbs)
	b := newBench(t, r)
	b.next(put("1", 1, 1_000_000))
	found := brimline.Change{Kind: brimline.EdgesFound, Rule: r.Fingerprint()}
	for i := range keptEdges + 50 {
		found.Edges = append(found.Edges, minutes(i))
	}
	first := b.next(found)
	again := b.at(b.offset-1, found)
	if len(first) != keptEdges+50 || len(again) != len(first) {
		t.Errorf("first %d candidates, again %d", len(first), len(again))
	}
}

// A new rule starts from the retained history. What PostgreSQL says of edges
// below it is from before the change of rules, too.
func TestNewRuleKeepsQuietBelowTheHistory(t *testing.T) {
	old, added := hourly("old", 1000, brimline.SumAbs), hourly("new", 10, brimline.SumAbs)
	b := newBench(t, old)
	b.next(put("0", 11, 0))
	b.next(put("1", 1, 1000))
	b.apply(old, added)
	b.next(put("2", 1, 1001))
	if got := b.next(brimline.Change{Kind: brimline.EdgesFound, Rule: added.Fingerprint(),
		Edges: []brimline.Time{0}}); len(got) != 0 {
		t.Errorf("an old edge was announced: %+v", got)
	}
	if got := b.next(brimline.Change{Kind: brimline.EdgesFound, Rule: added.Fingerprint(),
		Edges: []brimline.Time{minutes(1062)}}); len(got) != 1 {
		t.Errorf("a new edge was not announced: %+v", got)
	}
}

// Whoever was forgotten with their rows is asked of PostgreSQL when an old row comes after all.
func TestSweptUsersAreNotTakenForNew(t *testing.T) {
	b := newBench(t, hourly("r", 100, brimline.SumAbs))
	c := put("1", 20, 30)
	out := b.input(Input{Change: &c, Offset: 7, SweptBefore: minutes(500)})
	if len(out) != 1 || out[0].Kind != brimline.LateCandidate || b.st.rows.Len() != 0 {
		t.Errorf("candidates %+v, rows %+v", out, b.st.rows.Rows())
	}
}

// A user with endless rows stays bounded, and no record is larger than brokers take.
func TestUsersStayBounded(t *testing.T) {
	b := newBench(t, hourly("r", 1, brimline.CountAll))
	note := []brimline.Field{{Name: "note", Value: strings.Repeat("x", 16<<10)}}
	for i := range 700 {
		c := put(strconv.Itoa(i), 1, 0)
		c.Row.Time, c.Row.Columns = brimline.Time(i), note
		b.next(c)
	}
	size := len(b.table.value)
	for _, s := range b.table.segments {
		size += len(s)
	}
	if size > 3*mostBytes || size < mostBytes/2 || len(b.table.value) > 1<<20 {
		t.Errorf("a log of %d bytes, its value %d", size, len(b.table.value))
	}
	if b.st.w.Floor == brimline.MinTime {
		t.Error("rows were dropped and no floor was set")
	}
}
