package table

import "hash/maphash"

// written tells keys that were never written from others: a key that it knows nothing of is not there, one that it
// knows may be. A changelog of users who are mostly new is read without looking for them in LevelDB.
//
// It takes a byte for each record that the changelog may have, and at most 1 MiB of a partition: of 500,000 new keys it
// then takes one in seventy for known, of four million three in four.
type written struct {
	bits []uint64 // a power of two of them
	seed maphash.Seed
}

const (
	leastWritten = 1 << 10 // bytes
	mostWritten  = 1 << 20
)

func newWritten(records int64) *written {
	size := int64(leastWritten)
	for size < min(records, mostWritten) {
		size *= 2
	}
	return &written{bits: make([]uint64, size/8), seed: maphash.MakeSeed()}
}

// places are the two bits of a key.
func (w *written) places(key string) (a, b uint64) {
	h := maphash.String(w.seed, key)
	mask := uint64(len(w.bits))*64 - 1
	return h & mask, h >> 32 & mask
}

// add does nothing where w is nil.
func (w *written) add(key string) {
	if w == nil {
		return
	}
	a, b := w.places(key)
	w.bits[a/64] |= 1 << (a % 64)
	w.bits[b/64] |= 1 << (b % 64)
}

// mayHave is true for every key that was added, and for all where w is nil.
func (w *written) mayHave(key string) bool {
	if w == nil {
		return true
	}
	a, b := w.places(key)
	return w.bits[a/64]&(1<<(a%64)) != 0 && w.bits[b/64]&(1<<(b%64)) != 0
}
