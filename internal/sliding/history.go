package sliding

import (
	"hash/maphash"
	"iter"
	"slices"
	"sort"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/perrow"
)

// blockRows is how many rows a block holds at most, unless more of them have the same time.
const blockRows = 256

// History is one user's rows in time order, and what rules say of them.
//
// Putting in a row, taking one out and finding the edges around it take a time that hardly depends on how many rows
// there are. Rows are kept in blocks. For each block and rule there are the sum of its rows, and bounds of the totals
// of the windows that end in it (of measures that are no sums: of their lifts, see Rule.lift): a block whose windows
// all stay below the limit, or all begin above it, holds no edge and is not looked into. A change of weight w at t
// moves the totals of all windows that end in [t, t+Window] by w, so bounds are moved along and become exact again
// when a caller needs them.
//
// It is not safe for concurrent use, and must not be copied.
type History struct {
	user   string
	rules  []Rule
	most   int      // rows in a block, see blockRows
	blocks []*block // in time order, none empty
	len    int
	bytes  int // in records
	memory int
	times  *perrow.IDs[brimline.Time] // nil while all rows have always been in one block
	tags   []uint32                   // of the ids of the only block's rows; nil until one is looked up
	asked  *brimline.Transaction      // what rules with an expression are shown; nil until there is one
	one    block                      // what blocks begins with
	only   [1]*block                  // to one; most users never need another slice for blocks
}

// block is a stretch of rows. Rows of equal time are in one block.
type block struct {
	rows  []brimline.Row
	rules []blockRule // as History.rules; nil while History.times is
}

type blockRule struct {
	sum    brimline.Total // of all rows
	counts int64
	// known says that most and least are bounds: every row time of the block
	// whose window is retained has a total of at most most, and before it of at least least.
	known       bool
	most, least brimline.Total
	fewest      int64 // as least, of the transactions before
}

// NewHistory takes over a user's rows, which are in time order.
func NewHistory(user string, rules []Rule, rows []brimline.Row) *History {
	return newHistory(user, rules, rows, blockRows)
}

func newHistory(user string, rules []Rule, rows []brimline.Row, most int) *History {
	h := &History{user: user, rules: rules, most: most, len: len(rows)}
	for i := range rows {
		h.bytes += perrow.Bytes(&rows[i])
		h.memory += perrow.Memory(&rows[i])
	}
	if len(rows) == 0 {
		return h
	}
	if len(rows) <= most {
		h.one.rows, h.only[0] = rows, &h.one
		h.blocks = h.only[:]
		return h
	}
	h.times = perrow.MakeIDs[brimline.Time](len(rows), &rows[0])
	for len(rows) > 0 {
		n := len(rows)
		if n > most {
			if n = cut(rows, most*3/4); n == 0 {
				n = len(rows)
			}
		}
		h.blocks = append(h.blocks, h.measured(&block{rows: slices.Clone(rows[:n])}))
		rows = rows[n:]
	}
	for row := range h.All() {
		h.times.Set(row, row.Time)
	}
	return h
}

// Empty is a history of the same rules without rows.
func (h *History) Empty() *History { return newHistory(h.user, h.rules, nil, h.most) }

// Len is the number of rows.
func (h *History) Len() int { return h.len }

// Size is about how many bytes of memory the rows take.
func (h *History) Size() int {
	size := h.memory + h.memory/8 // slices have some room
	if h.times != nil {
		size += 40 * h.len
	}
	return size
}

// All gives the rows in order. They must not be changed.
func (h *History) All() iter.Seq[*brimline.Row] {
	return func(yield func(*brimline.Row) bool) {
		for _, b := range h.blocks {
			for i := range b.rows {
				if !yield(&b.rows[i]) {
					return
				}
			}
		}
	}
}

// Rows are all rows in order, in a slice that must not be changed.
func (h *History) Rows() []brimline.Row {
	switch len(h.blocks) {
	case 0:
		return nil
	case 1:
		return h.blocks[0].rows
	}
	all := make([]brimline.Row, 0, h.len)
	for _, b := range h.blocks {
		all = append(all, b.rows...)
	}
	return all
}

// Newest is the time of the newest row, MinTime if there is none.
func (h *History) Newest() brimline.Time {
	if len(h.blocks) == 0 {
		return brimline.MinTime
	}
	return h.blocks[len(h.blocks)-1].last()
}

