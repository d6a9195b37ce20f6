package bench

import (
	"bufio"
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
// other users are swept all the time, of whom one in ten has aged out and is deleted.
func BenchmarkSweep(b *testing.B) {
	const backlog, rate, seconds, skip = 100_000, 2000, 25, 3
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
		for phase == "with" && metric(b, address, "brimline_window_sweeps_total") == 0 {
			time.Sleep(100 * time.Millisecond) // the first sweep deletes none, see Seen
		}
		rows := phases[phase]
		sent := events(rows)
		due := pace(b, j.names.Source, len(sent), rate, func(i int) *testkit.Event { return &sent[i] })
		expected += edgesAmong(rows)
		seen.wait(b, expected)
		swept := metric(b, address, "brimline_window_swept_users_total")
		if phase == "with" && swept == 0 {
			b.Errorf("no user was swept:\n%s", p.Output())
		}
		b.ReportMetric(swept, phase+"-swept")
		b.ReportMetric(metric(b, address, "brimline_window_sweeps_total"), phase+"-sweeps")
		_, peak := stop(b, p)
		b.ReportMetric(peak, phase+"-peak-MiB")
		var took []time.Duration
		seen.mu.Lock()
		for i := skip * rate; i < len(rows); i++ {
			if at := seen.at[rows[i].ID]; !at.IsZero() {
				took = append(took, at.Sub(due[i]))
			}
		}
		seen.mu.Unlock()
		slices.Sort(took)
		reportQuantiles(b, phase+"-", took)
		p99[phase] = milliseconds(took, .99)
	}
	stopReading()
	testkit.Compare(b, j.alerts(b), want)
	b.ReportMetric(float64(users), "users")
	b.ReportMetric(p99["with"]/p99["without"], "p99-with/without")
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
