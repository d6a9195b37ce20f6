package table

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/lovoo/goka/storage"
)

// memory is a goka storage in a map. goka's own sorts all keys on every new
// one, which makes reading a table of a million users a matter of hours.
type memory struct {
	mu     sync.RWMutex
	values map[string][]byte
	offset *int64
}

func newMemory() *memory { return &memory{values: map[string][]byte{}} }

func (*memory) Open() error          { return nil }
func (*memory) Close() error         { return nil }
func (*memory) MarkRecovered() error { return nil }

func (m *memory) Has(key string) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	_, ok := m.values[key]
	return ok, nil
}

func (m *memory) Get(key string) ([]byte, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.values[key], nil
}

func (m *memory) Set(key string, value []byte) error {
	if value == nil {
		return errors.New("a value is never nil")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = value
	return nil
}

func (m *memory) Delete(key string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}

func (m *memory) GetOffset(unknown int64) (int64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if m.offset == nil {
		return unknown, nil
	}
	return *m.offset, nil
}

func (m *memory) SetOffset(offset int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.offset = &offset
	return nil
}

func (m *memory) Iterator() (storage.Iterator, error) { return m.IteratorWithRange(nil, nil) }

// IteratorWithRange walks a copy of the keys in [start, limit), or of those
// that begin with start when limit is empty, in byte order.
func (m *memory) IteratorWithRange(start, limit []byte) (storage.Iterator, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	values := maps.Clone(m.values)
	maps.DeleteFunc(values, func(key string, _ []byte) bool {
		if len(limit) == 0 {
			return !bytes.HasPrefix([]byte(key), start)
		}
		return key < string(start) || key >= string(limit)
	})
	return &memoryIterator{keys: slices.Sorted(maps.Keys(values)), values: values, at: -1}, nil
}

type memoryIterator struct {
	keys   []string
	values map[string][]byte
	at     int
}

func (i *memoryIterator) Next() bool {
	i.at = min(i.at+1, len(i.keys))
	return i.at < len(i.keys)
}

func (i *memoryIterator) Seek(key []byte) bool {
	i.at, _ = slices.BinarySearch(i.keys, string(key))
	return i.at < len(i.keys)
}

func (i *memoryIterator) Key() []byte {
	if i.at < 0 || i.at >= len(i.keys) {
		return nil
	}
	return []byte(i.keys[i.at])
}

func (i *memoryIterator) Value() ([]byte, error) { return i.values[string(i.Key())], nil }
func (i *memoryIterator) Err() error             { return nil }
func (i *memoryIterator) Release()               { i.keys, i.values = nil, nil }
