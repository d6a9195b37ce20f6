package window

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/perrow"
)

// What a segment holds at most, unless its only entry is larger: a user's log is cut so, whatever is in it. The numbers
// are the same in all instances, whatever their topics take: two that fold the same messages cut the same segments.
const (
	segmentBytes   = 256 << 10
	segmentEntries = 4096 // rows count as several: one in a segment is read with all the others
	rowEntries     = 8
)

// cutter makes segments.
type cutter struct {
	state          *State
	parts          []*brimline.Window
	part           brimline.Window
	bytes, entries int
}

// segments are the entries of w, in as many segments as it takes. Read in their order they come to the same: what is
// gone comes before what is there.
func (s *State) segments(w *brimline.Window) []*brimline.Window {
	c := cutter{state: s}
	fill(&c, w.Gone, 1, func(id *string) int { return 2 + len(*id) },
		func(p *brimline.Window, ids []string) { p.Gone = ids })
	fill(&c, w.Rows, rowEntries, perrow.Bytes, func(p *brimline.Window, rows []brimline.Row) { p.Rows = rows })
	fill(&c, w.Changed, 1, rowVersionBytes, func(p *brimline.Window, vs []brimline.RowVersion) { p.Changed = vs })
	for i := range w.Rules {
		r := &w.Rules[i]
		fill(&c, r.Forgotten, 1, func(*brimline.Time) int { return 10 },
			func(p *brimline.Window, times []brimline.Time) { ruleOf(p, r.Rule).Forgotten = times })
	}
	for i := range w.Rules {
		r := &w.Rules[i]
		fill(&c, r.Edges, 1, func(*brimline.Edge) int { return 32 },
			func(p *brimline.Window, edges []brimline.Edge) { ruleOf(p, r.Rule).Edges = edges })
	}
	c.seal()
	return c.parts
}

// fill puts entries of one kind into segments.
func fill[T any](c *cutter, all []T, weight int, bytes func(*T) int, put func(*brimline.Window, []T)) {
	from := 0
	for i := range all {
		n := bytes(&all[i])
		if c.entries > 0 && (c.bytes+n > segmentBytes || c.entries+weight > segmentEntries) {
			if i > from {
				put(&c.part, all[from:i:i])
			}
			c.seal()
			from = i
		}
		c.bytes, c.entries = c.bytes+n, c.entries+weight
	}
	if len(all) > from {
		put(&c.part, all[from:])
	}
}

// seal ends a segment.
func (c *cutter) seal() {
	part := c.part
	part.Last, part.Floor, part.Scale = c.state.w.Last, brimline.MinTime, c.state.w.Scale
	c.parts = append(c.parts, &part)
	c.part, c.bytes, c.entries = brimline.Window{}, 0, 0
}

// ruleOf is a rule's place in a segment.
func ruleOf(part *brimline.Window, rule uint64) *brimline.RuleState {
	if n := len(part.Rules); n > 0 && part.Rules[n-1].Rule == rule {
		return &part.Rules[n-1]
	}
	part.Rules = append(part.Rules, brimline.RuleState{Rule: rule})
	return &part.Rules[len(part.Rules)-1]
}
