package explain

import (
	"slices"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/views"
)

// Evidence collects the facts about a user and a rule.
type Evidence struct {
	Rule *sliding.Rule
	// User is as the window table has it, evaluated at the time that is asked about, User.Now.
	User views.User
	// Alerts are those sent for the user and the rule, or of a rule on trial its shadows, and Dismissed what PostgreSQL
	// did not confirm: newest first by when they were recorded.
	Alerts, Dismissed []*brimline.Alert
	// AlertsCut: there were older alerts, which are not kept, or were not looked at.
	AlertsCut bool
	// Letters are the dead letters that concern the user. Asks tells the topics whose letters are questions, not rows;
	// nil: none is.
	Letters []*brimline.DeadLetter
	Asks    func(topic string) bool
	// Database is PostgreSQL's answer; nil where it was not asked, or had none.
	Database *Database
}

// Database is PostgreSQL's answer about the user and the rule.
type Database struct {
	Figures brimline.Figures       // of the window that ends at the time, by its own aggregate
	From    brimline.Time          // from when on edges were looked for
	Rows    []brimline.Transaction // all from From less the rule's reach on to the time, by Compare
	LSN     uint64                 // its write-ahead log position after the answer
}

// Report finds the reason, and the figures that it rests on.
func (e *Evidence) Report() *Report {
	r := e.figures()
	r.Reason = e.reason(r)
	return r
}

func (e *Evidence) stream() *views.RuleFigures {
	for i := range e.User.Rules {
		if e.User.Rules[i].Rule.ID == e.Rule.ID {
			return &e.User.Rules[i]
		}
	}
	return &views.RuleFigures{Rule: e.Rule.Rule}
}

func (e *Evidence) reason(r *Report) Reason {
	at, stream := e.User.Now, e.stream()
	above, isEdge := r.above(), r.Edge == at && r.HasEdge && !r.Silent
	if e.sent(at) != nil {
		switch {
		case isEdge || !r.Known:
			r.Edge, r.HasEdge = at, true
			return e.told(Alerted)
		case e.superseding(r, at):
			return Superseded
		}
		return Outdated
	}
	if !e.User.Found && r.RowsInDatabase == 0 {
		return UnknownUser
	}
	if state := e.state(r, stream, at); state != "" {
		r.Edge, r.HasEdge = at, true
		return state
	}
	if !r.Known {
		r.Edge = 0
		if stream.Distrusted {
			return Distrusted
		}
		return NotRetained
	}
	if !above {
		return e.below(r, stream)
	}
	if !r.HasEdge {
		r.Edge = 0
		if e.Rule.Measure.Shrinks() {
			return AboveWithoutEdge
		}
		return AboveSince
	}
	return e.above(r, stream)
}

// below is why a total is not above the limit.
func (e *Evidence) below(r *Report, stream *views.RuleFigures) Reason {
	r.Edge = 0
	if e.Database != nil && e.Rule.Above(stream.At) {
		// The stream has more, and may have found an edge by it.
		if t, ok := lastEdge(e.User.Rows, e.Rule, brimline.MinTime, e.User.Now); ok && e.sent(t) == nil {
			if state := e.state(r, stream, t); state != "" {
				r.Edge, r.HasEdge = t, true
				return state
			}
		}
	}
	switch {
	case r.NotCounted > 0 && e.Rule.Above(brimline.Figures{Total: r.WithAll, Count: r.Count + r.NotCounted}):
		return RowNotCounted
	case e.Database == nil && e.untaken(r) > 0:
		return DeadLetter
	}
	return ShortBy
}

// above explains the edge since which the total has been above the limit.
func (e *Evidence) above(r *Report, stream *views.RuleFigures) Reason {
	if e.sent(r.Edge) != nil {
		if r.Edge == r.Newest {
			return e.told(Alerted)
		}
		return e.told(AboveSince)
	}
	if state := e.state(r, stream, r.Edge); state != "" {
		return state
	}
	start := r.Edge.Add(-e.Rule.Window)
	switch {
	case r.Silent && e.Rule.Rearms:
		return NotArmed
	case r.Silent:
		return Silent
	case stream.Quiet != 0 && r.Edge <= stream.Quiet:
		return BeforeRule
	case len(r.OnlyInDatabase) > 0 && e.untaken(r) > 0:
		return DeadLetter
	case e.User.Doubt != nil && start <= e.User.Doubt.Floor:
		return Distrusted
	case len(r.OnlyInDatabase) > 0 || !e.User.Found:
		return NotInStream
	case start <= e.User.Floor:
		return NotRetained
	}
	return Unexplained
}

// told is the reason of an alert, of a rule on trial another one.
func (e *Evidence) told(reason Reason) Reason {
	if e.Rule.Shadow {
		return Shadow
	}
	return reason
}

