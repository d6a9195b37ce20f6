//go:build !crash

package kafka

import "github.com/IBM/sarama"

// disturb does nothing; the crash suite's does, see package failpoint.
func disturb(*sarama.Config) {}
