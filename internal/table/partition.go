package table

import (
	"errors"
	"sync"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// Fail ends the callback and with it the partition. goka's own Fail returns once the partition is told to stop:
// what follows would then be written, and the message marked as done.
func Fail(ctx goka.Context, err error) {
	ctx.Fail(err)
	panic(err)
}

// Noting is a storage that remembers the outcome of the last Set: once a partition
// is told to stop, goka's SetValue says nothing of a failure, writes no record and lets the message be marked as done.
type Noting struct {
	storage.Storage
	failed error
}

// Set is the storage's.
func (n *Noting) Set(key string, value []byte) error {
	n.failed = n.Storage.Set(key, value)
	return n.failed
}

var errNotSet = errors.New("the value was not set: it cannot be encoded")

// SetValue is goka's, but does not go on when it has failed.
func (n *Noting) SetValue(ctx goka.Context, value any) {
	n.failed = errNotSet // unless goka gets as far as Set
	ctx.SetValue(value)
	if n.failed != nil {
		Fail(ctx, n.failed)
	}
}

// Value is goka's, but does not go on when it has failed. A key that is not there gives nil.
func (n *Noting) Value(ctx goka.Context, codec goka.Codec) any {
	raw, err := n.Get(ctx.Key())
	if err != nil {
		Fail(ctx, err)
	}
	if raw == nil {
		return nil
	}
	value, err := codec.Decode(raw)
	if err != nil {
		Fail(ctx, err)
	}
	return value
}

// Partitions gives the storages of a stage's table to its callbacks, by partition. One attempt of the stage has one.
type Partitions struct {
	mu sync.Mutex
	of map[int32]*Noting
}

// Watch wraps the builder of the table's storages.
func (t *Partitions) Watch(builder storage.Builder) storage.Builder {
	return func(topic string, partition int32) (storage.Storage, error) {
		st, err := builder(topic, partition)
		if err != nil {
			return nil, err
		}
		n := &Noting{Storage: st}
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.of == nil {
			t.of = map[int32]*Noting{}
		}
		t.of[partition] = n
		return n, nil
	}
}

// Partition gives the storage that was built last for a partition.
func (t *Partitions) Partition(n int32) *Noting {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.of[n]
}
