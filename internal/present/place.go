package present

import "fmt"

// Place writes where in Kafka a record is: topic/partition/offset.
func Place(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d/%d", Word(topic), partition, offset)
}
