//go:build crash

package kafka

import (
	"time"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline/internal/failpoint"
)

// stepped gives records the time of a clock that the crash suite steps.
type stepped struct{ now func() time.Time }

func (s stepped) OnSend(m *sarama.ProducerMessage) { m.Timestamp = s.now() }

func disturb(c *sarama.Config) {
	c.Producer.Interceptors = []sarama.ProducerInterceptor{stepped{failpoint.Clock(time.Now)}}
}
