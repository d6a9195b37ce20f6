package window

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// SweepVisitor is the goka visitor that deletes users whose rows and
// announcements have all aged out.
const SweepVisitor = "sweep"

// sweep deletes who has aged out.
type sweep struct{ Config }

// Seen notes how far the partitions of this process have folded, which decides who has aged out. Its clock is the
// stream's: a group that reprocesses last year's rows must not take them for old.
type Seen struct {
	after time.Duration
	clock func() time.Time
	mu    sync.Mutex
	of    map[int32]*partitionSeen
}

// NewSeen is for an attempt of a stage with these rules, which remembers announced edges for keep longer than rows.
func NewSeen(rules *brimline.RuleSet, keep time.Duration, clock func() time.Time) *Seen {
	return &Seen{after: rules.Retention() + keep, clock: clock, of: map[int32]*partitionSeen{}}
}

type partitionSeen struct {
	sources []sourceSeen // by partition of the source topic
	offset  int64
}

// sourceSeen notes how far one partition of the source topic has come.
type sourceSeen struct {
	newest brimline.Time // row time, never ahead of the clock; MinTime for nothing
	offset int64         // of its newest message here
}

// silentAfter is after how many messages without one of its own a partition of the source topic counts no more.
const silentAfter = 1 << 20

// maxSources bounds the partitions of the source topic that are told apart.
const maxSources = 1 << 16

func (s *Seen) saw(partition int32, offset int64, c *brimline.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.of[partition]
	if p == nil {
		p = &partitionSeen{}
		s.of[partition] = p
	}
	p.offset = offset
	if c.Kind != brimline.Upsert || c.Source.Partition < 0 || c.Source.Partition >= maxSources {
		return
	}
	for int(c.Source.Partition) >= len(p.sources) {
		p.sources = append(p.sources, sourceSeen{newest: brimline.MinTime})
	}
	from := &p.sources[c.Source.Partition]
	from.offset = offset
	if c.Row.Time > from.newest {
		from.newest = min(c.Row.Time, brimline.TimeOf(s.clock()))
	}
}

// Horizons are, by partition, the times before which users have aged out, for the message that announces a sweep.
// Such a time goes by the slowest partition of the source topic: during a catch-up those are far apart, and rows of
// users who would be forgotten by the fastest are still to come.
func (s *Seen) Horizons() map[int32]brimline.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[int32]brimline.Time{}
	for partition, p := range s.of {
		if t := p.horizon(s.after); t != brimline.MinTime {
			all[partition] = t
		}
	}
	return all
}

// horizon is MinTime while nothing is known.
func (p *partitionSeen) horizon(after time.Duration) brimline.Time {
	slowest := brimline.MaxTime
	for i := range p.sources {
		if from := &p.sources[i]; from.newest != brimline.MinTime && p.offset-from.offset < silentAfter {
			slowest = min(slowest, from.newest)
		}
	}
	if slowest == brimline.MaxTime {
		return brimline.MinTime
	}
	return slowest.Add(-after)
}

func (s *sweep) visit(ctx goka.Context, _ any) {
	if processors.IsMarker(ctx.Key()) {
		return
	}
	if user, n, ok := processors.ParseSegmentKey(ctx.Key()); ok {
		s.visitSegment(ctx, user, n)
		return
	}
	states := s.States.partition(ctx.Partition())
	w, err := states.peek(ctx.Key())
	if err != nil || w == nil {
		return // what cannot be read is left to whoever folds it next
	}
	// Only as far as the marker says, which was written down before.
	idle, before := s.Markers.swept(ctx.Partition(), math.MaxInt64)
	if !isForgotten(w, idle, before) {
		return
	}
	whole, _, err := states.whole(ctx.Key(), w)
	if err != nil || !isForgotten(whole, idle, before) {
		return // what is broken is left to whoever folds it next
	}
	states.forget(ctx.Key())
	states.note(ctx.Key(), brimline.Doubt{}, brimline.Above{})
	ctx.Delete(goka.WithCtxEmitHeaders(processors.DeletionOf(w.Last)))
	s.Metrics.swept.Inc()
}

// visitSegment deletes a segment that no value names: its user was deleted, or
// a crash came between a value and the deletion of what it names no more.
func (s *sweep) visitSegment(ctx goka.Context, user string, n uint64) {
	value, err := s.States.partition(ctx.Partition()).peek(user)
	if err != nil || value != nil && value.Older.First <= n && n < value.Older.Next {
		return
	}
	ctx.Delete()
}

// isForgotten says whether sweeps have forgotten a user. It depends on nothing but the user's state and the sweeps
// that were announced before the message at hand, so a replay finds the same users forgotten, whichever a sweep has
// come to delete.
func isForgotten(w *brimline.Window, idle int64, before brimline.Time) bool {
	return w.Last <= idle && before != 0 && newest(w) < before && !waits(w)
}

// waits says whether a user has a question open or to come, or something that could not be decided.
func waits(w *brimline.Window) bool {
	if _, more := w.Doubt.Next(); more || w.Asked != (brimline.Cause{}) || w.Apart != (brimline.Cause{}) {
		return true
	}
	if _, more := w.Above.Next(); more {
		return true
	}
	for i := range w.Rules {
		if len(w.Rules[i].Unjudged) > 0 ||
			slices.ContainsFunc(w.Rules[i].Edges, func(e brimline.Edge) bool { return e.Status == brimline.Unjudged }) {
			return true
		}
	}
	return false
}

func newest(w *brimline.Window) brimline.Time {
	t := w.Floor
	if n := len(w.Rows); n > 0 {
		t = max(t, w.Rows[n-1].Time)
	}
	for i := range w.Changed {
		t = max(t, w.Changed[i].Time)
	}
	for _, r := range w.Rules {
		if n := len(r.Edges); n > 0 {
			t = max(t, r.Edges[n-1].Time)
		}
	}
	return t
}
