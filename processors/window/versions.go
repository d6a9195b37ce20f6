package window

import (
	"container/heap"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// isEcho says whether a newer change to the same row has been folded. An
// instance of route that was frozen and thawed writes what it had read once more, after its successor has gone on.
func (s *step) isEcho() bool {
	v, known := s.version()
	if !known || failpoint.Without(failpoint.RowVersions) {
		return false
	}
	// Offsets of different partitions have no order: the row has moved, because the topic got more of them.
	from := s.in.Change.Source
	return v.Partition == from.Partition && from.Offset < v.Offset
}

// noteVersion remembers where the change at hand stands in the source if it changes a row that was at a time from
// first to last, or one that was changed earlier. Where it was at none, first is above last.
func (s *step) noteVersion(first, last brimline.Time) {
	c := s.in.Change
	v, known := s.version()
	if !known && first > last {
		return
	}
	if !known {
		v = brimline.RowVersion{ID: c.Row.ID, Time: brimline.MinTime, From: brimline.MaxTime}
	}
	v.Partition, v.Offset = c.Source.Partition, c.Source.Offset
	v.Time, v.From = max(v.Time, last), min(v.From, first)
	if c.Kind == brimline.Upsert {
		v.Time, v.From = max(v.Time, c.Row.Time), min(v.From, c.Row.Time)
	}
	s.setVersion(v)
}

// version is that of the change's row, if it was changed before.
func (s *step) version() (v brimline.RowVersion, known bool) {
	return s.versions.get(s.in.Change.Row.ID)
}

// fewVersions are kept in a list, which costs nothing to begin with. What is done with more of them must not cost more
// where there are very many: they have an index by id and one by time.
const fewVersions = 32

// versions are those of one user's changed rows.
type versions struct {
	few    []brimline.RowVersion // by id, while there are not many
	many   map[string]brimline.RowVersion
	byTime timeHeap // of many; some are of versions that have another time now
	bytes  int      // in records
	newest brimline.Time
}

// newVersions takes over those of a value, by id.
func newVersions(all []brimline.RowVersion) versions {
	vs := versions{newest: brimline.MinTime}
	if len(all) <= fewVersions {
		vs.few = all
	}
	for i := range all {
		vs.bytes += versionBytes(&all[i])
		vs.newest = max(vs.newest, all[i].Time)
	}
	if len(all) > fewVersions {
		vs.index(all)
	}
	return vs
}

func (vs *versions) index(all []brimline.RowVersion) {
	vs.few, vs.many, vs.byTime = nil, make(map[string]brimline.RowVersion, len(all)), make(timeHeap, 0, len(all))
	for _, v := range all {
		vs.many[v.ID] = v
		vs.byTime = append(vs.byTime, timeOf{v.Time, v.ID})
	}
	heap.Init(&vs.byTime)
}

// versionBytes is about the most bytes that a version takes in a record.
func versionBytes(v *brimline.RowVersion) int { return 40 + len(v.ID) }

func (vs *versions) len() int { return len(vs.few) + len(vs.many) }

// memory is about how many bytes they take there.
func (vs *versions) memory() int { return vs.bytes + 40*len(vs.few) + 240*len(vs.many) }

func (vs *versions) get(id string) (v brimline.RowVersion, known bool) {
	if vs.many != nil {
		v, known = vs.many[id]
		return v, known
	}
	at, known := findVersion(vs.few, id)
	if known {
		v = vs.few[at]
	}
	return v, known
}

func (vs *versions) set(v brimline.RowVersion) {
	before, known := vs.get(v.ID)
	if !known {
		vs.bytes += versionBytes(&v)
	}
	vs.newest = max(vs.newest, v.Time)
	if vs.many == nil {
		if vs.few = withVersion(vs.few, v); len(vs.few) > fewVersions {
			vs.index(vs.few)
		}
		return
	}
	vs.many[v.ID] = v
	if known && before.Time == v.Time {
		return
	}
	if heap.Push(&vs.byTime, timeOf{v.Time, v.ID}); len(vs.byTime) > 2*len(vs.many)+fewVersions {
		vs.index(vs.all())
	}
}

// oldest is one of the lowest time, if there is any.
func (vs *versions) oldest() (v brimline.RowVersion, any bool) {
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

func (vs *versions) remove(v brimline.RowVersion) {
	vs.bytes -= versionBytes(&v)
	if vs.many != nil {
		delete(vs.many, v.ID)
	} else if at, known := findVersion(vs.few, v.ID); known {
		vs.few = slices.Delete(vs.few, at, at+1)
	}
	if vs.len() == 0 {
		*vs = newVersions(nil)
	}
}

// all are the versions by id.
func (vs *versions) all() []brimline.RowVersion {
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

func findVersion(in []brimline.RowVersion, id string) (at int, known bool) {
	return slices.BinarySearchFunc(in, id, func(v brimline.RowVersion, id string) int { return strings.Compare(v.ID, id) })
}

// withVersion is a list with v at its place.
func withVersion(in []brimline.RowVersion, v brimline.RowVersion) []brimline.RowVersion {
	at, known := findVersion(in, v.ID)
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
