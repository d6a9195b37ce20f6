package table

import (
	"errors"
	"fmt"
	"sync"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline/internal/failpoint"
)

// Options say what a table is made of. Open and Keep are required.
type Options struct {
	// Open opens the state of a partition: Local.Build, in tests also a map.
	Open storage.Builder
	// Keep applies a record of the changelog to the state: it says which of two values of a key stands.
	Keep goka.UpdateCallback
	// KeepIs is the protection that Keep is: the crash suite takes it away by this name.
	KeepIs string
	// Watch is told what becomes of the partitions.
	Watch Watch
	// Shared is where views of this process read the table; nil where there are none.
	Shared *Shared

	view bool // it is for a view of Shared, which has taken its partition already
}

// Watch is how a stage follows the partitions of its table. Each function may be nil. They are called from the
// goroutine of their partition, Visited and Closed also beside it.
type Watch struct {
	// Opened comes first, before anything is read. A partition that was opened before has been closed.
	Opened func(*Partition)
	// Read comes before a record of the changelog is applied, of recovery or of another instance.
	Read func(partition int32, key string)
	// Recovered comes when the changelog has been read to its end, before the first message. An error ends the partition.
	Recovered func(*Partition) error
	// Visited gives what goka's visitors go through, of all that there is.
	Visited func(p *Partition, all storage.Iterator) storage.Iterator
	// Closed comes before the state is closed.
	Closed func(*Partition)
}

// Table is a goka table for one attempt of the stage that writes it: what goka reads and writes, and what the stage's
// callbacks have of it. See the package for its layers.
type Table struct {
	o  Options
	mu sync.Mutex
	of map[int32]*Partition
}

// New puts a table together. goka gets it with Processor.
func New(o Options) *Table {
	if o.KeepIs != "" && failpoint.Without(o.KeepIs) {
		o.Keep = goka.DefaultUpdate
	}
	return &Table{o: o, of: map[int32]*Partition{}}
}

// Processor are the options of the goka processor whose table it is.
func (t *Table) Processor() []goka.ProcessorOption {
	return []goka.ProcessorOption{goka.WithStorageBuilder(t.Build), goka.WithUpdateCallback(t.update)}
}

// Partition gives the partition that was opened last under a number, nil if none was.
func (t *Table) Partition(n int32) *Partition {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[n]
}

// Build opens a partition for goka; it is a storage.Builder.
func (t *Table) Build(topic string, partition int32) (storage.Storage, error) {
	w := watched{watch: &t.o.Watch}
	if t.o.Shared != nil {
		w.seat = t.o.Shared.seat(partition)
		if !t.o.view {
			turn := w.seat.takeForStage()
			w.free = func() { w.seat.free(turn) }
		}
	}
	st, err := t.o.Open(topic, partition)
	if err != nil {
		w.leave()
		return nil, err
	}
	w.Partition = &Partition{escaping: escaping{st}, number: partition, shared: t.o.Shared}
	w.log, _ = st.(announced)
	if w.seat != nil {
		if err := w.seat.opened(w.Partition); err != nil {
			err = errors.Join(err, st.Close())
			w.leave()
			return nil, err
		}
	}
	t.mu.Lock()
	t.of[partition] = w.Partition
	t.mu.Unlock()
	if t.o.Watch.Opened != nil {
		t.o.Watch.Opened(w.Partition)
	}
	return w, nil
}

// announced is a state that must know which record is about to be applied: the guard.
type announced interface {
	announce(offset int64)
}

// update is goka's update callback: it takes in a record that was read from the changelog.
func (t *Table) update(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	p := t.Partition(ctx.Partition())
	if p == nil {
		return fmt.Errorf("partition %d of table %q is read, and not open", ctx.Partition(), ctx.Topic())
	}
	if p.log != nil {
		p.log.announce(ctx.Offset())
	}
	if t.o.Watch.Read != nil {
		t.o.Watch.Read(ctx.Partition(), key)
	}
	return t.o.Keep(ctx, s, key, value)
}

// watched is the storage that goka gets: a Partition that tells what goka does with it.
type watched struct {
	*Partition
	watch *Watch
	seat  *seat  // nil: no view reads from it
	free  func() // gives up the seat; nil where that is not for this one to do
}

func (w watched) MarkRecovered() error {
	if err := w.Partition.MarkRecovered(); err != nil {
		return err
	}
	if w.watch.Recovered != nil {
		if err := w.watch.Recovered(w.Partition); err != nil {
			return err
		}
	}
	if w.seat == nil {
		return nil
	}
	return w.seat.markRecovered(w.Partition)
}

func (w watched) leave() {
	if w.free != nil {
		w.free()
	}
}

// Iterator is walked by goka's visits.
func (w watched) Iterator() (storage.Iterator, error) {
	all, err := w.Partition.Iterator()
	if err != nil || w.watch.Visited == nil {
		return all, err
	}
	return w.watch.Visited(w.Partition, all), nil
}

func (w watched) Close() error {
	if w.watch.Closed != nil {
		w.watch.Closed(w.Partition)
	}
	if w.seat != nil {
		w.seat.closed()
	}
	defer w.leave()
	return w.Partition.Close()
}
