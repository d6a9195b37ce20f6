package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
)

// Event is one thing that a follower is told.
type Event struct {
	Kind   EventKind
	Record Record // of New
	// After is the Position to go on from once the event was seen, as text.
	After string
	// Lost is, of Gap, how many offsets were deleted before the follower came to them.
	Lost int64

	// Frame is the result of the function given to NewLive, made once for all followers; nil where it must be made anew.
	Frame []byte

	after []int64
}

func (e *Event) size() int { return len(e.Record.Value) + len(e.Frame) }

// EventKind is the subject of an event.
type EventKind int

const (
	// New is a record.
	New EventKind = iota
	// Reset says that the follower's position is of another topic than there is now, whose first record comes next.
	Reset
	// Gap says that records are gone which the follower had not seen.
	Gap
)

// Reasons why following ends beside the end of its context.
var (
	ErrSlow  = errors.New("the reader is too slow: records that it has not taken are no longer at hand")
	ErrEnded = errors.New("the topic is not followed any more")
)

const (
	keepEvents = 8192
	keepBytes  = 16 << 20
	// gather is how long records are gathered once some were handed out. One that comes after a pause is not kept waiting.
	gather     = 100 * time.Millisecond
	batch      = 64
	batchBytes = 256 << 10
	lookAgain  = 10 * time.Second
	placeAgain = 200 * time.Millisecond
)

// Live follows a topic once for as many followers as there are. It keeps the newest records, so that followers read at
// their own pace; who falls behind what is kept is let go.
type Live struct {
	reader *Reader
	topic  string
	frame  func(*Event) []byte

	mu     sync.Mutex
	ready  chan struct{} // closed when extent is known
	wake   chan struct{} // closed when there is something new
	ended  bool
	extent *Extent
	events []Event // the newest
	first  int64   // the number of events[0]
	before []int64 // offsets before events[0]
	now    []int64 // offsets after the last event
	bytes  int
}

// NewLive makes a follower of topic. Run starts it. frame makes an event's Frame.
func NewLive(r *Reader, topic string, frame func(*Event) []byte) *Live {
	return &Live{reader: r, topic: topic, frame: frame, ready: make(chan struct{}), wake: make(chan struct{})}
}

// Run follows the topic until ctx ends, which is not an error, or until it is another one or cannot be read. Then its
// followers are let go; they come again to another Live.
func (l *Live) Run(ctx context.Context) error {
	defer l.end()
	extent, err := l.reader.Extent(ctx, l.topic)
	if err != nil {
		return unless(ctx, err)
	}
	l.begin(extent)
	following, stop := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer stop(nil) // before Wait
	watching.Go(func() { stop(l.watch(following)) })
	err = l.reader.cluster.Follow(following, l.topic, extent.End, func(records []*kafka.Message) error {
		l.add(records)
		return backoff.Pause(following, gather)
	})
	if following.Err() != nil {
		err = context.Cause(following)
	}
	return unless(ctx, err)
}

func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// watch waits until the topic is not any more the one that is followed, or ctx ends.
func (l *Live) watch(ctx context.Context) error {
	for {
		if err := backoff.Pause(ctx, lookAgain); err != nil {
			return err
		}
		now, err := l.reader.Extent(ctx, l.topic)
		if e, ok := errors.AsType[*brimline.Error](err); ok && e.Kind == kafka.KindTopicMissing {
			return err
		}
		if err != nil {
			continue // the brokers are away, which the client outlasts
		}
		if now.ID != l.extent.ID || len(now.End) != len(l.extent.End) {
			return &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "topic_changed", Where: fmt.Sprintf("following topic %q", l.topic),
				Err: errors.New("it was created anew, or given partitions"),
			}
		}
	}
}

func (l *Live) begin(e *Extent) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.extent, l.now, l.before = e, slices.Clone(e.End), slices.Clone(e.End)
	close(l.ready)
}

func (l *Live) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	close(l.wake)
}

// add puts records where followers find them.
func (l *Live) add(records []*kafka.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range records {
		l.now = slices.Clone(l.now)
		l.now[m.Partition] = m.Offset + 1
		e := Event{
			Record: recordOf(m),
			After:  l.extent.Position(l.now).String(), after: l.now,
		}
		e.Frame = l.frame(&e)
		l.events = append(l.events, e)
		l.bytes += e.size()
	}
	drop := 0
	for ; len(l.events)-drop > keepEvents || l.bytes > keepBytes && len(l.events)-drop > 1; drop++ {
		l.bytes -= l.events[drop].size()
	}
	if drop > 0 {
		l.before, l.first = l.events[drop-1].after, l.first+int64(drop)
		l.events = slices.Delete(l.events, 0, drop)
	}
	close(l.wake)
	l.wake = make(chan struct{})
}