// Oldest is the time of the oldest row, MaxTime if there is none.
func (h *History) Oldest() brimline.Time {
	if len(h.blocks) == 0 {
		return brimline.MaxTime
	}
	return h.blocks[0].first()
}

// NewestUntil is the time of the newest row at t or before, MinTime if there is none.
func (h *History) NewestUntil(t brimline.Time) brimline.Time {
	n := h.blockAt(t)
	if n < len(h.blocks) {
		if at := firstAfter(h.blocks[n].rows, t); at > 0 {
			return h.blocks[n].rows[at-1].Time
		}
	}
	if n == 0 {
		return brimline.MinTime
	}
	return h.blocks[n-1].last()
}

// Find gives the row with row's id, nil if there is none; it is valid until the next change.
func (h *History) Find(row *brimline.Row) *brimline.Row {
	if b, i, ok := h.find(row); ok {
		return &h.blocks[b].rows[i]
	}
	return nil
}

func (h *History) find(row *brimline.Row) (b, i int, ok bool) {
	if b, i, ok = h.place(row); ok {
		return b, i, true
	}
	if h.times != nil {
		t, known := h.times.Get(row)
		if !known {
			return 0, 0, false
		}
		there := *row
		there.Time = t
		return h.place(&there)
	}
	if len(h.blocks) == 0 {
		return 0, 0, false
	}
	rows := h.blocks[0].rows
	if len(rows) < taggedFrom {
		for i := range rows {
			if rows[i].SameID(row) {
				return 0, i, true
			}
		}
		return 0, 0, false
	}
	if h.tags == nil {
		h.tags = make([]uint32, len(rows), len(rows)+len(rows)/4)
		for i := range rows {
			h.tags[i] = tag(&rows[i])
		}
	}
	sought := tag(row)
	for i, t := range h.tags {
		if t == sought && rows[i].SameID(row) {
			return 0, i, true
		}
	}
	return 0, 0, false
}

// taggedFrom is the number of rows from which ids are looked for by their tags: most rows that come are new, and are
// compared with all.
const taggedFrom = 20

var tagSeed = maphash.MakeSeed()

func tag(row *brimline.Row) uint32 {
	if n, integer := row.IntegerID(); integer {
		return uint32(n)
	}
	return uint32(maphash.String(tagSeed, row.ID()))
}

// place finds the row with row's time and id, or where it would stand.
func (h *History) place(row *brimline.Row) (b, i int, ok bool) {
	b = h.blockAt(row.Time)
	if b == len(h.blocks) {
		return b, 0, false
	}
	rows := h.blocks[b].rows
	from := firstFrom(rows, row.Time)
	if from == len(rows) || rows[from].Time != row.Time {
		return b, from, false
	}
	i, ok = slices.BinarySearchFunc(rows[from:], row, func(a brimline.Row, b *brimline.Row) int { return a.Compare(b) })
	return b, from + i, ok
}

// blockAt is the first block that ends at t or later.
func (h *History) blockAt(t brimline.Time) int {
	if n := len(h.blocks); n == 0 || h.blocks[n-1].last() < t { // most rows are the newest
		return n
	}
	return sort.Search(len(h.blocks), func(b int) bool { return h.blocks[b].last() >= t })
}

// Insert puts in a row whose id is not there.
func (h *History) Insert(row brimline.Row) {
	h.len++
	h.bytes += perrow.Bytes(&row)
	h.memory += perrow.Memory(&row)
	b, i, _ := h.place(&row)
	if b == len(h.blocks) {
		if b == 0 || len(h.blocks[b-1].rows) >= h.most {
			if b == 1 {
				h.widen()
			}
			h.blocks = append(h.blocks, h.measured(&block{}))
		} else {
			b--
		}
		i = len(h.blocks[b].rows)
	}
	to := h.blocks[b]
	if len(to.rows) == cap(to.rows) { // append would double it
		to.rows = append(make([]brimline.Row, 0, len(to.rows)+len(to.rows)/8+4), to.rows...)
	}
	to.rows = slices.Insert(to.rows, i, row)
	if h.tags != nil {
		h.tags = slices.Insert(h.tags, i, tag(&row))
	}
	if h.times != nil {
		h.times.Set(&row, row.Time)
		h.weighed(to, &row, 1)
	}
	if len(to.rows) > h.most {
		h.split(b)
	}
}

