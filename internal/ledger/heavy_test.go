package ledger

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// heavyRows are a user's in one window.
const heavyRows = 300_000

// heavyUser: what a question costs here does not follow from how many rows the user has.
func heavyUser(t *testing.T, s *server) {
	const user, newest = 77_000_001, 100
	s.exec(
		t,
		`INSERT INTO streaming.transactions SELECT 77000000 + n, $1, 1 + n % 7, timestamptz '2025-06-01' + n * interval '1 second', 'card'
		FROM generate_series(1, $2::int) n`,
		user,
		heavyRows+newest,
	)
	s.exec(t, "ANALYZE streaming.transactions")
	l := s.open(t, transactions())
	start := brimline.TimeOf(time.Date(2025, 6, 1, 0, 0, 0, 0, time.UTC))
	from, to := start.Add((heavyRows+1)*time.Second), start.Add((heavyRows+newest)*time.Second)
	rule := &sliding.Rule{Rule: brimline.Rule{Window: heavyRows * time.Second}}
	limit := int64(0)
	for n := 51; n <= heavyRows+50; n++ { // so that the windows' totals go up and down around it
		limit += int64(1 + n%7)
	}
	rule.Limit, _ = brimline.ParseTotal(fmt.Sprint(limit), 2)
	where := *rule
	where.Takes = func(row *brimline.Transaction) bool { v, _ := row.Column("kind"); return v == "card" }
	// What a question may allocate in all; with the race detector it is a little more. All rows at once are 150 MiB.
	bound := map[string]uint64{"sums": 8 << 20, "where": 96 << 20}
	const held = 64 << 20 // and what it may hold at a time
	defer debug.SetGCPercent(debug.SetGCPercent(20))
	for name, r := range map[string]*sliding.Rule{"sums": rule, "where": &where} {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		if _, _, err := l.Edges(t.Context(), fmt.Sprint(user), r, from, to); !errors.Is(err, sliding.ErrManyRows) {
			t.Errorf("%s: one statement: %v", name, err)
		}
		peak := peakHeap()
		edges, _, err := l.Long().Edges(t.Context(), fmt.Sprint(user), r, from, to)
		most := peak() - min(before.HeapAlloc, peak())
		runtime.ReadMemStats(&after)
		if err != nil || len(edges) == 0 {
			t.Errorf("%s: %d edges, %v", name, len(edges), err)
		}
		live := after.HeapAlloc - min(before.HeapAlloc, after.HeapAlloc)
		all := after.TotalAlloc - before.TotalAlloc
		t.Logf("%s: %d edges, %d KiB taken, up to %d KiB at a time, %d KiB still held", name, len(edges), all>>10, most>>10,
			live>>10)
		if most > held {
			t.Errorf("%s: a question held %d MiB", name, most>>20)
		}
		if all > bound[name] {
			t.Errorf("%s: a question took %d MiB", name, all>>20)
		}
	}
}

// peakHeap looks at the heap from now on; what it gives ends that, and tells the largest it was.
func peakHeap() func() uint64 {
	var peak uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceValue(func() uint64 {
		close(stop)
		<-done
		return peak
	})
}
