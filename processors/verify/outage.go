package verify

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// outage is the stage's view of PostgreSQL: who waits for it, and since when.
type outage struct {
	s       *Stage
	mu      sync.Mutex
	waiting int
	since   time.Time
	kind    string // of the error that was logged last
	again   processors.Rarely
}

// probe looks for PostgreSQL until ctx ends: an outage is to be known before there is a question.
func (o *outage) probe(ctx context.Context) {
	tick := time.NewTicker(o.s.ProbeEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_ = o.endure(ctx, func() error { return o.s.Ledger.Ping(ctx) })
		case <-ctx.Done():
			return
		}
	}
}

// endure asks until there is an answer, an error that no waiting mends, or the end of ctx.
func (o *outage) endure(ctx context.Context, ask func() error) error {
	waits := false
	pauses := backoff.Backoff{First: 20 * time.Millisecond, Most: o.s.Patience}
	for {
		err := ask()
		if err == nil || ctx.Err() != nil || isInput(err) {
			if waits {
				o.leave(ctx.Err() == nil)
			}
			return err
		}
		o.enter(err, !waits)
		waits = true
		_ = pauses.Pause(ctx)
	}
}

func isInput(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Class == brimline.ClassInput
}

// enter logs the first failure of an outage, every change of its kind, and now and then that it goes on.
func (o *outage) enter(err error, first bool) {
	kind := ""
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		kind = e.Kind
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if first {
		o.waiting++
	}
	now := o.s.Clock()
	began := o.waiting == 1 && first
	if began {
		o.since = now
		o.s.Metrics.waiting.Set(1)
		o.again.Over()
	}
	o.s.Waiting(o.since, err)
	if due := o.again.Due(now); !due && kind == o.kind {
		return
	}
	o.kind = kind
	o.s.Log.Error("PostgreSQL does not answer; alerts wait for it, nothing is lost", "error", err,
		"since", o.since.UTC().Format(time.RFC3339))
}

func (o *outage) leave(answered bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting--; o.waiting > 0 {
		return
	}
	o.s.Metrics.waiting.Set(0)
	o.s.Waiting(time.Time{}, nil)
	if answered {
		o.s.Log.Info("PostgreSQL answers again", "after", o.s.Clock().Sub(o.since).Round(time.Millisecond))
	}
}