// Remove takes out the row with row's id.
func (h *History) Remove(row *brimline.Row) {
	b, i, ok := h.find(row)
	if !ok {
		return
	}
	from := h.blocks[b]
	gone := from.rows[i]
	h.len--
	h.bytes -= perrow.Bytes(&gone)
	h.memory -= perrow.Memory(&gone)
	if h.tags != nil {
		h.tags = slices.Delete(h.tags, i, i+1)
	}
	if from.rows = slices.Delete(from.rows, i, i+1); len(from.rows) == 0 {
		h.blocks = slices.Delete(h.blocks, b, b+1)
	}
	if h.times != nil {
		h.times.Delete(&gone)
		h.weighed(from, &gone, -1)
	}
}

// Evict drops rows from the oldest on: those before horizon, and as many more, by groups of
// equal time, as it takes to come down to maxBytes (see brimline.Row.Bytes), but never all. It gives
// the time of the newest that it dropped. No edge may be asked for any more whose window reaches down to that time.
func (h *History) Evict(horizon brimline.Time, maxBytes int) (newest brimline.Time, any bool) {
	newest = brimline.MinTime
	for len(h.blocks) > 0 {
		b := h.blocks[0]
		n := firstFrom(b.rows, horizon)
		if n == 0 && h.bytes > maxBytes {
			if n = firstAfter(b.rows, b.first()); n == h.len {
				n = 0
			}
		}
		if n == 0 {
			break
		}
		newest, any = b.rows[n-1].Time, true
		h.drop(b, n)
	}
	return newest, any
}

// drop takes the first n rows out of the first block.
func (h *History) drop(b *block, n int) {
	for i := range b.rows[:n] {
		row := &b.rows[i]
		h.len--
		h.bytes -= perrow.Bytes(row)
		h.memory -= perrow.Memory(row)
		if h.times == nil {
			continue
		}
		h.times.Delete(row)
		for r := range b.rules {
			w, counts := h.lift(r, row)
			b.rules[r].add(w.Total(), counts, -1)
		}
	}
	if h.tags != nil {
		h.tags = slices.Delete(h.tags, 0, n)
	}
	if n == len(b.rows) {
		h.blocks = slices.Delete(h.blocks, 0, 1)
		return
	}
	clear(b.rows[:n])
	b.rows = b.rows[n:]
}

// widen prepares for more than one block.
func (h *History) widen() {
	h.tags = nil
	h.times = perrow.MakeIDs[brimline.Time](2*h.most, &h.blocks[0].rows[0])
	for row := range h.All() {
		h.times.Set(row, row.Time)
	}
	for _, b := range h.blocks {
		h.measured(b)
	}
}

// split makes two blocks of one, unless all its rows have the same time.
func (h *History) split(b int) {
	at := cut(h.blocks[b].rows, len(h.blocks[b].rows)/2)
	if at == 0 {
		return
	}
	if h.times == nil {
		h.widen()
	}
	lower := h.blocks[b]
	upper := h.measured(&block{rows: slices.Clone(lower.rows[at:])})
	clear(lower.rows[at:])
	lower.rows = lower.rows[:at]
	h.measured(lower)
	h.blocks = slices.Insert(h.blocks, b+1, upper)
}

// cut is where rows can be cut in two, near at; 0 if all have the same time.
func cut(rows []brimline.Row, at int) int {
	t := rows[at].Time
	if below := firstFrom(rows, t); below > 0 {
		return below
	}
	if above := firstAfter(rows, t); above < len(rows) {
		return above
	}
	return 0
}

// measured sums up a block. Its bounds are not known.
func (h *History) measured(b *block) *block {
	if h.times == nil {
		return b
	}
	b.rules = make([]blockRule, len(h.rules))
	for r := range b.rules {
		for i := range b.rows {
			w, counts := h.lift(r, &b.rows[i])
			b.rules[r].add(w.Total(), counts, 1)
		}
	}
	return b
}

// weighed takes note of a row that was put into block b (sign 1) or taken out of it (-1).
func (h *History) weighed(b *block, row *brimline.Row, sign int64) {
	for r := range h.rules {
		weight, counts := h.lift(r, row)
		w := weight.Total()
		b.rules[r].add(w, counts, sign)
		if weight == 0 && !(counts && h.rules[r].Measure == brimline.Avg) {
			continue // what does not weigh makes no edge, and moves none
		}
		if sign < 0 {
			w = brimline.Total{}.Sub(w)
		}
		n := int64(0)
		if counts {
			n = sign
		}
		h.shift(r, row.Time, w, n)
		if sign > 0 && b.rules[r].known { // its time may be one that the block did not have
			f := h.liftAt(r, row.Time)
			b.rules[r].include(&f)
		}
	}
}

