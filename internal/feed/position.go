package feed

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Record is one record of a topic.
type Record struct {
	Partition int32
	Offset    int64
	At        time.Time // when the broker took it, or as its writer says where the topic is so
	Key       []byte
	Value     []byte
}

// Position is a place in a topic: the id of the topic, which is another one after it was created anew, and for each
// partition the offset to go on from.
type Position struct {
	Topic TopicID
	Next  []int64
}

// TopicID is Kafka's id of a topic.
type TopicID [16]byte

var errPosition = errors.New("it is no place in a topic")

// mostPartitions bounds what ParsePosition takes.
const mostPartitions = 10_000

// String is letters, digits, - and _, and the offsets after dots.
func (p Position) String() string {
	b := base64.RawURLEncoding.AppendEncode(nil, p.Topic[:])
	for _, next := range p.Next {
		b = strconv.AppendInt(append(b, '.'), next, 10)
	}
	return string(b)
}

// ParsePosition reads what String wrote.
func ParsePosition(s string) (p Position, err error) {
	parts := strings.Split(s, ".")
	id, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil || len(id) != len(p.Topic) || len(parts) == 1 || len(parts) > mostPartitions {
		return Position{}, errPosition
	}
	copy(p.Topic[:], id)
	for _, part := range parts[1:] {
		next, err := strconv.ParseInt(part, 10, 64)
		if err != nil || next < 0 || part != strconv.FormatInt(next, 10) {
			return Position{}, errPosition
		}
		p.Next = append(p.Next, next)
	}
	return p, nil
}
