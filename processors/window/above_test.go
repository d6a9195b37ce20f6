package window

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestHiddenEdgesAreFoundByThemselves: rows that were deleted unseen keep the total above the limit, and no edge is
// dismissed, for the window finds none. Everything happens in every order that departs at most twice from the plain
// one, and no command is given.
func TestHiddenEdgesAreFoundByThemselves(t *testing.T) {
	rule := brimline.Rule{ID: "r", Window: 168 * time.Hour, Limit: brimline.Count(3000)}
	for name, script := range map[string][]write{
		"alerted, deleted, and the next": {made("a", 3500, 0), unseen(removed("a")), made("b", 3200, 24)},
		"and once more": {made("a", 3500, 0), unseen(removed("a")), made("b", 3200, 24), unseen(removed("b")),
			made("c", 3100, 25)},
		"rows that make none first": {made("a", 3500, 0), unseen(removed("a")), made("b", 1000, 24),
			made("c", 1000, 25), made("d", 1100, 26)},
		"a late row": {made("a", 3500, 10), unseen(removed("a")), made("b", 2900, 12), made("c", 200, 11)},
		"a row that becomes more, and one that goes": {made("a", 3500, 10), unseen(removed("a")), made("b", 10, 11),
			made("c", 100, 12), made("b", 2950, 11), removed("c"), made("d", 51, 13)},
		"a row that becomes less": {made("a", 9000, 0), unseen(made("a", 10, 0)), made("b", 2991, 1)},
	} {
		asked := 0
		n := schedules(2, func(pick func(int) int) {
			d := newDoubts(t, slices.Clone(script), rule)
			d.byItself, d.noCommand = true, true
			d.run(pick)
			if wrong := d.wrong(); wrong != "" {
				t.Fatalf("%s: %s%s", name, wrong, d)
			}
			asked += d.count(brimline.AskAbove)
		})
		t.Logf("%s: %d interleavings, PostgreSQL was asked %d times", name, n, asked)
	}
}

// TestPhantomsHideNothingForLong: whichever deletions the stream loses, and whatever crashes, each edge is alerted once
// whose row came after the last of them, without a command.
func TestPhantomsHideNothingForLong(t *testing.T) {
	asked := 0
	rapid.Check(t, func(t *rapid.T) {
		d := newDoubts(t, drawLosses(t), brimline.Rule{ID: "r", Window: 6 * time.Hour, Limit: brimline.Count(10)},
			brimline.Rule{ID: "s", Window: 3 * time.Hour, Limit: brimline.Count(8)})
		d.byItself, d.noCommand = true, true
		for i := range d.script {
			if d.script[i].lost {
				d.since = i + 1
			}
		}
		d.live(t)
		asked += d.count(brimline.AskAbove)
	})
	if t.Logf("PostgreSQL was asked %d times", asked); asked == 0 {
		t.Error("PostgreSQL was not asked")
	}
}

// TestAskAboveIsAskedOnce: one message for each question, whoever says it how often; a replay asks the same.
func TestAskAboveIsAskedOnce(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	b.next(put("a", 11, 1))
	if _, more := b.st.w.Above.Next(); more {
		t.Fatalf("a first edge is no reason to ask: %+v", b.st.w.Above)
	}
	b.next(put("b", 1, 2))
	at, more := b.st.w.Above.Next()
	if !more || at != brimline.MinTime || b.st.w.Above.From != minutes(2) {
		t.Fatalf("%+v, due %v", b.st.w.Above, at)
	}
	word := brimline.Change{Kind: brimline.AskAbove, Cause: b.st.w.Above.Asked}
	out := b.next(word)
	if len(out) != 1 || out[0].Kind != brimline.LateCandidate || !out[0].Apart || out[0].Edge != minutes(2) ||
		out[0].Until != minutes(2) {
		t.Fatalf("asked: %+v", out)
	}
	if again := b.at(b.offset-1, word); len(again) != 1 || again[0].Cause != out[0].Cause || again[0].Edge != out[0].Edge {
		t.Errorf("a replay asks %+v", again)
	}
	if twice := b.next(word); len(twice) != 0 {
		t.Errorf("asked twice: %+v", twice)
	}
	if _, more := b.st.w.Above.Next(); more {
		t.Errorf("there is nothing to ask: %+v", b.st.w.Above)
	}

	b.next(put("c", 1, 5))
	b.next(put("d", 1, 3))
	newer := brimline.Change{Kind: brimline.AskAbove, Cause: b.st.w.Above.Asked}
	if out := b.next(newer); len(out) != 0 {
		t.Errorf("asked before the answer: %+v", out)
	}
	b.next(brimline.Change{Kind: brimline.EdgesFound, Rule: out[0].Rule.Fingerprint(), Cause: out[0].Cause.Offset,
		Index: out[0].Cause.Index})
	if stale := b.next(word); len(stale) != 0 {
		t.Errorf("an old message asks: %+v", stale)
	}
	if out := b.next(newer); len(out) != 1 || out[0].Edge != minutes(3) || out[0].Until != minutes(5) {
		t.Errorf("after the answer: %+v, want 3..5", out)
	}
}