// shift moves the bounds of rule r for a row at t whose weight changed by w, and the transactions by n.
func (h *History) shift(r int, t brimline.Time, w brimline.Total, n int64) {
	end := t.Add(h.rules[r].Window)
	atMost := h.rules[r].Value != nil // w is the most by which a total moves, and it may not move at all
	for _, b := range h.blocks[h.blockAt(t):] {
		if b.first() > end {
			return
		}
		rule := &b.rules[r]
		if !rule.known {
			continue
		}
		all := t < b.first() && b.last() <= end
		if rises := w.Sign() > 0; rises || all && !atMost {
			rule.most = rule.most.Add(w)
		}
		if falls := w.Sign() < 0; falls || all && !atMost {
			rule.least = rule.least.Add(w)
		}
		if n < 0 || all {
			rule.fewest += n
		}
	}
}

func (r *blockRule) add(w brimline.Total, counts bool, sign int64) {
	if sign < 0 {
		w = brimline.Total{}.Sub(w)
	}
	r.sum = r.sum.Add(w)
	if counts {
		r.counts += sign
	}
}

func (r *blockRule) include(f *brimline.Figures) {
	if f.Total.Cmp(r.most) > 0 {
		r.most = f.Total
	}
	if f.Before.Cmp(r.least) < 0 {
		r.least = f.Before
	}
	r.fewest = min(r.fewest, f.Earlier)
}

// FiguresAt are the figures of rule r at time t.
func (h *History) FiguresAt(r int, t brimline.Time) brimline.Figures {
	rule := &h.rules[r]
	if rule.Measure == brimline.Max {
		return h.largestAt(r, t)
	}
	f := h.liftAt(r, t)
	if rule.Measure == brimline.Avg { // what the limit took away
		f.Before, f.Total = f.Before.Add(rule.Bar(f.Earlier)), f.Total.Add(rule.Bar(f.Count))
		return f
	}
	f.Earlier = 0
	return f
}

// largestAt is FiguresAt of the measure Max, which looks at all rows of the window.
func (h *History) largestAt(r int, t brimline.Time) (f brimline.Figures) {
	start := t.Add(-h.rules[r].Window)
	for b := h.blockAt(start); b < len(h.blocks); b++ {
		rows := h.blocks[b].rows
		for i := firstFrom(rows, start); i < len(rows); i++ {
			if rows[i].Time > t {
				return f
			}
			w, counts := h.weigh(r, &rows[i])
			f.Total = brimline.Max.Join(f.Total, w.Total())
			if rows[i].Time < t {
				f.Before = f.Total
			}
			if counts {
				f.Count++
			}
		}
	}
	return f
}

// liftAt are the lifts before t and at t in place of totals, and always the transactions before.
func (h *History) liftAt(r int, t brimline.Time) brimline.Figures {
	if h.rules[r].Value != nil {
		return h.valuesAt(r, t)
	}
	before, n := h.between(r, t.Add(-h.rules[r].Window), t)
	at, m := h.between(r, t, t+1)
	return brimline.Figures{Before: before, Total: before.Add(at), Count: n + m, Earlier: n}
}

// valuesAt is liftAt of the measure distinct, which looks at all rows of the window.
func (h *History) valuesAt(r int, t brimline.Time) (f brimline.Figures) {
	values, n := h.valuesOf(r, t.Add(-h.rules[r].Window), t)
	f.Before, f.Earlier = values.Total(), n
	f.Count = n + h.enter(&values, r, t, t+1)
	f.Total = values.Total()
	return f
}

// valuesOf are the values of rule r of the rows from from on and before to, of which as many count.
func (h *History) valuesOf(r int, from, to brimline.Time) (values Values, counts int64) {
	counts = h.enter(&values, r, from, to)
	return values, counts
}

// enter takes the rows from from on and before to in, and gives how many count.
func (h *History) enter(values *Values, r int, from, to brimline.Time) (counts int64) {
	for _, b := range h.blocks[h.blockAt(from):] {
		for i := firstFrom(b.rows, from); i < len(b.rows); i++ {
			if b.rows[i].Time >= to {
				return counts
			}
			if v := h.value(r, &b.rows[i]); v != nil {
				values.Enter(v)
				counts++
			}
		}
	}
	return counts
}

