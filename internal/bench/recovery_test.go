package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// BenchmarkRecovery takes the time until an instance without local state serves a million users of 50 rows each, its
// processor time until it has been stopped, and the time until it serves after a restart. Verification is off: no alert
// is made. BRIMLINE_BENCH_USERS sets the number of users.
func BenchmarkRecovery(b *testing.B) {
	const rowsPerUser = 50
	users := number(b, "BRIMLINE_BENCH_USERS", 1_000_000)
	j := newJob(b, "rules:\n  - {id: week, window: 168h, limit: \"1000000.00\"}\n")
	ready := func() *testkit.Process {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		p := j.start(b, "--verify", "off", "--listen", address)
		ctx, cancel := context.WithTimeout(b.Context(), 20*time.Minute)
		defer cancel()
		err = testkit.Eventually(ctx, func() (bool, error) {
			resp, err := http.Get("http://" + address + "/readyz")
			if err != nil {
				return false, err
			}
			return resp.StatusCode == http.StatusOK, resp.Body.Close()
		})
		if err != nil {
			b.Fatalf("%v:\n%s", err, p.Output())
		}
		return p
	}
	stop(b, ready()) // makes the topics
	records := writeUsers(b, j.names, users, rowsPerUser)
	if err := os.RemoveAll(j.state); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	p := ready()
	recovered := b.Elapsed()
	b.StopTimer()
	cpu, peak := stop(b, p)
	began := time.Now()
	p = ready()
	restarted := time.Since(began)
	_, peakAgain := stop(b, p)
	b.ReportMetric(float64(records), "records")
	b.ReportMetric(float64(records)/recovered.Seconds(), "records/s")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(float64(records)/cpu.Seconds(), "records/cpu-s")
	b.ReportMetric(float64(parts.TopicBytes(b, j.names.WindowTable))/(1<<20), "changelog-MB")
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(restarted.Seconds(), "restart-s")
	b.ReportMetric(peakAgain, "restart-peak-MB")
	b.ReportMetric(diskMB(b, j.state), "disk-MB")
}

// writeUsers writes to the table topic what a compacted changelog holds of users with segments: three of 16 rows, and
// the rest in the value.
func writeUsers(b *testing.B, names processors.Streams, users, rowsPerUser int) (records int) {
	b.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(parts.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.DefaultProduceTopic(names.WindowTable), kgo.ProducerLinger(10*time.Millisecond), kgo.MaxBufferedRecords(20_000))
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	rule := brimline.Rule{ID: "week", Window: 7 * 24 * time.Hour, Limit: brimline.Amount(100_000_000).Total()}
	now := brimline.TimeOf(time.Now())
	put := func(user, key string, w *brimline.Window) []byte {
		value, err := codecs.WindowPart{}.Encode(w)
		if err != nil {
			b.Fatal(err)
		}
		records++
		client.Produce(b.Context(), &kgo.Record{Partition: processors.Partition(user, partitions), Key: []byte(key),
			Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				b.Error(err)
			}
		})
		return value
	}
	for u := range users {
		user := fmt.Sprint(27_000_000 + u)
		var rows []brimline.Row
		for i := range rowsPerUser {
			rows = append(rows, brimline.RowOf(&brimline.Transaction{
				ID: fmt.Sprint(1_000_000 + i*users + u), Amount: brimline.Amount(i*37%20_000 - 5_000),
				Time: now.Add(time.Duration(i-rowsPerUser) * time.Hour),
			}))
		}
		value := &brimline.Window{Last: 1, Floor: brimline.MinTime, Scale: 2,
			Rules: []brimline.RuleState{{Rule: rule.Fingerprint()}}}
		for ; len(rows) > 16; rows = rows[16:] {
			value.Older.Check ^= codecs.SegmentCheck(put(user, processors.SegmentKey(user, value.Older.Next),
				&brimline.Window{Last: 1, Floor: brimline.MinTime, Scale: 2, Rows: rows[:16]}))
			value.Older.Next++
		}
		value.Rows = rows
		put(user, user, value)
	}
	if err := client.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	return records
}
