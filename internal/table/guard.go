package table

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
)

// guard refuses a second writer of a table partition.
//
// goka stores the offset of each acknowledged table record as "read up to
// here". That holds only while no other instance writes: after an instance froze, lost
// its partition and thawed, its late records lie between those of the
// successor, whose stored offset then skips them; values differ for ever between
// LevelDB and the changelog. A sole idempotent writer gets consecutive offsets,
// one per record in the order of writing. So guard counts what goka writes and
// knows the offset that each acknowledgement must bring. Any other offset is
// an error, which ends the processor; the stored offset stays where it was, and
// the next start reads everything from there on again, the foreign records included.
//
// Two peculiarities of goka are allowed for: it reports no offset for a Delete
// (a tombstone takes one all the same), and none for offset 0. With the second,
// a foreign record at offset 0 is noticed only at the last acknowledgement, when
// earlier ones have been stored; then the whole local state is given up.
//
// The same offsets tell the storage below at which place of the log each write
// is, so that it puts nothing on disk that the log may not have.
//
// While a table is read (recovery, hot standby), offsets come from the log
// instead; the update callback announces them (Table.update). Between
// recovery's end and the first write, goka stores nothing.
type guard struct {
	*writeBehind
	topic     string
	partition int32
	distrust  func() error // makes the next opening start empty

	mu        sync.Mutex
	recovered bool
	announced int64   // offset of the record being read; none if noOffset
	base      int64   // offset of the last record read; -1 before the first
	written   int64   // records written since base
	due       []int64 // offsets of the written records that will be reported, in order
	err       error   // the second writer; stays
}

const noOffset = -1

// KindSecondWriter is of the error that refuses a second writer.
const KindSecondWriter = "kafka_second_writer"

// newGuard guards w. base is the offset of the last record that w holds or, if it holds none, of the last in the log.
func newGuard(w *writeBehind, topic string, partition int32, base int64) *guard {
	return &guard{
		writeBehind: w, topic: topic, partition: partition, base: base, announced: noOffset,
		distrust: func() error { return nil },
	}
}

// announce notes that the record at offset has been read and is about to be applied.
func (g *guard) announce(offset int64) {
	g.mu.Lock()
	g.announced = offset
	g.mu.Unlock()
}

// place gives the offset that a write has in the log or, if it is ours, will get;
// reported says whether its acknowledgement will bring that offset.
func (g *guard) place(reported bool) (at int64, ours bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.recovered || g.announced != noOffset {
		return g.announced, false, nil
	}
	if g.err != nil {
		return 0, true, g.err
	}
	g.written++
	at = g.base + g.written
	if reported && at != 0 {
		g.due = append(g.due, at)
	}
	return at, true, nil
}

func (g *guard) write(key string, value []byte, reported bool) error {
	at, ours, err := g.place(reported)
	if err != nil {
		return err
	}
	if !ours {
		value = bytes.Clone(value) // it would keep all that was fetched with it
	}
	return g.writeBehind.write(key, value, at)
}

// Set keeps value; it may not be changed afterwards.
func (g *guard) Set(key string, value []byte) error { return g.write(key, notNil(value), true) }

func (g *guard) Delete(key string) error { return g.write(key, nil, false) }

// SetUnreported is Set for a record that the caller writes to the changelog itself, next after what was set before:
// goka reports no offset for it. Without a value it deletes.
func (g *guard) SetUnreported(key string, value []byte) error { return g.write(key, value, false) }

func (g *guard) MarkRecovered() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.recovered = true
	return g.writeBehind.MarkRecovered()
}

// SetOffset stores that the log is read, or written by us alone, up to offset.
func (g *guard) SetOffset(offset int64) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.recovered || g.announced == offset {
		g.announced, g.base, g.written, g.due = noOffset, offset, 0, nil
		failpoint.Hit(failpoint.Recovering)
		return g.writeBehind.SetOffset(offset)
	}
	if g.err != nil {
		return g.err
	}
	if failpoint.Without(failpoint.TableGuard) {
		return g.writeBehind.SetOffset(offset)
	}
	if len(g.due) == 0 || g.due[0] != offset {
		g.err = g.refuse(offset)
		return g.err
	}
	g.due = g.due[1:]
	return g.writeBehind.SetOffset(offset)
}

// newest is the newest record that the state holds and the log is known to have. Records whose offsets goka does not
// report count when no reported one is under way.
func (g *guard) newest() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.recovered && g.announced == noOffset && g.err == nil && len(g.due) == 0 {
		return g.base + g.written
	}
	at, err := g.GetOffset(noOffset)
	if err != nil {
		return noOffset
	}
	return at
}

// set is the newest record that was set here, whether the log is known to have it or not.
func (g *guard) set() int64 {
	g.mu.Lock()
	ours := g.recovered && g.announced == noOffset && g.err == nil
	at := g.base + g.written
	g.mu.Unlock()
	if ours {
		return at
	}
	return g.newest()
}

func (g *guard) refuse(offset int64) error {
	due := g.base + g.written + 1
	if len(g.due) > 0 {
		due = g.due[0]
	}
	why := "another instance wrote in between"
	if offset < due {
		why = "the log has lost records" // an unclean leader election, or a topic created anew under our feet
	}
	err := fmt.Errorf("offset %d was acknowledged where %d was due: %s", offset, due, why)
	if offset < due || g.base < 0 {
		if e := g.distrust(); e != nil {
			err = fmt.Errorf("%w; and the local state could not be set aside: %w", err, e)
		}
	}
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: KindSecondWriter,
		Where: fmt.Sprintf("table %q, partition %d", g.topic, g.partition), Err: err,
	}
}