// TestAboveIsRemembered: what is to be asked outlives sweeps, and is dropped when it was asked long ago.
func TestAboveIsRemembered(t *testing.T) {
	b := newBench(t, brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(10)})
	b.next(put("a", 11, 1))
	b.next(put("b", 1, 2))
	if w := b.table.read(t); !waits(w) {
		t.Errorf("a sweep may take what is to be asked: %+v", w.Above)
	}
	asked := b.written(3, brimline.Change{Kind: brimline.AskAbove, Cause: b.st.w.Above.Asked})
	b.next(brimline.Change{Kind: brimline.EdgesFound, Rule: asked[0].Rule.Fingerprint(), Cause: asked[0].Cause.Offset,
		Index: asked[0].Cause.Index, Apart: true})
	b.next(put("c", 1, 4))
	if at, more := b.st.w.Above.Next(); !more || at != minutes(13) {
		t.Errorf("due at %v, %v, want ten minutes after the question", at, more)
	}
	asked = b.written(13, brimline.Change{Kind: brimline.AskAbove, Cause: b.st.w.Above.Asked})
	if len(asked) != 1 || asked[0].Edge != minutes(4) {
		t.Fatalf("asked: %+v", asked)
	}
	b.written(24, put("d", 1, 100))
	if b.st.w.Above.Asked == 0 {
		t.Error("a question that has no answer yet is forgotten, and no replay would put it again")
	}
	b.next(brimline.Change{Kind: brimline.EdgesFound, Rule: asked[0].Rule.Fingerprint(), Cause: asked[0].Cause.Offset,
		Index: asked[0].Cause.Index, Apart: true})
	b.written(25, put("e", 1, 200))
	if b.st.w.Above != (brimline.Above{}) {
		t.Errorf("kept: %+v", b.st.w.Above)
	}
}

// TestQuestionsAboveAreBounded: 1,000 users at once and 100 a second, those who wait longest first, none before the
// stream was read, and not more remembered than there is room for.
func TestQuestionsAboveAreBounded(t *testing.T) {
	s := NewStates(1 << 20)
	p := open(t, s, 0, nil)
	start := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	p.note("asked before", brimline.Doubt{}, brimline.Above{Last: 9, Asked: 5, At: brimline.TimeOf(at(-595))})
	for i := range mostAbove + 500 {
		p.note(fmt.Sprint("u", i), brimline.Doubt{}, brimline.Above{Last: int64(i + 1)})
	}
	if n := s.Above(); n != mostAbove+1 || s.hasRoom(p) {
		t.Errorf("%d users remembered, want %d and that there are more", n, mostAbove)
	}
	if due := s.DueAbove(at(0), at(-1), false); len(due) != 0 {
		t.Errorf("%d are asked about before the stream was read", len(due))
	}
	asked := map[string]bool{}
	for second, want := range []int{aboveAtOnce, abovePerSecond, abovePerSecond} {
		due := s.DueAbove(at(second), at(second), false)
		if len(due) != want {
			t.Errorf("second %d: %d are asked about, want %d", second, len(due), want)
		}
		for user := range due {
			if asked[user] || user == "asked before" {
				t.Errorf("second %d: %q is asked about", second, user)
			}
			asked[user] = true
			p.note(user, brimline.Doubt{}, brimline.Above{Asked: 10, At: brimline.TimeOf(at(second))})
		}
	}
	if due := s.DueAbove(at(4), at(4), true); len(due) != mostAbove-len(asked) || due["asked before"] == nil {
		t.Errorf("at the end %d are asked about, want %d", len(due), mostAbove-len(asked))
	} else if c := due["asked before"].(*brimline.Change); c.Kind != brimline.AskAbove || c.Cause != 5 {
		t.Errorf("%+v", c)
	}
	if due := s.DueAbove(at(5), at(5), true); len(due) != 0 {
		t.Errorf("%d are asked about twice", len(due))
	}
	for user := range p.above {
		p.note(user, brimline.Doubt{}, brimline.Above{})
	}
	if !s.hasRoom(p) || s.hasRoom(p) {
		t.Error("there is room for those who were left out, once")
	}
	p.note("one", brimline.Doubt{}, brimline.Above{Last: 1})
	if s.closed(p.table); s.above != 0 || s.Above() != 0 {
		t.Errorf("%d users of a partition that was given back", s.above)
	}
}
