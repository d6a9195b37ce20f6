package feed

import (
	"context"
)

// Looked is where a look through a topic has ended.
type Looked struct {
	Next    []int64 // by partition, the offset below which nothing was looked at yet
	Offsets int     // how many were passed; those of control records and of what was aborted count
	Done    bool    // down to low everywhere
}

// inMemory is about how many records a look through a topic holds.
const inMemory = 4096

// Newest calls visit for records with offsets in [low, high) of each partition, newest first: partitions are merged by
// the records' times, and within one offsets fall. It ends when visit returns false, which leaves the record for
// another look, and when most offsets were passed; what holds no record may be passed beyond that, by a chunk of each
// partition.
func (r *Reader) Newest(
	ctx context.Context, e *Extent, low, high []int64, most int, visit func(Record) bool,
) (Looked, error) {
	select {
	case r.turns <- struct{}{}:
		defer func() { <-r.turns }()
	case <-ctx.Done():
		return Looked{}, ctx.Err()
	}
	l := Looked{Next: make([]int64, len(high))}
	tails := make([]tail, len(high))
	chunk := int64(max(16, inMemory/max(1, len(high))))
	for p := range tails {
		l.Next[p] = max(high[p], low[p])
		tails[p] = tail{partition: int32(p), low: low[p], at: l.Next[p]}
	}
	for {
		var newest *tail
		for p := range tails {
			t := &tails[p]
			if err := t.fill(ctx, r, e, chunk, most-l.Offsets); err != nil {
				return l, err
			}
			l.pass(t)
			if len(t.records) > 0 && (newest == nil || t.last().At.After(newest.last().At)) {
				newest = t
			}
		}
		if newest == nil {
			l.Done = true
			for p := range tails {
				l.Done = l.Done && l.Next[p] <= low[p]
			}
			return l, nil
		}
		record := newest.last()
		if !visit(record) {
			return l, nil
		}
		newest.records = newest.records[:len(newest.records)-1]
		l.Offsets += int(l.Next[record.Partition] - record.Offset)
		l.Next[record.Partition] = record.Offset
		if l.Offsets >= most {
			return l, nil
		}
	}
}

// pass notes that a partition has nothing between what is at hand and what was passed before.
func (l *Looked) pass(t *tail) {
	if len(t.records) == 0 && t.at < l.Next[t.partition] {
		l.Offsets += int(l.Next[t.partition] - t.at)
		l.Next[t.partition] = t.at
	}
}

// tail holds the records of one partition that were read and not visited yet.
type tail struct {
	partition int32
	low, at   int64 // records from at on are at hand or visited
	records   []Record
}

func (t *tail) last() Record { return t.records[len(t.records)-1] }

// fill reads the next records below at, until there are some. It passes no more than most offsets that hold none.
func (t *tail) fill(ctx context.Context, r *Reader, e *Extent, chunk int64, most int) error {
	for passed := 0; len(t.records) == 0 && t.at > t.low && passed < most; {
		from := max(t.low, t.at-chunk)
		if _, err := r.Read(ctx, e, t.partition, from, t.at, func(m Record) error {
			t.records = append(t.records, m)
			return nil
		}); err != nil {
			t.records = nil
			return err
		}
		passed += int(t.at - from)
		t.at = from
	}
	return nil
}
