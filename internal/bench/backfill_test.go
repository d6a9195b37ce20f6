package bench

import (
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// BenchmarkBackfill is the latency of live rows at 2,000/s, alone and while many rows that are older than the kept
// history are updated, all at once: each update is five questions to PostgreSQL, one for each rule. BRIMLINE_BENCH_LIVE
// and BRIMLINE_BENCH_BACKFILL say how many there are of each.
func BenchmarkBackfill(b *testing.B) {
	live, old := number(b, "BRIMLINE_BENCH_LIVE", 1_000_000), number(b, "BRIMLINE_BENCH_BACKFILL", 200_000)
	b.Run("without", func(b *testing.B) { backfill(b, live, 0) })
	b.Run("with", func(b *testing.B) { backfill(b, live, old) })
	b.Run(
		"without, warm",
		func(b *testing.B) { backfill(b, live, 0) },
	) // the first run finds a broker that has just started
}

func number(b *testing.B, name string, otherwise int) int {
	b.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	return n
}

// Of each user of the backfill, oldRows rows lie within two days, and one two months later.
const oldRows = 100

// firstOldUser has more digits than live users.
const firstOldUser = 10_000_000

// oldRow is row i of the backfill, before its update and after: one of each user's goes over every limit then.
func oldRow(i int) (before, after testkit.Row) {
	const firstID = 100_000_000
	user, turn := i/oldRows, i%oldRows
	start := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	before = testkit.Row{
		ID: firstID + int64(i), User: firstOldUser + int64(user), Amount: 100,
		Time: start.Add(time.Duration(turn) * 30 * time.Minute), Description: "old",
	}
	after = before
	after.Amount++
	if turn == user%oldRows {
		after.Amount = 100_000_00
	}
	return before, after
}

func backfill(b *testing.B, live, old int) {
	const backlog, rate, skip = 100_000, 2000, 3
	day := brimline.Rule{ID: "day", Window: 24 * time.Hour, Limit: brimline.Amount(500_00).Total()}
	rules := []brimline.Rule{day}
	for id, hours := range map[string]time.Duration{"two": 48, "three": 72, "five": 120, "week": 168} {
		rules = append(rules, brimline.Rule{ID: id, Window: hours * time.Hour, Limit: brimline.Amount(5000_00).Total()})
	}
	j := newJob(b, rulesOf(rules...))
	before, paced := spenders(0, backlog), spenders(backlog, live)
	var inserts, updates, newest []testkit.Event
	var final []testkit.Row
	place := func(e testkit.Event, id int64) testkit.Event {
		e.Partition = int32(id % partitions)
		return e
	}
	for i := range old {
		was, is := oldRow(i)
		inserts = append(inserts, place(testkit.Envelope("transactions", "c", nil, &was, was.ID), was.ID))
		updates = append(updates, place(testkit.Envelope("transactions", "u", &was, &is, int64(old)+was.ID), was.ID))
		final = append(final, is)
		if i%oldRows == 0 {
			last := testkit.Row{
				ID: was.ID + int64(old), User: was.User, Amount: 100,
				Time: was.Time.Add(60 * 24 * time.Hour), Description: "new",
			}
			newest = append(newest, place(testkit.Envelope("transactions", "c", nil, &last, last.ID), last.ID))
			final = append(final, last)
		}
	}
	seed := testkit.Seed(b)
	testkit.Rand(seed).Shuffle(len(updates), func(i, k int) { updates[i], updates[k] = updates[k], updates[i] })
	j.table.Insert(b, paced)
	j.table.Insert(b, final)

	seen := newArrivals()
	stopReading := seen.read(b, j.names.Alerts)
	p := j.start(b)
	sent := 0
	send := func(some []testkit.Event) {
		parts.Produce(b, j.names.Source, some)
		sent += len(some)
		j.awaitWindow(b, sent)
	}
	send(inserts)
	send(newest) // from here on the old rows are below the history
	j.fill(b, before)
	seen.wait(b, edgesAmong(before))
	j.table.Analyze(b)
	want := map[string]testkit.Verdict{}
	for _, r := range rules {
		maps.Copy(want, j.table.Edges(b, r, ""))
	}

	all := events(paced)
	var (
		due    []time.Time
		pacing sync.WaitGroup
	)
	pacing.Go(func() {
		due = pace(b, j.names.Source, len(all), rate, func(i int) *testkit.Event { return &all[i] })
	})
	if old > 0 {
		time.Sleep(2 * skip * time.Second) // the live rows flow by then
		began := time.Now()
		for some := range slices.Chunk(updates, 10_000) {
			parts.Produce(b, j.names.Source, some)
		}
		edges := len(rules) * old / oldRows
		seen.waitUntil(b, func() bool {
			n := 0
			for id := range seen.known {
				if user, _, _ := strings.Cut(id, "/"); len(user) == len(strconv.Itoa(firstOldUser)) {
					n++
				}
			}
			return n >= edges
		})
		took := time.Since(began)
		b.ReportMetric(took.Seconds(), "backfill-s")
		b.ReportMetric(float64(old)/took.Seconds(), "updates/s")
	}
	pacing.Wait()
	seen.wait(b, len(want))
	stopReading()
	cpu, peak := stop(b, p)
	testkit.Compare(b, j.alerts(b), want)

	var took []time.Duration
	for i := skip * rate; i < len(paced); i++ {
		if at := seen.at[paced[i].ID]; !at.IsZero() {
			took = append(took, at.Sub(due[i]))
		}
	}
	slices.Sort(took)
	reportQuantiles(b, "live-", took)
	b.ReportMetric(float64(len(want)), "alerts")
	b.ReportMetric(peak, "peak-MB")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
}

// awaitVerify waits until the verify stage has handled all candidates that there are.
func (j *job) awaitVerify(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
	defer cancel()
	if err := testkit.EventuallyEvery(ctx, 100*time.Millisecond, func() (bool, error) {
		all, err := parts.Written(ctx, j.names.Candidates)
		if err != nil {
			return false, err
		}
		have, err := parts.Committed(ctx, j.names.VerifyGroup, j.names.Candidates)
		return have >= all, err
	}); err != nil {
		b.Fatal(err)
	}
}

// awaitWindow waits until the window stage has handled n changes.
func (j *job) awaitWindow(b *testing.B, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 30*time.Minute)
	defer cancel()
	if err := testkit.EventuallyEvery(ctx, 100*time.Millisecond, func() (bool, error) {
		have, err := parts.Committed(ctx, j.names.WindowGroup, j.names.Changes)
		return have >= int64(n), err
	}); err != nil {
		b.Fatal(err)
	}
}
