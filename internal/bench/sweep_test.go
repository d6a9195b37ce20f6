package bench

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// BenchmarkSweep is the latency of live rows at 2,000/s, first without a sweep and then while BRIMLINE_BENCH_USERS
// other users are swept all the time, of whom one in ten has aged out and is deleted. That is measured from the first
// deletion on: a sweep deletes none before another one has passed, and a sweep of ten million users takes a while. Both
// begin when the process has come to rest: LevelDB compacts what was recovered for minutes, also after a restart.
func BenchmarkSweep(b *testing.B) {
	const backlog, rate, seconds, skip = 100_000, 2000, 90, 3
	users := number(b, "BRIMLINE_BENCH_USERS", 10_000_000)
	rule := brimline.Rule{ID: "day", Window: 24 * time.Hour, Limit: brimline.Amount(50_000).Total()}
	j := newJob(b, rulesOf(rule))
	before := spenders(0, backlog)
	live := spenders(backlog, 2*rate*seconds)
	phases := map[string][]testkit.Row{"without": live[:rate*seconds], "with": live[rate*seconds:]}
	j.fill(b, before)
	j.table.Insert(b, live)
	j.table.Analyze(b)
	want := j.table.Edges(b, rule, "")

	address := freeAddress(b)
	p := j.start(b, "--listen", address)
	j.awaitWindow(b, len(before)) // also makes the topics
	stop(b, p)
	idleUsers(b, j.names, users, live[0].Time)

	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	p99 := map[string]float64{}
	expected := edgesAmong(before)
	for _, phase := range []string{"without", "with"} {
		every := "0"
		if phase == "with" {
			every = "1s"
		}
		address := freeAddress(b)
		p := j.start(b, "--sweep-every", every, "--listen", address)
		j.ready(b, p, address)
		atRest := 0.1 // of a core
		if phase == "with" {
			atRest = 0.25 // a sweep takes an eighth
		}
		b.ReportMetric(settled(b, address, atRest).Seconds(), phase+"-settled-s")
		rows := phases[phase]
		sent := events(rows)
		began := make(chan time.Time, 1)
		go func() { began <- firstSwept(b, address, phase == "with") }()
		due := pace(b, j.names.Source, len(sent), rate, func(i int) *testkit.Event { return &sent[i] })
		expected += edgesAmong(rows)
		seen.wait(b, expected)
		from := <-began
		swept := metric(b, address, "brimline_window_swept_users_total")
		b.ReportMetric(swept, phase+"-swept")
		b.ReportMetric(metric(b, address, "brimline_window_sweeps_total"), phase+"-sweeps")
		_, peak := stop(b, p)
		b.ReportMetric(peak, phase+"-peak-MiB")
		var took []time.Duration
		seen.mu.Lock()
		for i := skip * rate; i < len(rows); i++ {
			if at := seen.at[rows[i].ID]; !at.IsZero() && due[i].After(from) {
				took = append(took, at.Sub(due[i]))
			}
		}
		seen.mu.Unlock()
		if slices.Sort(took); len(took) == 0 {
			b.Fatal("no alert came of a row that was sent after the first deletion: give the phase more seconds")
		}
		reportQuantiles(b, phase+"-", took)
		p99[phase] = milliseconds(took, .99)
	}
	stopReading()
	testkit.Compare(b, j.alerts(b), want)
	b.ReportMetric(float64(users), "users")
	b.ReportMetric(p99["with"]/p99["without"], "p99-with/without")
}

// settled waits until the process takes less than a part of a core, and gives how long that took.
func settled(b *testing.B, address string, most float64) time.Duration {
	b.Helper()
	const over = 4 * time.Second
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	began, before := time.Now(), 0.0
	if err := testkit.EventuallyEvery(ctx, over, func() (bool, error) {
		now := metric(b, address, "process_cpu_seconds_total")
		took := now - before
		first := before == 0
		before = now
		return !first && took < most*over.Seconds(), nil
	}); err != nil {
		b.Fatalf("the process does not come to rest: %v", err)
	}
	return time.Since(began)
}

// firstSwept is when a user was deleted first, or some time by then.
func firstSwept(b *testing.B, address string, sweeps bool) time.Time {
	if !sweeps {
		return time.Time{}
	}
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	if err := testkit.EventuallyEvery(ctx, 200*time.Millisecond, func() (bool, error) {
		return metric(b, address, "brimline_window_swept_users_total") > 0, nil
	}); err != nil {
		b.Errorf("no user was swept: %v", err)
	}
	return time.Now()
}

// idleUsers writes to the table topic users with one row each, of whom every tenth has aged out at a time.
func idleUsers(b *testing.B, names processors.Streams, users int, now brimline.Time) {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(parts.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(names.WindowTable), kgo.ProducerLinger(10*time.Millisecond), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	for u := range users {
		at := now.Add(-48 * time.Hour)
		if u%10 == 0 {
			at = now.Add(-365 * 24 * time.Hour)
		}
		user := strconv.Itoa(27_000_000 + u)
		row := brimline.RowOf(&brimline.Transaction{ID: strconv.Itoa(1_000_000_000 + u), Amount: 100, Time: at})
		value, err := codecs.WindowPart{}.Encode(&brimline.Window{
			Last: 1, Floor: brimline.MinTime, Scale: 2, Rows: []brimline.Row{row},
		})
		if err != nil {
			b.Fatal(err)
		}
		record := &kgo.Record{Partition: processors.Partition(user, partitions), Key: []byte(user), Value: value}
		client.Produce(b.Context(), record, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// metric is a figure without labels that the instance tells.
func metric(b *testing.B, address, name string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + address + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				b.Fatal(fmt.Errorf("%s: %w", name, err))
			}
			return n
		}
	}
	b.Fatalf("no metric %s", name)
	return 0
}
