package brimline

import (
	"slices"
	"strings"
	"time"
)

// Order is how a change to a row stands to what the row is known as.
type Order uint8

// The orders.
const (
	Newer Order = iota
	Same        // both have the same place in PostgreSQL's log, or are the same record
	Older       // it says what the row was before, and must not bring that back
	// Elsewhere: a lower place in the log, but a later commit. The database was restored, or a standby took over that had
	// not received everything: another timeline, whose changes are the newer ones. Or a snapshot has not seen the change,
	// because its transaction was open then.
	Elsewhere
)

// openBefore is how long before the time that a snapshot names its rows may have been seen. Debezium names the time at
// which it begins to read, which is after the moment that the rows are of, by as long as a connector takes to start.
const openBefore = time.Minute

// place is a place in PostgreSQL's log: 0 where it is not known. former is the highest place on timelines that
// were left. A snapshot's place is above all that its rows have seen, and also above some of what they have not: of
// transactions that were open, which tell themselves by a commit that is later than the snapshot. open says that the
// other change may be of one.
type place struct {
	lsn, former uint64
	commit      Time
	open        bool
}

func (p place) order(c *Source) Order {
	open, commit := p.open && !c.Snapshot, c.Commit
	if c.Snapshot && !p.open && commit != 0 { // it may have seen nothing of the minute before
		commit = max(1, commit.Add(-openBefore))
	}
	switch {
	case p.lsn == 0 || c.LSN == 0:
		return Newer
	case c.LSN == p.lsn:
		return Same
	case c.LSN > p.lsn:
		if c.LSN <= p.former && c.Commit != 0 && c.Commit < p.commit || c.LSN == p.former && c.Snapshot {
			return Older // of a timeline that was left, or the snapshot that has not seen what is known
		}
		return Newer
	case open && (p.commit == 0 || c.Commit == 0):
		return Newer
	case open && commit > p.commit.Add(-openBefore), p.commit != 0 && commit > p.commit:
		return Elsewhere
	}
	return Older
}

// RowVersion is the place of the newest change to a row that is no longer as it was inserted.
type RowVersion struct {
	ID        string
	Life      uint32 // of the source topic, see Source
	Partition int32
	Offset    int64
	LSN       uint64
	Former    uint64 // the highest LSN of the row on timelines that the database has left, 0 for none
	Commit    Time
	Snapshot  bool // LSN and Commit are those of a snapshot
	TxID      int64
	Time      Time // the highest that the row ever had here; the version is forgotten with the rows of that time
	// the lowest that the row ever had here: a replayed change asks about the windows of what it replaced, too
	From Time
}

// Order is how a change to the row stands to the version. Within one partition and life of the source topic the record
// at the lower offset is the older one. A record at a higher offset may be a change that the connector has written
// before: then LSNs tell, as they do between partitions and lives.
func (v *RowVersion) Order(c *Source) Order { return v.order(c, v.Snapshot) }

func (v *RowVersion) order(c *Source, open bool) Order {
	switch {
	case c.Life < v.Life:
		return Older
	case c.Life > v.Life || c.Partition != v.Partition:
	case c.Offset < v.Offset:
		return Older
	case c.Offset == v.Offset:
		return Same
	}
	return place{v.LSN, v.Former, v.Commit, open}.order(c)
}

// Source is the place of the version, as far as it is known.
func (v *RowVersion) Source() Source {
	return Source{Life: v.Life, Partition: v.Partition, Offset: v.Offset, LSN: v.LSN, TxID: v.TxID, Commit: v.Commit,
		Snapshot: v.Snapshot}
}

// Note makes the version that of a change, which stands to it in an order other than Older. What the change does not
// say stays as it was.
func (v *RowVersion) Note(c *Source, o Order) {
	v.Life, v.Partition, v.Offset, v.TxID = c.Life, c.Partition, c.Offset, c.TxID
	if c.LSN == 0 {
		return
	}
	if o == Elsewhere {
		v.Former = max(v.Former, v.LSN)
	}
	v.LSN, v.Commit, v.Snapshot = c.LSN, c.Commit, c.Snapshot
}

// Truncation is where a TRUNCATE of the watched table stands in the source.
type Truncation struct {
	Source Source // without Topic
	// Whole says that all rows come through one partition of the source: none that is newer came before it.
	Whole bool
}

// Order is how a change stands to the TRUNCATE.
func (t *Truncation) Order(c *Source) Order {
	var v RowVersion
	v.Note(&t.Source, Newer)
	return v.Order(c)
}

// SparesChange reports whether a change to a row is newer than the TRUNCATE. No snapshot has the rows of before a
// TRUNCATE that was open: it waits for it, and finds none.
func (t *Truncation) SparesChange(known *RowVersion) bool {
	return known.order(&t.Source, false) == Older
}

// Spares reports whether a row is newer than the TRUNCATE; changed are those of the row's user. A row of which no place
// is known is not.
func (t *Truncation) Spares(row *Row, changed []RowVersion) bool {
	i, known := slices.BinarySearchFunc(changed, row.ID(), func(c RowVersion, id string) int {
		return strings.Compare(c.ID, id)
	})
	if known {
		return t.SparesChange(&changed[i])
	}
	return row.Stamp.order(&t.Source, false) == Older
}

// Stamp is where the newest change to a row stands, as far as every row keeps it: LSN, the topic's life, the commit
// time, which is rounded up to 65.536 ms, and whether both are a snapshot's. The zero Stamp is not known.
type Stamp struct {
	LSN    uint64
	packed uint64 // ticks of the commit time, snapshotBit, then lifeBits of the life
}

const (
	lifeBits    = 16
	snapshotBit = 1 << lifeBits
	tickBits    = 16
	maxLife     = 1<<lifeBits - 1
	maxTick     = 1<<(63-lifeBits) - 1
)

// StampOf gives the stamp of a change.
func StampOf(c *Source) Stamp {
	s := MakeStamp(c.LSN, 0, c.Life)
	if c.LSN != 0 && c.Commit > 0 {
		s = MakeStamp(c.LSN, (int64(c.Commit)+1<<tickBits-1)>>tickBits, c.Life)
	}
	if c.LSN != 0 && c.Snapshot {
		s = s.OfSnapshot()
	}
	return s
}

// MakeStamp puts together what Ticks and Life give.
func MakeStamp(lsn uint64, ticks int64, life uint32) Stamp {
	return Stamp{lsn, uint64(min(max(ticks, 0), maxTick))<<(lifeBits+1) | uint64(min(life, maxLife))}
}

// OfSnapshot is the stamp as that of a row that a snapshot has found.
func (s Stamp) OfSnapshot() Stamp {
	s.packed |= snapshotBit
	return s
}

// Snapshot says whether it is that.
func (s Stamp) Snapshot() bool { return s.packed&snapshotBit != 0 }

// Ticks are the commit time in units of 65.536 ms, 0 where it is not known.
func (s Stamp) Ticks() int64 { return int64(s.packed >> (lifeBits + 1)) }

// Life is the source topic's, see Source.
func (s Stamp) Life() uint32 { return uint32(s.packed & maxLife) }

// Commit is the commit time, rounded up.
func (s Stamp) Commit() Time { return Time(s.Ticks() << tickBits) }

// Order is how a change stands to a row with the stamp.
func (s Stamp) Order(c *Source) Order { return s.order(c, s.Snapshot()) }

func (s Stamp) order(c *Source, open bool) Order {
	if min(c.Life, maxLife) < s.Life() {
		return Older
	}
	return place{s.LSN, 0, s.Commit(), open}.order(c)
}
