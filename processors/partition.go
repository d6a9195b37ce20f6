package processors

import (
	"bytes"
	"hash"
	"hash/fnv"
)

// Hasher places every key of every topic that brimline writes: processors,
// views, emitters and the transactional producer must agree on it. It is
// FNV-1a of the key, of a segment's key that of its user, so that all of a user's state is in one partition.
func Hasher() hash.Hash32 { return &userHash{Hash32: fnv.New32a()} }

// userHash leaves out what follows a NUL that is not the first byte.
type userHash struct {
	hash.Hash32
	begun, ended bool
}

func (h *userHash) Write(b []byte) (int, error) {
	if h.ended || len(b) == 0 {
		return len(b), nil
	}
	skip := 1
	if h.begun {
		skip = 0
	}
	h.begun = true
	part := b
	if at := bytes.IndexByte(b[skip:], segmentMark); at >= 0 {
		part, h.ended = b[:skip+at], true
	}
	_, err := h.Hash32.Write(part)
	return len(b), err
}

func (h *userHash) Reset() {
	h.Hash32.Reset()
	h.begun, h.ended = false, false
}

// Partition is where goka's producers put a key under Hasher. The remainder
// comes before the sign, as with them: the lowest int32 has no positive
// counterpart, and anybody can choose a user id that hashes to it.
func Partition(key string, partitions int) int32 {
	h := Hasher()
	_, _ = h.Write([]byte(key))
	p := int32(h.Sum32()) % int32(partitions)
	if p < 0 {
		p = -p
	}
	return p
}
