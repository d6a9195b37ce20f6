package sliding

import (
	"hash/maphash"
	"iter"
	"slices"
	"sort"
	"unsafe"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/perrow"
)

// blockRows is how many rows a block holds at most, unless more of them have the same time.
const blockRows = 256

// History is one user's rows in time order, and what rules say of them.
//
// Putting in a row, taking one out and finding the edges around it take a time that hardly depends on how many rows
// there are. Rows are kept in blocks. For each block and line of the plan there are the sum of its rows, and bounds of
// the totals of the windows that end in it (of measures that are no sums: of their lifts, see Rule.lift): a block whose
// windows all stay below the limit, or all begin above it, holds no edge and is not looked into. A change of weight w
// at t moves the totals of all windows that end in [t, t+Window] by w, so bounds are moved along and become exact again
// when a caller needs them.
//
// Nothing of that is done for a rule whose limit all rows together do not exceed: it begins when a caller needs it.
//
// It is not safe for concurrent use, and must not be copied.
type History struct {
	user    string
	plan    *Plan
	most    int      // rows in a block, see blockRows
	blocks  []*block // in time order, none empty
	len     int
	bytes   int // in records
	memory  int
	amounts brimline.Total             // the sum of all rows' |amount|
	times   *perrow.IDs[brimline.Time] // nil while all rows have always been in one block
	tags    []uint32                   // of the ids of the only block's rows; nil until one is looked up
	asked   *brimline.Transaction      // what rules with an expression are shown; nil until there is one
	one     block                      // what blocks begins with
	only    [1]*block                  // to one; most users never need another slice for blocks

	// kept are the lines of which blocks have sums and bounds, in the order of block.lines. There are none while times is
	// nil.
	kept []int
	made *made // nil until there is something
}

// made has the parts of a history that few users need.
type made struct {
	slots []int // of the lines that are kept their places among these, plus 1, by line
	// walks are stretches of figures that were made since the last change, of the only block.
	walks   []walked
	figures []Edge
}

// walked says that made.figures from begin to end are those of a line at the row times in [from, to].
type walked struct {
	line       int
	from, to   brimline.Time
	begin, end int
}

// block is a stretch of rows. Rows of equal time are in one block.
type block struct {
	rows  []brimline.Row
	lines []blockLine // as History.kept
	// takes are, by condition, the answers for rows; none of a condition that was not asked yet.
	takes [][]verdict
}

// verdict tells whether a row meets a condition.
type verdict uint8

const (
	unasked verdict = iota
	taken
	refused
)

type blockLine struct {
	sum    brimline.Total // of all rows
	counts int64
	// known says that most and least are bounds: every row time of the block
	// whose window is retained has a total of at most most, and before it of at least least.
	known       bool
	most, least brimline.Total
	fewest      int64 // as least, of the transactions before
}

// NewHistory takes over a user's rows, which are in time order.
func NewHistory(user string, plan *Plan, rows []brimline.Row) *History {
	return newHistory(user, plan, rows, blockRows)
}

func newHistory(user string, plan *Plan, rows []brimline.Row, most int) *History {
	h := new(History)
	h.begin(user, plan, rows, most)
	return h
}

// Reset makes the history what NewHistory gives.
func (h *History) Reset(user string, plan *Plan, rows []brimline.Row) {
	*h = History{asked: h.asked}
	h.begin(user, plan, rows, blockRows)
}

// begin takes over the rows. The history is empty.
func (h *History) begin(user string, plan *Plan, rows []brimline.Row, most int) {
	h.user, h.plan, h.most = user, plan, most
	for i := range rows {
		h.count(&rows[i])
	}
	if len(rows) == 0 {
		return
	}
	if len(rows) <= most {
		h.one.rows, h.only[0] = rows, &h.one
		h.blocks = h.only[:]
		return
	}
	h.times = perrow.MakeIDs[brimline.Time](len(rows), &rows[0])
	for len(rows) > 0 {
		n := len(rows)
		if n > most {
			if n = cut(rows, most*3/4); n == 0 {
				n = len(rows)
			}
		}
		h.blocks = append(h.blocks, &block{rows: slices.Clone(rows[:n])})
		rows = rows[n:]
	}
	for row := range h.All() {
		h.times.Set(row, row.Time)
	}
}

// Empty is a history of the same rules without rows.
func (h *History) Empty() *History { return newHistory(h.user, h.plan, nil, h.most) }

