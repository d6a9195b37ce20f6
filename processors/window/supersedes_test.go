package window

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestLateRowsTellOneStory: rows are committed in any order while the others are folded and verified, so that a
// crossing may be told too late first. Each alert supersedes exactly those sent before it that by PostgreSQL's rows of
// that moment are no edge any more, and of which its edge is the latest before; its candidate names them all. At rest,
// of a measure that cannot shrink, whoever follows the links from an alert that is no edge comes to the edge of which
// it is a part. The one exception is an edge that a row joined to an earlier one that had been sent already: no alert
// comes of that.
func TestLateRowsTellOneStory(t *testing.T) {
	var linked, joinedAll, extended int
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		hidden := w.table
		w.table = nil
		type edge struct {
			rule int
			at   brimline.Time
		}
		sent, links, joined := map[edge]bool{}, map[edge][]brimline.Time{}, map[edge]bool{}
		isEdge := func(e edge) bool {
			return len(w.edges(&w.set.Rules[e.rule], e.at, e.at)) > 0
		}
		latest := func(e edge) (at brimline.Time, any bool) {
			edges := w.edges(&w.set.Rules[e.rule], brimline.MinTime, e.at)
			if len(edges) == 0 {
				return 0, false
			}
			return edges[len(edges)-1], true
		}
		// commit makes a row visible. It joins those that are no edge then, and of which the earlier one was sent before.
		commit := func(n int) {
			w.table, hidden = append(w.table, hidden[n]), slices.Delete(slices.Clone(hidden), n, n+1)
			for e := range sent {
				if before, any := latest(e); any && !isEdge(e) && sent[edge{e.rule, before}] {
					joined[e] = true
				}
			}
		}
		commitSome := func() {
			for len(hidden) > 0 && rapid.IntRange(0, 3).Draw(t, "commit") == 0 {
				commit(rapid.IntRange(0, len(hidden)-1).Draw(t, "which is committed"))
			}
		}
		w.between = commitSome
		w.onAlert = func(c *brimline.Candidate) {
			i := slices.IndexFunc(w.set.Rules, func(r brimline.Rule) bool { return r.ID == c.Rule.ID })
			for e := range sent {
				if e.rule != i || e.at <= c.Edge || isEdge(e) {
					continue
				}
				if before, _ := latest(e); before != c.Edge {
					continue
				}
				if !slices.Contains(c.Later, e.at) {
					t.Fatalf("the candidate of %s does not name %v, which it supersedes; it names %v", c.ID(), e.at, c.Later)
				}
				links[e] = append(links[e], c.Edge)
				if linked++; e.at > c.Edge.Add(c.Rule.Window) {
					extended++
				}
			}
			sent[edge{i, c.Edge}] = true
		}
		for w.next < len(w.stream) {
			commitSome()
			if c := &w.stream[w.next]; c.Kind == brimline.Upsert {
				if n := slices.IndexFunc(hidden, func(r brimline.Transaction) bool { return r.ID == c.Row.ID }); n >= 0 {
					commit(n)
				}
			}
			w.step()
			if rapid.IntRange(0, 9).Draw(t, "crash") == 0 {
				w.crash(rapid.IntRange(0, 8).Draw(t, "lost"), rapid.IntRange(0, 8).Draw(t, "back"))
			}
			if w.next == len(w.stream) || rapid.IntRange(0, 2).Draw(t, "verify") == 0 {
				w.verify()
			}
		}
		for i := range w.set.Rules {
			for _, at := range w.edges(&w.set.Rules[i], brimline.MinTime, brimline.MaxTime) {
				if !sent[edge{i, at}] {
					t.Fatalf("no alert of rule %d at %v", i, at)
				}
			}
		}
		for e := range sent {
			if w.set.Rules[e.rule].Unsteady() || isEdge(e) {
				continue
			}
			want, _ := latest(e)
			end := e
			for len(links[end]) > 0 {
				end.at = links[end][len(links[end])-1]
			}
			switch {
			case isEdge(end) && end.at != want:
				t.Fatalf("the links of rule %d from %v lead to %v, not to %v", e.rule, e.at, end.at, want)
			case !isEdge(end) && !joined[end]:
				t.Fatalf("the links of rule %d from %v end at %v, which is no edge", e.rule, e.at, end.at)
			case !isEdge(end):
				joinedAll++
			}
		}
	})
	t.Logf("%d links, %d of them over more than a window, %d alerts joined to earlier ones", linked, extended, joinedAll)
	if linked == 0 {
		t.Error("no alert superseded another")
	}
}
