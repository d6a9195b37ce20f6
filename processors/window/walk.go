package window

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// walks are shared by the sweeps. goka visits all that a table's iterator gives, one visit after the other
// between the messages of the partition. So the iterator gives only what may be deleted: it looks at the values as it
// passes, beside the partition, and the visit looks again.
type walks struct {
	markers *Markers

	mu     sync.Mutex      // held while one of them goes on: together they take no more than one may
	ctx    context.Context // of the sweep that runs
	worked time.Duration   // since the last rest
	rest   func(context.Context, time.Duration)
}

// A walk works for a slice and then rests for restsFor times as long. A visit is taken to be worth some work: it
// deletes, and the partition does it. Every lookEvery keys the walk looks at the clock.
const (
	slice     = time.Millisecond
	restsFor  = 7
	visitCost = 100 * time.Microsecond
	lookEvery = 64
)

// Walk runs f, which visits users, one at a time. What f goes through ends with ctx.
func (s *States) Walk(ctx context.Context, f func() error) error {
	w := &s.walks
	w.mu.Lock()
	w.ctx = ctx
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.ctx = nil
		w.mu.Unlock()
	}()
	if err := f(); err != nil {
		return err
	}
	return ctx.Err() // f may have seen no more than an end
}

// through is an iterator over those of all that a sweep may delete.
func (w *walks) through(all storage.Iterator, partition int32) storage.Iterator {
	w.mu.Lock()
	defer w.mu.Unlock()
	ctx := w.ctx
	if ctx == nil {
		ctx = context.Background()
	}
	d := &dueIterator{Iterator: all, walks: w, ctx: ctx, partition: partition}
	d.look()
	return d
}

// dueIterator is one partition's walk.
type dueIterator struct {
	storage.Iterator
	*walks
	ctx       context.Context
	partition int32
	idle      int64 // who has had no message since
	before    brimline.Time
	began     time.Time
	keys      int
	// user is the last user whose value was passed. A user's segments come behind the value: segments are those that it
	// names, once it is known.
	user     string
	value    []byte
	segments *brimline.Segments
}

// Next goes to the next user or segment that may be deleted.
func (d *dueIterator) Next() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.began = time.Now()
	defer func() { d.worked += time.Since(d.began) }()
	for d.Iterator.Next() {
		if d.keys++; d.keys%lookEvery == 0 && !d.goesOn() {
			return false
		}
		if d.isDue() {
			d.worked += visitCost
			return true
		}
	}
	return false
}

// look sees who may be deleted by now: the message that announces a sweep may be folded while the walk goes on.
func (d *dueIterator) look() {
	if d.markers != nil {
		d.idle, d.before = d.markers.swept(d.partition, math.MaxInt64)
	}
}

// goesOn rests if it is time to, and says whether the walk is to go on.
func (d *dueIterator) goesOn() bool {
	now := time.Now()
	d.worked += now.Sub(d.began)
	d.began = now
	if d.worked >= slice {
		rest := d.rest
		if rest == nil {
			rest = pause
		}
		rest(d.ctx, restsFor*d.worked)
		d.worked, d.began = 0, time.Now()
	}
	d.look()
	return d.ctx.Err() == nil
}

func pause(ctx context.Context, d time.Duration) { _ = backoff.Pause(ctx, d) }

// isDue says whether a sweep may delete what the iterator stands at. What cannot be read is left to whoever folds it
// next.
func (d *dueIterator) isDue() bool {
	key := string(d.Key())
	if processors.IsMarker(key) {
		return false
	}
	if user, n, segment := processors.ParseSegmentKey(key); segment {
		return !d.names(user, n)
	}
	value, err := d.Value()
	if err != nil {
		return false
	}
	d.user, d.value, d.segments = key, append(d.value[:0], value...), nil
	if last, ok := codecs.WindowLast(value); !ok || last > d.idle {
		return false
	}
	w, err := decoded(value, nil)
	return err == nil && isForgotten(w, d.idle, d.before)
}

// names says whether a user's value names a segment, or cannot be read.
func (d *dueIterator) names(user string, n uint64) bool {
	if user != d.user {
		return false
	}
	if d.segments == nil {
		w, err := decoded(d.value, nil)
		if err != nil {
			return true
		}
		d.segments = &w.Older
	}
	return d.segments.First <= n && n < d.segments.Next
}
