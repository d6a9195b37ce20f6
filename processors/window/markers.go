package window

import (
	"sync"

	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// Markers are what concerns all users of a partition: until which offset the
// watched table's latest TRUNCATE has emptied their windows, and up to which
// time users were forgotten with all their rows. A partition's marker is a
// value of the table under processors.MarkerKey: Window.Last is the offset
// after the Truncate, Window.Floor the time.
type Markers struct {
	partitions int
	mu         sync.RWMutex
	of         map[int32]marker
}

type marker struct {
	truncatedAt int64         // 0: never
	sweptBefore brimline.Time // 0: nobody was forgotten
}

// NewMarkers is for a table of the given number of partitions.
func NewMarkers(partitions int) *Markers {
	return &Markers{partitions: partitions, of: map[int32]marker{}}
}

func (m *Markers) get(partition int32) marker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.of[partition]
}

// truncated notes a Truncate at offset and gives the marker's new value.
func (m *Markers) truncated(partition int32, offset int64) *brimline.Window {
	return m.change(partition, func(k *marker) { k.truncatedAt = offset + 1 })
}

// swept notes that users whose newest row lies before t are about to be forgotten.
func (m *Markers) swept(partition int32, t brimline.Time) *brimline.Window {
	return m.change(partition, func(k *marker) {
		if k.sweptBefore == 0 || t > k.sweptBefore {
			k.sweptBefore = t
		}
	})
}

func (m *Markers) change(partition int32, f func(*marker)) *brimline.Window {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.of[partition]
	f(&k)
	m.of[partition] = k
	w := &brimline.Window{Last: k.truncatedAt, Floor: brimline.MinTime}
	if k.sweptBefore != 0 {
		w.Floor = k.sweptBefore
	}
	return w
}

// Watch makes builder's storages report their marker as soon as they have recovered.
func (m *Markers) Watch(builder storage.Builder) storage.Builder {
	return func(topic string, partition int32) (storage.Storage, error) {
		st, err := builder(topic, partition)
		if err != nil {
			return nil, err
		}
		return &watched{Storage: st, markers: m, partition: partition}, nil
	}
}

type watched struct {
	storage.Storage
	markers   *Markers
	partition int32
}

func (w *watched) MarkRecovered() error {
	if err := w.Storage.MarkRecovered(); err != nil {
		return err
	}
	value, err := w.Get(processors.MarkerKey(w.partition, w.markers.partitions))
	if err != nil {
		return err
	}
	k := marker{}
	if value != nil {
		decoded, err := codecs.WindowPart{}.Decode(value)
		if err != nil {
			return err
		}
		window := decoded.(*brimline.Window)
		k.truncatedAt = window.Last
		if window.Floor != brimline.MinTime {
			k.sweptBefore = window.Floor
		}
	}
	w.markers.mu.Lock()
	defer w.markers.mu.Unlock()
	w.markers.of[w.partition] = k
	return nil
}
