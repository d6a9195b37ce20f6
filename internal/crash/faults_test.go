package crash

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/brimline/brimline/internal/failpoint"
)

// fault is the failure that one kind of round causes while the load runs.
type fault struct {
	name       string
	brokers    int // 0 is one
	instances  int // 0 is two
	short      bool
	env        []string      // of every instance
	flags      []string      // of every instance; nil draws them
	beyond     bool          // more than is promised: run only by name
	changes    bool          // rows are updated, moved and deleted as well; only totals are judged
	unreadable bool          // rows are updated to ones that cannot be read, and back
	unseen     bool          // some rows that are sent were deleted without a word
	deep       bool          // no row falls out of the history
	debezium   bool          // the rows come by a real connector
	later      bool          // its second half of them is put in by do
	network    bool          // instances reach the brokers through proxies
	old        bool          // on brokers whose transactions are as before Kafka 4
	load       time.Duration // how long the load must flow, at least: longer than the fault; it ends when the fault does
	do         func(*round)
	then       func(*round) // once the load has gone through all stages
}

// lasts is how long the load is spread out. 200,000 rows in 50 s are about what two cores take without any fault.
func (f fault) lasts(rows int) time.Duration {
	return max(f.load, 20*time.Second+time.Duration(rows)*30*time.Second/200_000)
}

func faults() []fault {
	list := []fault{
		{name: "nothing", do: func(r *round) { r.while(5 * time.Second) }},
		{name: "kill-one", short: true, instances: 3, do: killOne},
		{name: "kill-all", short: true, do: killAll},
		{name: "freeze", short: true, load: 30 * time.Second, do: freeze},
		{name: "freeze-changes", changes: true, short: true, load: 30 * time.Second, do: freeze},
		{name: "kill-changes", changes: true, instances: 3, do: killOne},
		{name: "topic-anew", instances: 3, load: 30 * time.Second, do: makeAnew},
		{name: "topic-anew-changes", changes: true, load: 30 * time.Second, do: makeAnew},
		{name: "unreadable-changes", changes: true, unreadable: true, do: killOne},
		{name: "rows-unseen", unseen: true, do: killOne, then: distrustUnseen},
		{name: "rebalance", short: true, instances: 3, load: 40 * time.Second, do: rebalance},
		{name: "rules-rolled", instances: 3, load: 50 * time.Second, do: rollRules},
		{name: "failover", deep: true, flags: []string{}, do: failOver},
		{name: "failover-standby", deep: true, flags: []string{"--hot-standby"}, do: failOver},
		{name: "clock", env: []string{"BRIMLINE_CRASH_CLOCK=2400h,2s"}, do: func(r *round) {
			r.while(5 * time.Second)
			r.any().kill()
			r.while(5 * time.Second)
			r.do("the program's own clock stepped by 200 days back and forth every 2 s")
		}},
	}
	points := []string{
		failpoint.RouteEmitted, failpoint.SegmentSet, failpoint.WindowSet, failpoint.WindowEmitted,
		failpoint.BeforeMark, failpoint.TransactionBegun,
		failpoint.VerifySent, failpoint.VerifyOffsets, failpoint.VerifyCommitted, failpoint.IndexSet, failpoint.Recovering,
	}
	list = append(list, fault{name: "at-a-point", short: true, load: 45 * time.Second, do: func(r *round) {
		killAt(r, points[r.r.IntN(len(points))])
	}})
	for _, point := range points {
		list = append(list, fault{name: "at-" + point, load: 45 * time.Second, do: func(r *round) { killAt(r, point) }})
	}
	return slices.Concat(list, databaseFaults(), stateFaults(), brokerFaults(), networkFaults())
}

// while is how long a fault lasts.
func (r *round) while(d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// between gives a random duration.
func (r *round) between(from, to time.Duration) time.Duration {
	return from + time.Duration(r.r.Int64N(int64(to-from)))
}

func (r *round) any() *instance { return r.fleet[r.r.IntN(len(r.fleet))] }

func killOne(r *round) {
	for range 8 {
		r.while(r.between(200*time.Millisecond, 4*time.Second))
		r.any().kill()
		r.do("kill -9 of one instance")
	}
}

func killAll(r *round) {
	for range 4 {
		r.while(r.between(time.Second, 6*time.Second))
		for _, i := range r.fleet {
			i.kill()
		}
		r.do("kill -9 of all instances")
	}
}

// killAt kills at a named point, some time after the start, several times.
func killAt(r *round, point string) {
	most := max(400, r.rowCount/100)
	switch point {
	case failpoint.Recovering:
		most = 30
	case failpoint.TransactionBegun, failpoint.VerifySent, failpoint.VerifyOffsets,
		failpoint.VerifyCommitted, failpoint.VerifyBetween:
		most = 15
	}
	for range 3 {
		i, n := r.any(), 1+r.r.IntN(most)
		i.kill(fmt.Sprintf("BRIMLINE_CRASH_AT=%s:%d", point, n))
		ctx, cancel := context.WithTimeout(r.Context(), 20*time.Second)
		reached := i.awaitCrash(ctx)
		cancel()
		if !reached {
			i.kill()
			r.do("not reached: %s", point)
			continue
		}
		r.do("killed at %s", point)
	}
}

// freeze stops a process beyond the session timeout, so that another one takes over, and thaws it.
func freeze(r *round) {
	for range 2 {
		i := r.any()
		i.signal(syscall.SIGSTOP)
		r.while(r.between(7*time.Second, 11*time.Second))
		i.signal(syscall.SIGCONT)
		r.do("an instance frozen beyond the session timeout and thawed")
		r.while(r.between(time.Second, 3*time.Second))
	}
}

// rebalance takes instances out and in.
func rebalance(r *round) {
	for range 5 {
		i := r.any()
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		if err := i.stop(ctx); err != nil {
			r.Error(err)
		}
		cancel()
		r.while(r.between(500*time.Millisecond, 3*time.Second))
		i.start()
		r.do("an instance left and came back")
		r.while(r.between(500*time.Millisecond, 3*time.Second))
	}
}
