package window

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/lovoo/goka"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// Config configures the stage. Fields without a stated default are required.
type Config struct {
	Streams  processors.Streams
	Rules    brimline.RuleSet
	Compiled []sliding.Rule // of Rules, in its order
	Keep     time.Duration  // how much longer than rows announced edges and idle users are remembered
	Markers  *Markers
	States   *States
	Seen     *Seen
	Clock    func() time.Time
	Metrics  *Metrics
	Log      *slog.Logger
	// NoAbove: PostgreSQL is not asked about users above a limit.
	NoAbove bool
	// MostBytes is the largest value that the table, candidates and dead letters take, MostAsked the largest candidate;
	// 0 is 900,000 and half of that, which fit Kafka's default of max.message.bytes.
	MostBytes, MostAsked int
}

// Graph declares the goka group. SweepVisitor names its visitor.
func Graph(c Config) *goka.GroupGraph {
	t := newTask(c)
	if c.States != nil {
		c.States.walks.markers = c.Markers
	}
	return goka.DefineGroup(goka.Group(c.Streams.WindowGroup),
		goka.Input(goka.Stream(c.Streams.Changes), codecs.Raw{}, t.change),
		goka.Output(t.candidates, codecs.Candidates{}),
		goka.Output(t.questions, codecs.Candidates{}),
		goka.Output(t.changes, codecs.Raw{}),
		goka.Output(t.segments, codecs.Raw{}),
		goka.Output(t.dead, codecs.DeadLetter{}),
		goka.Persist(codecs.WindowTable{}),
		goka.Visitor(SweepVisitor, t.sweep.visit),
	)
}

// task is the group's work.
type task struct {
	Config
	fold                           *Folder
	sweep                          *sweep
	candidates, questions, changes goka.Stream
	dead, segments                 goka.Stream
}

func newTask(c Config) *task {
	c.MostBytes, c.MostAsked = cmp.Or(c.MostBytes, 900_000), cmp.Or(c.MostAsked, 450_000)
	fold := NewFolder(&c.Rules, c.Compiled, c.Keep)
	fold.noAbove = c.NoAbove
	return &task{
		Config: c, fold: fold, sweep: &sweep{c},
		candidates: goka.Stream(c.Streams.Candidates), questions: goka.Stream(c.Streams.Questions),
		changes: goka.Stream(c.Streams.Changes),
		dead:    goka.Stream(c.Streams.DeadLetters), segments: goka.Stream(c.Streams.WindowSegments),
	}
}

// change takes one message of the changes stream.
func (t *task) change(ctx goka.Context, msg any) {
	states := t.States.partition(ctx.Partition())
	change := &states.change
	change.User = ctx.Key()
	err := codecs.DecodeChange(msg.([]byte), change)
	if err == nil {
		err = unfit(ctx.Key(), change)
	}
	if err != nil {
		if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == codecs.KindOlderFormat {
			table.Fail(ctx, err) // the whole group is an older one
		}
		dead := deadLetter(ctx, msg.([]byte), err, t.Clock())
		codecs.FitDeadLetter(dead, t.MostBytes)
		ctx.Emit(t.dead, codecs.DeadLetterKey(ctx.Key()), dead)
		t.Metrics.undecodable.Inc()
		t.Metrics.Letters.Add(dead.Kind)
		return
	}
	change.Source.Topic = t.Streams.Source
	if processors.IsMarker(ctx.Key()) {
		states.table.SetValue(ctx, t.Markers.take(ctx.Partition(), ctx.Offset(), change))
		if change.Kind == brimline.Truncate {
			t.wakeMixed(ctx, states)
		}
		return
	}
	state := states.get(ctx.Key())
	if state == nil {
		state = t.open(ctx, states)
	}
	replay := ctx.Offset() < state.w.Last
	marker := t.Markers.get(ctx.Partition())
	idle, before := sweepBefore(&marker, ctx.Offset())
	found, write := t.fold.Fold(state, Input{
		Change: change, Offset: ctx.Offset(), At: writtenAt(ctx), TruncatedAt: marker.TruncatedAt,
		Truncation: marker.Truncation, SweptBefore: before, SweptIdle: idle,
	})
	switch {
	case write:
		if state.shortened {
			t.Metrics.shortened.Inc()
		}
		t.store(ctx, states, state)
		failpoint.Hit(failpoint.WindowSet)
	case state.changed: // without a trace in the table
		states.forget(ctx.Key())
	default:
		states.keep(state)
	}
	states.note(ctx.Key(), state.w.Doubt, state.w.Above)
	if len(found) > 0 {
		t.emit(ctx, found)
		failpoint.Hit(failpoint.WindowEmitted)
	}
	t.Seen.saw(ctx.Partition(), ctx.Offset(), change)
	t.Metrics.observe(change, found, state.stands, replay, write, state.rows.Len())
}

