package processors

import (
	"encoding/binary"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline/codecs"
)

// lastHeader is the header of a deletion's record that names the last input of the value that it deletes, 8 bytes big
// endian.
const lastHeader = "last"

// DeletionOf gives the headers of a record that deletes a value with this last input (see KeepNewer).
func DeletionOf(last int64) goka.Headers {
	return goka.Headers{lastHeader: binary.BigEndian.AppendUint64(nil, uint64(last))}
}

// KeepNewer is the update callback of every reader of the window table: the
// processor's recovery and the views. It keeps the value that has folded more
// input. An instance that was frozen and thawed writes stale values after its
// successor's, so the last record of a key is not always its newest value.
//
// Of two values with the same last input the later record wins: it is the same
// change folded again after a crash. A value that cannot be decoded is stored
// as it is, so that it fails the reads of its own user and not the recovery of
// all users. A record without value deletes, but no value that is newer than the
// one that was deleted, where the record names it (see DeletionOf).
func KeepNewer(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	last, ok := codecs.WindowLast(value)
	if value == nil {
		if named := ctx.Headers()[lastHeader]; len(named) == 8 {
			last, ok = int64(binary.BigEndian.Uint64(named)), true
		}
	}
	put := func() error {
		if value == nil {
			return s.Delete(key)
		}
		return s.Set(key, value)
	}
	if !ok {
		return put()
	}
	held, err := s.Get(key)
	if err != nil {
		return err
	}
	if heldLast, ok := codecs.WindowLast(held); ok && heldLast > last {
		return nil
	}
	return put()
}
