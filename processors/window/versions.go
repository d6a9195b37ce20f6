package window

import (
	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// isEcho says whether a newer change to the same row has been folded. An
// instance of route that was frozen and thawed writes what it had read once more, after its successor has gone on.
func (s *step) isEcho() bool {
	at, known := s.version()
	if !known || failpoint.Without(failpoint.RowVersions) {
		return false
	}
	// Offsets of different partitions have no order: the row has moved, because the topic got more of them.
	v, from := s.w.Changed[at], s.in.Change.Source
	return v.Partition == from.Partition && from.Offset < v.Offset
}

// noteVersion remembers where the change at hand stands in the source if it changes a row that was at a time from
// first to last, or one that was changed earlier. Where it was at none, first is above last.
func (s *step) noteVersion(first, last brimline.Time) {
	c := s.in.Change
	at, known := s.version()
	if !known && first > last {
		return
	}
	v := brimline.RowVersion{ID: c.Row.ID, Time: brimline.MinTime, From: brimline.MaxTime}
	if known {
		v = s.w.Changed[at]
	}
	v.Partition, v.Offset = c.Source.Partition, c.Source.Offset
	v.Time, v.From = max(v.Time, last), min(v.From, first)
	if c.Kind == brimline.Upsert {
		v.Time, v.From = max(v.Time, c.Row.Time), min(v.From, c.Row.Time)
	}
	s.setVersion(v)
}

// version finds the change's row among the changed ones, or where it would stand.
func (s *step) version() (at int, known bool) { return findVersion(s.w.Changed, s.in.Change.Row.ID) }
