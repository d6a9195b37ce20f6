//go:build crash

package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/internal/failpoint"
)

// stepped gives records the time of a clock that the crash suite steps.
type stepped struct{ now func() time.Time }

func (s stepped) OnProduceRecordBuffered(r *kgo.Record) {
	r.Timestamp = s.now().Truncate(time.Millisecond)
}

// disturbProducer also takes the record timeout away, which franz-go counts from a record's timestamp.
func disturbProducer() []kgo.Opt {
	const never = 100 * 365 * 24 * time.Hour
	return []kgo.Opt{kgo.WithHooks(stepped{failpoint.Clock(time.Now)}), kgo.RecordDeliveryTimeout(never)}
}
