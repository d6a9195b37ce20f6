//go:build crash

package failpoint

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// crashAt reads BRIMLINE_CRASH_AT=point:n.
var crashAt = sync.OnceValues(func() (point string, n *counter) {
	point, count, _ := strings.Cut(os.Getenv("BRIMLINE_CRASH_AT"), ":")
	left, _ := strconv.Atoi(count)
	return point, &counter{left: left}
})

type counter struct {
	mu   sync.Mutex
	left int
}

// Hit kills this process with SIGKILL when it passes point for the nth time, if BRIMLINE_CRASH_AT=point:n.
func Hit(point string) {
	at, n := crashAt()
	if at != point {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.left--; n.left == 0 {
		if point == WindowSet || point == SegmentSet {
			time.Sleep(100 * time.Millisecond) // until the changelog has it, and what should follow is missing
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// Clock steps now back and forth if BRIMLINE_CRASH_CLOCK=step,every (two durations).
func Clock(now func() time.Time) func() time.Time {
	size, every, _ := strings.Cut(os.Getenv("BRIMLINE_CRASH_CLOCK"), ",")
	step, _ := time.ParseDuration(size)
	period, err := time.ParseDuration(every)
	if err != nil {
		return now
	}
	start := time.Now()
	return func() time.Time {
		if time.Since(start)/period%2 == 1 {
			return now().Add(-step)
		}
		return now().Add(step)
	}
}

// StatementRows is how many rows a question to PostgreSQL may read in one statement: BRIMLINE_CRASH_STATEMENT_ROWS, or
// usual. With few of them every user counts as one who has many.
func StatementRows(usual int) int {
	if n, err := strconv.Atoi(os.Getenv("BRIMLINE_CRASH_STATEMENT_ROWS")); err == nil && n > 0 {
		return n
	}
	return usual
}

var without = sync.OnceValue(func() []string { return strings.Split(os.Getenv("BRIMLINE_WITHOUT"), ",") })

// Without says whether BRIMLINE_WITHOUT=a,b,… takes the protection away.
func Without(protection string) bool { return slices.Contains(without(), protection) }
