package window

import (
	"sync"

	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// Truncations knows, per partition, the offset after the latest Truncate. A
// truncation empties every user's window at once; it is written down under the
// partition's marker key and applied to each user when that user is met again.
type Truncations struct {
	partitions int
	mu         sync.RWMutex
	latest     map[int32]int64
}

// NewTruncations is for a table of the given number of partitions.
func NewTruncations(partitions int) *Truncations {
	return &Truncations{partitions: partitions, latest: map[int32]int64{}}
}

func (t *Truncations) set(partition int32, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latest[partition] = offset
}

func (t *Truncations) at(partition int32) int64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.latest[partition]
}

// Watch makes builder's storages report their marker as soon as they have recovered.
func (t *Truncations) Watch(builder storage.Builder) storage.Builder {
	return func(topic string, partition int32) (storage.Storage, error) {
		st, err := builder(topic, partition)
		if err != nil {
			return nil, err
		}
		return &watched{Storage: st, t: t, partition: partition}, nil
	}
}

type watched struct {
	storage.Storage
	t         *Truncations
	partition int32
}

func (w *watched) MarkRecovered() error {
	if err := w.Storage.MarkRecovered(); err != nil {
		return err
	}
	marker, err := w.Get(processors.MarkerKey(w.partition, w.t.partitions))
	if err != nil {
		return err
	}
	offset, _ := codecs.WindowLast(marker)
	w.t.set(w.partition, offset)
	return nil
}