// emit writes candidates, and the questions of a message that travel one way as one record: each way has them in the
// order of their causes.
func (t *task) emit(ctx goka.Context, found []brimline.Candidate) {
	near, apart := found, []brimline.Candidate(nil)
	for i := range found {
		cut, err := codecs.FitCandidate(&found[i], t.MostAsked)
		if err != nil {
			table.Fail(ctx, err)
		}
		if cut {
			t.Metrics.cut.Inc()
		}
	}
	if slices.ContainsFunc(found, isApart) {
		near = slices.DeleteFunc(slices.Clone(found), isApart)
		apart = slices.DeleteFunc(slices.Clone(found), func(c brimline.Candidate) bool { return !c.Apart })
	}
	send := func(to goka.Stream, candidates []brimline.Candidate) {
		for len(candidates) > 0 {
			n := codecs.Together(candidates, t.MostBytes)
			ctx.Emit(to, ctx.Key(), candidates[:n])
			candidates = candidates[n:]
		}
	}
	send(t.candidates, near)
	send(t.questions, apart)
}

func isApart(c brimline.Candidate) bool { return c.Apart }

// writtenAt is the message's time in Kafka, 0 if it has none.
func writtenAt(ctx goka.Context) brimline.Time {
	t := ctx.Timestamp()
	if t.Unix() <= 0 {
		return 0
	}
	return brimline.TimeOf(t)
}

// open reads a user's state from the table.
func (t *task) open(ctx goka.Context, states *partitionStates) *State {
	state, broken, err := states.open(t.fold, ctx.Key(), brimline.TimeOf(t.Clock()))
	if err != nil {
		table.Fail(ctx, err)
	}
	if broken != nil {
		t.Metrics.broken.Inc()
		t.Log.Error("a user's state cannot be read whole; PostgreSQL is asked until the user's window has filled again",
			"partition", ctx.Partition(), "error", broken)
	}
	return state
}

// store writes a changed state to the table. Readers that stop anywhere in
// between find all segments that the newest value names.
func (t *task) store(ctx goka.Context, states *partitionStates, state *State) {
	cut, err := state.commit()
	if err != nil {
		table.Fail(ctx, err)
	}
	put := func(n uint64, value []byte) {
		states.table.SetBeside(ctx, t.segments, processors.SegmentKey(state.user, n), value)
	}
	for _, s := range cut.sealed {
		put(s.number, s.value)
	}
	if len(cut.sealed) > 0 {
		failpoint.Hit(failpoint.SegmentSet)
	}
	states.table.SetValue(ctx, state.value())
	for n := cut.first; n != cut.next; n++ {
		put(n, nil)
	}
	states.keep(state)
}

// unfit says why a change is none that brimline writes: what it makes of the user would fit no record.
func unfit(key string, c *brimline.Change) error {
	if len(key) > processors.MaxID || len(c.User) > processors.MaxID || len(c.Row.User) > processors.MaxID ||
		len(c.Row.ID) > processors.MaxID || processors.ColumnBytes(c.Row.Columns) > processors.MaxColumns {
		return fmt.Errorf("a change to row %.40q of user %.40q, with longer ids or columns than are kept", c.Row.ID, key)
	}
	return nil
}

func deadLetter(ctx goka.Context, value []byte, err error, now time.Time) *brimline.DeadLetter {
	d := processors.NewDeadLetter(brimline.DeadLetter{
		Topic: string(ctx.Topic()), Partition: ctx.Partition(), Offset: ctx.Offset(), Key: []byte(ctx.Key()), Value: value,
		Remedy: processors.Stranger, User: ctx.Key(), At: brimline.TimeOf(now),
	}, err)
	d.Kind = "bad_change" // whatever is wrong with it: operators choose and retry by this kind
	return d
}
