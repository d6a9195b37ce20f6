// Package prove compares the edges of the table, by the SQL of package reference, with the alerts that were sent: what
// is missing, what is no edge any more, and up to when that holds. It shares no question with the stages.
package prove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/reference"
)

// Rule is a rule of the group.
type Rule struct {
	reference.Rule
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
	// Asking is told before each statement which of how many it is. May be nil.
	Asking func(n, of int)
	// Alerts calls take for each alert of the topic as it is, and ends with its error.
	Alerts func(ctx context.Context, take func(*brimline.Alert) error) error
	// Settle waits until the group has handled what the stream had when it was called, or, which it reports, until
	// resolved says that nothing is left to wait for. lsn is that of the first look.
	Settle func(ctx context.Context, lsn uint64, resolved func(context.Context) (bool, error)) (bool, error)
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
	By     string            // the alert that supersedes it, by links; empty where there is none
}

// Reasons why an edge without an alert is not missing, and an alert without an edge not outdated.
const (
	BeforeRule   = "before_rule"        // the rule came after the edge
	BeforeGroup  = "before_group"       // the group began after the edge, and its stream need not have had it
	BeforeAlerts = "before_alerts_from" // the group alerts from a later time on
	NotWhole     = "window_not_whole"   // the table no longer has the whole window
)

// Result is the outcome of a comparison.
type Result struct {
	From, To brimline.Time
	At       brimline.Time // of the first look
	LSN      uint64        // what PostgreSQL had shown below it was looked at
	Looks    int
	Edges    int // that are promised
	Alerts   int // of these
	Missing  []Edge
	// Alerts without an edge, by what is known of them. Superseded ones are told of and are no fault: the edge of the
	// same crossing has its alert.
	Superseded, Outdated, False []Edge
	// Without counts edges that have no alert, and alerts that have no edge, where nothing is promised, by reason.
	Without map[string]int
}

// True reports whether each edge has its alert, and each alert has its edge, or had it when PostgreSQL was asked: an
// outdated alert is told, and is no fault of who sent it.
func (r *Result) True() bool { return len(r.Missing)+len(r.False) == 0 }

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
	alerts  map[key]Edge      // of the rules as they are, raised before the look
	by      map[string][]Edge // the alerts that name an id as one whose place they take
}

// amiss holds the edges and alerts without a counterpart, by id.
type amiss struct {
	missing map[string]Edge
	alone   map[string]Edge // alerts
	without map[string]int  // where nothing is promised
}

// settled reports whether nothing is amiss that a later look could see otherwise.
func (a *amiss) settled() bool {
	for id := range a.alone {
		if verdict(a.alone[id]) != Superseded {
			return false
		}
	}
	return len(a.missing) == 0
}

// Prove looks once, and where something is amiss once more, after the group has handled what the stream had: only what
// both looks show counts.
func Prove(ctx context.Context, o Options) (*Result, error) {
	first, err := o.look(ctx)
	if err != nil {
		return nil, err
	}
	r := &Result{From: o.From, To: o.To, At: first.at, LSN: first.lsn, Looks: 1}
	found := o.compare(first)
	if !found.settled() {
		done, err := o.Settle(ctx, first.lsn, func(ctx context.Context) (bool, error) {
			if err := o.readAlerts(ctx, first); err != nil {
				return false, err
			}
			found = o.compare(first)
			return found.settled(), nil
		})
		if err != nil {
			return nil, err
		}
		if !done {
			second, err := o.look(ctx)
			if err != nil {
				return nil, err
			}
			r.Looks = 2
			again := o.compare(second)
			found.missing, found.alone = both(found.missing, again.missing), both(found.alone, again.alone)
		}
	}
	r.Without = found.without
	for id := range first.edges {
		if e := first.edges[id]; o.unpromised(&e) == "" {
			r.Edges++
			if _, lacks := found.missing[id]; !lacks {
				r.Alerts++
			}
		}
	}
	r.Missing = sorted(found.missing)
	for _, e := range sorted(found.alone) {
		switch verdict(e) {
		case Superseded:
			r.Superseded = append(r.Superseded, e)
		case Outdated:
			r.Outdated = append(r.Outdated, e)
		default:
			r.False = append(r.False, e)
		}
	}
	return r, nil
}

// both are those of the second that the first has as well.
func both(first, second map[string]Edge) map[string]Edge {
	all := map[string]Edge{}
	for id, e := range second {
		if _, there := first[id]; there {
			all[id] = e
		}
	}
	return all
}

