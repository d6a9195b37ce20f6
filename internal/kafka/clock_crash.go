//go:build crash

package kafka

import (
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/internal/failpoint"
)

// stepped gives records the time of a clock that the crash suite steps.
type stepped struct{ now func() time.Time }

func (s stepped) OnSend(m *sarama.ProducerMessage) { m.Timestamp = s.now() }

func (s stepped) OnProduceRecordBuffered(r *kgo.Record) {
	r.Timestamp = s.now().Truncate(time.Millisecond)
}

func disturb(c *sarama.Config) {
	c.Producer.Interceptors = []sarama.ProducerInterceptor{stepped{failpoint.Clock(time.Now)}}
}

// disturbProducer also takes the record timeout away, which franz-go counts from a record's timestamp.
func disturbProducer() []kgo.Opt {
	const never = 100 * 365 * 24 * time.Hour
	return []kgo.Opt{kgo.WithHooks(stepped{failpoint.Clock(time.Now)}), kgo.RecordDeliveryTimeout(never)}
}
