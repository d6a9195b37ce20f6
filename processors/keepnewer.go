package processors

import (
	"github.com/brimline/brimline/codecs"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// KeepNewer is the update callback of every reader of the window table: the
// processor's recovery and the views. It keeps the value that has folded more
// input. An instance that was frozen and thawed writes stale values after its
// successor's, so the last record of a key is not always its newest value.
//
// Of two values with the same last input the later record wins: it is the same
// change folded again after a crash. A value that cannot be decoded is stored
// as it is, so that it fails the reads of its own user and not the recovery of
// all users. A record without value deletes.
func KeepNewer(_ goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	if value == nil {
		return s.Delete(key)
	}
	last, ok := codecs.WindowLast(value)
	if !ok {
		return s.Set(key, value)
	}
	held, err := s.Get(key)
	if err != nil {
		return err
	}
	if heldLast, ok := codecs.WindowLast(held); ok && heldLast > last {
		return nil
	}
	return s.Set(key, value)
}
