package processors

import (
	"hash"
	"hash/fnv"
)

// Hasher places every key of every topic that brimline writes: processors,
// views, emitters and the transactional producer must agree on it.
func Hasher() hash.Hash32 { return fnv.New32a() }

// Partition is where goka puts a key under Hasher.
func Partition(key string, partitions int) int32 {
	h := Hasher()
	_, _ = h.Write([]byte(key))
	p := int32(h.Sum32())
	if p < 0 {
		p = -p
	}
	return p % int32(partitions)
}
