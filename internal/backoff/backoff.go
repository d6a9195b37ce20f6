// Package backoff has the pauses between attempts, each twice as long as the one before.
package backoff

import (
	"context"
	"time"
)

// Backoff is the pauses from First up to Most. It is for one goroutine.
type Backoff struct {
	First, Most time.Duration
	next        time.Duration
}

// Next is the pause that is due: First at the beginning, later twice the one before, never longer than Most.
func (b *Backoff) Next() time.Duration {
	d := min(max(b.First, b.next), b.Most)
	b.next = 2 * d
	return d
}

// Reset makes First the next pause again.
func (b *Backoff) Reset() { b.next = 0 }

// Pause waits for as long as Next says. It ends early, with ctx's error, when ctx ends.
func (b *Backoff) Pause(ctx context.Context) error { return Pause(ctx, b.Next()) }

// Pause waits. It ends early, with ctx's error, when ctx ends.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
