package kafkasink

import "github.com/IBM/sarama"

// javaPartitioner places a record as the Java producer under Kafka Connect does:
// murmur2 of the key with the sign bit masked. (sarama's own takes FNV-1a and the
// absolute value.) A table can so move between Debezium and capture while the
// changes of one row stay in one partition.
type javaPartitioner struct{}

// NewPartitioner is a sarama.PartitionerConstructor.
func NewPartitioner(string) sarama.Partitioner { return javaPartitioner{} }

// Partition implements sarama.Partitioner. A null key, which only a TRUNCATE has,
// goes to the first partition, where a reader knows to look; Java would pick one
// by chance.
func (javaPartitioner) Partition(m *sarama.ProducerMessage, partitions int32) (int32, error) {
	if m.Key == nil {
		return 0, nil
	}
	key, err := m.Key.Encode()
	if err != nil {
		return 0, err
	}
	return int32(murmur2(key)&0x7fffffff) % partitions, nil
}

// RequiresConsistency implements sarama.Partitioner: a partition that is away is
// waited for, never replaced by another.
func (javaPartitioner) RequiresConsistency() bool { return true }

// murmur2 is that of org.apache.kafka.common.utils.Utils.
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		mul  = 0x5bd1e995
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[3])<<24 | uint32(b[2])<<16 | uint32(b[1])<<8 | uint32(b[0])
		k *= mul
		k ^= k >> 24
		k *= mul
		h = h*mul ^ k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= mul
	}
	h ^= h >> 13
	h *= mul
	return h ^ h>>15
}
