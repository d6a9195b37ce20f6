package window

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// TestReplaysAskWhatWasAskedFirst: a history of rows that are inserted, changed, moved, deleted, deleted unseen and
// moved out of the retained history, and of answers of every kind, folded by rules of every measure. After each
// message the last few are replayed: every candidate that has no answer yet comes again under its cause, a question
// at least as wide, and the state stays as it is.
func TestReplaysAskWhatWasAskedFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &replays{t: t,
			set:  brimline.RuleSet{Lateness: time.Duration(rapid.IntRange(1, 10).Draw(t, "lateness")) * time.Hour},
			open: map[place]brimline.Candidate{}}
		for i := range rapid.IntRange(1, 3).Draw(t, "rules") {
			r := brimline.Rule{ID: "r" + strconv.Itoa(i),
				Window:  time.Duration(rapid.IntRange(1, 8).Draw(t, "window")) * time.Hour,
				Measure: rapid.SampledFrom(brimline.Measures()).Draw(t, "measure"),
				Limit:   brimline.Count(rapid.Int64Range(0, 30).Draw(t, "limit"))}
			if r.Measure == brimline.Distinct {
				r.Column, r.Limit = "shop", brimline.Count(rapid.Int64Range(0, 2).Draw(t, "shops"))
			}
			h.set.Rules = append(h.set.Rules, r)
			h.compiled = append(h.compiled, compiledOf(r))
		}
		h.fold, h.table = NewFolder(&h.set, h.compiled, time.Hour), newTable()
		h.state = h.table.load(t, h.fold)
		swept := brimline.Time(rapid.Int64Range(-5, 30).Draw(t, "swept")) * hour
		for range rapid.IntRange(2, 40).Draw(t, "messages") {
			h.step(Input{Change: h.draw(), SweptBefore: swept})
			h.replay(rapid.IntRange(1, 12).Draw(t, "back"))
		}
	})
}

const hour = brimline.Time(3600e6)

// replays is one user's history.
type replays struct {
	t        *rapid.T
	set      brimline.RuleSet
	compiled []sliding.Rule
	fold     *Folder
	table    *userTable
	state    *State
	stream   []Input
	open     map[place]brimline.Candidate // without an answer
	seen     [2][]brimline.Candidate
}

// place is that of a candidate: its topic and its cause.
type place struct {
	way   int
	cause brimline.Cause
}

func (h *replays) draw() *brimline.Change {
	t := h.t
	if way := rapid.IntRange(0, 1).Draw(t, "way"); len(h.seen[way]) > 0 &&
		rapid.IntRange(0, 3).Draw(t, "answer") == 0 {
		return h.answer(way)
	}
	if rapid.IntRange(0, 9).Draw(t, "distrust") == 0 {
		if doubt := &h.state.w.Doubt; doubt.Offset != 0 && rapid.Bool().Draw(t, "again") {
			return &brimline.Change{Kind: brimline.AskAgain, User: "u", Cause: doubt.Offset, Index: doubt.Asked + 1}
		}
		return &brimline.Change{Kind: brimline.Distrust, User: "u", Reason: brimline.ByCommand,
			Row: brimline.Transaction{Time: brimline.Time(rapid.Int64Range(0, 40).Draw(t, "up to")) * hour}}
	}
	c := &brimline.Change{Kind: brimline.Upsert, User: "u", Source: brimline.Source{Offset: int64(len(h.stream))}}
	if rapid.IntRange(0, 4).Draw(t, "delete") == 0 {
		c.Kind = brimline.Delete
	}
	c.Row = inShop(brimline.Transaction{ID: strconv.Itoa(rapid.IntRange(0, 12).Draw(t, "row")), User: "u",
		Amount: brimline.Amount(rapid.Int64Range(-15, 20).Draw(t, "amount")),
		Time:   brimline.Time(rapid.Int64Range(0, 40).Draw(t, "hour")) * hour})
	switch {
	case c.Kind == brimline.Upsert:
		c.Update = rapid.Bool().Draw(t, "update")
		c.Inserted = !c.Update && rapid.Bool().Draw(t, "inserted")
	case rapid.IntRange(0, 3).Draw(t, "unseen") == 0:
		c.Row.Time = brimline.MinTime
	}
	return c
}

