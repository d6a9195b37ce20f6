package crash

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/testkit"
)

func number(t *testing.T, name string, fallback int) int {
	s := os.Getenv(name)
	if s == "" {
		return fallback
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// chosen are the faults of this run.
func chosen(t *testing.T) (list []fault) {
	all := faults()
	switch names := os.Getenv("BRIMLINE_CRASH_FAULTS"); names {
	case "all":
		return slices.DeleteFunc(all, func(f fault) bool { return f.beyond })
	case "":
		return slices.DeleteFunc(all, func(f fault) bool { return !f.short })
	default:
		for _, name := range strings.Split(names, ",") {
			i := slices.IndexFunc(all, func(f fault) bool { return f.name == name })
			if i < 0 {
				t.Fatalf("BRIMLINE_CRASH_FAULTS: there is no fault %q", name)
			}
			list = append(list, all[i])
		}
		return list
	}
}

// TestCrash runs the rounds, one after the other.
func TestCrash(t *testing.T) {
	if os.Getenv("BRIMLINE_CRASH") == "" {
		t.Skip("the crash suite (a JVM, Maven, minutes) runs in `make test-crash`: BRIMLINE_CRASH is not set")
	}
	var (
		list   = chosen(t)
		first  = testkit.Seed(t)
		rows   = number(t, "BRIMLINE_CRASH_ROWS", 20_000)
		rounds = number(t, "BRIMLINE_CRASH_ROUNDS", len(list))
		out    report
	)
	t.Logf("BRIMLINE_SEED=%d", first)
	// Rounds on equal stacks follow each other.
	order := make([]fault, rounds)
	for n := range order {
		order[n] = list[n%len(list)]
	}
	slices.SortStableFunc(order, func(a, b fault) int {
		if a.old != b.old {
			return cmp.Compare(fmt.Sprint(a.old), fmt.Sprint(b.old))
		}
		return a.brokers - b.brokers
	})
	for n, f := range order {
		seed := first + uint64(n)
		t.Run(fmt.Sprintf("%s/seed%d", f.name, seed), func(t *testing.T) {
			line := line{fault: f.name, seed: seed, began: time.Now(), result: "failed"}
			defer func() {
				if t.Skipped() {
					line.result = "skipped"
				}
				line.took = time.Since(line.began)
				out.add(t, line)
				out.write(t, first)
			}()
			r := newRound(t, f, seed, rows)
			line.events = len(r.events)
			wrong := r.run()
			if len(wrong) > 0 {
				t.Errorf("%d wrong:\n%s", len(wrong), strings.Join(wrong[:min(len(wrong), 30)], "\n"))
			}
			line.did, line.under, line.caughtUp, line.alerts = r.did, r.under, r.caughtUp, r.alerts
			if !t.Failed() {
				line.result = "exact"
			}
		})
	}
}

// run is a whole round; it gives what is wrong in the end.
func (r *round) run() []string {
	r.begin(r.fault.lasts(r.rowCount))
	r.fault.do(r)
	r.under = 100 - int(100*r.left.Load()/int64(max(1, len(r.events))))
	began := time.Now()
	stuck := r.catchUp()
	if stuck == nil && r.fault.then != nil {
		r.fault.then(r)
		ctx, cancel := r.bounded()
		defer cancel()
		stuck = r.atRest(ctx)
	}
	r.caughtUp = time.Since(began)
	r.stop()
	if stuck != nil {
		return []string{fmt.Sprintf("not caught up after %v: %v", r.caughtUp.Round(time.Second), stuck)}
	}
	return r.judge()
}
