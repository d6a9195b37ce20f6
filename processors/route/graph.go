package route

import (
	"time"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/processors"
)

// Config is what the stage needs. All fields but Life and Truncated are required.
type Config struct {
	Streams    processors.Streams
	Decoder    Decoder
	Partitions int    // of the changes stream
	Life       uint32 // of the source topic, see brimline.Source
	Clock      func() time.Time
	Metrics    *Metrics
	// Truncated is told of each TRUNCATE, and where it stood; nil where nothing needs to know.
	Truncated func(brimline.Source)
}

// Graph declares the goka group. Its processor must deliver tombstones
// (goka.NilProcess): in a flattened stream they are deletes.
func Graph(c Config) *goka.GroupGraph {
	var (
		changes = goka.Stream(c.Streams.Changes)
		dead    = goka.Stream(c.Streams.DeadLetters)
	)
	return goka.DefineGroup(goka.Group(c.Streams.RouteGroup),
		goka.Input(goka.Stream(c.Streams.Source), codecs.Raw{}, func(ctx goka.Context, msg any) {
			value, _ := msg.([]byte)
			now := c.Clock()
			out := route(c.Decoder, c.Partitions, record{
				source: brimline.Source{Topic: string(ctx.Topic()), Partition: ctx.Partition(), Offset: ctx.Offset(),
					Life: c.Life},
				key: []byte(ctx.Key()), value: value, headers: ctx.Headers, at: brimline.TimeOf(now),
			})
			if c.Truncated != nil && len(out.changes) > 0 && out.changes[0].Kind == brimline.Truncate {
				c.Truncated(out.changes[0].Source)
			}
			for i := range out.changes {
				ctx.Emit(changes, out.changes[i].User, &out.changes[i])
			}
			if out.dead != nil {
				ctx.Emit(dead, ctx.Key(), out.dead)
			}
			failpoint.Hit(failpoint.RouteEmitted)
			c.Metrics.observe(out, now)
		}),
		goka.Output(changes, codecs.Change{}),
		goka.Output(dead, codecs.DeadLetter{}),
	)
}
