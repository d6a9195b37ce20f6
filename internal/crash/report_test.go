package crash

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// line is the report's line of a round.
type line struct {
	fault    string
	seed     uint64
	events   int
	alerts   int
	did      []string
	under    int
	began    time.Time
	took     time.Duration
	caughtUp time.Duration
	result   string
}

type report struct{ lines []line }

func (r *report) add(t *testing.T, l line) {
	r.lines = append(r.lines, l)
	t.Logf("ROUND %s seed %d: %d events, %d alerts, %d%% of the load under faults, caught up in %v, %v in all: %s",
		l.fault, l.seed, l.events, l.alerts, l.under, l.caughtUp.Round(100*time.Millisecond),
		l.took.Round(time.Second), l.result)
}

// write puts the table into BRIMLINE_CRASH_REPORT.
func (r *report) write(t *testing.T, seed uint64) {
	name := os.Getenv("BRIMLINE_CRASH_REPORT")
	if name == "" {
		return
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Made by `BRIMLINE_SEED=%d", seed)
	for _, v := range []string{"BRIMLINE_CRASH_FAULTS", "BRIMLINE_CRASH_ROUNDS", "BRIMLINE_CRASH_ROWS"} {
		if s := os.Getenv(v); s != "" {
			fmt.Fprintf(&b, " %s=%s", v, s)
		}
	}
	b.WriteString(" make test-crash`:\n\n" +
		"| fault | seed | events | alerts | what was done | load under it | catching up | took | result |\n" +
		"| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, l := range r.lines {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %s | %d%% | %v | %v | %s |\n", l.fault, l.seed, l.events, l.alerts,
			summary(l.did), l.under, l.caughtUp.Round(100*time.Millisecond), l.took.Round(time.Second), l.result)
	}
	if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
		t.Error(err)
	}
}

// summary counts equal deeds.
func summary(did []string) string {
	var order []string
	count := map[string]int{}
	for _, d := range did {
		if count[d]++; count[d] == 1 {
			order = append(order, d)
		}
	}
	for i, d := range order {
		if count[d] > 1 {
			order[i] = fmt.Sprintf("%s (%d times)", d, count[d])
		}
	}
	return strings.Join(order, "; ")
}
