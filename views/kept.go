package views

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/table"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// Kept is a table of which a stage of the same program keeps some partitions. Each has one local state, which either
// the stage or a view opens and keeps up to date, and from which views answer whoever does.
type Kept interface {
	// Get gives a key's value, nil for none.
	Get(partition int32, key string) ([]byte, error)
	// Each calls visit with all that a partition holds, from the first key that is not below from on, until it returns
	// false.
	Each(partition int32, from string, visit func(key string, value []byte) bool) error
	// Offset is the newest record of the table in a partition's state, -1 for none.
	Offset(partition int32) int64
	// Recovered is closed when a partition has been read to its end for the first time.
	Recovered(partition int32) <-chan struct{}
	// IsRead says whether a partition can be read from: not before it is recovered, nor after its state was lost.
	IsRead(partition int32) bool
	// Losses counts the states that were lost after they had been read to their end: what Listen has told of may not be
	// in the table any more.
	Losses() int64
	// Staged says whether the stage has a partition.
	Staged(partition int32) bool
	// Listen has f called with each key that is set from here on, and without a value where it is deleted.
	Listen(f func(key string, value []byte))
	// Follow calls read, to keep a partition's state up to date, whenever the stage does not have it, until ctx ends. The
	// context of read ends when the stage takes the partition.
	Follow(ctx context.Context, partition int32,
		read func(ctx context.Context, open storage.Builder, update goka.UpdateCallback) error) error
}

// part is where a view reads a partition from: a copy of its own, or what a stage keeps.
type part interface {
	get(key string) ([]byte, error)
	each(from string, visit func(key string, value []byte) bool) error
	offset() int64
	isRead() bool
	connected() bool
}

// copied is a copy of the view's own.
type copied struct {
	*table.Copy
	view *goka.View
}

func (c copied) get(key string) ([]byte, error) { return c.Get(key) }
func (c copied) offset() int64                  { return c.Offset() }
func (c copied) isRead() bool                   { return c.Recovered() }
func (c copied) connected() bool                { return c.view.CurrentState() == goka.ViewStateRunning }

func (c copied) each(from string, visit func(key string, value []byte) bool) error {
	i, err := c.Iterator()
	if err != nil {
		return err
	}
	defer i.Release()
	for more := i.Seek([]byte(from)); more; more = i.Next() {
		value, err := i.Value()
		if err != nil {
			return err
		}
		if !visit(string(i.Key()), value) {
			return nil
		}
	}
	return i.Err()
}

// kept is the table that a stage keeps, or this view where the stage does not.
type kept struct {
	of     Kept
	number int32
	state  *viewState
}

func (k kept) get(key string) ([]byte, error) { return k.of.Get(k.number, key) }
func (k kept) each(from string, visit func(key string, value []byte) bool) error {
	return k.of.Each(k.number, from, visit)
}
func (k kept) offset() int64   { return k.of.Offset(k.number) }
func (k kept) isRead() bool    { return k.of.IsRead(k.number) }
func (k kept) connected() bool { return k.of.Staged(k.number) || k.state.running() }

// follow keeps a partition up to date with a goka view that has no other, whenever the stage does not have it.
func (k kept) follow(ctx context.Context, t *tableView) error {
	return k.of.Follow(ctx, k.number, func(
		ctx context.Context, open storage.Builder, update goka.UpdateCallback,
	) error {
		v, err := t.newView(onePartition{t.admin, k.number}, kafka.OnePartition(t.consumers, k.number), open, update)
		if err != nil {
			return err
		}
		k.state.set(v)
		defer k.state.set(nil)
		return v.Run(ctx)
	})
}

// viewState is the goka view that reads a partition at the moment.
type viewState struct{ now atomic.Pointer[goka.View] }

func (s *viewState) set(v *goka.View) { s.now.Store(v) }

func (s *viewState) running() bool {
	v := s.now.Load()
	return v != nil && v.CurrentState() == goka.ViewStateRunning
}

// onePartition knows one partition of each topic, and calls it 0.
type onePartition struct {
	goka.TopicManager
	partition int32
}

func (onePartition) Partitions(string) ([]int32, error) { return []int32{0}, nil }

func (o onePartition) GetOffset(topic string, _ int32, at int64) (int64, error) {
	return o.TopicManager.GetOffset(topic, o.partition, at)
}

// isUnread says of an error that the partition could not be read at that moment.
func isUnread(err error) bool { return errors.Is(err, table.ErrUnread) }
