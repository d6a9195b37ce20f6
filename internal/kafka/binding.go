package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

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

// Metadata goes with offsets that are bound so.
func (b *Binding) Metadata() string {
	if b.ID == "" {
		return ""
	}
	return boundTo + b.ID
}

// OfAnother says whether an offset's metadata bind it to another topic.
func (b *Binding) OfAnother(metadata string) bool { return ofAnother(metadata, b.ID) }

func ofAnother(metadata, id string) bool {
	bound, is := strings.CutPrefix(metadata, boundTo)
	return is && id != "" && bound != id
}