// state explains, by the window table and the dismissed topic, why the alert of an edge was not sent; "" where they
// have nothing.
func (e *Evidence) state(r *Report, stream *views.RuleFigures, t brimline.Time) Reason {
	dismissal := e.dismissal(t)
	i := slices.IndexFunc(stream.Edges, func(edge brimline.Edge) bool { return edge.Time == t })
	if i < 0 {
		for _, s := range stream.Unjudged {
			if s.From <= t && t <= s.Until {
				return DeadLetter
			}
		}
		return r.dismissed(dismissal)
	}
	edge := &stream.Edges[i]
	r.State = &edge.Status
	switch {
	case edge.Status == brimline.Unjudged:
		return DeadLetter
	case edge.Status == brimline.EdgeDismissed:
		if dismissal == nil {
			return Dismissed
		}
		return r.dismissed(dismissal)
	case dismissal != nil && dismissal.Candidate.Cause.Compare(edge.Cause) >= 0:
		return r.dismissed(dismissal)
	case e.AlertsCut:
		return AlertNotKept
	}
	return InQuestion
}

// dismissed is the reason of a dismissal.
func (r *Report) dismissed(dismissal *brimline.Alert) Reason {
	if dismissal == nil {
		return ""
	}
	r.Dismissal = dismissal
	switch dismissal.Reason {
	case brimline.ReasonBeforeAlertsFrom:
		return BeforeAlertsFrom
	case brimline.ReasonQuiet:
		return Silent
	case brimline.ReasonNotRearmed:
		return NotArmed
	}
	return Dismissed
}

// dismissal is the newest dismissal of an edge at t, nil where there is none.
func (e *Evidence) dismissal(t brimline.Time) *brimline.Alert {
	for _, d := range e.Dismissed {
		c := &d.Candidate
		if c.Edge == t || c.Kind == brimline.LateCandidate && c.Edge <= t && t <= c.Until {
			return d
		}
	}
	return nil
}

// sent is the alert of an edge at t, nil where there is none.
func (e *Evidence) sent(t brimline.Time) *brimline.Alert {
	for _, a := range e.Alerts {
		if a.Candidate.Edge == t {
			return a
		}
	}
	return nil
}

// superseding finds the alert that takes the place of the one at t.
func (e *Evidence) superseding(r *Report, t brimline.Time) bool {
	for _, a := range e.Alerts {
		if slices.Contains(a.Supersedes, t) {
			r.Edge, r.HasEdge = a.Candidate.Edge, true
			return true
		}
	}
	r.Edge, r.HasEdge = t, true
	return false
}

// untaken is how many dead letters are of rows that the user does not have in the stream: with PostgreSQL's rows those
// among them, else those that came while the window was open.
func (e *Evidence) untaken(r *Report) (n int) {
	for _, d := range e.Letters {
		switch {
		case e.Asks != nil && e.Asks(d.Topic):
		case e.Database == nil:
			held := slices.ContainsFunc(e.User.Rows, func(t brimline.Transaction) bool { return d.Row != "" && t.ID == d.Row })
			if !held && d.At >= e.User.Now.Add(-e.Rule.Window) {
				n++
			}
		case slices.ContainsFunc(r.OnlyInDatabase, func(t brimline.Transaction) bool { return concernsRow(d, t.ID) }):
			n++
		}
	}
	return n
}

// concernsRow says whether a letter is about a row, by what it says or by its key.
func concernsRow(d *brimline.DeadLetter, id string) bool {
	if d.Row != "" {
		return d.Row == id
	}
	row := *d
	row.User, row.Value = "", nil
	c := ConcernOf(&row, id)
	return c.Any()
}

// lastEdge is the latest edge in [from, to]; of rows everything from from-Window on is needed.
func lastEdge(rows []brimline.Transaction, rule *sliding.Rule, from, to brimline.Time) (brimline.Time, bool) {
	edges := sliding.Edges(rows, rule, from, to)
	if len(edges) == 0 {
		return 0, false
	}
	return edges[len(edges)-1].Time, true
}

// fell reports whether a total was at or below the limit after an edge, and up to now: with a measure that shrinks a
// user may be above again without another edge, since a row has left.
func fell(rows []brimline.Transaction, rule *sliding.Rule, edge, now brimline.Time) bool {
	if !rule.Measure.Shrinks() {
		return false
	}
	gauge := sliding.NewGauge(rule)
	for in, out := 0, 0; out < len(rows); {
		t := rows[out].Time.Add(rule.Window).Add(time.Microsecond)
		if in < len(rows) {
			t = min(t, rows[in].Time)
		}
		if t > now {
			return false
		}
		for ; in < len(rows) && rows[in].Time == t; in++ {
			gauge.Enter(&rows[in])
		}
		for ; out < in && rows[out].Time.Add(rule.Window) < t; out++ {
			gauge.Leave(&rows[out])
		}
		if t > edge && !rule.Above(brimline.Figures{Total: gauge.Total(), Count: gauge.Count()}) {
			return true
		}
	}
	return false
}
