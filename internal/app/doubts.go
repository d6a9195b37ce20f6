package app

import (
	"context"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/verify"
	"github.com/brimline/brimline/processors/window"
	"github.com/lovoo/goka"
)

// looksForDue is how often the window stage looks whether PostgreSQL is to be asked again about distrusted users.
const looksForDue = time.Second

// askAgain tells the fold, which has no clock, when to ask PostgreSQL again about distrusted users, and about those who
// are above a limit.
func (a *App) askAgain(ctx context.Context, p *goka.Processor, v *visits, states *window.States) {
	defer a.distrusted.Store(nil)
	defer a.visited.Store(nil)
	defer func() {
		a.stageMetrics.window.Distrusted(0)
		a.stageMetrics.window.Above(0)
	}()
	a.distrusted.Store(states)
	a.visited.Store(v)
	tick := time.NewTicker(looksForDue)
	defer tick.Stop()
	for {
		if p.Recovered() {
			err := v.visit(ctx, func(ctx context.Context) error {
				if err := states.Recall(ctx); err != nil {
					return err
				}
				v.setRecalled(true)
				return nil
			})
			if err != nil { // a rebalance ends it; the next look makes up for it
				a.log.Debug("looking for users to ask about ended early", "error", err)
			}
			n, _, _ := states.Distrusted(brimline.TimeOf(a.clock()), a.longest())
			a.stageMetrics.window.Distrusted(n)
			a.stageMetrics.window.Above(states.Above())
			a.tellDue(states)
			a.tellAbove(ctx, states)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (a *App) tellDue(states *window.States) {
	due := states.Due(a.clock())
	if len(due) == 0 {
		return
	}
	if err := a.emit(a.streams.Changes, codecs.Change{}, due, "asking again about distrusted users"); err != nil {
		a.log.Warn("questions about distrusted users put off", "users", len(due), "error", err)
	}
}

// asksAbove says whether PostgreSQL is asked about users above a limit.
func (a *App) asksAbove() bool { return a.config.Verify != "off" && a.config.DistrustAfter > 0 }

// tellAbove has PostgreSQL asked about users above a limit. A run that ends when it has caught up leaves none.
func (a *App) tellAbove(ctx context.Context, states *window.States) {
	if !a.asksAbove() || states.Above() == 0 {
		return
	}
	folded, err := a.folded.now(ctx)
	if err != nil || folded.IsZero() {
		return // the next look asks the brokers again
	}
	due := states.DueAbove(a.folded.clock(), folded, a.config.UntilCaughtUp)
	if len(due) == 0 {
		return
	}
	if err := a.emit(a.streams.Changes, codecs.Change{}, due, "asking about users above a limit"); err != nil {
		a.log.Warn("questions about users above a limit put off", "users", len(due), "error", err)
	}
}

// awaitCaughtUp waits until everything in the source topic has gone through all stages, and PostgreSQL was asked about
// all users above a limit whom this instance has.
func (a *App) awaitCaughtUp(ctx context.Context) error {
	starved := func() bool { return !a.budget.Starved().IsZero() }
	for {
		before := a.allAsked() // what was asked since has its answer on the way
		if err := AwaitCaughtUp(ctx, awaited{a.cluster, a.streams.Again, starved}, a.streams, caughtEvery); err != nil {
			return err
		}
		if before && a.allAsked() {
			return nil
		}
		select {
		case <-time.After(caughtEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// allAsked says whether PostgreSQL is to be asked about no user above a limit whom this instance has.
func (a *App) allAsked() bool {
	if !a.asksAbove() || !a.config.Runs(processors.Window) {
		return true
	}
	states, v := a.distrusted.Load(), a.visited.Load()
	return states != nil && v != nil && v.isRecalled() && states.Recalled() && states.Above() == 0
}

// longest is the longest window of a rule.
func (a *App) longest() (longest time.Duration) {
	for i := range a.rules.Rules {
		longest = max(longest, a.rules.Rules[i].Window)
	}
	return longest
}

// distrustNotice says for how many users PostgreSQL answers; nil for none.
func (a *App) distrustNotice() *httpapi.Notice {
	states := a.distrusted.Load()
	if states == nil {
		return nil
	}
	n, user, d := states.Distrusted(brimline.TimeOf(a.clock()), a.longest())
	if n == 0 {
		return nil
	}
	who := fmt.Sprintf("%d users are distrusted, the newest %q", n, user)
	if n == 1 {
		who = fmt.Sprintf("user %q is distrusted", user)
	}
	return &httpapi.Notice{
		Kind: "distrusted_users", Level: httpapi.Note,
		Message: fmt.Sprintf("%s since %s (reason: %s): PostgreSQL answers until the windows have filled again, and "+
			"totals are not shown", who, present.TimeUTC(d.At), d.Reason),
	}
}

// starvedFor is for how long it is told that an edge had to wait: each that waits is due again within a minute.
const starvedFor = 10 * time.Minute

// budgetNotice says that more users would be distrusted than are allowed to be; nil where that is not so.
func budgetNotice(starved, now time.Time) *httpapi.Notice {
	if starved.IsZero() || now.Sub(starved) > starvedFor {
		return nil
	}
	return &httpapi.Notice{
		Kind: "distrusts_wait", Level: httpapi.Warning,
		Message: fmt.Sprintf("PostgreSQL has less than the stream for more than %d users, and goes on dismissing their "+
			"edges: "+
			"further ones are distrusted one by one, every %s", verify.DistrustsAtOnce,
			present.Duration(verify.DistrustEvery)),
		Remedy: "so many have one cause: a publication without deletes or with a row filter, row-level security of the " +
			"login, a wrong unit of amounts or times, a slot that was lost; `brimline doctor` looks for them",
	}
}
