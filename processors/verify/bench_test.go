package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
)

// asked counts the requests of the stage's clients, by their kind.
type asked struct {
	mu sync.Mutex
	n  map[int16]int
}

func (a *asked) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, _ error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n[key]++
}

// count makes the stage's clients count.
func (w *world) counting() *asked {
	a := &asked{n: map[int16]int{}}
	w.more = append(w.more, kgo.WithHooks(a))
	return a
}

// report tells how many requests there were per candidate: in all, and of the kinds that are sent often.
func (a *asked) report(b *testing.B) {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := 0
	for key, n := range a.n {
		all += n
		if 20*n > b.N {
			b.ReportMetric(float64(n)/float64(b.N), strings.ToLower(kmsg.NameForKey(key))+"/candidate")
		}
	}
	b.ReportMetric(float64(all)/float64(b.N), "requests/candidate")
}

// arrivals gives when each alert was there for a reader of committed records.
func (w *world) arrivals(b *testing.B, ctx context.Context) <-chan map[string]time.Time {
	reader := must(kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(w.streams.Alerts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted())))
	all := make(chan map[string]time.Time, 1)
	go func() {
		defer reader.Close()
		at := map[string]time.Time{}
		for len(at) <= b.N && ctx.Err() == nil {
			fetches := reader.PollFetches(ctx)
			now := time.Now()
			fetches.EachRecord(func(r *kgo.Record) { at[string(r.Key)] = now })
		}
		all <- at
	}()
	return all
}

// BenchmarkLatency is the time from a candidate's arrival in the topic to its
// alert's arrival at a reader of committed records, one at a time.
func BenchmarkLatency(b *testing.B) {
	w := newWorld(b, 4)
	requests := w.counting()
	w.start("one")
	reader := must(kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(w.streams.Alerts),
		kgo.FetchIsolationLevel(kgo.ReadCommitted())))
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
	requests.report(b)
	w.report(b)
}

// BenchmarkPaced sends candidates at a fixed rate, whatever becomes of them.
func BenchmarkPaced(b *testing.B) {
	for _, rate := range []int{20, 100, 400} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) {
			w := newWorld(b, 8)
			requests := w.counting()
			w.start("one")
			w.put(edgeCandidate("first", 0, 0)) // its topics are known then
			w.caughtUp()
			ctx, cancel := context.WithTimeout(b.Context(), patience+time.Duration(b.N)*time.Second/time.Duration(rate))
			defer cancel()
			seen := w.arrivals(b, ctx)
			due := map[string]time.Time{}
			var sent sync.WaitGroup
			b.ResetTimer()
			began := time.Now()
			for i := range b.N {
				c := edgeCandidate(fmt.Sprint("user ", i%997), brimline.Time(2*i)*hour, int64(i+1))
				at := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
				time.Sleep(time.Until(at)) // the pace
				due[c.ID()] = at
				sent.Add(1)
				w.client.Produce(ctx, w.record(*c), func(_ *kgo.Record, err error) {
					defer sent.Done()
					if err != nil {
						b.Error(err)
					}
				})
			}
			sent.Wait()
			arrived := <-seen
			b.StopTimer()
			var took []time.Duration
			for id, at := range due {
				if arrived[id].IsZero() {
					b.Fatalf("%d alerts of %d", len(arrived), b.N)
				}
				took = append(took, arrived[id].Sub(at))
			}
			slices.Sort(took)
			for _, q := range []float64{.5, .99} {
				b.ReportMetric(took[int(q*float64(len(took)))].Seconds()*1e3, fmt.Sprintf("p%g-ms", q*100))
			}
			requests.report(b)
			w.report(b)
		})
	}
}

// BenchmarkThroughput drains b.N candidates that are there at the start.
func BenchmarkThroughput(b *testing.B) {
	w := newWorld(b, 4)
	requests := w.counting()
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
	requests.report(b)
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

// BenchmarkKeptBack takes questions about a user of whom something is kept back, a batch at a time.
func BenchmarkKeptBack(b *testing.B) {
	w := newWorld(b, 1)
	s := w.unstarted("one")
	const batchSize = 500
	var messages []*kgo.Record
	for i := range batchSize {
		c := lateCandidate("u", brimline.Time(i), hour, int64(i))
		c.Source.TxID = int64(i)
		m := w.record(*c)
		m.Offset = int64(i)
		messages = append(messages, m)
	}
	c := &claim{partition: partition{s.near, 0}, member: &member{s: s}, kept: newKeptBack(), bytes: mostNear}
	b.ReportAllocs()
	for i := 0; i < b.N; i += batchSize {
		c.watermark = beforeAll()
		batch := c.batchOf(messages)
		batch.isKeptBack = func(string) bool { return true }
		if err := s.prepare(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		if err := c.makeRoom(batch); err != nil {
			b.Fatal(err)
		}
		batch.after = c.with(batch)
		if c.handed(batch); len(batch.keptBack) != batchSize {
			b.Fatalf("%d are kept back", len(batch.keptBack))
		}
	}
}
