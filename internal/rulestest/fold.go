package rulestest

import (
	"context"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/reference"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors/window"
)

// Fold is the ground of `brimline rules test`: the window stage's fold, with a
// table in memory in PostgreSQL's place that answers its candidates by the definition.
type Fold struct {
	of map[*Case]*foldGround
}

// NewFold makes a ground on which nothing has happened.
func NewFold() *Fold { return &Fold{of: map[*Case]*foldGround{}} }

// Do does the steps.
func (f *Fold) Do(_ context.Context, turns []Turn) error {
	for _, t := range turns {
		g := f.of[t.Case]
		if g == nil {
			g = newFoldGround(t.Case.File.Rules)
			f.of[t.Case] = g
		}
		g.do(t.Step)
	}
	return nil
}

// Sent are the alerts since the last call.
func (f *Fold) Sent(_ context.Context, c *Case) ([]Alert, error) {
	g := f.of[c]
	sent := g.alerts
	g.alerts = nil
	return sent, nil
}

// foldGround is the ground of one test.
type foldGround struct {
	verifier
	folder *folder
	alerts []Alert
	now    brimline.Time // the newest time of a row until the test says what time it is
	told   bool
}

func newFoldGround(set *rules.Set) *foldGround {
	return &foldGround{verifier: newVerifier(set), folder: newFolder(set), now: brimline.MinTime}
}

func (g *foldGround) do(s *rules.Step) {
	if s.Kind == rules.TimePasses {
		g.now, g.told = s.Now, true
		return
	}
	var stream []brimline.Change
	for i := range s.Changes {
		c := &s.Changes[i]
		apply(&g.table, c)
		if c.After != nil && !g.told {
			g.now = max(g.now, c.After.Time)
		}
		stream = append(stream, g.folder.route(c)...)
	}
	for len(stream) > 0 {
		candidates := g.folder.fold(&stream[0], g.now)
		stream = stream[1:]
		for i := range candidates {
			alert, answer := g.verify(&candidates[i])
			if alert != nil {
				g.alerts = append(g.alerts, *alert)
			}
			if answer != nil {
				stream = append(stream, *answer)
			}
		}
	}
}

// folder is all that this package knows of the window stage: the states of a
// test's users, and the stream of changes that are folded into them.
type folder struct {
	of          *window.Folder
	states      map[string]*window.State
	offset      int64 // of the next message in the changes stream
	source      int64 // of the next record in the source topic
	truncatedAt int64
}

// keepEdges is the default of --keep-edges.
const keepEdges = 90 * 24 * time.Hour

func newFolder(set *rules.Set) *folder {
	return &folder{of: window.NewFolder(&set.RuleSet, set.Compiled(), keepEdges), states: map[string]*window.State{}}
}

// route gives the changes that the record of a change to a row becomes: two where it moves to another user.
func (f *folder) route(c *rules.RowChange) (changes []brimline.Change) {
	from := brimline.Source{Offset: f.source, LSN: uint64(f.source + 1), TxID: f.source + 1}
	f.source++
	switch {
	case c.After == nil && c.Before == nil:
		return []brimline.Change{{Kind: brimline.Truncate, Source: from}}
	case c.After == nil:
		return []brimline.Change{{Kind: brimline.Delete, User: c.Before.User, Row: *c.Before, Source: from}}
	case c.Before != nil && c.Before.User != c.After.User:
		changes = append(changes, brimline.Change{Kind: brimline.Delete, User: c.Before.User, Row: *c.Before, Source: from})
	}
	return append(changes, brimline.Change{Kind: brimline.Upsert, User: c.After.User, Row: *c.After, Source: from})
}

// fold folds the next message of the changes stream. now is when it was written.
func (f *folder) fold(c *brimline.Change, now brimline.Time) []brimline.Candidate {
	offset := f.offset
	f.offset++
	if c.Kind == brimline.Truncate {
		f.truncatedAt = f.offset
		return nil
	}
	state := f.states[c.User]
	if state == nil {
		state = f.of.NewState(c.User, nil, nil, 0)
		f.states[c.User] = state
	}
	change := *c
	candidates, _ := f.of.Fold(state, window.Input{Change: &change, Offset: offset, At: now, TruncatedAt: f.truncatedAt})
	return candidates
}

// verifier stands in for the verify stage and PostgreSQL.
type verifier struct {
	table reference.Table
	rules map[string]*reference.Rule
}

func newVerifier(set *rules.Set) verifier {
	v := verifier{rules: map[string]*reference.Rule{}}
	for _, r := range set.Compiled() {
		v.rules[r.ID] = &reference.Rule{Rule: r.Rule, Takes: r.Takes, Value: r.Value}
	}
	return v
}

// verify gives the alert that a candidate becomes, or the answer that goes back to the window stage.
func (v *verifier) verify(c *brimline.Candidate) (*Alert, *brimline.Change) {
	rule := v.rules[c.Rule.ID]
	answer := &brimline.Change{User: c.User, Row: c.Trigger, Source: c.Source, Rule: c.Rule.Fingerprint()}
	if c.Kind == brimline.LateCandidate {
		answer.Kind, answer.Cause, answer.Index, answer.Apart = brimline.EdgesFound, c.Cause.Offset, c.Cause.Index, c.Apart
		for _, e := range v.table.Edges(rule, c.User, c.Edge, c.Until) {
			answer.Edges = append(answer.Edges, e.At)
		}
		return nil, answer
	}
	if edges := v.table.Edges(rule, c.User, c.Edge, c.Edge); len(edges) > 0 {
		f := asFigures(edges[0].Figures)
		return &Alert{Rule: rule.ID, User: c.User, At: c.Edge, Figures: f, Severity: c.Rule.Severity}, nil
	}
	answer.Kind, answer.Row = brimline.Dismissal, brimline.Transaction{}
	answer.Edges, answer.Cause = []brimline.Time{c.Edge}, c.Cause.Offset
	return nil, answer
}