func sorted(edges map[string]Edge) (all []Edge) {
	for _, e := range edges {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	return all
}

// compare finds the edges without an alert and the alerts without an edge. It counts those that are promised nothing.
func (o *Options) compare(p *picture) *amiss {
	a := &amiss{map[string]Edge{}, map[string]Edge{}, map[string]int{}}
	for id, e := range p.edges {
		if p.alerted[id] {
			continue
		}
		if reason := o.unpromised(&e); reason != "" {
			a.without[reason]++
		} else {
			a.missing[id] = e
		}
	}
	for k, e := range p.alerts {
		if _, there := p.edges[k.id]; there {
			continue
		}
		if !o.whole(&e) {
			a.without[NotWhole]++
		} else {
			e.By = p.successor(k.id, o.From)
			a.alone[k.id] = e
		}
	}
	return a
}

// successor follows the links from an alert to the one that the table has as an edge; empty where they lead to none.
// Where they leave the span they are taken at their word.
func (p *picture) successor(id string, from brimline.Time) string {
	seen := map[string]bool{id: true}
	for next := []string{id}; len(next) > 0; next = next[1:] {
		for _, e := range p.by[next[0]] {
			if _, there := p.edges[e.ID]; there || e.At < from {
				return e.ID
			}
			if !seen[e.ID] {
				seen[e.ID] = true
				next = append(next, e.ID)
			}
		}
	}
	return ""
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

// whole reports whether the table has the whole window that ends with the edge, and what could make it silent: of a
// rule that rearms that is all there ever was.
func (o *Options) whole(e *Edge) bool {
	return o.TableFrom == 0 || e.At.Add(-e.Rule.Reach()) >= o.TableFrom
}

// most bounds what is held of a span in memory: some hundred MiB.
const most = 1_000_000

func tooMany(what string) error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "proof_too_large", Where: "--since",
		Remedy: "ask about a shorter time, or with --rule",
		Err:    fmt.Errorf("there are more than %d %s", most, what),
	}
}

