package rulestest

import (
	"cmp"
	"context"
	"math/big"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/reference"
	"github.com/brimline/brimline/internal/rules"
)

// Ground takes the rows of a test and gives the alerts.
type Ground interface {
	// Do does one step of some tests, each of which is no expectation. It
	// returns once all that comes of it has been judged.
	Do(ctx context.Context, turns []Turn) error
	// Sent are the test's alerts since the call before it.
	Sent(ctx context.Context, c *Case) ([]Alert, error)
}

// Case is one test of a file.
type Case struct {
	File *rules.TestFile
	*rules.Test
}

// Turn is a step of a test that is to be done.
type Turn struct {
	Case *Case
	Step *rules.Step
}

// Alert is one that was sent, with PostgreSQL's figures at the scale of the rule's measure.
type Alert struct {
	Rule, User string
	At         brimline.Time
	brimline.Figures
	Severity string
}

func (a *Alert) key() edgeKey { return edgeKey{a.Rule, a.User, a.At} }

// edgeKey has the parts of an alert's id.
type edgeKey struct {
	rule, user string
	at         brimline.Time
}

func (k edgeKey) compare(o edgeKey) int {
	return cmp.Or(cmp.Compare(k.at, o.at), cmp.Compare(k.user, o.user), cmp.Compare(k.rule, o.rule))
}

// Options of Play.
type Options struct {
	// Judge lets PostgreSQL say, after each step, which edges the rows have. Nil is without.
	Judge *reference.Session
	// Courses asks for the course of the totals of all tests; those of what failed are there anyway.
	Courses bool
}

// Play plays the tests side by side, and gives their results in order. It fails where the ground or the judge does.
func Play(ctx context.Context, g Ground, cases []*Case, o Options) ([]Result, error) {
	players := make([]*player, len(cases))
	for i, c := range cases {
		players[i] = newPlayer(c, o)
	}
	for {
		var turns []Turn
		var acting []*player
		for _, p := range players {
			if step := p.next(); step != nil {
				turns, acting = append(turns, Turn{p.Case, step}), append(acting, p)
			}
		}
		if len(turns) == 0 {
			break
		}
		if err := g.Do(ctx, turns); err != nil {
			return nil, err
		}
		for i, p := range acting {
			sent, err := g.Sent(ctx, p.Case)
			if err == nil {
				err = p.done(ctx, turns[i].Step, sent)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	results := make([]Result, len(players))
	for i, p := range players {
		results[i] = p.end()
	}
	return results, nil
}

// player plays one test.
type player struct {
	*Case
	Options
	step     int // to be looked at next
	rules    []reference.Rule
	table    reference.Table // the rows as they are
	users    []string        // who ever had rows, in order
	now      *brimline.Time
	sent     []Alert // all
	expected int     // of sent: how many earlier expectations were about
	judged   map[edgeKey]reference.Figures
	result   Result
	shown    map[edgeKey]bool // the courses that the result has, without their time
}

func newPlayer(c *Case, o Options) *player {
	p := &player{Case: c, Options: o, judged: map[edgeKey]reference.Figures{}, shown: map[edgeKey]bool{}}
	for _, r := range c.File.Rules.Compiled() {
		p.rules = append(p.rules, reference.Rule{Rule: r.Rule, Takes: r.Takes, Value: r.Value})
	}
	p.result = Result{Case: c}
	return p
}

// next looks at the expectations that come next, and gives the step after them; nil at the end.
func (p *player) next() *rules.Step {
	for p.step < len(p.Steps) {
		s := &p.Steps[p.step]
		p.step++
		if s.Kind != rules.Expect {
			return s
		}
		p.expect(s.Line, s.Alerts)
	}
	return nil
}

// done takes what a step has brought.
func (p *player) done(ctx context.Context, s *rules.Step, sent []Alert) error {
	if s.Kind == rules.TimePasses {
		p.now = &s.Now
	}
	for _, c := range s.Changes {
		apply(&p.table, &c)
		if c.After != nil && !slices.Contains(p.users, c.After.User) {
			p.users = append(p.users, c.After.User)
		}
	}
	slices.SortStableFunc(sent, func(a, b Alert) int { return a.key().compare(b.key()) })
	p.sent = append(p.sent, sent...)
	if p.Judge == nil || s.Kind != rules.RowsChange {
		return nil
	}
	return p.judge(ctx, s, sent)
}

func apply(t *reference.Table, c *rules.RowChange) {
	switch {
	case c.After != nil:
		t.Put(c.After)
	case c.Before != nil:
		t.Delete(c.Before.ID)
	default:
		t.Truncate()
	}
}

// judge compares what a step has brought with PostgreSQL's edges that were not there before. An edge that was is
// alerted already.
func (p *player) judge(ctx context.Context, s *rules.Step, sent []Alert) error {
	scale := p.File.Rules.Scale
	found, err := p.Judge.Edges(ctx, p.table.Rows(), p.rules, scale)
	if err != nil {
		return err
	}
	want := map[edgeKey]reference.Figures{}
	for rule, edges := range found {
		for _, e := range edges {
			k := edgeKey{rule, e.User, e.At}
			if _, known := p.judged[k]; !known {
				want[k] = e.Figures
			}
			p.judged[k] = e.Figures
		}
	}
	disagree := func(k edgeKey, fold *Alert, postgres *brimline.Figures) {
		p.result.Disagreements = append(p.result.Disagreements, Disagreement{s.Line, k.rule, k.user, k.at, fold, postgres})
		p.course(k)
	}
	seen := map[edgeKey]bool{}
	for i := range sent {
		a := &sent[i]
		f, ok := want[a.key()]
		switch figures := asFigures(f); {
		case !ok || seen[a.key()]:
			disagree(a.key(), a, nil)
		case figures != a.Figures:
			disagree(a.key(), a, &figures)
		}
		seen[a.key()] = true
	}
	for k, f := range want {
		if !seen[k] {
			figures := asFigures(f)
			disagree(k, nil, &figures)
		}
	}
	slices.SortStableFunc(p.result.Disagreements, func(a, b Disagreement) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), edgeKey{a.Rule, a.User, a.At}.compare(edgeKey{b.Rule, b.User, b.At}))
	})
	return nil
}

