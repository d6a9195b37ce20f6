//go:build !crash

package kafka

import (
	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
)

// disturb does nothing; the crash suite's does, see package failpoint.
func disturb(*sarama.Config) {}

// disturbProducer is disturb for goka's producer.
func disturbProducer() []kgo.Opt { return nil }
