package table

import "github.com/lovoo/goka/storage"

// goka keeps a partition's offset among the values of its LevelDB, under this key; kept, so that state of earlier
// versions is read.
const offsetKey = "__offset"

// A key that no user has, in place of the one above.
const escapedOffsetKey = "\x00user:" + offsetKey

// unreportedSetter is a state that must know of every record of its changelog, also of those that a stage emits
// there itself and whose offsets goka does not report.
type unreportedSetter interface {
	// SetUnreported sets, or without a value deletes, like Set and Delete. The caller emits
	// the same to the changelog, in the order of all its writes to the table.
	SetUnreported(key string, value []byte) error
}

// escaping keeps a user called "__offset" from overwriting goka's
// offset, which would end every recovery of that partition. Every LevelDB of a
// table keyed by user goes through it.
type escaping struct{ storage.Storage }

func escape(key string) string {
	if key == offsetKey {
		return escapedOffsetKey
	}
	return key
}

func (s escaping) Has(key string) (bool, error)       { return s.Storage.Has(escape(key)) }
func (s escaping) Get(key string) ([]byte, error)     { return s.Storage.Get(escape(key)) }
func (s escaping) Set(key string, value []byte) error { return s.Storage.Set(escape(key), value) }
func (s escaping) Delete(key string) error            { return s.Storage.Delete(escape(key)) }

// peeker is a state that can be read without keeping what was read at hand.
type peeker interface {
	// Peek gives what Get does.
	Peek(key string) ([]byte, error)
}

// Peek is Get for a value that will not be read again soon: it does not drive what is in use out of the cache.
func (s escaping) Peek(key string) ([]byte, error) {
	if p, ok := s.Storage.(peeker); ok {
		return p.Peek(escape(key))
	}
	return s.Get(key)
}

// SetUnreported sets, or without a value deletes, what the caller emits to the changelog itself, next after what was
// set before.
func (s escaping) SetUnreported(key string, value []byte) error {
	u, ok := s.Storage.(unreportedSetter)
	switch {
	case ok:
		return u.SetUnreported(escape(key), value)
	case value == nil:
		return s.Delete(key)
	default:
		return s.Set(key, value)
	}
}

func (s escaping) Iterator() (storage.Iterator, error) { return unescaped(s.Storage.Iterator()) }
func (s escaping) IteratorWithRange(start, limit []byte) (storage.Iterator, error) {
	return unescaped(s.Storage.IteratorWithRange(start, limit))
}

func unescaped(i storage.Iterator, err error) (storage.Iterator, error) {
	if err != nil {
		return nil, err
	}
	return unescaping{i}, nil
}

type unescaping struct{ storage.Iterator }

// Seek goes to a key that Key has given, or to the next one; like Next it passes over goka's own key.
func (i unescaping) Seek(key []byte) bool {
	found := i.Iterator.Seek([]byte(escape(string(key))))
	if found && string(i.Iterator.Key()) == offsetKey {
		return i.Next()
	}
	return found
}

func (i unescaping) Key() []byte {
	key := i.Iterator.Key()
	if string(key) == escapedOffsetKey {
		return []byte(offsetKey)
	}
	return key
}
