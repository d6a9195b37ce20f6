package window

import (
	"time"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// Config is what the stage needs. All fields are required.
type Config struct {
	Streams  processors.Streams
	Rules    brimline.RuleSet
	Compiled []sliding.Rule // of Rules, in its order
	Keep     time.Duration  // how much longer than rows announced edges and idle users are remembered
	Markers  *Markers
	Clock    func() time.Time
	Metrics  *Metrics
}

// Graph declares the goka group. SweepVisitor names its visitor.
func Graph(c Config) *goka.GroupGraph {
	var (
		fold       = NewFolder(&c.Rules, c.Compiled, c.Keep)
		candidates = goka.Stream(c.Streams.Candidates)
		dead       = goka.Stream(c.Streams.DeadLetters)
		sweep      = newSweep(c)
	)
	return goka.DefineGroup(goka.Group(c.Streams.WindowGroup),
		goka.Input(goka.Stream(c.Streams.Changes), codecs.Raw{}, func(ctx goka.Context, msg any) {
			decoded, err := codecs.Change{}.Decode(msg.([]byte))
			if err != nil {
				ctx.Emit(dead, ctx.Key(), deadLetter(ctx, msg.([]byte), err, c.Clock()))
				c.Metrics.undecodable.Inc()
				return
			}
			change := decoded.(*brimline.Change)
			change.Source.Topic = c.Streams.Source
			if processors.IsMarker(ctx.Key()) {
				ctx.SetValue(mark(ctx, change, c.Markers, sweep, c.Rules.Scale))
				return
			}
			w, known := ctx.Value().(*brimline.Window)
			if !known {
				w = &brimline.Window{}
			}
			replay := ctx.Offset() < w.Last
			marker := c.Markers.get(ctx.Partition())
			found, write := fold.Fold(w, Input{
				Change: change, Offset: ctx.Offset(), TruncatedAt: marker.truncatedAt, SweptBefore: marker.sweptBefore,
			})
			if write {
				ctx.SetValue(w)
				failpoint.Hit(failpoint.WindowSet)
			}
			for i := range found {
				ctx.Emit(candidates, ctx.Key(), &found[i])
			}
			if len(found) > 0 {
				failpoint.Hit(failpoint.WindowEmitted)
			}
			sweep.saw(ctx.Partition(), ctx.Offset(), change)
			c.Metrics.observe(change, found, replay, write, len(w.Rows))
		}),
		goka.Output(candidates, codecs.Candidate{}),
		goka.Output(dead, codecs.DeadLetter{}),
		goka.Persist(codecs.Window{}),
		goka.Visitor(SweepVisitor, sweep.visit),
	)
}

// mark takes a message for all users of the partition, and gives its marker's new value.
func mark(ctx goka.Context, c *brimline.Change, m *Markers, s *sweep, scale int) *brimline.Window {
	var w *brimline.Window
	if c.Kind == brimline.Truncate {
		w = m.truncated(ctx.Partition(), ctx.Offset())
	} else {
		w = m.swept(ctx.Partition(), s.horizon(ctx.Partition()))
	}
	w.Scale = scale
	return w
}

func deadLetter(ctx goka.Context, value []byte, err error, now time.Time) *brimline.DeadLetter {
	return &brimline.DeadLetter{
		Topic: string(ctx.Topic()), Partition: ctx.Partition(), Offset: ctx.Offset(), Key: []byte(ctx.Key()), Value: value,
		Kind: "bad_change", Error: err.Error(), At: brimline.TimeOf(now),
		Remedy: "find out who else writes to this topic: it is brimline's own",
	}
}
