//go:build !crash

package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// disturbProducer does nothing; the crash suite's does, see package failpoint.
func disturbProducer() []kgo.Opt { return nil }