func (o *Options) look(ctx context.Context) (*picture, error) {
	p := &picture{}
	err := o.Look(ctx, func(k *ledger.Look) error {
		p.at, p.lsn, p.edges = o.Clock(), k.LSN, map[string]Edge{}
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		err := Edges(ctx, k, o.Rules, ledger.Span{From: o.From, To: o.To}, o.Asking, func(e Edge) {
			if p.edges[e.ID] = e; len(p.edges) > most {
				cancel(tooMany("edges"))
			}
		})
		if cause, large := errors.AsType[*brimline.Error](context.Cause(ctx)); large {
			return cause
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return p, o.readAlerts(ctx, p)
}

// readAlerts fills in the alerts as the topic has them now.
func (o *Options) readAlerts(ctx context.Context, p *picture) error {
	p.alerted, p.alerts, p.by = map[string]bool{}, map[key]Edge{}, map[string][]Edge{}
	current, trial := map[uint64]bool{}, map[string]bool{}
	for i := range o.Rules {
		current[o.Rules[i].Fingerprint()] = true
		trial[o.Rules[i].ID] = o.Rules[i].Shadow
	}
	return o.Alerts(ctx, func(a *brimline.Alert) error {
		e := EdgeOf(a)
		mark := e.Rule.Fingerprint()
		if e.Rule.Shadow && !trial[e.Rule.ID] {
			return nil // what a rule found on trial is no alert of it
		}
		if current[mark] {
			for _, id := range a.SupersededIDs() {
				p.by[id] = append(p.by[id], e)
			}
		}
		if e.At < o.From || e.At > o.To {
			return nil
		}
		if p.alerted[e.ID] = true; len(p.alerted) > most {
			return tooMany("alerts")
		}
		// What PostgreSQL confirmed after the look may rest on rows that the look has not seen.
		if current[mark] && a.Verification.LSN <= p.lsn {
			p.alerts[key{e.ID, mark}] = e
		}
		return nil
	})
}

// EdgeOf is the edge that an alert names.
func EdgeOf(a *brimline.Alert) Edge {
	return Edge{
		ID: a.Candidate.ID(), User: a.Candidate.User, Rule: &a.Candidate.Rule, At: a.Candidate.Edge, Alert: a.Database,
		Raised: a.Verification.At,
	}
}

// Edges asks PostgreSQL for all edges of the rules in a span that raise alerts: by SQL, or, where a rule has a
// condition, counts different values, or rearms, by a walk through the rows. asking may be nil, else see Options.
func Edges(
	ctx context.Context, k *ledger.Look, rules []Rule, span ledger.Span, asking func(n, of int), found func(Edge),
) error {
	if asking == nil {
		asking = func(int, int) {}
	}
	var sweeps []*reference.Sweep
	from := span.From
	heard := make([][]Edge, len(rules)) // of quiet rules, all edges that may make one of the span silent, and those
	for i := range rules {
		rule := &rules[i]
		edge := func(user string, at brimline.Time, f brimline.Figures) {
			e := Edge{ID: brimline.AlertID(user, rule.ID, at), User: user, Rule: &rule.Rule.Rule, At: at, Table: &f}
			if rule.Quiet == 0 {
				found(e)
			} else {
				heard[i] = append(heard[i], e)
			}
		}
		begin := span.From.Add(-rule.Quiet)
		if rule.Takes != nil || rule.Value != nil || rule.Rearms {
			sweeps = append(sweeps, reference.NewSweep(&rule.Rule, begin, span.To, edge))
			if from = min(from, begin.Add(-rule.Window)); rule.Rearms {
				from = brimline.MinTime
			}
			continue
		}
		asking(i+1, len(rules))
		sql := reference.TableSQL(&rule.Rule.Rule, k.Relation(span.User), k.TimeType())
		of := ledger.Span{From: begin, To: span.To, User: span.User}
		if err := k.Edges(ctx, sql, reference.Interval(rule.Window), &rule.Rule.Rule, of, edge); err != nil {
			return err
		}
	}
	if len(sweeps) > 0 {
		asking(len(rules), len(rules))
		err := k.Rows(ctx, from, span.To, span.User, func(row *brimline.Transaction) {
			for _, s := range sweeps {
				s.Row(row)
			}
		})
		if err != nil {
			return err
		}
	}
	for _, s := range sweeps {
		s.End()
	}
	for i := range rules {
		loud(heard[i], &rules[i], span.From, found)
	}
	return nil
}

// loud finds the edges of a quiet rule from a time on that no other one makes silent (docs/semantics.md).
func loud(edges []Edge, rule *Rule, from brimline.Time, found func(Edge)) {
	slices.SortFunc(edges, func(a, b Edge) int { return cmp.Or(cmp.Compare(a.User, b.User), cmp.Compare(a.At, b.At)) })
	for i, e := range edges {
		silent := i > 0 && edges[i-1].User == e.User && edges[i-1].At >= e.At.Add(-rule.Quiet)
		if !silent && e.At >= from {
			found(e)
		}
	}
}

// Verdict says whether an alert is still true, and why not.
type Verdict string

// The verdicts.
const (
	StillTrue  Verdict = "true"       // the table has the edge
	Superseded Verdict = "superseded" // the table has it no more; an alert for the edge of the same crossing names it
	Outdated   Verdict = "outdated"   // PostgreSQL had it when the alert was sent, and the table has it no more
	False      Verdict = "false"      // its own figures are not those of an edge, or PostgreSQL was not asked
)

// verdict tells why the table does not have an alert's edge.
func verdict(e Edge) Verdict {
	switch {
	case e.By != "":
		return Superseded
	case e.Alert != nil && e.Rule.IsEdge(*e.Alert):
		return Outdated
	}
	return False
}

// Fate says whether an alert is still true, with the table's figures where the edge is there. rule is that of the
// alert, others are the alerts of the same user and rule.
func Fate(
	ctx context.Context,
	k *ledger.Look,
	a *brimline.Alert,
	rule reference.Rule,
	others []*brimline.Alert,
) (Verdict, *Edge, error) {
	edge := EdgeOf(a)
	p := &picture{edges: map[string]Edge{}, by: map[string][]Edge{}}
	from := edge.At
	for _, other := range others {
		e := EdgeOf(other)
		if e.User != edge.User || e.Rule.Fingerprint() != edge.Rule.Fingerprint() {
			continue
		}
		for _, id := range other.SupersededIDs() {
			p.by[id] = append(p.by[id], e)
			from = min(from, e.At)
		}
	}
	rules := []Rule{{Rule: rule}}
	span := ledger.Span{From: from, To: edge.At, User: &a.Candidate.User}
	err := Edges(ctx, k, rules, span, nil, func(e Edge) { p.edges[e.ID] = e })
	if err != nil {
		return "", nil, err
	}
	if e, there := p.edges[edge.ID]; there {
		edge.Table = e.Table
		return StillTrue, &edge, nil
	}
	edge.By = p.successor(edge.ID, from)
	return verdict(edge), &edge, nil
}
