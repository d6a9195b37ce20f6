package e2e

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

// seeds is how many random histories are judged, from BRIMLINE_SEEDS.
func seeds(t *testing.T, n int) int {
	if s := os.Getenv("BRIMLINE_SEEDS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("BRIMLINE_SEEDS: %v", err)
		}
	}
	return n
}

// TestAlertsAreExactlyTheEdges: a table of random rows with ties, negative and
// zero amounts; its change events in any order over 1 to 8 partitions, some of
// them twice; stages stopped in the middle. The alerts are PostgreSQL's edges.
func TestAlertsAreExactlyTheEdges(t *testing.T) {
	t.Parallel()
	first := testkit.Seed(t)
	for n := range seeds(t, 4) {
		seed := first + uint64(n)
		t.Run(fmt.Sprint("seed", seed), func(t *testing.T) {
			r := testkit.Rand(seed)
			partitions := 1 + r.IntN(8)
			j := newJob(t, parts(t), partitions, drawRules(r, 5000))
			rows := testkit.Shape{
				Rows: 200 + r.IntN(800), Users: 1 + r.IntN(15), Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
				Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000, Heavy: 0.2,
			}.Draw(r)
			j.table.Insert(t, rows)
			var (
				events []testkit.Event
				ids    []int64
			)
			for i := range rows {
				events, ids = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(1000+i))),
					append(ids, rows[i].ID)
			}
			for range len(rows) / 20 { // redelivered
				i := r.IntN(len(rows))
				events, ids = append(events, events[i]), append(ids, ids[i])
			}
			events = testkit.Spread(r, events, ids, partitions, []int{-1, 0, 50}[r.IntN(3)])
			produced := 0
			for range 2 { // stopped in the middle, twice; each life has something to do, however fast the one before was
				n := len(events) / 3
				j.Produce(t, j.names.Source, events[produced:produced+n])
				produced += n
				p := j.start(t, 0)
				waitOutput(t, p, "starts at offset")
				j.waitHandled(t, int64(produced-r.IntN(n)))
				p.Signal(syscall.SIGTERM)
				j.mustEnd(t, p)
			}
			j.Produce(t, j.names.Source, events[produced:])
			j.finish(t)
			j.judge(t)
			if dead := j.deadLetters(t); len(dead) != 0 {
				t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
			}
		})
	}
}