// asFigures gives the judge's numbers as totals. Those of a test's rows always fit.
func asFigures(f reference.Figures) brimline.Figures {
	if f.Total == nil {
		return brimline.Figures{}
	}
	return brimline.Figures{Before: asTotal(f.Before), Total: asTotal(f.Total), Count: f.Count}
}

func asTotal(n *big.Int) brimline.Total {
	t, _ := brimline.ParseTotal(n.String(), 0)
	return t
}

// expect compares the alerts since the last expectation with those that must be.
func (p *player) expect(line int, expected []rules.ExpectedAlert) {
	f := Failure{Line: line}
	sent := slices.DeleteFunc(slices.Clone(p.sent[p.expected:]), func(a Alert) bool {
		return len(p.Only) > 0 && !slices.Contains(p.Only, a.Rule)
	})
	p.expected = len(p.sent)
	failed := false
	for i := range expected {
		pair := Pair{Expected: &expected[i]}
		at := slices.IndexFunc(sent, func(a Alert) bool { return a.key() == pair.key() })
		if at >= 0 {
			a := sent[at]
			pair.Sent, sent = &a, slices.Delete(sent, at, at+1)
			pair.Differs = differs(pair.Expected, &a)
		}
		f.Pairs = append(f.Pairs, pair)
	}
	for i := range sent {
		f.Pairs = append(f.Pairs, Pair{Sent: &sent[i]})
	}
	slices.SortStableFunc(f.Pairs, func(a, b Pair) int { return a.key().compare(b.key()) })
	for i := range f.Pairs {
		if f.Pairs[i].Verdict() != Same {
			failed = true
			p.course(f.Pairs[i].key())
		}
	}
	if failed {
		p.result.Failures = append(p.result.Failures, f)
	}
}

func differs(want *rules.ExpectedAlert, got *Alert) (names []string) {
	if want.Before != nil && *want.Before != got.Before {
		names = append(names, "before")
	}
	if want.Total != nil && *want.Total != got.Total {
		names = append(names, "total")
	}
	if want.Count != nil && *want.Count != got.Count {
		names = append(names, "count")
	}
	if want.Severity != nil && *want.Severity != got.Severity {
		names = append(names, "severity")
	}
	return names
}

// end looks for alerts after the last expectation.
func (p *player) end() Result {
	p.expect(0, nil)
	if p.Courses {
		for _, user := range p.users {
			for i := range p.rules {
				if len(p.Only) == 0 || slices.Contains(p.Only, p.rules[i].ID) {
					p.course(edgeKey{p.rules[i].ID, user, 0})
				}
			}
		}
	}
	return p.result
}

// course adds the course of a user's total as the rows are now, once.
func (p *player) course(k edgeKey) {
	if k.at = 0; p.shown[k] {
		return
	}
	p.shown[k] = true
	at := slices.IndexFunc(p.rules, func(r reference.Rule) bool { return r.ID == k.rule })
	if at < 0 {
		return
	}
	r := &p.rules[at]
	c := Course{Rule: r.Rule, User: k.user}
	all := p.table.Rows()
	times := p.table.Times(k.user)
	for _, a := range p.sent {
		if a.Rule == k.rule && a.User == k.user {
			times = append(times, a.At)
		}
	}
	slices.Sort(times)
	for _, t := range slices.Compact(times) {
		point := Point{At: t}
		for i := range all {
			row := &all[i]
			if row.User == k.user && row.Time == t {
				point.Rows = append(point.Rows, CourseRow{row.ID, row.Amount, r.Takes == nil || r.Takes(row)})
			}
		}
		f := p.table.At(r, k.user, t)
		point.Figures, point.Edge = asFigures(f), f.IsEdge(&r.Rule)
		point.Silent = point.Edge && len(p.table.Edges(r, k.user, t, t)) == 0
		point.Sent = slices.ContainsFunc(p.sent, func(a Alert) bool { return a.key() == edgeKey{k.rule, k.user, t} })
		c.Points = append(c.Points, point)
	}
	if p.now != nil {
		c.Now = &Point{At: *p.now, Figures: asFigures(p.table.At(r, k.user, *p.now))}
	}
	p.result.Courses = append(p.result.Courses, c)
}
