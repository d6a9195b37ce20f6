package table

import (
	"container/list"
	"sync"
)

// Decoded keeps decoded values of keys in memory, within one budget for all partitions: what was used least recently
// makes room, but the newest stays whatever its size. It never knows more than the state has: whoever writes puts
// the value here too, or drops it, and what another instance has written drops it (see Watch.Read).
type Decoded[V any] struct {
	limit int // bytes

	mu   sync.Mutex
	of   map[int32]map[string]*list.Element
	size int
	used list.List // of *decodedEntry[V] of all partitions, least recently used last
}

type decodedEntry[V any] struct {
	partition int32
	key       string
	value     V
	size      int
}

// NewDecoded keeps values of about limit bytes in all.
func NewDecoded[V any](limit int) *Decoded[V] {
	return &Decoded[V]{limit: limit, of: map[int32]map[string]*list.Element{}}
}

// Get gives what is kept of a key, the zero value if nothing is.
func (d *Decoded[V]) Get(partition int32, key string) (value V) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.of[partition][key]
	if e == nil {
		return value
	}
	d.used.MoveToFront(e)
	return e.Value.(*decodedEntry[V]).value
}

// Put keeps value, of size bytes in memory, in place of what is kept of the key.
func (d *Decoded[V]) Put(partition int32, key string, value V, size int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := d.of[partition]
	if keys == nil {
		keys = map[string]*list.Element{}
		d.of[partition] = keys
	}
	e := keys[key]
	if e == nil {
		e = d.used.PushFront(&decodedEntry[V]{partition: partition, key: key})
		keys[key] = e
	}
	d.used.MoveToFront(e)
	k := e.Value.(*decodedEntry[V])
	d.size += size - k.size
	k.value, k.size = value, size
	for d.size > d.limit && d.used.Len() > 1 {
		d.drop(d.used.Back())
	}
}

// Drop forgets a key.
func (d *Decoded[V]) Drop(partition int32, key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.of[partition][key]; e != nil {
		d.drop(e)
	}
}

// DropAll forgets all keys of a partition.
func (d *Decoded[V]) DropAll(partition int32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.of[partition] {
		d.drop(e)
	}
}

func (d *Decoded[V]) drop(e *list.Element) {
	k := d.used.Remove(e).(*decodedEntry[V])
	delete(d.of[k.partition], k.key)
	d.size -= k.size
}
