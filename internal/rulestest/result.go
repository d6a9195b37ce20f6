package rulestest

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

// Result is the outcome of a test.
type Result struct {
	Case          *Case
	Failures      []Failure
	Disagreements []Disagreement
	Courses       []Course
}

// Passed says that every alert was as expected, and that PostgreSQL, where it was asked, said the same as the fold.
func (r *Result) Passed() bool { return len(r.Failures)+len(r.Disagreements) == 0 }

// Failure is an expectation that does not hold.
type Failure struct {
	Line  int // of the expectation; 0 for alerts after the last one
	Pairs []Pair
}

// Pair is an alert that was expected, one that was sent, or both of one edge.
type Pair struct {
	Expected *rules.ExpectedAlert
	Sent     *Alert
	Differs  []string // the fields that do
}

func (p *Pair) key() edgeKey {
	if p.Expected != nil {
		return edgeKey{p.Expected.Rule, p.Expected.User, p.Expected.At}
	}
	return p.Sent.key()
}

// Verdict is the outcome of a Pair.
type Verdict string

// The verdicts.
const (
	Same       Verdict = "ok"
	Different  Verdict = "different"
	Missing    Verdict = "missing"
	Unexpected Verdict = "unexpected"
)

// Verdict compares the two.
func (p *Pair) Verdict() Verdict {
	switch {
	case p.Sent == nil:
		return Missing
	case p.Expected == nil:
		return Unexpected
	case len(p.Differs) > 0:
		return Different
	}
	return Same
}

// Disagreement is an edge of which fold and PostgreSQL do not say the same after a step. One of the two is nil where it
// has no such edge.
type Disagreement struct {
	Line       int // of the step
	Rule, User string
	At         brimline.Time
	Fold       *Alert
	PostgreSQL *brimline.Figures
}

// Course is how a user's total for a rule goes.
type Course struct {
	Rule   brimline.Rule
	User   string
	Points []Point
	Now    *Point // where the test has let time pass: as of then
}

// Point is a time at which the user has rows.
type Point struct {
	At   brimline.Time
	Rows []CourseRow
	brimline.Figures
	Edge bool // by the rows as they are
	// Silent says that it is one that raises no alert, for the rule is quiet.
	Silent bool
	Sent   bool // an alert was sent by then
}

// CourseRow is a row of a Point.
type CourseRow struct {
	ID     string
	Amount brimline.Amount
	Taken  bool // by the rule's where
}
