package verify

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// TestBatchesAreBoundedByWhatTheyBecome: a record of questions is small beside what is written where none of them is
// answered, which is the row once for each. A batch takes as many records as that allows, of either topic.
func TestBatchesAreBoundedByWhatTheyBecome(t *testing.T) {
	for _, apart := range []bool{true, false} {
		t.Run(fmt.Sprint("apart ", apart), func(t *testing.T) {
			w := newWorld(t, 1)
			w.options.MaxMessageBytes = 1_000_000 // as the app gives it, whose topics take as much
			w.config = func(c *Config) { c.Off, c.ApartBytes, c.ApartEvery = true, 1, time.Millisecond }
			// Each record becomes 40 candidates with 8 KiB of text each: two of them weigh enough for leastApart, some 25
			// for mostNear.
			messages, least := 20, uint64(10)
			if !apart {
				messages, least = 60, 2
			}
			const rules = 40
			limits := make([]int64, rules)
			for i := range limits {
				limits[i] = int64(i + 1)
			}
			var records []*kgo.Record
			for n := range messages {
				var all []brimline.Candidate
				for _, c := range questionsOf("u", 0, hour, int64(n+1), limits...) {
					c.Apart = apart
					c.Trigger.Columns = []brimline.Field{{Name: "note", Value: strings.Repeat("x", 8<<10)}}
					all = append(all, *c)
				}
				records = append(records, w.record(all...))
			}
			w.putRaw(records...)
			one := w.start("one")
			w.caughtUp()
			one.stopped(t)
			if got := len(w.read(w.streams.Dismissed)); got != messages*rules {
				t.Errorf("%d questions were handled, of %d", got, messages*rules)
			}
			if got := w.transactionsOf(t); got < least {
				t.Errorf("%d transactions for %d records, want %d at least", got, messages, least)
			}
		})
	}
}

// transactionsOf is how many the last stage has committed.
func (w *world) transactionsOf(t *testing.T) (n uint64) {
	t.Helper()
	for _, family := range must(w.metrics.Gather()) {
		if family.GetName() == "brimline_verify_transaction_duration_seconds" {
			n += family.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	return n
}
