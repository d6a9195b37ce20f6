package feed

import (
	"context"
	"math"
	"slices"
)

// Log is the part of a Reader that a look needs.
type Log interface {
	Extent(ctx context.Context, topic string) (*Extent, error)
	Newest(ctx context.Context, e *Extent, low, high []int64, most int, visit func(Record) bool) (Looked, error)
}

// Seen says what a look has seen of a topic.
type Seen struct {
	Unreadable int  // records that are none of the kind
	Done       bool // all that there is was looked at
	Lost       bool // older records are not kept any more
}

// Look calls visit for the records of a topic that a filter takes, newest first, until visit returns false or most
// offsets were passed; 0: all. Of partitions, only own is looked at where that is not nil: given how many there are.
func Look(
	ctx context.Context, log Log, topic string, own func(partitions int) int32, f *Filter, most int,
	visit func(*Record) bool,
) (seen Seen, err error) {
	e, err := log.Extent(ctx, topic)
	if err != nil {
		return seen, err
	}
	low, high := slices.Clone(e.Low), slices.Clone(e.End)
	if own != nil {
		one := own(len(low))
		for p := range low {
			if int32(p) != one {
				low[p] = high[p]
			}
		}
	}
	if most == 0 {
		most = math.MaxInt
	}
	for p := range low {
		seen.Lost = seen.Lost || low[p] > 0 && (own == nil || own(len(low)) == int32(p))
	}
	looked, err := log.Newest(ctx, e, low, high, most, func(m Record) bool {
		meant, readable := f.Takes(&m)
		switch {
		case !readable:
			seen.Unreadable++
		case meant:
			return visit(&m)
		}
		return true
	})
	seen.Done = looked.Done
	return seen, err
}