// value is a row's value of rule r, nil if it does not count.
func (h *History) value(r int, row *brimline.Row) any {
	if _, counts := h.weigh(r, row); !counts {
		return nil
	}
	return h.rules[r].Value(h.asked)
}

// between sums up rule r over the rows from from on and before to.
func (h *History) between(r int, from, to brimline.Time) (sum brimline.Total, counts int64) {
	for _, b := range h.blocks[h.blockAt(from):] {
		if b.first() >= to {
			break
		}
		low, high := 0, len(b.rows)
		if b.first() < from {
			low = firstFrom(b.rows, from)
		}
		if b.last() >= to {
			high = firstFrom(b.rows, to)
		}
		if inside := high - low; b.rules != nil && inside > len(b.rows)/2 { // less work from outside
			sum, counts = sum.Add(b.rules[r].sum), counts+b.rules[r].counts
			s, c := h.sum(r, b.rows[:low])
			sum, counts = sum.Sub(s), counts-c
			s, c = h.sum(r, b.rows[high:])
			sum, counts = sum.Sub(s), counts-c
			continue
		}
		s, c := h.sum(r, b.rows[low:high])
		sum, counts = sum.Add(s), counts+c
	}
	return sum, counts
}

// sum adds up rule r over rows.
func (h *History) sum(r int, rows []brimline.Row) (sum brimline.Total, counts int64) {
	for i := range rows {
		w, c := h.lift(r, &rows[i])
		sum = sum.AddAmount(w)
		if c {
			counts++
		}
	}
	return sum, counts
}

// lift is Rule.lift of rule r.
func (h *History) lift(r int, row *brimline.Row) (brimline.Amount, bool) {
	rule := &h.rules[r]
	sums := rule.sums()
	if sums && rule.Takes == nil {
		return rule.Measure.Weigh(row.Amount)
	}
	w, counts := h.weigh(r, row)
	if !sums {
		w = rule.lifted(w, counts)
	}
	return w, counts
}

// weigh is Rule.Weigh of rule r.
func (h *History) weigh(r int, row *brimline.Row) (brimline.Amount, bool) {
	rule := &h.rules[r]
	if !rule.NeedsColumns() {
		return rule.Measure.Weigh(row.Amount)
	}
	if h.asked == nil {
		h.asked = new(brimline.Transaction)
	}
	if rule.Takes != nil {
		*h.asked = row.Transaction(h.user)
	} else {
		h.asked.Columns = row.Columns()
	}
	return rule.Weigh(h.asked)
}

// Edges are the edges of rule r at row times in [from, to], in time order. above is the first of these times at which
// there is none because the total had been above the limit before; MaxTime where there is no such time.
// retained is the first time whose window is retained whole; from is not before it.
func (h *History) Edges(r int, retained, from, to brimline.Time) (found []Edge, above brimline.Time) {
	limit, fewest := h.rules[r].bar(), h.rules[r].fewest()
	above = brimline.MaxTime
	look := func(t brimline.Time, f brimline.Figures) {
		switch {
		case t < from || t > to || f.Total.Cmp(limit) <= 0 || f.Count < fewest:
		case f.Before.Cmp(limit) <= 0 || f.Earlier < fewest:
			found = append(found, Edge{t, f})
		default:
			above = min(above, t)
		}
	}
	for n := h.blockAt(from); n < len(h.blocks) && h.blocks[n].first() <= to; n++ {
		b := h.blocks[n]
		if h.times == nil { // nothing is known of its bounds, and nothing would keep them
			h.walk(n, r, from, to, look)
			continue
		}
		switch rule := &b.rules[r]; {
		case rule.known && rule.most.Cmp(limit) <= 0:
		case rule.known && rule.least.Cmp(limit) > 0 && rule.fewest >= fewest:
			if at := firstFrom(b.rows, from); at < len(b.rows) && b.rows[at].Time <= to {
				above = min(above, b.rows[at].Time)
			}
		default:
			h.look(n, r, retained, look)
		}
	}
	for i := range found {
		switch h.rules[r].Measure {
		case brimline.Max, brimline.Avg:
			found[i].Figures = h.FiguresAt(r, found[i].Time)
		default:
			found[i].Figures.Earlier = 0
		}
	}
	return found, above
}

