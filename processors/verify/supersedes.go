package verify

import (
	"context"
	"slices"
	"sync"

	"github.com/brimline/brimline"
)

// An edge that is confirmed may put an end to later ones that were sent: its rows arrived late, and the crossing that
// was told at a later time is told once more at the earlier one. The candidate names the later edges that the window
// stage has announced before. Those that were sent are asked about once more, by one question about all edges from this
// one on, after it and all others of the batch have been answered: whatever was confirmed before was so by rows that
// this answer has as well. What no alert was sent of asks nothing, so a catch-up costs no question.

// mostSuperseded is how many ids an alert has at most: the nearest. What it weighs by them fits a record.
const mostSuperseded = 32

// edgeKey is an edge of a user and rule.
type edgeKey struct {
	user string
	rule uint64
	edge brimline.Time
}

func keyOf(it *item, edge brimline.Time) edgeKey {
	return edgeKey{it.candidate.User, it.rule.Fingerprint, edge}
}

// unsent remembers the candidates of a partition that lately became no alert. The window stage may not know of it yet
// when it names their edges. What is forgotten, with the claim too, may be asked about for nothing, and be named by an
// alert although it was never sent.
//
// shown is the newest change by which an edge was confirmed: whichever server is asked must have it, or it could lack
// the rows of an alert that another one has confirmed.
type unsent struct {
	mu          sync.Mutex
	newer, last map[edgeKey]struct{}
	shown       brimline.Source
}

// mostUnsent is how many are remembered at least.
const mostUnsent = 1 << 14

// note takes what has become of an edge, which a change brought.
func (u *unsent) note(k edgeKey, from brimline.Source, sent bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if sent {
		if from.LSN > u.shown.LSN {
			u.shown = from
		}
		delete(u.newer, k)
		delete(u.last, k)
		return
	}
	if u.newer == nil || len(u.newer) == mostUnsent {
		u.newer, u.last = map[edgeKey]struct{}{}, u.newer
	}
	u.newer[k] = struct{}{}
}

func (u *unsent) newestShown() brimline.Source {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shown
}

func (u *unsent) has(k edgeKey) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, newer := u.newer[k]
	_, last := u.last[k]
	return newer || last
}

// edge says whether the item is an edge's candidate that is handled now.
func (it *item) edge() bool {
	return it.candidate != nil && it.candidate.Kind == brimline.EdgeCandidate && it.rule != nil && !it.replay && !it.kept
}

// confirmed says whether PostgreSQL has the item's edge.
func (it *item) confirmed() bool {
	q := it.question
	return it.edge() && it.out.dead == nil && q != nil && q.err == nil && !q.many && q.confirms()
}

// askSuperseded finds out what the confirmed edges of a batch supersede.
func (s *Stage) askSuperseded(ctx context.Context, b *batch) error {
	type subject struct {
		user string
		rule uint64
	}
	confirmed, here := map[subject][]*item{}, map[edgeKey]bool{}
	for i := range b.items {
		it := &b.items[i]
		if !it.edge() {
			continue
		}
		of := subject{it.candidate.User, it.rule.Fingerprint}
		here[keyOf(it, it.candidate.Edge)] = it.confirmed()
		if it.confirmed() && it.candidate.Edge >= s.from() {
			confirmed[of] = append(confirmed[of], it)
		}
	}
	var (
		asking    []*item
		questions []*question
	)
	for i := range b.items {
		it := &b.items[i]
		if !it.confirmed() || it.candidate.Edge < s.from() {
			continue
		}
		c := it.candidate
		q := &question{user: c.User, rule: it.rule, from: c.Edge, late: true}
		q.after.of(c)
		if shown := b.unsent.newestShown(); shown.LSN != 0 {
			q.after.add(shown)
		}
		it.later = slices.DeleteFunc(slices.Clone(c.Later), func(edge brimline.Time) bool {
			k := keyOf(it, edge)
			sent, now := here[k]
			return edge < s.from() || now && !sent || !now && b.unsent.has(k)
		})
		for _, other := range confirmed[subject{c.User, it.rule.Fingerprint}] {
			if other.candidate.Edge > c.Edge {
				it.later = append(it.later, other.candidate.Edge)
				q.after.of(other.candidate)
			}
		}
		if len(it.later) == 0 {
			continue
		}
		slices.Sort(it.later)
		it.later = slices.Compact(it.later)
		it.later = it.later[:min(len(it.later), mostSuperseded)]
		q.to = it.later[len(it.later)-1]
		asking, questions = append(asking, it), append(questions, q)
	}
	if err := s.askTogether(ctx, b, questions); err != nil {
		return err
	}
	for n, q := range questions {
		switch it := asking[n]; {
		case q.many:
			it.question.many = true
		case q.err == nil: // what cannot be decided puts an end to nothing
			it.supersedes = superseded(it.candidate.Edge, it.later, q.edges)
		}
	}
	return nil
}

// superseded are those of later that are no edge any more and have this edge as the latest before them. edges are all
// from it on, ascending.
func superseded(edge brimline.Time, later, edges []brimline.Time) (all []brimline.Time) {
	if len(edges) == 0 || edges[0] != edge {
		return nil
	}
	for _, t := range later {
		if len(edges) > 1 && t >= edges[1] {
			break
		}
		all = append(all, t)
	}
	return all
}

// from is the time from which the group alerts.
func (s *Stage) from() brimline.Time {
	if s.AlertsFrom == 0 {
		return brimline.MinTime
	}
	return s.AlertsFrom
}
