package window

import (
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
	if t := s.in.Truncate; t != nil && t.Order(&c.Source) == brimline.Older {
		return brimline.Older
	}
	at, known := s.version()
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
	v := &s.w.Changed[at]
	o := v.Order(&c.Source)
	if c.Kind == brimline.Delete && held != nil && gaveUp(v, c, held, o) {
		return brimline.Older
	}
	return o
}

// gaveUp says whether a deletion is of another row, which had this one's id until the same transaction gave it to
// this one. An update of a key is written as a deletion and an insert at one LSN; where the key is more than the id,
// they
// may lie in different partitions. And where ids move on within one transaction (a deferrable key), the row that
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

// noteVersion remembers where the change at hand stands in the source if it changes a row that was at a time from
// first to last, or one that was changed earlier. Where it was at none, first is above last. held is the row's stamp
// until now.
func (s *step) noteVersion(first, last brimline.Time, held brimline.Stamp) {
	c := s.in.Change
	at, known := s.version()
	if !known && first > last {
		return
	}
	v := brimline.RowVersion{
		ID: c.Row.ID, Time: brimline.MinTime, From: brimline.MaxTime, LSN: held.LSN, Commit: held.Commit(),
	}
	if known {
		v = s.w.Changed[at]
	}
	v.Note(&c.Source, s.stands)
	v.Time, v.From = max(v.Time, last), min(v.From, first)
	if c.Kind == brimline.Upsert {
		v.Time, v.From = max(v.Time, c.Row.Time), min(v.From, c.Row.Time)
	}
	s.setVersion(v)
}

// seenAgain takes a change that leaves a row as it is. Where it stands later than what is known of the row, that is
// remembered, and what lies between is older from now on.
func (s *step) seenAgain(held *brimline.Row) bool {
	from := &s.in.Change.Source
	stamp := brimline.StampOf(from)
	_, known := s.version()
	switch {
	case s.stands == brimline.Elsewhere:
		s.noteVersion(held.Time, held.Time, held.Stamp)
	case from.LSN <= held.Stamp.LSN && stamp.Life() <= held.Stamp.Life():
		return false
	case known:
		s.noteVersion(held.Time, held.Time, held.Stamp)
	}
	if stamp.LSN == 0 {
		stamp = brimline.MakeStamp(held.Stamp.LSN, held.Stamp.Ticks(), stamp.Life())
	}
	row := *held
	s.remove(&row)
	row.Stamp = stamp
	s.insert(row)
	return true
}

// version finds the change's row among the changed ones, or where it would stand.
func (s *step) version() (at int, known bool) { return findVersion(s.w.Changed, s.in.Change.Row.ID) }
