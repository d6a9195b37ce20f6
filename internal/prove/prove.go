// Package prove compares the edges of the table, by the judge's SQL, with the
// alerts that were sent: what is missing, what is no edge any more, and up to
// when that holds. It shares no question with the stages (package judge).
package prove

import (
	"cmp"
	"context"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/judge"
	"github.com/brimline/brimline/internal/ledger"
)

// Rule is a rule of the group.
type Rule struct {
	judge.Rule
	// Since is when the group took the rule up after it had begun: edges before it are not promised. 0: from the start.
	Since brimline.Time
}

// Options say what is compared.
type Options struct {
	Rules    []Rule
	From, To brimline.Time // of the edges, both closed
	// Began is when the group began: whether the stream had the history of before, only its owner knows. 0: it had.
	Began brimline.Time
	// AlertsFrom is the time from which the group alerts; 0: always.
	AlertsFrom brimline.Time
	// TableFrom is the time from which the table has all rows; 0: always.
	TableFrom brimline.Time

	Look func(context.Context, func(*ledger.Look) error) error // a snapshot of the table
	// Alerts calls take for each alert of the topic as it is.
	Alerts func(ctx context.Context, take func(*brimline.Alert)) error
	// Settle waits until the group has handled what the stream had when it was called. lsn is that of the first look.
	Settle func(ctx context.Context, lsn uint64) error
	Clock  func() brimline.Time
}

// Edge is an edge of the table, or an alert's.
type Edge struct {
	ID     string
	User   string
	Rule   *brimline.Rule
	At     brimline.Time
	Table  *brimline.Figures // the table's; nil where it has no such edge
	Alert  *brimline.Figures // PostgreSQL's in the alert; nil where there is none
	Raised brimline.Time     // when PostgreSQL confirmed the alert
}

// Reasons why an edge without an alert is not missing, and an alert without an edge not outdated.
const (
	BeforeRule   = "before_rule"        // the rule came after the edge
	BeforeGroup  = "before_group"       // the group began after the edge, and its stream need not have had it
	BeforeAlerts = "before_alerts_from" // the group alerts from a later time on
	NotWhole     = "window_not_whole"   // the table no longer has the whole window
)

// Result is what was found.
type Result struct {
	From, To brimline.Time
	At       brimline.Time // of the first look
	LSN      uint64        // what PostgreSQL had shown below it was looked at
	Looks    int
	Edges    int // that are promised
	Alerts   int // of these
	Missing  []Edge
	Outdated []Edge
	// Without counts edges that have no alert, and alerts that have no edge, where nothing is promised, by reason.
	Without map[string]int
}

// True reports whether each edge has its alert, and each alert its edge.
func (r *Result) True() bool { return len(r.Missing)+len(r.Outdated) == 0 }

// key is an alert's id and the rule's fingerprint.
type key struct {
	id   string
	rule uint64
}

// picture is the table at one look, and the alerts after it.
type picture struct {
	at      brimline.Time
	lsn     uint64
	edges   map[string]Edge
	alerted map[string]bool
	alerts  map[key]Edge // of the rules as they are, raised before the look
}

// Prove looks once, and where something is amiss once more, after the group has handled what the stream had: only what
// both looks show counts.
func Prove(ctx context.Context, o Options) (*Result, error) {
	first, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{From: o.From, To: o.To, At: first.at, LSN: first.lsn, Looks: 1, Without: map[string]int{}}
	missing, outdated := o.amiss(first, r.Without)
	if len(missing)+len(outdated) > 0 {
		if err := o.Settle(ctx, first.lsn); err != nil {
			return nil, err
		}
		second, err := o.look(ctx)
		if err != nil {
			return nil, err
		}
		r.Looks = 2
		again, still := o.amiss(second, map[string]int{})
		both(missing, again)
		both(outdated, still)
	}
	for id := range first.edges {
		if e := first.edges[id]; o.unpromised(&e) == "" {
			r.Edges++
			if _, lacks := missing[id]; !lacks {
				r.Alerts++
			}
		}
	}
	r.Missing, r.Outdated = sorted(missing), sorted(outdated)
	return r, nil
}

// both takes out of one what the other does not have.
func both(one, other map[string]Edge) {
	for id := range one {
		if _, there := other[id]; !there {
			delete(one, id)
		}
	}
}

