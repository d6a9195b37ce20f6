package processors

import (
	"hash"
	"hash/fnv"
)

// Hasher places every key of every topic that brimline writes: processors,
// views, emitters and the transactional producer must agree on it.
func Hasher() hash.Hash32 { return fnv.New32a() }

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
