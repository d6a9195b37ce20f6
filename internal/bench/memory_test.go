package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// memoryRules are five rules with windows of different lengths.
func memoryRules() []brimline.Rule {
	rules := make([]brimline.Rule, 5)
	for i := range rules {
		rules[i] = brimline.Rule{ID: fmt.Sprintf("r%d", i+1), Window: time.Duration(1<<i) * 12 * time.Hour}
		rules[i].Limit = brimline.Amount(400_000 * (i + 1)).Total()
	}
	return rules
}

// BenchmarkMemory is the peak of the resident memory, as the operating system counts it, over --memory at its default:
// while BRIMLINE_BENCH_ROWS rows are caught up with, those of three heavy users among them, and the API is asked, and
// again while the local state is built up from the changelog. BRIMLINE_BENCH_PPROF is an address for --pprof.
func BenchmarkMemory(b *testing.B) {
	const setting = 256 // MiB
	rows := number(b, "BRIMLINE_BENCH_ROWS", 2_000_000)
	j := newJob(b, rulesOf(memoryRules()...))
	seed := testkit.Seed(b)
	b.Logf("seed %d", seed)
	heavy := func() (user int64) { // whose rows are given up before anything is measured
		all := crowd{users: 100_000, rows: rows, s: 1.1, q: 500, heavy: 3, heavyRows: rows / 20}.draw(testkit.Rand(seed))
		j.fill(b, all)
		for i := range all {
			user = max(user, all[i].User)
		}
		return user
	}()
	run := func(phase string, done func()) {
		address := freeAddress(b)
		flags := []string{"--listen", address}
		if at := os.Getenv("BRIMLINE_BENCH_PPROF"); at != "" {
			flags = append(flags, "--pprof", at)
		}
		began := time.Now()
		p := j.start(b, flags...)
		ctx, cancel := context.WithCancel(b.Context())
		asked := make(chan int)
		go func() { asked <- ask(ctx, address, heavy) }()
		done()
		j.ready(b, p, address)
		b.ReportMetric(time.Since(began).Seconds(), phase+"-s")
		cancel()
		b.Logf("%s: the API answered %d times", phase, <-asked)
		_, peak := stop(b, p)
		b.ReportMetric(peak, phase+"-peak-MiB")
		b.ReportMetric(peak/setting, phase+"-peak/setting")
	}
	run("catch-up", func() { j.awaitWindow(b, rows) })
	if err := os.RemoveAll(j.state); err != nil {
		b.Fatal(err)
	}
	run("recovery", func() {})
	run("restart", func() {})
}

func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// ready waits until the instance says that it is.
func (j *job) ready(b *testing.B, p *testkit.Process, address string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Minute)
	defer cancel()
	err := testkit.Eventually(ctx, func() (bool, error) {
		resp, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false, err
		}
		return resp.StatusCode == http.StatusOK, resp.Body.Close()
	})
	if err != nil {
		b.Fatalf("%v:\n%s", err, p.Output())
	}
}

// ask asks the API for a heavy user, alerts and figures, ten times a second, until ctx ends, and says how often it
// answered.
func ask(ctx context.Context, address string, heavy int64) (answers int) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	paths := []string{
		fmt.Sprintf("/api/v1/users/%d", heavy),
		"/api/v1/alerts?limit=100",
		"/metrics",
		"/api/v1/status",
		"/",
	}
	for n := 0; ; n++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+paths[n%len(paths)], http.NoBody)
		if err == nil {
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if err == nil && resp.StatusCode == http.StatusOK {
					answers++
				}
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return answers
		}
	}
}