// look gives the figures of rule r at the row times of block n, and makes the block's bounds exact.
func (h *History) look(n, r int, retained brimline.Time, each func(t brimline.Time, f brimline.Figures)) {
	b := h.blocks[n]
	bounds := blockRule{sum: b.rules[r].sum, counts: b.rules[r].counts}
	h.walk(n, r, retained, brimline.MaxTime, func(t brimline.Time, f brimline.Figures) {
		if !bounds.known {
			bounds.known, bounds.most, bounds.least, bounds.fewest = true, f.Total, f.Before, f.Earlier
		}
		bounds.include(&f)
		each(t, f)
	})
	if bounds.known {
		b.rules[r] = bounds
	}
}

// walk gives the figures of rule r at the row times of block n in [from, to], in their order.
func (h *History) walk(n, r int, from, to brimline.Time, each func(t brimline.Time, f brimline.Figures)) {
	rows, window := h.blocks[n].rows, h.rules[r].Window
	high := firstFrom(rows, from)
	if high == len(rows) || rows[high].Time > to {
		return
	}
	start := rows[high].Time.Add(-window)
	if h.rules[r].Value != nil {
		h.walkValues(rows[high:], r, to, each)
		return
	}
	sum, count := h.between(r, start, rows[high].Time)
	for low := h.cursor(start); high < len(rows) && rows[high].Time <= to; {
		t := rows[high].Time
		for start = t.Add(-window); low.row().Time < start; low.next() {
			w, counts := h.lift(r, low.row())
			sum = sum.Sub(w.Total())
			if counts {
				count--
			}
		}
		before, earlier := sum, count
		for ; high < len(rows) && rows[high].Time == t; high++ {
			w, counts := h.lift(r, &rows[high])
			sum = sum.AddAmount(w)
			if counts {
				count++
			}
		}
		each(t, brimline.Figures{Before: before, Total: sum, Count: count, Earlier: earlier})
	}
}

// walkValues is walk of the measure distinct, from the first of the rows on, which are the end of a block.
func (h *History) walkValues(
	rows []brimline.Row, r int, to brimline.Time, each func(t brimline.Time, f brimline.Figures),
) {
	start := rows[0].Time.Add(-h.rules[r].Window)
	values, count := h.valuesOf(r, start, rows[0].Time)
	for low, high := h.cursor(start), 0; high < len(rows) && rows[high].Time <= to; {
		t := rows[high].Time
		for start = t.Add(-h.rules[r].Window); low.row().Time < start; low.next() {
			if v := h.value(r, low.row()); v != nil {
				values.Leave(v)
				count--
			}
		}
		f := brimline.Figures{Before: values.Total(), Earlier: count}
		for ; high < len(rows) && rows[high].Time == t; high++ {
			if v := h.value(r, &rows[high]); v != nil {
				values.Enter(v)
				count++
			}
		}
		f.Total, f.Count = values.Total(), count
		each(t, f)
	}
}

// cursor stands on the first row at t or later.
func (h *History) cursor(t brimline.Time) cursor {
	c := cursor{h: h, block: h.blockAt(t)}
	c.i = firstFrom(h.blocks[c.block].rows, t)
	return c
}

type cursor struct {
	h        *History
	block, i int
}

func (c *cursor) row() *brimline.Row { return &c.h.blocks[c.block].rows[c.i] }

func (c *cursor) next() {
	if c.i++; c.i == len(c.h.blocks[c.block].rows) {
		c.block, c.i = c.block+1, 0
	}
}

// NewestAt are the newest n transactions of rule r's window that ends at t, newest first.
func (h *History) NewestAt(r int, t brimline.Time, n int) (newest []brimline.Transaction) {
	start := t.Add(-h.rules[r].Window)
	for b := min(h.blockAt(t), len(h.blocks)-1); b >= 0; b-- {
		rows := h.blocks[b].rows
		for i := firstAfter(rows, t) - 1; i >= 0; i-- {
			if len(newest) == n || rows[i].Time < start {
				return newest
			}
			if _, counts := h.weigh(r, &rows[i]); counts {
				newest = append(newest, rows[i].Transaction(h.user))
			}
		}
	}
	return newest
}

func (b *block) first() brimline.Time { return b.rows[0].Time }
func (b *block) last() brimline.Time  { return b.rows[len(b.rows)-1].Time }

// firstFrom is the index of the first row at t or later, firstAfter that of the first one later.
func firstFrom(rows []brimline.Row, t brimline.Time) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].Time >= t })
}

func firstAfter(rows []brimline.Row, t brimline.Time) int {
	return sort.Search(len(rows), func(i int) bool { return rows[i].Time > t })
}