// Begin waits until the topic is followed.
func (l *Live) Begin(ctx context.Context) (*Extent, error) {
	l.mu.Lock()
	ready, wake := l.ready, l.wake
	l.mu.Unlock()
	select {
	case <-ready:
		return l.extent, nil
	case <-wake: // nothing comes before it is ready but the end
		return nil, ErrEnded
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Follow hands out what comes after from, nil for now, until ctx ends, Live ends (ErrEnded), the reader is too slow
// (ErrSlow), or deliver fails. deliver gets some events, and after each beat without any none; at says where the
// reader is. The first call comes at once. Events are shared: they are not to be changed.
func (l *Live) Follow(
	ctx context.Context, from *Position, beat time.Duration, deliver func(events []Event, at string) error,
) error {
	extent, err := l.Begin(ctx)
	if err != nil {
		return err
	}
	f := follower{live: l, extent: extent, deliver: deliver}
	if err := f.begin(ctx, from); err != nil {
		return err
	}
	timer := time.NewTimer(beat)
	defer timer.Stop()
	for {
		events, wake, err := f.next()
		if err != nil {
			return err
		}
		if len(events) > 0 {
			if err := f.hand(events); err != nil {
				return err
			}
			timer.Reset(beat)
			continue
		}
		select {
		case <-wake:
		case <-timer.C:
			if err := deliver(nil, f.at); err != nil {
				return err
			}
			timer.Reset(beat)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follower is one reader: the number of the event to come, or, while it is behind or beside what Live has, its own
// offsets.
type follower struct {
	live    *Live
	extent  *Extent
	deliver func([]Event, string) error
	number  int64
	own     []int64 // nil once it has what Live has
	at      string
}

func (f *follower) begin(ctx context.Context, from *Position) error {
	l := f.live
	l.mu.Lock()
	now := l.now
	f.number = l.first + int64(len(l.events))
	l.mu.Unlock()
	f.at = f.extent.Position(now).String()
	if from == nil {
		return f.deliver(nil, f.at)
	}
	extent, known, err := l.place(ctx, from)
	if err != nil {
		return err
	}
	f.own = slices.Clone(from.Next)
	var first []Event
	if !known {
		f.own = slices.Clone(extent.Low)
		first = []Event{{Kind: Reset, After: f.extent.Position(f.own).String()}}
	}
	for p := len(f.own); p < len(extent.Low); p++ {
		f.own = append(f.own, extent.Low[p]) // the partition is newer than the position
	}
	lost := int64(0)
	for p, low := range extent.Low {
		if f.own[p] < low {
			lost += low - f.own[p]
			f.own[p] = low
		}
	}
	f.at = f.extent.Position(f.own).String()
	if lost > 0 {
		first = append(first, Event{Kind: Gap, Lost: lost, After: f.at})
	}
	if err := f.deliver(first, f.at); err != nil {
		return err
	}
	return f.catchUp(ctx)
}

// place finds a position in the topic as it is; known is false where it is not one of this topic.
func (l *Live) place(ctx context.Context, from *Position) (e *Extent, known bool, err error) {
	for range 10 {
		if e, err = l.reader.Extent(ctx, l.topic); err != nil {
			return nil, false, err
		}
		if e.ID != l.extent.ID || len(e.End) != len(l.extent.End) {
			return nil, false, ErrEnded // Live finds it out, too
		}
		if from.Topic != e.ID || len(from.Next) > len(e.End) {
			return e, false, nil
		}
		beyond := false
		for p, next := range from.Next {
			beyond = beyond || next > e.End[p]
		}
		if !beyond {
			return e, true, nil
		}
		// A broker that has just become leader may know less than the one before for a moment.
		if err := backoff.Pause(ctx, placeAgain); err != nil {
			return nil, false, err
		}
	}
	return e, false, nil
}

// catchUp reads from the topic until what is left is among what Live keeps.
func (f *follower) catchUp(ctx context.Context) error {
	l := f.live
	for {
		l.mu.Lock()
		before, now, first, ended := l.before, l.now, l.first, l.ended
		l.mu.Unlock()
		if ended {
			return ErrEnded
		}
		f.number = first
		covered := true
		for p := range before {
			covered = covered && f.own[p] >= before[p]
		}
		if covered {
			return nil
		}
		if err := f.read(ctx, now); err != nil {
			return err
		}
	}
}

func (f *follower) read(ctx context.Context, until []int64) error {
	select { // all that were connected may come again at once
	case f.live.reader.turns <- struct{}{}:
		defer func() { <-f.live.reader.turns }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var events []Event
	size := 0
	send := func() error {
		if len(events) == 0 {
			return nil
		}
		f.at = events[len(events)-1].After
		err := f.deliver(events, f.at)
		events, size = nil, 0
		return err
	}
	for p := range until {
		next, err := f.live.reader.Read(ctx, f.extent, int32(p), f.own[p], until[p], func(m Record) error {
			f.own[p] = m.Offset + 1
			events = append(events, Event{Record: m, After: f.extent.Position(f.own).String()})
			if size += len(m.Value); len(events) < batch && size < batchBytes {
				return nil
			}
			return send()
		})
		if err != nil {
			return err
		}
		f.own[p] = max(next, f.own[p])
	}
	return send()
}

// next are some events that come after number, and what is closed when there are more.
func (f *follower) next() (events []Event, wake <-chan struct{}, err error) {
	l := f.live
	l.mu.Lock()
	defer l.mu.Unlock()
	if f.number < l.first {
		return nil, nil, ErrSlow
	}
	rest := l.events[f.number-l.first:]
	n, size := 0, 0
	for n < len(rest) && n < batch && size < batchBytes {
		size += rest[n].size()
		n++
	}
	if n == 0 && l.ended {
		return nil, nil, ErrEnded
	}
	f.number += int64(n)
	return slices.Clone(rest[:n]), l.wake, nil
}

// hand delivers events of Live: all of them, or, while the follower has offsets of its own, those that it has not had.
func (f *follower) hand(events []Event) error {
	if f.own != nil {
		var fresh []Event
		for _, e := range events {
			p := e.Record.Partition
			if e.Record.Offset < f.own[p] {
				continue
			}
			f.own[p] = e.Record.Offset + 1
			e.After, e.Frame = f.extent.Position(f.own).String(), nil
			fresh = append(fresh, e)
		}
		last := events[len(events)-1].after
		ahead := false
		for p := range last {
			ahead = ahead || f.own[p] > last[p]
		}
		if !ahead {
			f.own = nil
		}
		if events = fresh; len(events) == 0 {
			return nil
		}
	}
	f.at = events[len(events)-1].After
	return f.deliver(events, f.at)
}
