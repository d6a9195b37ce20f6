package window

import (
	"sync"
	"time"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// SweepVisitor is the goka visitor that deletes users whose rows and
// announcements have all aged out. Its meta is the time of the sweep, the same
// for the whole of it.
const SweepVisitor = "sweep"

// sweep decides who has aged out. Its clock is the stream's: a group that
// reprocesses last year's rows must not take them for old.
type sweep struct {
	Config
	after time.Duration
	mu    sync.Mutex
	seen  map[int32]*partitionSeen
}

type partitionSeen struct {
	newest brimline.Time // row time, never ahead of the clock
	offset int64
	meta   any   // of the sweep under way
	quiet  int64 // offset reached when the sweep before it began: users folded later are left alone
	began  int64
}

func newSweep(c Config) *sweep {
	return &sweep{Config: c, after: c.Rules.Retention() + c.Keep, seen: map[int32]*partitionSeen{}}
}

func (s *sweep) saw(partition int32, offset int64, c *brimline.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.seen[partition]
	if p == nil {
		p = &partitionSeen{newest: brimline.MinTime}
		s.seen[partition] = p
	}
	p.offset = offset
	if c.Kind == brimline.Upsert && c.Row.Time > p.newest {
		p.newest = min(c.Row.Time, brimline.TimeOf(s.Clock()))
	}
}

// due reports the limits of the sweep named by meta in a partition: users whose
// newest time lies before horizon, and who were folded before offset.
func (s *sweep) due(partition int32, meta any) (horizon brimline.Time, offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.seen[partition]
	if p == nil {
		return brimline.MinTime, 0
	}
	if p.meta != meta {
		p.meta, p.quiet, p.began = meta, p.began, p.offset+1
	}
	return p.newest.Add(-s.after), p.quiet
}

func (s *sweep) visit(ctx goka.Context, meta any) {
	if processors.IsMarker(ctx.Key()) {
		return
	}
	w, ok := ctx.Value().(*brimline.Window)
	if !ok {
		return
	}
	horizon, offset := s.due(ctx.Partition(), meta)
	if w.Last <= offset && newest(w) < horizon {
		ctx.Delete()
		s.Metrics.swept.Inc()
	}
}

func newest(w *brimline.Window) brimline.Time {
	t := w.Floor
	if n := len(w.Rows); n > 0 {
		t = max(t, w.Rows[n-1].Time)
	}
	for _, r := range w.Rules {
		if n := len(r.Edges); n > 0 {
			t = max(t, r.Edges[n-1].Time)
		}
	}
	return t
}
