package window

import (
	"container/heap"
	"math/bits"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// order is how the change at hand stands to what is known of its row; held is the row as it is here, nil where it is
// not. An older one must not bring back what the row was: an instance of route that was frozen and thawed writes it,
// a connector that begins again writes it at a higher offset, and of two partitions, or two lives of a topic, either
// may be read first.
func (s *step) order(held *brimline.Row) brimline.Order {
	if failpoint.Without(failpoint.RowVersions) {
		return brimline.Newer
	}
	c := s.in.Change
	if t := s.in.Truncation; t != nil && t.Order(&c.Source) == brimline.Older {
		return brimline.Older
	}
	v, known := s.rowVersion()
	if !known {
		if held == nil {
			return brimline.Newer
		}
		o := held.Stamp.Order(&c.Source)
		if o == brimline.Same && c.Kind == brimline.Delete && c.Row.Time != brimline.MinTime && c.Row.Time != held.Time {
			return brimline.Older // see gaveUp
		}
		return o
	}
	o := v.Order(&c.Source)
	if c.Kind == brimline.Delete && held != nil && gaveUp(&v, c, held, o) {
		return brimline.Older
	}
	return o
}

// gaveUp says whether a deletion is of another row, which had this one's id until the same transaction gave it to
// this one. An update of a key is written as a deletion and an insert at one LSN; where the key is more than the id,
// they may lie in different partitions. And where ids move on within one transaction (a deferrable key), the row that
// came here comes first, and the deletion of what was here before says a time that is not this one's.
func gaveUp(v *brimline.RowVersion, c *brimline.Change, held *brimline.Row, o brimline.Order) bool {
	from := &c.Source
	switch {
	case o == brimline.Same:
		return v.Life == from.Life && v.Partition != from.Partition && v.LSN != 0
	case o == brimline.Newer:
		return c.Whole && v.TxID != 0 && v.TxID == from.TxID && v.LSN < from.LSN && v.LSN != 0 &&
			c.Row.Time != held.Time
	}
	return false
}

// noteRowVersion remembers where the change at hand stands in the source if it changes a row that was at a time from
// first to last, or one that was changed earlier. Where it was at none, first is above last. held is the row's stamp
// until now.
func (s *step) noteRowVersion(first, last brimline.Time, held brimline.Stamp) {
	c := s.in.Change
	v, known := s.rowVersion()
	if !known && first > last {
		return
	}
	if !known {
		v = brimline.RowVersion{
			ID: c.Row.ID, Time: brimline.MinTime, From: brimline.MaxTime, LSN: held.LSN, Commit: held.Commit(),
			Snapshot: held.Snapshot(),
		}
	}
	v.Note(&c.Source, s.stands)
	v.Time, v.From = max(v.Time, last), min(v.From, first)
	if c.Kind == brimline.Upsert {
		v.Time, v.From = max(v.Time, c.Row.Time), min(v.From, c.Row.Time)
	}
	s.setRowVersion(v)
}

// seenAgain takes a change that leaves a row as it is. Where it stands later than what is known of the row, that is
// remembered, and what lies between is older from now on.
func (s *step) seenAgain(held *brimline.Row) bool {
	from := &s.in.Change.Source
	stamp := brimline.StampOf(from)
	_, known := s.rowVersion()
	switch {
	case s.stands == brimline.Elsewhere:
		s.noteRowVersion(held.Time, held.Time, held.Stamp)
	case from.LSN <= held.Stamp.LSN && stamp.Life() <= held.Stamp.Life():
		return false
	case known:
		s.noteRowVersion(held.Time, held.Time, held.Stamp)
	}
	if stamp.LSN == 0 {
		life := stamp.Life()
		stamp = brimline.MakeStamp(held.Stamp.LSN, held.Stamp.Ticks(), life)
		if held.Stamp.Snapshot() {
			stamp = stamp.OfSnapshot()
		}
	}
	row := *held
	s.remove(&row)
	row.Stamp = stamp
	s.insert(row)
	return true
}

// rowVersion is that of the change's row, if it was changed before.
func (s *step) rowVersion() (v brimline.RowVersion, known bool) {
	return s.versions.get(s.in.Change.Row.ID)
}

// fewRowVersions are kept in a list, which costs nothing to begin with. What is done with more of them must not cost
// more where there are very many: they have an index by id and one by time.
const fewRowVersions = 32

// rowVersions are those of one user's changed rows.
type rowVersions struct {
	few    []brimline.RowVersion // by id, while there are not many
	many   map[string]brimline.RowVersion
	byTime timeHeap // of many; some are of versions that have another time now
	bytes  int      // in records
	newest brimline.Time
}

// newRowVersions takes over those of a value, by id.
func newRowVersions(all []brimline.RowVersion) rowVersions {
	vs := rowVersions{few: all, newest: brimline.MinTime}
	for i := range all {
		vs.bytes += rowVersionBytes(&all[i])
		vs.newest = max(vs.newest, all[i].Time)
	}
	if len(all) > fewRowVersions {
		return vs.indexed()
	}
	return vs
}

// indexed is vs with indexes in place of a list. It is apart because it costs an allocation.
func (vs rowVersions) indexed() rowVersions {
	vs.index(vs.few)
	return vs
}

func (vs *rowVersions) index(all []brimline.RowVersion) {
	vs.few, vs.many, vs.byTime = nil, make(map[string]brimline.RowVersion, len(all)), make(timeHeap, 0, len(all))
	for _, v := range all {
		vs.many[v.ID] = v
		vs.byTime = append(vs.byTime, timeOf{v.Time, v.ID})
	}
	heap.Init(&vs.byTime)
}

// rowVersionBytes is about the most bytes that a version takes in a record.
func rowVersionBytes(v *brimline.RowVersion) int {
	const differences = 60 // partition, the id's length, and what is told as the difference to another version
	return differences + len(v.ID) + varintBytes(uint64(v.Life)<<1) + varintBytes(v.Former) +
		varintBytes(uint64(v.TxID<<1^v.TxID>>63))
}

func varintBytes(n uint64) int { return (bits.Len64(n|1) + 6) / 7 }

func (vs *rowVersions) len() int { return len(vs.few) + len(vs.many) }

// memory is about how many bytes they take there.
func (vs *rowVersions) memory() int { return vs.bytes + 48*len(vs.few) + 264*len(vs.many) }

func (vs *rowVersions) get(id string) (v brimline.RowVersion, known bool) {
	if vs.many != nil {
		v, known = vs.many[id]
		return v, known
	}
	at, known := findRowVersion(vs.few, id)
	if known {
		v = vs.few[at]
	}
	return v, known
}

func (vs *rowVersions) set(v brimline.RowVersion) {
	before, known := vs.get(v.ID)
	if known {
		vs.bytes -= rowVersionBytes(&before)
	}
	vs.bytes += rowVersionBytes(&v)
	vs.newest = max(vs.newest, v.Time)
	if vs.many == nil {
		if vs.few = withRowVersion(vs.few, v); len(vs.few) > fewRowVersions {
			vs.index(vs.few)
		}
		return
	}
	vs.many[v.ID] = v
	if known && before.Time == v.Time {
		return
	}
	if heap.Push(&vs.byTime, timeOf{v.Time, v.ID}); len(vs.byTime) > 2*len(vs.many)+fewRowVersions {
		vs.index(vs.all())
	}
}

// oldest is one of the lowest time, if there is any.
func (vs *rowVersions) oldest() (v brimline.RowVersion, any bool) {
	if vs.many == nil {
		for _, o := range vs.few {
			if !any || o.Time < v.Time {
				v, any = o, true
			}
		}
		return v, any
	}
	for len(vs.byTime) > 0 {
		if v, any = vs.many[vs.byTime[0].id]; any && v.Time == vs.byTime[0].time {
			return v, true
		}
		heap.Pop(&vs.byTime)
	}
	return brimline.RowVersion{}, false
}

func (vs *rowVersions) remove(v brimline.RowVersion) {
	vs.bytes -= rowVersionBytes(&v)
	if vs.many != nil {
		delete(vs.many, v.ID)
	} else if at, known := findRowVersion(vs.few, v.ID); known {
		vs.few = slices.Delete(vs.few, at, at+1)
	}
	if vs.len() == 0 {
		*vs = newRowVersions(nil)
	}
}

// all are the versions by id.
func (vs *rowVersions) all() []brimline.RowVersion {
	if vs.many == nil {
		return vs.few
	}
	all := make([]brimline.RowVersion, 0, len(vs.many))
	for _, v := range vs.many {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b brimline.RowVersion) int { return strings.Compare(a.ID, b.ID) })
	return all
}

func findRowVersion(in []brimline.RowVersion, id string) (at int, known bool) {
	return slices.BinarySearchFunc(in, id, func(v brimline.RowVersion, id string) int { return strings.Compare(v.ID, id) })
}

// withRowVersion is a list with v at its place.
func withRowVersion(in []brimline.RowVersion, v brimline.RowVersion) []brimline.RowVersion {
	at, known := findRowVersion(in, v.ID)
	if !known {
		return slices.Insert(in, at, v)
	}
	in[at] = v
	return in
}

// timeHeap has the lowest time first.
type timeHeap []timeOf

type timeOf struct {
	time brimline.Time
	id   string
}

func (h timeHeap) Len() int           { return len(h) }
func (h timeHeap) Less(i, j int) bool { return h[i].time < h[j].time }
func (h timeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *timeHeap) Push(x any)        { *h = append(*h, x.(timeOf)) }
func (h *timeHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = timeOf{}
	*h = (*h)[:last]
	return x
}
