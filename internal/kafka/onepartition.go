package kafka

import (
	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
)

// OnePartition makes of consumers such that take partition 0 of every topic for the given one: a goka view reads all
// partitions of its topic or none, and so reads one.
func OnePartition(build goka.SaramaConsumerBuilder, partition int32) goka.SaramaConsumerBuilder {
	return func(brokers []string, clientID string) (sarama.Consumer, error) {
		c, err := build(brokers, clientID)
		if err != nil {
			return nil, err
		}
		return onePartition{c, partition}, nil
	}
}

type onePartition struct {
	sarama.Consumer
	partition int32
}

func (o onePartition) ConsumePartition(topic string, _ int32, offset int64) (sarama.PartitionConsumer, error) {
	return o.Consumer.ConsumePartition(topic, o.partition, offset)
}

func (o onePartition) HighWaterMarks() map[string]map[int32]int64 {
	all := o.Consumer.HighWaterMarks()
	one := make(map[string]map[int32]int64, len(all))
	for topic, of := range all {
		one[topic] = map[int32]int64{0: of[o.partition]}
	}
	return one
}
