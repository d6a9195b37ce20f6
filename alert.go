package brimline

import (
	"net/url"
	"time"
)

// CandidateKind says what PostgreSQL is to be asked.
type CandidateKind string

// The kinds of candidates.
const (
	EdgeCandidate CandidateKind = "edge" // is Edge an edge?
	// Which edges are there from Edge to Until? Their rows reach below the retained history.
	LateCandidate CandidateKind = "late"
)

// Candidate is a question to PostgreSQL. It carries its rule, so that one
// raised before a change of rules is still decided by the rule that raised it.
type Candidate struct {
	Kind    CandidateKind
	User    string
	Scale   int // decimals of its amounts
	Rule    Rule
	Edge    Time
	Until   Time        // LateCandidate: the last time to ask about
	Trigger Transaction // the row whose arrival raised it
	Source  Source      // of the trigger
	Stream  Figures     // what the window held when it was raised
	Newest  []Transaction
	Cause   Cause
	// Later are edges of the same user and rule after Edge, ascending, whose candidates came before this one: the nearest
	// few. If this edge is confirmed, and one of them was sent and is no edge any more, the alert supersedes that.
	Later []Time
	// ClearsAt is the first instant at which the total is at or below the limit if nothing more comes; 0 where that is not
	// known. Of an alert it is there only if PostgreSQL's figures at the edge were those of the window.
	ClearsAt Time
	// After is a change that PostgreSQL must show as well, beside Source: the newest one to the user's rows. Zero where
	// that is the message's own.
	After Seen
	// Doubted: PostgreSQL has gone on dismissing this edge, and the window stands by it.
	Doubted bool
	// Apart says that it travels in the stream of questions, in which it is not among what live rows wait for. No codec
	// writes it: the stream tells.
	Apart bool
}

// ID is the alert id of the candidate's edge.
func (c *Candidate) ID() string { return AlertID(c.User, c.Rule.ID, c.Edge) }

// AlertID is a pure function of user, rule and edge time:
// `user/rule/2026-01-02T03:04:05.123456Z`, the first two path-escaped.
func AlertID(user, rule string, edge Time) string {
	return url.PathEscape(user) + "/" + url.PathEscape(rule) + "/" + edge.String()
}

// Figures are a rule's totals around one time.
type Figures struct {
	Before Total // over t-Window ≤ time < t
	Total  Total // over t-Window ≤ time ≤ t
	Count  int64 // transactions in Total
	// Earlier are the transactions in Before; of Avg only, 0 of all others.
	Earlier int64
}

// HaveMore reports whether the figures have what others have not, and not the other way round. Of a measure that
// shrinks a total is also higher where rows are missing; then the others may not have more rows.
func (f Figures) HaveMore(than Figures, m Measure) bool {
	return f.Total.Cmp(than.Total) > 0 && (!m.Shrinks() || f.Count >= than.Count)
}

// Status is the outcome of verification.
type Status string

// The outcomes. Only the first two are written to the alerts topic.
const (
	Verified   Status = "verified"
	Unverified Status = "unverified" // verification is switched off
	Dismissed  Status = "dismissed"
)

// Reasons why a candidate is dismissed.
const (
	ReasonAlreadyAbove = "already_above" // the total before the edge was above the limit: the true edge is an earlier one
	// The total at the edge is not above the limit: rows were changed or removed since.
	ReasonNotAbove   = "not_above"
	ReasonNoDatabase = "no_database" // a late candidate while verification is off
	ReasonQuiet      = "quiet"       // another edge came before, and the rule is quiet for longer
	ReasonNotRearmed = "not_rearmed" // the total was not at or below the rule's rearm since it was above the limit

	// ReasonBeforeAlertsFrom is of an edge that was confirmed, and lies before the time from which the group alerts.
	ReasonBeforeAlertsFrom = "before_alerts_from"
)

// Verification says who confirmed the figures, and when.
type Verification struct {
	Status   Status
	At       Time          // when PostgreSQL answered; 0 when unverified
	Duration time.Duration // how long it took
	LSN      uint64        // the database's write-ahead log position after its answer
}

// Alert is one record of the alerts topic, or with Reason set of the dismissed topic.
type Alert struct {
	Candidate    Candidate
	Database     *Figures // nil when unverified
	Verification Verification
	AsOfNow      *AsOf  // with `as_of: now`
	Reason       string // why it was dismissed
	// Supersedes are the edges of alerts that were sent for the same user and rule, ascending: by PostgreSQL's rows they
	// are edges no more, and this one is the latest before them.
	Supersedes []Time
}

// SupersededIDs are the ids of the alerts that this one supersedes.
func (a *Alert) SupersededIDs() []string {
	var ids []string
	for _, edge := range a.Supersedes {
		ids = append(ids, AlertID(a.Candidate.User, a.Candidate.Rule.ID, edge))
	}
	return ids
}

// AsOf is a rule's total at a time of asking.
type AsOf struct {
	At    Time
	Total Total
	Count int64
}
