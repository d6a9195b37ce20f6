package verify

import (
	"cmp"
	"slices"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// outcome is what one candidate becomes; nothing at all is an outcome too.
type outcome struct {
	alert     *brimline.Alert
	dismissed *brimline.Alert
	answers   []*brimline.Change // to the window stage
	dead      *brimline.DeadLetter
}

// item is one candidate of a batch on its way.
type item struct {
	candidate *brimline.Candidate
	rule      *sliding.Rule
	replay    bool
	question  *question // nil where nothing is to be asked
	out       outcome
}

// question is one question to PostgreSQL, and then its answer.
type question struct {
	user     string
	rule     *sliding.Rule
	from, to brimline.Time // the same for an edge
	late     bool
	after    []brimline.Source // the changes that made it necessary, one per transaction

	figures      brimline.Figures // for an edge
	edges        []brimline.Time  // for a late candidate; each is taken out by the first candidate that it is given to
	asOf         *brimline.AsOf
	verification brimline.Verification // without its status
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
		if it.replay || it.out.dead != nil {
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
		it.question = &question{user: c.User, rule: it.rule, from: c.Edge, to: c.Edge, after: []brimline.Source{c.Source}}
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
			q.to = max(q.to, c.Until)
			q.waitFor(c.Source)
			it.question = q
		}
	}
	return questions
}

// waitFor adds a change; of several in one transaction the last one is enough.
func (q *question) waitFor(src brimline.Source) {
	for i := range q.after {
		if q.after[i].TxID == src.TxID {
			if src.LSN > q.after[i].LSN {
				q.after[i] = src
			}
			return
		}
	}
	q.after = append(q.after, src)
}

// settle turns an answered candidate into its outcome. Items of a batch must
// be settled in their order: of late candidates that share a question, each
// gets the edges of its span that no earlier one has got.
func settle(it *item) {
	c, q := it.candidate, it.question
	if !q.late {
		it.out = judgeEdge(c, it.rule, q)
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

// judgeEdge confirms an edge only if PostgreSQL's figures make it one.
func judgeEdge(c *brimline.Candidate, rule *sliding.Rule, q *question) outcome {
	figures := q.figures
	a := &brimline.Alert{Candidate: *c, Database: &figures, Verification: q.verification, AsOfNow: q.asOf}
	if figures.IsEdge(rule.Limit) {
		a.Verification.Status = brimline.Verified
		return outcome{alert: a}
	}
	a.Verification.Status = brimline.Dismissed
	a.Reason = brimline.ReasonNotAbove
	if figures.Before.Cmp(rule.Limit) > 0 {
		a.Reason = brimline.ReasonAlreadyAbove
	}
	return outcome{dismissed: a, answers: []*brimline.Change{{
		Kind: brimline.Refuted, User: c.User, Source: c.Source,
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
