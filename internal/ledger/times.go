package ledger

import (
	"fmt"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5/pgtype"
)

// timeType is the SQL type of the time column.
type timeType string

const (
	withZone    timeType = "timestamptz"
	withoutZone timeType = "timestamp"
)

// earliest is PostgreSQL's first finite timestamp, 4714-11-24 00:00:00 BC. Its
// last one is beyond brimline.MaxTime.
const earliest brimline.Time = -210866803200000000

// instant is a time as parameter or result. It travels in binary, as a count
// of microseconds: text would pass through DateStyle, and arithmetic with
// intervals through floating point.
type instant struct {
	at       brimline.Time
	infinity pgtype.InfinityModifier
	valid    bool
	bad      error // a time that a brimline.Time cannot hold
}

// lowest is a lower bound. One below PostgreSQL's range is its first finite
// timestamp, so that a row at -infinity, which is bad input in the stream, is not in.
func lowest(t brimline.Time) instant {
	return instant{at: max(t, earliest), valid: true}
}

// highest is an upper bound; below PostgreSQL's range nothing is under it.
func highest(t brimline.Time) instant {
	if t < earliest {
		return instant{infinity: pgtype.NegativeInfinity, valid: true}
	}
	return instant{at: t, valid: true}
}

func (i instant) TimestamptzValue() (pgtype.Timestamptz, error) {
	return pgtype.Timestamptz{Time: i.at.Std(), InfinityModifier: i.infinity, Valid: i.valid}, nil
}

func (i instant) TimestampValue() (pgtype.Timestamp, error) {
	return pgtype.Timestamp{Time: i.at.Std(), InfinityModifier: i.infinity, Valid: i.valid}, nil
}

func (i *instant) ScanTimestamptz(v pgtype.Timestamptz) error {
	*i = instant{at: brimline.TimeOf(v.Time), infinity: v.InfinityModifier, valid: v.Valid}
	i.check(v.Time.Year())
	return nil
}

func (i *instant) ScanTimestamp(v pgtype.Timestamp) error {
	return i.ScanTimestamptz(pgtype.Timestamptz(v))
}

// ScanDate takes a day as its first moment in UTC.
func (i *instant) ScanDate(v pgtype.Date) error {
	return i.ScanTimestamptz(pgtype.Timestamptz(v))
}

// check refuses what a brimline.Time cannot hold. A row's own time is within
// the bounds of the question; this is about the further columns.
func (i *instant) check(year int) {
	if i.valid && (i.infinity != pgtype.Finite || year > brimline.MaxTime.Std().Year() || i.at.Std().Year() != year) {
		i.bad = fmt.Errorf("a time that is infinite or beyond %v", brimline.MaxTime)
	}
}
