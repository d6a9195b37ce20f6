package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

var (
	binary string
	stack  *testkit.Stack
	parts  *testkit.Parts
)

func TestMain(m *testing.M) {
	if os.Getenv("BRIMLINE_BENCH") == "" {
		os.Exit(m.Run())
	}
	testkit.Main(&binary, func() int {
		var err error
		if stack, err = testkit.NewStack(filepath.Join("..", "..", "deploy", "stack")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() {
			if err := stack.Wipe(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}()
		if err = stack.Up([]string{"BROKERS=1", "KAFKA_JVM=-Xms1g -Xmx1g"}, "postgres", "kafka"); err == nil {
			parts, err = testkit.Connected(strings.Split(stack.Env["KAFKA_BROKERS"], ","), stack.Env["ADMIN_DATABASE_URL"])
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	})
}

const partitions = 8

// job is one group, its table and its source topic.
type job struct {
	names processors.Streams
	url   string // of its database
	table testkit.Table
	rules string // path
	state string // directory
}

func newJob(b *testing.B, rules string) *job {
	b.Helper()
	if stack == nil {
		b.Skip("the real stack (a JVM, Maven) runs in `make bench-stack`: BRIMLINE_BENCH is not set")
	}
	name := testkit.Unique(b)
	j := &job{
		names: processors.NewStreams("g_"+name, "src_"+name, "alerts_"+name),
		url:   parts.Database(b, name), rules: filepath.Join(b.TempDir(), "rules.yaml"), state: b.TempDir(),
	}
	if err := os.WriteFile(j.rules, []byte(rules), 0o600); err != nil {
		b.Fatal(err)
	}
	j.table = testkit.CreateTable(b, testkit.Connect(b, j.url), "streaming", "transactions")
	parts.CreateTopic(b, j.names.Source, partitions)
	return j
}

// rulesOf is a rules file.
func rulesOf(rules ...brimline.Rule) string {
	text := "rules:\n"
	for _, r := range rules {
		text += fmt.Sprintf("  - {id: %s, window: %dh, limit: %q}\n", r.ID, int(r.Window.Hours()), r.Limit.Format(2))
	}
	return text
}

// fill puts rows into the table, and their events into the source topic.
func (j *job) fill(b *testing.B, rows []testkit.Row) {
	b.Helper()
	j.table.Insert(b, rows)
	const some = 50_000
	for from := 0; from < len(rows); from += some {
		parts.Produce(b, j.names.Source, events(rows[from:min(from+some, len(rows))]))
	}
}

// events gives what Debezium makes of inserted rows, each in the partition of its id.
func events(rows []testkit.Row) []testkit.Event {
	all := make([]testkit.Event, len(rows))
	for i := range rows {
		all[i] = testkit.Envelope("transactions", "c", nil, &rows[i], rows[i].ID)
		all[i].Partition = int32(rows[i].ID % partitions)
	}
	return all
}

func (j *job) start(b *testing.B, flags ...string) *testkit.Process {
	b.Helper()
	return testkit.Start(b, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, append([]string{
		"run", "--brokers", strings.Join(parts.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source, "--alerts", j.names.Alerts,
		"--rules", j.rules, "--state-dir", j.state, "--session-timeout", "6s", "--listen", "off",
	}, flags...)...)
}

// end waits for a process that ends by itself, or that was told to, and reports what it took.
func end(b *testing.B, p *testkit.Process) (cpu time.Duration, peakMB float64) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
	defer cancel()
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		b.Fatalf("ended with %d, %v:\n%s", code, err, p.Output())
	}
	cpu, peak := p.Usage()
	return cpu, float64(peak) / (1 << 20)
}

func stop(b *testing.B, p *testkit.Process) (cpu time.Duration, peakMB float64) {
	b.Helper()
	p.Signal(syscall.SIGTERM)
	return end(b, p)
}

// alerts are all that is committed.
func (j *job) alerts(b *testing.B) []*brimline.Alert {
	b.Helper()
	return parts.Alerts(b, j.names.Alerts)
}

// diskMB is the size of the files below dir.
func diskMB(b *testing.B, dir string) float64 {
	b.Helper()
	sum := int64(0)
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return float64(sum) / (1 << 20)
}
