package table

import (
	"bytes"
	"slices"

	ldbiter "github.com/syndtr/goleveldb/leveldb/iterator"
)

// merged iterates over LevelDB and, hiding what is there, over newer values in memory.
type merged struct {
	db   ldbiter.Iterator
	held []entry // the newer values, by key
	next int     // in held
	heed func(error) error

	step   bool // db must be moved before its key is looked at
	more   bool // db has a key
	sought bool // Seek has moved to a pair that Next has not given yet
	at     entry
}

func (m *merged) Next() bool {
	if m.sought {
		m.sought = false
		return true
	}
	for {
		e, ok := m.take()
		if !ok {
			m.at = entry{}
			return false
		}
		if e.value != nil && string(e.key) != offsetKey {
			m.at = e
			return true
		}
	}
}

// take gives the next entry, deleted ones and goka's offset included.
func (m *merged) take() (entry, bool) {
	if m.step {
		m.more, m.step = m.db.Next(), false
	}
	if !m.more && (m.next == len(m.held) || m.db.Error() != nil) {
		return entry{}, false
	}
	order := 1
	if m.more {
		order = -1
		if m.next < len(m.held) {
			order = bytes.Compare(m.db.Key(), m.held[m.next].key)
		}
	}
	// Its key and value are valid until db moves, so it moves when the next entry is asked for.
	m.step = order <= 0
	if order < 0 {
		return entry{m.db.Key(), notNil(m.db.Value())}, true
	}
	m.next++
	return m.held[m.next-1], true
}

func notNil(value []byte) []byte {
	if value == nil {
		return []byte{}
	}
	return value
}

// Seek goes to the first key that is not below key; the next Next gives it.
func (m *merged) Seek(key []byte) bool {
	m.more, m.step = m.db.Seek(key), false
	m.next, _ = slices.BinarySearchFunc(m.held, key, func(e entry, key []byte) int { return bytes.Compare(e.key, key) })
	m.sought = false
	m.sought = m.Next()
	return m.sought
}

func (m *merged) Err() error { return m.heed(m.db.Error()) }

func (m *merged) Key() []byte { return m.at.key }

func (m *merged) Value() ([]byte, error) { return m.at.value, nil }

func (m *merged) Release() {
	m.db.Release()
	m.held, m.next, m.at, m.sought = nil, 0, entry{}, false
}