// answer answers the oldest questions of a topic, or an edge that is open.
func (h *replays) answer(way int) *brimline.Change {
	c := h.seen[way][0]
	h.seen[way] = h.seen[way][1:]
	delete(h.open, place{way, c.Cause})
	rule := c.Rule
	a := &brimline.Change{User: "u", Rule: rule.Fingerprint(), Row: c.Trigger, Edges: []brimline.Time{c.Edge},
		Cause: c.Cause.Offset}
	if rapid.IntRange(0, 3).Draw(h.t, "dies") == 0 {
		if a.Kind = brimline.Unjudgeable; c.Kind == brimline.LateCandidate {
			a.Edges = append(a.Edges, c.Until)
		}
		return a // that all is answered is said with a later one
	}
	switch {
	case c.Kind == brimline.EdgeCandidate:
		a.Kind = brimline.Dismissal
	default:
		a.Kind, a.Index, a.Edges, a.Apart = brimline.EdgesFound, c.Cause.Index, nil, c.Apart
		for at := c.Edge; at <= c.Until; at += hour {
			if rapid.IntRange(0, 5).Draw(h.t, "an edge") == 0 {
				a.Edges = append(a.Edges, at)
			}
		}
		for at, o := range h.open {
			if at.way == way && o.Kind == brimline.LateCandidate && at.cause.Compare(c.Cause) <= 0 {
				delete(h.open, at)
			}
		}
	}
	return a
}

func (h *replays) step(in Input) {
	in.Offset = int64(len(h.stream))
	h.stream = append(h.stream, in)
	out, write := h.fold.Fold(h.state, in)
	if write {
		h.table.write(h.t, h.state)
	} else if h.state.changed {
		h.state = h.table.load(h.t, h.fold)
	}
	for _, c := range out {
		at := place{wayOf(&c), c.Cause}
		if first, twice := h.open[at]; twice {
			h.t.Fatalf("two candidates under %v: %v and %v", at, first.Edge, c.Edge)
		}
		h.open[at] = c
		h.seen[at.way] = append(h.seen[at.way], c)
	}
}

func (h *replays) replay(back int) {
	was := h.table.load(h.t, h.fold)
	state := h.table.load(h.t, h.fold)
	from := max(0, len(h.stream)-back)
	again := map[place]brimline.Candidate{}
	for _, in := range h.stream[from:] {
		copied := *in.Change
		in.Change = &copied
		if in.Offset >= state.w.Last {
			continue // it did nothing
		}
		out, _ := h.fold.Fold(state, in)
		for _, c := range out {
			again[place{wayOf(&c), c.Cause}] = c
		}
	}
	for at, first := range h.open {
		if at.cause.Offset < int64(from) || at.cause.Offset >= was.w.Last {
			continue
		}
		now, there := again[at]
		if !there || now.Kind != first.Kind || now.Rule.ID != first.Rule.ID || now.Edge > first.Edge ||
			now.Until < first.Until ||
			now.Kind == brimline.EdgeCandidate && now.Edge != first.Edge {
			h.t.Fatalf("after %d messages, the last %d replayed: %v asked %v..%v first, and now %v..%v (there: %v)\n%s",
				len(h.stream), back, at,
				first.Edge, first.Until, now.Edge, now.Until, there, h)
		}
	}
	same(h.t, state, was)
}

func (h *replays) String() (all string) {
	for i, in := range h.stream {
		c := in.Change
		all += fmt.Sprintf("%3d kind %d row %s of %d at %d, rule %x edges %d cause %d/%d\n", i, c.Kind, c.Row.ID,
			c.Row.Amount, int64(c.Row.Time/hour), c.Rule>>48,
			slices.Collect(func(yield func(int64) bool) {
				for _, e := range c.Edges {
					yield(int64(e / hour))
				}
			}), c.Cause, c.Index)
	}
	return all
}
