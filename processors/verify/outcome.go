package verify

import (
	"cmp"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// outcome is the output of one candidate, which may be nothing.
type outcome struct {
	alert     *brimline.Alert
	dismissed *brimline.Alert
	answers   []*brimline.Change // to the window stage
	again     *brimline.Again    // what is to be asked again
	dead      *brimline.DeadLetter
	cut       bool // the alert, or what was dismissed, leaves something out
}

// item is one candidate of a batch on its way.
type item struct {
	message   *kgo.Record         // that it came in, perhaps with others
	candidate *brimline.Candidate // nil where the message cannot be decoded
	rule      *sliding.Rule
	replay    bool
	kept      bool              // to be handled later
	from      place             // the message's
	joined    int               // of one that was kept back: how many candidates it is
	after     []brimline.Source // of late ones that were kept back: the changes that made them necessary
	question  *question         // nil where nothing is to be asked
	reask     string            // of what is asked again: what became of it
	// later are the edges of alerts about which is asked whether this one supersedes them, and supersedes is the answer.
	later, supersedes []brimline.Time
	out               outcome
}

// question is one question to PostgreSQL, and then its answer.
type question struct {
	user     string
	rule     *sliding.Rule
	from, to brimline.Time // the same for an edge
	late     bool
	after    waits   // the changes that made it necessary
	members  []*item // of a question about late candidates: those that share it

	figures      brimline.Figures // for an edge
	silent       bool             // it is one that raises no alert
	edges        []brimline.Time  // for a late candidate; each is taken out by the first candidate that it is given to
	asOf         *brimline.AsOf
	verification brimline.Verification // without its status
	many         bool                  // it is about too many rows, and has no answer yet
	err          error
}

// plan gives the items of a batch their questions. Late candidates of one user
// and rule whose spans touch share one: a row far in the past comes with many
// others, and their spans are almost the same.
func plan(items []item) []*question {
	type subject struct {
		user string
		rule uint64
	}
	var questions []*question
	late := map[subject][]*item{}
	var subjects []subject
	for i := range items {
		it := &items[i]
		if it.replay || it.kept || it.out.dead != nil {
			continue
		}
		c := it.candidate
		if c.Kind == brimline.LateCandidate {
			s := subject{c.User, it.rule.Fingerprint}
			if late[s] == nil {
				subjects = append(subjects, s)
			}
			late[s] = append(late[s], it)
			continue
		}
		it.question = &question{user: c.User, rule: it.rule, from: c.Edge, to: c.Edge}
		it.question.after.of(c)
		questions = append(questions, it.question)
	}
	for _, s := range subjects {
		members := slices.Clone(late[s])
		slices.SortStableFunc(members, func(a, b *item) int { return cmp.Compare(a.candidate.Edge, b.candidate.Edge) })
		var q *question
		for _, it := range members {
			c := it.candidate
			if q == nil || c.Edge > q.to {
				q = &question{user: c.User, rule: it.rule, from: c.Edge, to: c.Until, late: true}
				questions = append(questions, q)
			}
			q.add(it)
		}
	}
	return questions
}

// add makes the question one about a late candidate, too.
func (q *question) add(it *item) {
	c := it.candidate
	q.to = max(q.to, c.Until)
	q.after.of(c)
	for _, src := range it.after {
		q.after.add(src)
	}
	q.members, it.question = append(q.members, it), q
}

// apart gives those who share the question one each.
func (q *question) apart() (questions []*question) {
	for _, it := range q.members {
		one := &question{user: q.user, rule: q.rule, from: it.candidate.Edge, to: it.candidate.Until, late: true}
		one.add(it)
		questions = append(questions, one)
	}
	return questions
}

// waits are changes that PostgreSQL must have seen, of each transaction the last one.
type waits struct {
	all []brimline.Source
	at  map[int64]int // where each transaction is
}

// of takes in what a candidate waits for.
func (w *waits) of(c *brimline.Candidate) {
	if w.add(c.Source); c.After != (brimline.Seen{}) {
		w.add(c.After.Source())
	}
}

func (w *waits) add(src brimline.Source) {
	if at, known := w.at[src.TxID]; known {
		if src.LSN > w.all[at].LSN {
			w.all[at] = src
		}
		return
	}
	if w.at == nil {
		w.at = map[int64]int{}
	}
	w.at[src.TxID] = len(w.all)
	w.all = append(w.all, src)
}

// settle turns an answered candidate into its outcome. Items of a batch must
// be settled in their order: of late candidates that share a question, each
// gets the edges of its span that no earlier one has got.
func settle(it *item) {
	c, q := it.candidate, it.question
	if !q.late {
		it.out = decideEdge(c, it.rule, q)
		return
	}
	var mine []brimline.Time
	q.edges = slices.DeleteFunc(q.edges, func(t brimline.Time) bool {
		take := c.Edge <= t && t <= c.Until
		if take {
			mine = append(mine, t)
		}
		return take
	})
	it.out = outcome{answers: edgesFound(c, it.rule, mine)}
}

// confirms says whether the answer to a question about an edge is that it raises an alert.
func (q *question) confirms() bool { return q.rule.IsEdge(q.figures) && !q.silent }

// decideEdge confirms an edge only if PostgreSQL's figures make it one.
func decideEdge(c *brimline.Candidate, rule *sliding.Rule, q *question) outcome {
	figures := q.figures
	a := &brimline.Alert{Candidate: *c, Database: &figures, Verification: q.verification, AsOfNow: q.asOf}
	if figures != c.Stream { // what the window said follows from other rows
		a.Candidate.ClearsAt = 0
	}
	if q.confirms() {
		a.Verification.Status = brimline.Verified
		return outcome{alert: a}
	}
	a.Verification.Status = brimline.Dismissed
	switch {
	case q.silent && rule.Rearms:
		a.Reason = brimline.ReasonNotRearmed
	case q.silent:
		a.Reason = brimline.ReasonQuiet
	case rule.WasAbove(figures):
		a.Reason = brimline.ReasonAlreadyAbove
	default:
		a.Reason = brimline.ReasonNotAbove
	}
	return outcome{dismissed: a, answers: []*brimline.Change{{
		Kind: brimline.Dismissal, User: c.User, Source: c.Source,
		Rule: rule.Fingerprint, Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset,
	}}}
}

// withoutDatabase is the outcome while verification is off.
func withoutDatabase(c *brimline.Candidate) outcome {
	a := &brimline.Alert{Candidate: *c}
	if c.Kind == brimline.LateCandidate {
		a.Reason, a.Verification.Status = brimline.ReasonNoDatabase, brimline.Dismissed
		return outcome{dismissed: a}
	}
	a.Verification.Status = brimline.Unverified
	return outcome{alert: a}
}

// beforeAlertsFrom turns an alert about an edge before a time, 0 for none, into a dismissed one. The window stage
// goes on taking the edge for announced.
func (o *outcome) beforeAlertsFrom(from brimline.Time) {
	if o.alert == nil || from == 0 || o.alert.Candidate.Edge >= from {
		return
	}
	o.alert.Reason = brimline.ReasonBeforeAlertsFrom
	o.alert, o.dismissed = nil, o.alert
}

// lastQuestions tells which items of a batch are the last late candidates of their users. Whatever becomes of them, the
// window stage is told with each that the user's questions have their answers: it forgets no edge before.
func lastQuestions(items []item) []bool {
	last := make([]bool, len(items))
	at := map[string]int{}
	for i := range items {
		c := items[i].candidate
		if c == nil || items[i].replay || items[i].kept || c.Kind != brimline.LateCandidate {
			continue
		}
		if before, any := at[c.User]; any {
			last[before] = false
		}
		at[c.User], last[i] = i, true
	}
	return last
}

// answersComplete says with the last of a late candidate's answers, or one more, that the user's questions up to it
// have theirs.
func answersComplete(c *brimline.Candidate, answers []*brimline.Change) []*brimline.Change {
	if n := len(answers); n == 0 || answers[n-1].Kind != brimline.EdgesFound {
		answers = append(answers, &brimline.Change{Kind: brimline.EdgesFound, User: c.User, Row: c.Trigger,
			Source: c.Source})
	}
	end := answers[len(answers)-1]
	end.Cause, end.Index, end.Apart = c.Cause.Offset, c.Cause.Index, c.Apart
	return answers
}

// unjudgeable tells the window stage that a candidate has become a dead letter.
func unjudgeable(c *brimline.Candidate) *brimline.Change {
	answer := &brimline.Change{
		Kind: brimline.Unjudgeable, User: c.User, Row: c.Trigger, Source: c.Source,
		Rule: c.Rule.Fingerprint(), Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset,
	}
	if c.Kind == brimline.LateCandidate {
		answer.Edges = append(answer.Edges, c.Until)
	}
	return answer
}

// edgesPerAnswer bounds a record of the changes stream to some 100 KB.
const edgesPerAnswer = 10_000

// edgesFound hands edges to the window stage, which knows what is new among them.
func edgesFound(c *brimline.Candidate, rule *sliding.Rule, edges []brimline.Time) (answers []*brimline.Change) {
	for part := range slices.Chunk(edges, edgesPerAnswer) {
		answers = append(answers, &brimline.Change{
			Kind: brimline.EdgesFound, User: c.User, Row: c.Trigger, Source: c.Source, Rule: rule.Fingerprint, Edges: part,
		})
	}
	return answers
}