// count takes a row into account, discount out of it.
func (h *History) count(row *brimline.Row) {
	h.len++
	h.bytes += perrow.Bytes(row)
	h.memory += perrow.Memory(row)
	h.amounts = h.amounts.AddAmount(row.Amount.Abs())
}

func (h *History) discount(row *brimline.Row) {
	h.len--
	h.bytes -= perrow.Bytes(row)
	h.memory -= perrow.Memory(row)
	h.amounts = h.amounts.Sub(row.Amount.Abs().Total())
}

// Len is the number of rows.
func (h *History) Len() int { return h.len }

// Size is about how many bytes of memory the rows take.
func (h *History) Size() int {
	size := h.memory + h.memory/8 // slices have some room
	if h.times != nil {
		size += 40 * h.len
	}
	for _, b := range h.blocks {
		size += int(unsafe.Sizeof(blockLine{})) * len(b.lines)
		for _, takes := range b.takes {
			size += 24 + len(takes)
		}
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
	// Not slices.BinarySearchFunc, with which every row that comes would be an allocation.
	i = from + sort.Search(len(rows)-from, func(n int) bool { return rows[from+n].Compare(row) >= 0 })
	return b, i, i < len(rows) && rows[i].Compare(row) == 0
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
	h.count(&row)
	h.unwalk()
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
	for n, takes := range to.takes {
		if takes != nil {
			to.takes[n] = slices.Insert(takes, i, unasked)
		}
	}
	if h.tags != nil {
		h.tags = slices.Insert(h.tags, i, tag(&row))
	}
	if h.times != nil {
		h.times.Set(&row, row.Time)
		h.weighed(to, i, &row, 1)
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
	h.discount(&gone)
	h.unwalk()
	if h.tags != nil {
		h.tags = slices.Delete(h.tags, i, i+1)
	}
	for n, takes := range from.takes {
		if takes != nil {
			from.takes[n] = slices.Delete(takes, i, i+1)
		}
	}
	if from.rows = slices.Delete(from.rows, i, i+1); len(from.rows) == 0 {
		h.blocks = slices.Delete(h.blocks, b, b+1)
	}
	if h.times != nil {
		h.times.Delete(&gone)
		h.weighed(from, -1, &gone, -1)
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
	h.unwalk()
	for i := range b.rows[:n] {
		row := &b.rows[i]
		h.discount(row)
		if h.times == nil {
			continue
		}
		h.times.Delete(row)
		for at, l := range h.kept {
			w, counts := h.liftIn(&h.plan.lines[l], b, i)
			b.lines[at].add(w.Total(), counts, -1)
		}
	}
	if h.tags != nil {
		h.tags = slices.Delete(h.tags, 0, n)
	}
	if n == len(b.rows) {
		h.blocks = slices.Delete(h.blocks, 0, 1)
		return
	}
	for at, takes := range b.takes {
		if takes != nil {
			b.takes[at] = takes[n:]
		}
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
	h.unwalk()
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
	upper := &block{rows: slices.Clone(lower.rows[at:])}
	if lower.takes != nil {
		upper.takes = make([][]verdict, len(lower.takes))
		for n, takes := range lower.takes {
			if takes != nil {
				upper.takes[n], lower.takes[n] = slices.Clone(takes[at:]), takes[:at]
			}
		}
	}
	clear(lower.rows[at:])
	lower.rows = lower.rows[:at]
	h.measured(upper)
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
	b.lines = make([]blockLine, len(h.kept))
	for at, l := range h.kept {
		h.sumUp(b, at, l)
	}
	return b
}

// sumUp makes the sum of line l, which is kept at a place.
func (h *History) sumUp(b *block, at, l int) {
	for i := range b.rows {
		w, counts := h.liftIn(&h.plan.lines[l], b, i)
		b.lines[at].add(w.Total(), counts, 1)
	}
}

// keep gives the place at which the sums and bounds of line l are in blocks; where there are none, it makes the sums.
func (h *History) keep(l int) (at int) {
	m := h.making()
	if m.slots == nil {
		m.slots = make([]int, len(h.plan.lines))
	}
	if m.slots[l] == 0 {
		h.kept = append(h.kept, l)
		m.slots[l] = len(h.kept)
		for _, b := range h.blocks {
			b.lines = append(b.lines, blockLine{})
			h.sumUp(b, len(h.kept)-1, l)
		}
	}
	return m.slots[l] - 1
}

func (h *History) making() *made {
	if h.made == nil {
		h.made = new(made)
	}
	return h.made
}

// weighed takes note of a row that was put into block b (sign 1), at i, or taken out of it (-1).
func (h *History) weighed(b *block, i int, row *brimline.Row, sign int64) {
	for at, l := range h.kept {
		line := &h.plan.lines[l]
		var (
			weight brimline.Amount
			counts bool
		)
		if sign > 0 {
			weight, counts = h.liftIn(line, b, i)
		} else {
			weight, counts = h.lift(line, row)
		}
		w := weight.Total()
		b.lines[at].add(w, counts, sign)
		if weight == 0 && !(counts && line.rule.Measure == brimline.Avg) {
			continue // what does not weigh makes no edge, and moves none
		}
		if sign < 0 {
			w = brimline.Total{}.Sub(w)
		}
		n := int64(0)
		if counts {
			n = sign
		}
		h.shift(at, line.rule, row.Time, w, n)
		if sign > 0 && b.lines[at].known { // its time may be one that the block did not have
			f := h.liftAt(l, row.Time)
			b.lines[at].include(&f)
		}
	}
}

// shift moves the bounds of the line of a rule that is kept at a place, for a row at t whose weight changed by w, and
// the transactions by n.
func (h *History) shift(at int, rule *Rule, t brimline.Time, w brimline.Total, n int64) {
	end := t.Add(rule.Window)
	for _, b := range h.blocks[h.blockAt(t):] {
		if b.first() > end {
			return
		}
		line := &b.lines[at]
		if !line.known {
			continue
		}
		all := t < b.first() && b.last() <= end
		moves := all && rule.Value == nil // else w is the most by which a total moves, and it may not move at all
		if rises := w.Sign() > 0; rises || moves {
			line.most = line.most.Add(w)
		}
		if falls := w.Sign() < 0; falls || moves {
			line.least = line.least.Add(w)
		}
		if n < 0 || all {
			line.fewest += n
		}
	}
}

func (r *blockLine) add(w brimline.Total, counts bool, sign int64) {
	if sign < 0 {
		w = brimline.Total{}.Sub(w)
	}
	r.sum = r.sum.Add(w)
	if counts {
		r.counts += sign
	}
}

func (r *blockLine) include(f *brimline.Figures) {
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
	rule := &h.plan.rules[r]
	if rule.Measure == brimline.Max {
		return h.largestAt(r, t)
	}
	f := h.liftAt(h.plan.of[r], t)
	if rule.Measure == brimline.Avg { // what the limit took away
		f.Before, f.Total = f.Before.Add(rule.Bar(f.Earlier)), f.Total.Add(rule.Bar(f.Count))
		return f
	}
	f.Earlier = 0
	return f
}

// largestAt is FiguresAt of the measure Max, which looks at all rows of the window.
func (h *History) largestAt(r int, t brimline.Time) (f brimline.Figures) {
	line := &h.plan.lines[h.plan.of[r]]
	start := t.Add(-line.rule.Window)
	for n := h.blockAt(start); n < len(h.blocks); n++ {
		b := h.blocks[n]
		for i := firstFrom(b.rows, start); i < len(b.rows); i++ {
			if b.rows[i].Time > t {
				return f
			}
			w, counts := h.weigh(line, b, i)
			f.Total = brimline.Max.Join(f.Total, w.Total())
			if b.rows[i].Time < t {
				f.Before = f.Total
			}
			if counts {
				f.Count++
			}
		}
	}
	return f
}

// liftAt are the lifts of line l before t and at t in place of totals, and always the transactions before.
func (h *History) liftAt(l int, t brimline.Time) brimline.Figures {
	if line := &h.plan.lines[l]; line.rule.Value != nil {
		return h.valuesAt(line, t)
	}
	before, n := h.between(l, t.Add(-h.plan.lines[l].rule.Window), t)
	at, m := h.between(l, t, t+1)
	return brimline.Figures{Before: before, Total: before.Add(at), Count: n + m, Earlier: n}
}

// valuesAt is liftAt of the measure distinct, which looks at all rows of the window.
func (h *History) valuesAt(line *line, t brimline.Time) (f brimline.Figures) {
	var values Values
	f.Earlier = h.enter(&values, line, t.Add(-line.rule.Window), t)
	f.Before = values.Total()
	f.Count = f.Earlier + h.enter(&values, line, t, t+1)
	f.Total = values.Total()
	return f
}

// enter takes the values of the rows from from on and before to in, and gives how many of the rows count.
func (h *History) enter(values *Values, line *line, from, to brimline.Time) (counts int64) {
	for _, b := range h.blocks[h.blockAt(from):] {
		for i := firstFrom(b.rows, from); i < len(b.rows); i++ {
			if b.rows[i].Time >= to {
				return counts
			}
			if v := h.value(line, b, i); v != nil {
				values.Enter(v)
				counts++
			}
		}
	}
	return counts
}

// value is the value of row i of a block, nil if the row does not count.
func (h *History) value(l *line, b *block, i int) any {
	if l.where >= 0 && !h.takes(l, b, i) {
		return nil
	}
	return h.valueOf(l, &b.rows[i])
}

// valueOf is a row's value, whether the row meets the condition or not.
func (h *History) valueOf(l *line, row *brimline.Row) any {
	if h.asked == nil {
		h.asked = new(brimline.Transaction)
	}
	*h.asked = brimline.Transaction{Columns: row.Columns()}
	return l.rule.Value(h.asked)
}

// between sums up line l over the rows from from on and before to.
func (h *History) between(l int, from, to brimline.Time) (sum brimline.Total, counts int64) {
	line := &h.plan.lines[l]
	at := -1
	if h.times != nil {
		at = h.keep(l)
	}
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
		if inside := high - low; at >= 0 && inside > len(b.rows)/2 { // less work from outside
			sum, counts = sum.Add(b.lines[at].sum), counts+b.lines[at].counts
			s, c := h.sum(line, b, 0, low)
			sum, counts = sum.Sub(s), counts-c
			s, c = h.sum(line, b, high, len(b.rows))
			sum, counts = sum.Sub(s), counts-c
			continue
		}
		s, c := h.sum(line, b, low, high)
		sum, counts = sum.Add(s), counts+c
	}
	return sum, counts
}

// sum adds up a line over the rows from low to high of a block.
func (h *History) sum(l *line, b *block, low, high int) (sum brimline.Total, counts int64) {
	for i := low; i < high; i++ {
		w, c := h.liftIn(l, b, i)
		sum = sum.AddAmount(w)
		if c {
			counts++
		}
	}
	return sum, counts
}

// lift is Rule.lift of a line.
func (h *History) lift(l *line, row *brimline.Row) (brimline.Amount, bool) {
	if l.where >= 0 && !h.asks(l, row) || l.rule.Value != nil && h.valueOf(l, row) == nil {
		return l.lifted(0, false)
	}
	return l.lifted(l.rule.Measure.Weigh(row.Amount))
}

// liftIn is lift of row i of a block.
func (h *History) liftIn(l *line, b *block, i int) (brimline.Amount, bool) {
	return l.lifted(h.weigh(l, b, i))
}

func (l *line) lifted(w brimline.Amount, counts bool) (brimline.Amount, bool) {
	if !l.rule.sums() {
		w = l.rule.lifted(w, counts)
	}
	return w, counts
}

// weigh is Rule.Weigh of a line, of row i of a block.
func (h *History) weigh(l *line, b *block, i int) (brimline.Amount, bool) {
	if l.where >= 0 && !h.takes(l, b, i) || l.rule.Value != nil && h.valueOf(l, &b.rows[i]) == nil {
		return 0, false
	}
	return l.rule.Measure.Weigh(b.rows[i].Amount)
}

// takes says whether row i of a block meets the condition of a line, which is asked once.
func (h *History) takes(l *line, b *block, i int) bool {
	if b.takes == nil {
		b.takes = make([][]verdict, h.plan.wheres)
	}
	if b.takes[l.where] == nil {
		b.takes[l.where] = make([]verdict, len(b.rows), cap(b.rows))
	}
	v := &b.takes[l.where][i]
	if *v == unasked {
		if *v = refused; h.asks(l, &b.rows[i]) {
			*v = taken
		}
	}
	return *v == taken
}

// asks evaluates the condition of a line.
func (h *History) asks(l *line, row *brimline.Row) bool {
	if h.asked == nil {
		h.asked = new(brimline.Transaction)
	}
	*h.asked = row.Transaction(h.user)
	return l.rule.Takes(h.asked)
}

// Moves is Rule.Moves of rule r. A row that is held is not evaluated again.
func (h *History) Moves(r int, row *brimline.Row) bool {
	line := &h.plan.lines[h.plan.of[r]]
	var (
		w      brimline.Amount
		counts bool
	)
	switch b, i, held := h.place(row); {
	case held:
		w, counts = h.weigh(line, h.blocks[b], i)
	case line.rule.Value != nil && h.valueOf(line, row) == nil:
	case line.where < 0 || h.asks(line, row):
		w, counts = line.rule.Measure.Weigh(row.Amount)
	}
	return w != 0 || counts && line.rule.Measure == brimline.Avg
}

// Below says that no total of rule r can be above its limit, so that it has no edges: all rows together are not above
// it.
func (h *History) Below(r int) bool {
	limit := h.plan.rules[r].Limit
	switch h.plan.bound[r] {
	case amountsBound:
		return h.amounts.Cmp(limit) <= 0
	case rowsBound:
		return brimline.Count(int64(h.len)).Cmp(limit) <= 0
	}
	return false
}

// AllBelow says that every rule is Below.
func (h *History) AllBelow() bool {
	p := h.plan
	return p.all && (!p.some[amountsBound] || h.amounts.Cmp(p.lowest[amountsBound]) <= 0) &&
		(!p.some[rowsBound] || brimline.Count(int64(h.len)).Cmp(p.lowest[rowsBound]) <= 0)
}

// Edges are the edges of rule r at row times in [from, to], in time order. above is the first of these times at which
// there is none because the total had been above the limit before; MaxTime where there is no such time.
// retained is the first time whose window is retained whole; from is not before it.
func (h *History) Edges(r int, retained, from, to brimline.Time) (found []Edge, above brimline.Time) {
	rule, l := &h.plan.rules[r], h.plan.of[r]
	cover := h.plan.lines[l].cover
	above = brimline.MaxTime
	if h.Below(r) || cover >= 0 && !h.reaches(cover, rule.Limit, retained, from, to) {
		return nil, above
	}
	limit, fewest := rule.bar(), rule.fewest()
	look := func(t brimline.Time, f brimline.Figures) {
		switch {
		case t < from || t > to || f.Total.Cmp(limit) <= 0 || f.Count < fewest:
		case f.Before.Cmp(limit) <= 0 || f.Earlier < fewest:
			found = append(found, Edge{t, f})
		default:
			above = min(above, t)
		}
	}
	h.through(l, retained, from, to, func(b *block, bounds *blockLine) (enough bool) {
		switch {
		case bounds.most.Cmp(limit) <= 0:
			return true
		case bounds.least.Cmp(limit) > 0 && bounds.fewest >= fewest:
			for at := firstFrom(b.rows, from); at < len(b.rows) && b.rows[at].Time <= min(to, above); at++ {
				t := b.rows[at].Time
				if !rule.Measure.Shrinks() || h.liftAt(l, t).Total.Cmp(limit) > 0 { // else it has fallen at t itself
					above = t
					break
				}
			}
			return true
		}
		return false
	}, look)
	for i := range found {
		switch rule.Measure {
		case brimline.Max, brimline.Avg:
			found[i].Figures = h.FiguresAt(r, found[i].Time)
		default:
			found[i].Figures.Earlier = 0
		}
	}
	return found, above
}

// reaches says whether a total of line l is above a limit at a row time in [from, to].
func (h *History) reaches(l int, limit brimline.Total, retained, from, to brimline.Time) (above bool) {
	h.through(l, retained, from, to, func(_ *block, bounds *blockLine) bool {
		return above || bounds.most.Cmp(limit) <= 0
	}, func(t brimline.Time, f brimline.Figures) {
		above = above || from <= t && t <= to && f.Total.Cmp(limit) > 0
	})
	return above
}

// through gives the figures of line l at the row times in [from, to], and perhaps at others, in their order. It leaves
// out a block for which enough, given bounds of its figures, says true.
func (h *History) through(
	l int, retained, from, to brimline.Time, enough func(*block, *blockLine) bool,
	look func(brimline.Time, brimline.Figures),
) {
	if h.times == nil { // there is one block, nothing is known of its bounds, and nothing would keep them
		h.throughOne(l, from, to, look)
		return
	}
	at := h.keep(l)
	for n := h.blockAt(from); n < len(h.blocks) && h.blocks[n].first() <= to; n++ {
		if b := h.blocks[n]; !b.lines[at].known || !enough(b, &b.lines[at]) {
			h.look(n, l, at, retained, look)
		}
	}
}

// throughOne is through for the only block.
func (h *History) throughOne(l int, from, to brimline.Time, look func(brimline.Time, brimline.Figures)) {
	if h.blockAt(from) == len(h.blocks) {
		return
	}
	if !h.plan.lines[l].shared {
		h.walk(0, l, from, to, look)
		return
	}
	for _, f := range h.figuresIn(l, from, to) {
		look(f.Time, f.Figures)
	}
}

// mostFigures is how many figures are remembered.
const mostFigures = 2048

// figuresIn are the figures of line l at the row times of the only block in [from, to]. They are remembered for the
// next rule.
func (h *History) figuresIn(l int, from, to brimline.Time) []Edge {
	m := h.making()
	for _, w := range m.walks {
		if w.line == l && w.from == from && w.to == to {
			return m.figures[w.begin:w.end]
		}
	}
	if len(m.figures)+len(m.walks) > mostFigures {
		h.unwalk()
	}
	begin := len(m.figures)
	h.walk(0, l, from, to, func(t brimline.Time, f brimline.Figures) { m.figures = append(m.figures, Edge{t, f}) })
	m.walks = append(m.walks, walked{l, from, to, begin, len(m.figures)})
	return m.figures[begin:]
}

// unwalk forgets what is remembered of figures, because rows change.
func (h *History) unwalk() {
	m := h.made
	if m == nil {
		return
	}
	m.walks, m.figures = m.walks[:0], m.figures[:0]
	if cap(m.figures) > mostFigures/16 {
		m.figures = nil
	}
}

// look gives the figures of line l at the row times of block n, and makes the block's bounds exact.
func (h *History) look(n, l, at int, retained brimline.Time, each func(t brimline.Time, f brimline.Figures)) {
	b := h.blocks[n]
	bounds := blockLine{sum: b.lines[at].sum, counts: b.lines[at].counts}
	h.walk(n, l, retained, brimline.MaxTime, func(t brimline.Time, f brimline.Figures) {
		if !bounds.known {
			bounds.known, bounds.most, bounds.least, bounds.fewest = true, f.Total, f.Before, f.Earlier
		}
		bounds.include(&f)
		each(t, f)
	})
	if bounds.known {
		b.lines[at] = bounds
	}
}

// walk gives the figures of line l at the row times of block n in [from, to], in their order.
func (h *History) walk(n, l int, from, to brimline.Time, each func(t brimline.Time, f brimline.Figures)) {
	line, b := &h.plan.lines[l], h.blocks[n]
	rows, window := b.rows, line.rule.Window
	high := firstFrom(rows, from)
	if high == len(rows) || rows[high].Time > to {
		return
	}
	start := rows[high].Time.Add(-window)
	if line.rule.Value != nil {
		h.walkValues(line, b, high, to, each)
		return
	}
	sum, count := h.between(l, start, rows[high].Time)
	for low := h.cursor(start); high < len(rows) && rows[high].Time <= to; {
		t := rows[high].Time
		for start = t.Add(-window); low.row().Time < start; low.next() {
			w, counts := h.liftIn(line, h.blocks[low.block], low.i)
			sum = sum.Sub(w.Total())
			if counts {
				count--
			}
		}
		before, earlier := sum, count
		for ; high < len(rows) && rows[high].Time == t; high++ {
			w, counts := h.liftIn(line, b, high)
			sum = sum.AddAmount(w)
			if counts {
				count++
			}
		}
		each(t, brimline.Figures{Before: before, Total: sum, Count: count, Earlier: earlier})
	}
}

// walkValues is walk of the measure distinct, from row high of a block on.
func (h *History) walkValues(
	line *line, b *block, high int, to brimline.Time, each func(t brimline.Time, f brimline.Figures),
) {
	var values Values
	rows := b.rows
	start := rows[high].Time.Add(-line.rule.Window)
	count := h.enter(&values, line, start, rows[high].Time)
	for low := h.cursor(start); high < len(rows) && rows[high].Time <= to; {
		t := rows[high].Time
		for start = t.Add(-line.rule.Window); low.row().Time < start; low.next() {
			if v := h.value(line, h.blocks[low.block], low.i); v != nil {
				values.Leave(v)
				count--
			}
		}
		f := brimline.Figures{Before: values.Total(), Earlier: count}
		for ; high < len(rows) && rows[high].Time == t; high++ {
			if v := h.value(line, b, high); v != nil {
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
	line := &h.plan.lines[h.plan.of[r]]
	start := t.Add(-line.rule.Window)
	for b := min(h.blockAt(t), len(h.blocks)-1); b >= 0; b-- {
		rows := h.blocks[b].rows
		for i := firstAfter(rows, t) - 1; i >= 0; i-- {
			if len(newest) == n || rows[i].Time < start {
				return newest
			}
			if _, counts := h.weigh(line, h.blocks[b], i); counts {
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
