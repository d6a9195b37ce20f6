package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
)

// boundTo begins the metadata of offsets that are bound to a topic's id.
const boundTo = "topic:"

// Binding binds a group's offsets in a topic to the topic as it is. Brokers keep offsets by the topic's name: one that
// was deleted and made anew would be read from where its predecessor was left. With a Binding, offsets carry the id
// of their topic, and those of another one count for nothing: the topic is read from its beginning.
type Binding struct {
	Topic, ID string

	cluster *Cluster
}

// Bind looks which topic has the name now. A broker that knows no ids gives a Binding that does nothing.
func (c *Cluster) Bind(topic string) (*Binding, error) {
	id, err := c.TopicID(topic)
	return &Binding{Topic: topic, ID: id, cluster: c}, err
}

// Broken is nil while the topic is the one that it was.
func (b *Binding) Broken() error {
	id, err := b.cluster.TopicID(b.Topic)
	if err != nil || id == b.ID {
		return err
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: KindTopicMadeAnew, Where: fmt.Sprintf("topic %q", b.Topic),
		Remedy: "nothing needs to be done: it is read from its beginning",
		Err:    errors.New("the topic was deleted and made anew"),
	}
}

// KindTopicMadeAnew is of a topic that is not the one that it was when its reader began.
const KindTopicMadeAnew = "topic_made_anew"

// IsMadeAnew says whether an error says so.
func IsMadeAnew(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Kind == KindTopicMadeAnew
}

// Watch waits until the topic is another one, and gives Broken's error then; nil once ctx ends.
func (b *Binding) Watch(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := b.Broken(); IsMadeAnew(err) { // a topic that is away, or brokers that are, may come back
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// metadata is what offsets carry.
func (b *Binding) metadata() string {
	if b == nil || b.ID == "" {
		return ""
	}
	return boundTo + b.ID
}

// claim puts the partitions that a session was given to the beginning if the group's offsets are of another topic.
func (b *Binding) claim(group string, s sarama.ConsumerGroupSession) error {
	partitions := s.Claims()[b.Topic]
	if b.ID == "" || len(partitions) == 0 {
		return nil
	}
	if err := b.Broken(); err != nil {
		return err
	}
	offsets, err := b.cluster.admin.ListConsumerGroupOffsets(group, map[string][]int32{b.Topic: partitions})
	if err != nil {
		return Explain(err, fmt.Sprintf("offsets of group %q", group))
	}
	for _, p := range partitions {
		block := offsets.GetBlock(b.Topic, p)
		if block == nil || block.Offset < 0 || !ofAnother(block.Metadata, b.ID) {
			continue
		}
		oldest, err := b.cluster.client.GetOffset(b.Topic, p, sarama.OffsetOldest)
		if err != nil {
			return Explain(err, fmt.Sprintf("topic %q, partition %d", b.Topic, p))
		}
		if oldest > block.Offset { // sarama goes back only: what lies between is gone in any case
			s.MarkOffset(b.Topic, p, oldest, b.metadata())
			continue
		}
		s.ResetOffset(b.Topic, p, oldest, b.metadata())
	}
	return nil
}

// ofAnother says whether an offset's metadata bind it to a topic of another id.
func ofAnother(metadata, id string) bool {
	bound, is := strings.CutPrefix(metadata, boundTo)
	return is && id != "" && bound != id
}
