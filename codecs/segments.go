package codecs

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/perrow"
)

// ErrTorn is of a window whose segments are not those that its value names. A
// reader that follows the table may meet it between two records; it should read the value again.
var ErrTorn = errors.New("the segments are not those that the window names")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// SegmentCheck is the contribution of one segment's bytes to Segments.Check: their CRC-32C.
func SegmentCheck(segment []byte) uint32 { return crc32.Checksum(segment, castagnoli) }

// Entries is how many rows, edges and versions a value or a segment holds or takes away.
func Entries(w *brimline.Window) int {
	n := len(w.Rows) + len(w.Gone) + len(w.Changed)
	for i := range w.Rules {
		n += len(w.Rules[i].Edges) + len(w.Rules[i].Forgotten)
	}
	return n
}

// AssembleWindow gives the whole state of a user from its value in the table.
// segment reads the segment of a number, nil if there is none; it is not called for a value that has no
// older segments, which is returned as it is. entries counts what was read, see Entries. The result keeps
// Older and has nothing Gone or Forgotten.
//
// It fails with what segment fails with, and with ErrTorn where segments are missing, unreadable or not
// those of the value; with ErrTorn, whole is what the others come to.
func AssembleWindow(
	value *brimline.Window,
	segment func(n uint64) ([]byte, error),
) (whole *brimline.Window, entries int, err error) {
	if value.Older.Len() == 0 {
		return value, Entries(value), nil
	}
	a := assembly{
		floor:    value.Floor,
		versions: map[string]brimline.RowVersion{},
		edges:    make([]map[brimline.Time]brimline.Edge, len(value.Rules)),
	}
	var torn []error
	check := uint32(0)
	for n := value.Older.First; n != value.Older.Next; n++ {
		raw, err := segment(n)
		if err != nil {
			return nil, 0, err
		}
		if raw == nil {
			torn = append(torn, fmt.Errorf("segment %d is missing", n))
			continue
		}
		check ^= SegmentCheck(raw)
		decoded, err := WindowPart{}.Decode(raw)
		if err != nil {
			torn = append(torn, fmt.Errorf("segment %d: %w", n, err))
			continue
		}
		part := decoded.(*brimline.Window)
		entries += Entries(part)
		a.add(part, value.Rules)
	}
	entries += Entries(value)
	a.add(value, value.Rules)
	if whole = a.window(value); check != value.Older.Check || len(torn) > 0 {
		err = fmt.Errorf(
			"%w: %d from number %d on, %d of them unreadable: %w",
			ErrTorn,
			value.Older.Len(),
			value.Older.First,
			len(torn),
			errors.Join(torn[:min(len(torn), 3)]...),
		)
	}
	return whole, entries, err
}

// assembly is a user's log as far as it was read.
type assembly struct {
	floor    brimline.Time
	rows     []brimline.Row   // as they came; those replaced or gone have the floor's time
	at       *perrow.IDs[int] // the row of each id in rows; nil before there is any
	versions map[string]brimline.RowVersion
	edges    []map[brimline.Time]brimline.Edge // by rule of the value
}

func (a *assembly) add(part *brimline.Window, rules []brimline.RuleState) {
	for _, id := range part.Gone {
		gone := brimline.RowOf(&brimline.Transaction{ID: id})
		a.remove(&gone)
	}
	if a.at == nil && len(part.Rows) > 0 {
		a.at = perrow.MakeIDs[int](4*len(part.Rows), &part.Rows[0])
	}
	for i := range part.Rows {
		row := &part.Rows[i]
		a.remove(row)
		if row.Time > a.floor {
			a.at.Set(row, len(a.rows))
			a.rows = append(a.rows, *row)
		}
	}
	for _, v := range part.Changed {
		if v.Time > a.floor {
			a.versions[v.ID] = v
		} else {
			delete(a.versions, v.ID)
		}
	}
	for _, r := range part.Rules {
		at := slices.IndexFunc(rules, func(have brimline.RuleState) bool { return have.Rule == r.Rule })
		if at < 0 {
			continue // of a rule that is no longer in force
		}
		for _, t := range r.Forgotten {
			delete(a.edges[at], t)
		}
		if a.edges[at] == nil {
			a.edges[at] = make(map[brimline.Time]brimline.Edge, len(r.Edges))
		}
		for _, e := range r.Edges {
			a.edges[at][e.Time] = e
		}
	}
}

func (a *assembly) remove(row *brimline.Row) {
	if a.at == nil {
		return
	}
	if at, known := a.at.Get(row); known {
		a.rows[at].Time = a.floor
		a.at.Delete(row)
	}
}

func (a *assembly) window(value *brimline.Window) *brimline.Window {
	w := &brimline.Window{
		Last: value.Last, Floor: value.Floor, Scale: value.Scale, Asked: value.Asked, Apart: value.Apart,
		Stirred: value.Stirred,
		Reach:   value.Reach, Doubt: value.Doubt, Above: value.Above, Newest: value.Newest,
		Older: value.Older, Rules: make([]brimline.RuleState, len(value.Rules)),
	}
	if w.Rows = slices.DeleteFunc(a.rows, func(r brimline.Row) bool { return r.Time <= a.floor }); len(w.Rows) == 0 {
		w.Rows = nil
	}
	slices.SortFunc(w.Rows, func(x, y brimline.Row) int { return x.Compare(&y) })
	w.Changed = sorted(a.versions, func(x, y brimline.RowVersion) int { return strings.Compare(x.ID, y.ID) })
	for i := range w.Rules {
		w.Rules[i] = brimline.RuleState{Rule: value.Rules[i].Rule, Quiet: value.Rules[i].Quiet,
			Unjudged: value.Rules[i].Unjudged}
		w.Rules[i].Edges = sorted(a.edges[i], func(x, y brimline.Edge) int { return cmp.Compare(x.Time, y.Time) })
	}
	return w
}

func sorted[K comparable, V any](m map[K]V, compare func(V, V) int) []V {
	if len(m) == 0 {
		return nil
	}
	all := make([]V, 0, len(m))
	for _, v := range m {
		all = append(all, v)
	}
	slices.SortFunc(all, compare)
	return all
}
