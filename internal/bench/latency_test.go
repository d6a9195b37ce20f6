package bench

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// Users come in groups. Each of a group has perUser rows in turn, and the last one of each goes over the limit.
const (
	perUser = 50
	group   = 2000
)

// spenders are n rows, every 50th of which is an edge; the users of different calls differ.
func spenders(from, n int) []testkit.Row {
	rows := make([]testkit.Row, n)
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	for i := range rows {
		at := from + i
		inGroup := at % (group * perUser)
		user, turn := at/(group*perUser)*group+inGroup%group, inGroup/group
		amount := brimline.Amount(100)
		if turn == user%perUser { // spread over the turns
			amount = 100_000
		}
		rows[i] = testkit.Row{ID: int64(at + 1), User: int64(user + 1), Amount: amount,
			Time: start.Add(time.Duration(at) * time.Millisecond), Description: "row"}
	}
	return rows
}

// BenchmarkLatency is the time from when a row's event was due to be sent until a reader of committed records has the
// alert, PostgreSQL's check included. What is sent late counts from when it was due. The medians of its legs are told
// as well: to-changes, to-candidates and to-alerts end where the brokers have the record, in whole milliseconds.
func BenchmarkLatency(b *testing.B) {
	b.Run("warm-up", func(b *testing.B) { latency(b, 5000) }) // of the broker, whose code is compiled as it runs
	for _, rate := range []int{1000, 5000, 20_000} {
		b.Run(fmt.Sprint("rate=", rate), func(b *testing.B) { latency(b, rate) })
	}
}

func latency(b *testing.B, rate int) {
	const backlog, seconds, skip = 100_000, 20, 3
	rule := brimline.Rule{ID: "day", Window: 24 * time.Hour, Limit: brimline.Amount(50_000).Total()}
	j := newJob(b, rulesOf(rule))
	before, paced := spenders(0, backlog), spenders(backlog, rate*seconds)
	j.fill(b, before)
	j.table.Insert(b, paced)
	j.table.Analyze(b)
	want := j.table.Edges(b, rule, "")

	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	p := j.start(b)
	seen.wait(b, edgesAmong(before))

	all := events(paced)
	due := pace(b, j.names.Source, len(all), rate, func(i int) *testkit.Event { return &all[i] })
	seen.wait(b, len(want))
	stopReading()
	cpu, peak := stop(b, p)
	testkit.Compare(b, j.alerts(b), want)

	took := legs(b, j, seen.at, paced[skip*rate:], due[skip*rate:])
	whole := took["whole"]
	reportQuantiles(b, "", whole)
	for _, leg := range []string{"to-changes", "to-candidates", "to-alerts", "to-reader"} {
		b.ReportMetric(milliseconds(took[leg], .5), leg+"-ms")
	}
	b.ReportMetric(float64(len(whole)), "alerts")
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
}

func reportQuantiles(b *testing.B, of string, sorted []time.Duration) {
	for name, q := range map[string]float64{"p50-ms": .5, "p99-ms": .99, "p99.9-ms": .999, "max-ms": 1} {
		b.ReportMetric(milliseconds(sorted, q), of+name)
	}
}

func milliseconds(sorted []time.Duration, q float64) float64 {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Seconds() * 1000
}

// legs gives how long the rows with alerts took, in all and for each part of the way, sorted.
func legs(b *testing.B, j *job, seen map[int64]time.Time, rows []testkit.Row,
	due []time.Time) map[string][]time.Duration {
	b.Helper()
	at := func(topic string, id func([]byte) (string, error)) map[int64]time.Time {
		times := map[int64]time.Time{}
		for _, r := range parts.Records(b, topic) {
			text, err := id(r.Value)
			if err != nil {
				b.Fatal(err)
			}
			n, _ := brimline.IntegerID(text)
			times[n] = r.Timestamp
		}
		return times
	}
	changes := at(j.names.Changes, func(raw []byte) (string, error) {
		var c brimline.Change
		err := codecs.DecodeChange(raw, &c)
		return c.Row.ID, err
	})
	candidates := at(j.names.Candidates, func(raw []byte) (string, error) {
		c, err := codecs.Candidates{}.Decode(raw)
		if err != nil {
			return "", err
		}
		return c.([]brimline.Candidate)[0].Trigger.ID, nil
	})
	alerts := at(j.names.Alerts, triggerOf)
	took := map[string][]time.Duration{}
	for i := range rows {
		id := rows[i].ID
		if seen[id].IsZero() {
			continue
		}
		for leg, d := range map[string]time.Duration{
			"whole": seen[id].Sub(due[i]), "to-changes": changes[id].Sub(due[i]), "to-candidates": candidates[id].Sub(changes[id]),
			"to-alerts": alerts[id].Sub(candidates[id]), "to-reader": seen[id].Sub(alerts[id]),
		} {
			took[leg] = append(took[leg], d)
		}
	}
	for _, all := range took {
		slices.Sort(all)
	}
	return took
}

