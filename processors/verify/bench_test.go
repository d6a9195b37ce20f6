package verify

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
)

// BenchmarkLatency is the time from a candidate's arrival in the topic to its
// alert's arrival at a reader of committed records, one at a time.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b, 4)
	w.start("one")
	reader := must(kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(w.streams.Alerts), kgo.FetchIsolationLevel(kgo.ReadCommitted())))
	defer reader.Close()
	once := func(i int) {
		w.put(edgeCandidate(fmt.Sprint("user ", i%97), brimline.Time(2*i)*hour, int64(i)))
		for n := 0; n == 0; {
			fetches := reader.PollFetches(b.Context())
			if err := fetches.Err(); err != nil {
				b.Fatal(err)
			}
			n = fetches.NumRecords()
		}
	}
	once(0)
	b.ResetTimer()
	for i := range b.N {
		once(i + 1)
	}
	b.StopTimer()
	w.report(b)
}

// BenchmarkThroughput drains b.N candidates that are there at the start.
func BenchmarkThroughput(b *testing.B) {
	w := newWorld(b, 4)
	for i := 0; i < b.N; i += 1000 {
		var some []*brimline.Candidate
		for j := i; j < min(i+1000, b.N); j++ {
			some = append(some, edgeCandidate(fmt.Sprint("user ", j%997), brimline.Time(2*j)*hour, int64(j)))
		}
		w.put(some...)
	}
	b.ResetTimer()
	began := time.Now()
	w.start("one")
	w.caughtUp()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/time.Since(began).Seconds(), "candidates/s")
	w.report(b)
}

func (w *world) report(b *testing.B) {
	for _, family := range must(w.metrics.Gather()) {
		if family.GetName() == "brimline_verify_transaction_duration_seconds" {
			h := family.GetMetric()[0].GetHistogram()
			b.ReportMetric(h.GetSampleSum()/float64(h.GetSampleCount())*1e3, "ms/transaction")
			b.ReportMetric(float64(b.N)/float64(h.GetSampleCount()), "candidates/transaction")
		}
	}
}