func sorted(edges map[string]Edge) (all []Edge) {
	for _, e := range edges {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	return all
}

// amiss are the edges without an alert and the alerts without an edge that are promised to be none. It counts the others.
func (o *Options) amiss(p *picture, without map[string]int) (missing, outdated map[string]Edge) {
	missing, outdated = map[string]Edge{}, map[string]Edge{}
	for id, e := range p.edges {
		if p.alerted[id] {
			continue
		}
		if reason := o.unpromised(&e); reason != "" {
			without[reason]++
		} else {
			missing[id] = e
		}
	}
	for k, e := range p.alerts {
		if _, there := p.edges[k.id]; there {
			continue
		}
		if !o.whole(&e) {
			without[NotWhole]++
		} else {
			outdated[k.id] = e
		}
	}
	return missing, outdated
}

// unpromised is why an edge need not have an alert; empty where it must.
func (o *Options) unpromised(e *Edge) string {
	var since brimline.Time
	for i := range o.Rules {
		if o.Rules[i].ID == e.Rule.ID {
			since = o.Rules[i].Since
		}
	}
	switch {
	case !o.whole(e):
		return NotWhole
	case e.At < o.AlertsFrom:
		return BeforeAlerts
	case e.At < since:
		return BeforeRule
	case e.At < o.Began:
		return BeforeGroup
	}
	return ""
}

// whole reports whether the table has the whole window that ends with the edge.
func (o *Options) whole(e *Edge) bool {
	return o.TableFrom == 0 || e.At.Add(-e.Rule.Window) >= o.TableFrom
}

func (o *Options) look(ctx context.Context) (*picture, error) {
	p := &picture{alerted: map[string]bool{}, alerts: map[key]Edge{}}
	err := o.Look(ctx, func(k *ledger.Look) error {
		p.at, p.lsn, p.edges = o.Clock(), k.LSN, map[string]Edge{}
		return Edges(ctx, k, o.Rules, ledger.Span{From: o.From, To: o.To}, func(e Edge) { p.edges[e.ID] = e })
	})
	if err != nil {
		return nil, err
	}
	current := map[uint64]bool{}
	for i := range o.Rules {
		current[o.Rules[i].Fingerprint()] = true
	}
	err = o.Alerts(ctx, func(a *brimline.Alert) {
		if a.Candidate.Edge < o.From || a.Candidate.Edge > o.To {
			return
		}
		e := EdgeOf(a)
		p.alerted[e.ID] = true
		// What PostgreSQL confirmed after the look may rest on rows that the look has not seen.
		if print := e.Rule.Fingerprint(); current[print] && a.Verification.LSN <= p.lsn {
			p.alerts[key{e.ID, print}] = e
		}
	})
	return p, err
}

// EdgeOf is the edge that an alert names.
func EdgeOf(a *brimline.Alert) Edge {
	return Edge{
		ID: a.Candidate.ID(), User: a.Candidate.User, Rule: &a.Candidate.Rule, At: a.Candidate.Edge, Alert: a.Database,
		Raised: a.Verification.At,
	}
}

// Edges asks the judge for all edges of the rules in a span: by SQL, or, where a rule has a condition, by a walk through
// the rows.
func Edges(ctx context.Context, k *ledger.Look, rules []Rule, span ledger.Span, found func(Edge)) error {
	var sweeps []*judge.Sweep
	from := span.From
	for i := range rules {
		rule := &rules[i]
		edge := func(user string, at brimline.Time, f brimline.Figures) {
			found(Edge{ID: brimline.AlertID(user, rule.ID, at), User: user, Rule: &rule.Rule.Rule, At: at, Table: &f})
		}
		if rule.Takes != nil {
			sweeps = append(sweeps, judge.NewSweep(&rule.Rule, span.From, span.To, edge))
			from = min(from, span.From.Add(-rule.Window))
			continue
		}
		sql := judge.HistorySQL(rule.Measure, k.History(span.User), k.TimeType())
		if err := k.Judged(ctx, sql, judge.Interval(rule.Window), &rule.Rule.Rule, span, edge); err != nil {
			return err
		}
	}
	if len(sweeps) == 0 {
		return nil
	}
	err := k.Rows(ctx, from, span.To, span.User, func(row *brimline.Transaction) {
		for _, s := range sweeps {
			s.Row(row)
		}
	})
	for _, s := range sweeps {
		s.End()
	}
	return err
}

// Verdict is what has become of an alert.
type Verdict string

// The verdicts.
const (
	StillTrue Verdict = "true"     // the table has the edge
	Outdated  Verdict = "outdated" // the table had it when the alert was sent, and has it no more
	False     Verdict = "false"    // its own figures are not those of an edge, or PostgreSQL was not asked
)

// Judge says what has become of an alert, with the table's figures where the edge is there. takes is the condition of
// the alert's rule.
func Judge(
	ctx context.Context, k *ledger.Look, a *brimline.Alert, takes func(*brimline.Transaction) bool,
) (Verdict, *brimline.Figures, error) {
	var f *brimline.Figures
	rules := []Rule{{Rule: judge.Rule{Rule: a.Candidate.Rule, Takes: takes}}}
	span := ledger.Span{From: a.Candidate.Edge, To: a.Candidate.Edge, User: &a.Candidate.User}
	err := Edges(ctx, k, rules, span, func(e Edge) { f = e.Table })
	switch {
	case err != nil:
		return "", nil, err
	case f != nil:
		return StillTrue, f, nil
	case a.Database != nil && a.Database.IsEdge(a.Candidate.Rule.Limit):
		return Outdated, nil, nil
	}
	return False, nil, nil
}