func triggerOf(alert []byte) (string, error) {
	a, err := codecs.Alert{}.Decode(alert)
	if err != nil {
		return "", err
	}
	return a.(*brimline.Alert).Candidate.Trigger.ID, nil
}

func edgesAmong(rows []testkit.Row) (n int) {
	for i := range rows {
		if rows[i].Amount > 50_000 {
			n++
		}
	}
	return n
}

// pace sends n events at a rate, and gives when each was due.
func pace(b *testing.B, topic string, n, rate int, event func(int) *testkit.Event) []time.Time {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(parts.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(2*time.Millisecond), kgo.DefaultProduceTopic(topic))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	var (
		due   = make([]time.Time, n)
		start = time.Now()
		tick  = time.NewTicker(time.Millisecond)
	)
	defer tick.Stop()
	for sent := 0; sent < n; <-tick.C {
		for now := time.Now(); sent < n; sent++ {
			if due[sent] = start.Add(time.Duration(sent) * time.Second / time.Duration(rate)); due[sent].After(now) {
				break
			}
			e := event(sent)
			client.Produce(b.Context(), &kgo.Record{Partition: e.Partition, Key: e.Key, Value: e.Value},
				func(_ *kgo.Record, err error) {
					if err != nil {
						b.Error(err)
					}
				})
		}
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return due
}

// arrivals are when alerts were there for a reader of committed records.
type arrivals struct {
	mu    sync.Mutex
	at    map[int64]time.Time // by the id of the row that caused the first of its alerts
	known map[string]bool     // alerts
	more  chan struct{}
}

func newArrivals() *arrivals {
	return &arrivals{at: map[int64]time.Time{}, known: map[string]bool{}, more: make(chan struct{}, 1)}
}

// read begins to read. stop waits for its end.
func (a *arrivals) read(b *testing.B, topic string) (stop func()) {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(parts.Brokers...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var reading sync.WaitGroup
	reading.Go(func() {
		defer client.Close()
		for ctx.Err() == nil {
			a.take(b, client.PollFetches(ctx))
		}
	})
	return func() {
		cancel()
		reading.Wait()
	}
}

func (a *arrivals) take(b *testing.B, fetches kgo.Fetches) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	fetches.EachRecord(func(r *kgo.Record) {
		text, err := triggerOf(r.Value)
		if err != nil {
			b.Error(err)
			return
		}
		id, _ := brimline.IntegerID(text)
		if a.at[id].IsZero() {
			a.at[id] = now
		}
		a.known[string(r.Key)] = true
	})
	select {
	case a.more <- struct{}{}:
	default:
	}
}

// wait waits until n alerts are there.
func (a *arrivals) wait(b *testing.B, n int) {
	a.waitUntil(b, func() bool { return len(a.known) >= n })
}

// waitUntil looks whenever something has come, and gives up when nothing new does.
func (a *arrivals) waitUntil(b *testing.B, done func() bool) {
	b.Helper()
	const patience = 3 * time.Minute
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for last := 0; ; {
		a.mu.Lock()
		have, over := len(a.known), done()
		a.mu.Unlock()
		if over {
			return
		}
		if have > last {
			last = have
			timer.Reset(patience)
		}
		select {
		case <-a.more:
		case <-timer.C:
			b.Fatalf("%d alerts, and no other for %v", have, patience)
		}
	}
}
