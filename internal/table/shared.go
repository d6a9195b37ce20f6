package table

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// Shared is a table that a stage of this process writes and that views of this process read. Each partition has one
// state here, and one reader of its changelog: the stage while it has the partition, and a view where another instance
// has it. They hand the state over to each other as it lies on disk, and each reads on where the other was; the stage
// goes before. Values are read from the state whoever has it, those of the stage also before the changelog has them.
//
// A state is read from once it has been read to the end of its changelog. From then on it is also while it is handed
// over, unless it was lost. All methods may be called at the same time.
type Shared struct {
	o SharedOptions

	mu     sync.Mutex
	seats  map[int32]*seat
	listen atomic.Pointer[func(key string, value []byte)]
}

// SharedOptions are those of Shared. Open and Keep are required.
type SharedOptions struct {
	// Open opens the state of a partition for a view, as Options.Open does for the stage: the same state.
	Open storage.Builder
	// Keep and KeepIs are as of Options.
	Keep   goka.UpdateCallback
	KeepIs string
	// Wait is how long views leave a partition to the stage at first. Default: not at all.
	Wait time.Duration
}

// NewShared makes one.
func NewShared(o SharedOptions) *Shared {
	return &Shared{o: o, seats: map[int32]*seat{}}
}

// Waits of a partition that changes hands.
const (
	// handOver is how long who reads a value waits for it.
	handOver = time.Second
	// settle is how long a view leaves a partition alone that the stage has given up: most often it takes it again.
	settle = 500 * time.Millisecond
)

// ErrUnread is of a partition that cannot be read now: it has not been read to its end, or it is being handed over.
var ErrUnread = errors.New("the partition is being read")

// seat is a partition's place: who sits there has its state open.
type seat struct {
	mu      sync.Mutex
	taken   bool
	turn    int                // counts who has had it
	waiting int                // stages that want it
	leave   context.CancelFunc // of the view that has it; nil for a stage
	settled time.Time          // before it, no view takes it
	changed chan struct{}      // closed when any of it changes

	state     sync.RWMutex // read by who reads from the partition; written when it is opened and closed
	partition *Partition   // nil: not open
	closing   atomic.Bool  // whoever reads for long is to end
	told      atomic.Int64 // offset up to which answers have come from it, which the next who opens it reads again
	complete  int64        // offset at which it was last read to its end, unread if that is not in the state
	recovered chan struct{}
	once      sync.Once // closes recovered
	losses    atomic.Int64
	written   *written // what is handed over with a state that is not read to its end; guarded by state
}

const unread = math.MaxInt64

func (s *Shared) seat(partition int32) *seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.seats[partition]
	if t == nil {
		t = &seat{
			changed: make(chan struct{}), complete: unread, recovered: make(chan struct{}), settled: time.Now().Add(s.o.Wait),
		}
		t.told.Store(noOffset)
		s.seats[partition] = t
	}
	return t
}

// tell wakes all who wait. Callers hold mu.
func (t *seat) tell() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// takeForStage waits until a view that has the partition has closed it. It does not wait for a stage: LevelDB tells
// where two have it open.
func (t *seat) takeForStage() (turn int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waiting++
	for t.taken && t.leave != nil {
		t.leave()
		changed := t.changed
		t.mu.Unlock()
		<-changed
		t.mu.Lock()
	}
	t.waiting--
	t.taken, t.leave = true, nil
	t.turn++
	return t.turn
}

// takeForView waits until no stage has the partition or wants it. The context ends when one does.
func (t *seat) takeForView(ctx context.Context) (held context.Context, turn int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		rest := time.Until(t.settled)
		if !t.taken && t.waiting == 0 && rest <= 0 {
			break
		}
		var after <-chan time.Time
		if rest > 0 {
			after = time.After(rest)
		}
		changed := t.changed
		t.mu.Unlock()
		select {
		case <-changed:
		case <-after:
		case <-ctx.Done():
		}
		t.mu.Lock()
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
	}
	held, t.leave = context.WithCancel(ctx)
	t.taken = true
	t.turn++
	return held, t.turn, nil
}

// free gives up a turn, which ended where another has begun.
func (t *seat) free(turn int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.turn != turn {
		return
	}
	if t.leave != nil {
		t.leave()
	} else {
		t.settled = time.Now().Add(settle)
	}
	t.taken, t.leave = false, nil
	t.tell()
}

// opened lets the partition be read from. A state that lacks what was read to the end before has been lost.
func (t *seat) opened(p *Partition) error {
	at, err := p.GetOffset(noOffset)
	if err != nil {
		return err
	}
	t.state.Lock()
	defer t.state.Unlock()
	// Of a table that was read to its end when it was empty, complete alone does not tell.
	if at < t.complete || at == noOffset && t.told.Load() != noOffset {
		if t.complete != unread {
			t.losses.Add(1)
		}
		t.complete = unread
		t.told.Store(noOffset)
	}
	if b, ok := p.log.(behind); ok && t.complete == unread {
		b.takeWritten(t.written)
	}
	t.partition, t.written = p, nil
	t.closing.Store(false)
	return nil
}

// markRecovered is of a partition that has been read to its end.
func (t *seat) markRecovered(p *Partition) error {
	at, err := p.GetOffset(noOffset)
	if err != nil {
		return err
	}
	t.state.Lock()
	t.complete = at
	t.state.Unlock()
	t.once.Do(func() { close(t.recovered) })
	return nil
}

// closed waits for who reads from the partition.
func (t *seat) closed() {
	t.closing.Store(true)
	t.state.Lock()
	defer t.state.Unlock()
	if t.partition == nil {
		return
	}
	if b, ok := t.partition.log.(behind); ok {
		t.written = b.giveWritten()
	}
	t.told.Store(t.partition.set())
	t.partition = nil
}

// behind is a state that knows which keys a changelog has brought since it was empty: so does the next who reads it on.
type behind interface {
	giveWritten() *written
	takeWritten(*written)
}

// read calls f with the partition, which stays open until it returns.
func (t *seat) read(f func(*Partition) error) error {
	end := time.Now().Add(handOver)
	for {
		t.state.RLock()
		late := time.Now().After(end)
		if p := t.partition; p != nil && t.complete != unread {
			told := t.told.Load()
			if told == noOffset || late || p.newest() >= told {
				defer t.state.RUnlock()
				if told != noOffset {
					t.told.CompareAndSwap(told, noOffset)
				}
				return f(p)
			}
		}
		t.state.RUnlock()
		if late || t.isUnread() {
			return ErrUnread
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// isUnread says that waiting a moment will not do: the state has to be read first.
func (t *seat) isUnread() bool {
	t.state.RLock()
	defer t.state.RUnlock()
	return t.complete == unread
}

// Get gives a key's value, nil for none. It is shared, and may not be changed.
func (s *Shared) Get(partition int32, key string) (value []byte, err error) {
	err = s.seat(partition).read(func(p *Partition) error {
		value, err = p.Peek(key)
		return err
	})
	return value, err
}

// Each calls visit with every key that is not below from, and its value, until it returns false. It fails with
// ErrUnread when the partition changes hands.
func (s *Shared) Each(partition int32, from string, visit func(key string, value []byte) bool) error {
	t := s.seat(partition)
	return t.read(func(p *Partition) error {
		i, err := p.Iterator()
		if err != nil {
			return err
		}
		defer i.Release()
		i.Seek([]byte(from)) // the next Next gives what it has found
		for i.Next() {
			if t.closing.Load() {
				return ErrUnread
			}
			value, err := i.Value()
			if err != nil {
				return err
			}
			if !visit(string(i.Key()), value) {
				return nil
			}
		}
		return i.Err()
	})
}

// Offset is the newest record of the changelog that a partition's state holds, -1 for none, or where it is not open.
func (s *Shared) Offset(partition int32) int64 {
	t := s.seat(partition)
	t.state.RLock()
	defer t.state.RUnlock()
	if t.partition == nil {
		return noOffset
	}
	return t.partition.newest()
}

// Recovered is closed when a partition has been read to its end for the first time.
func (s *Shared) Recovered(partition int32) <-chan struct{} { return s.seat(partition).recovered }

// IsRead says whether a partition can be read from.
func (s *Shared) IsRead(partition int32) bool { return !s.seat(partition).isUnread() }

// Losses counts the states that were lost after they had been read to their end. Values that a listener has heard of
// before may be in the table no longer.
func (s *Shared) Losses() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.seats {
		n += t.losses.Load()
	}
	return n
}

// Staged says whether the stage has a partition.
func (s *Shared) Staged(partition int32) bool {
	t := s.seat(partition)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.taken && t.leave == nil
}

// Listen has f called with each key that is set from here on, whoever sets it, and without a value where it is deleted.
// There is one listener; it is called from the goroutine of the partition.
func (s *Shared) Listen(f func(key string, value []byte)) { s.listen.Store(&f) }

func (s *Shared) set(key string, value []byte) {
	if listen := s.listen.Load(); listen != nil {
		(*listen)(key, value)
	}
}

// Follow has a partition read whenever the stage does not have it, until ctx ends, which is no error. read opens the
// state, takes records of the changelog in by update, and returns with the state closed soon after its context ends.
// Any error of its own ends Follow, also one of the state, which ends read's context.
func (s *Shared) Follow(
	ctx context.Context, partition int32,
	read func(ctx context.Context, open storage.Builder, update goka.UpdateCallback) error,
) error {
	t := s.seat(partition)
	for {
		held, turn, err := t.takeForView(ctx)
		if err != nil {
			return nil
		}
		f := &follower{shared: s, number: partition}
		f.ctx, f.fail = context.WithCancelCause(held)
		f.table = New(Options{Open: s.o.Open, Keep: s.o.Keep, KeepIs: s.o.KeepIs, Shared: s, view: true})
		err = read(f.ctx, f.build, f.update)
		ended := held.Err() != nil
		if cause := context.Cause(f.ctx); cause != nil && !errors.Is(cause, context.Canceled) {
			err, ended = cause, false
		}
		f.fail(nil)
		t.free(turn)
		switch {
		case ctx.Err() != nil:
			return nil
		case ended:
		case err == nil:
			return fmt.Errorf("partition %d is not read any more", partition)
		default:
			return err
		}
	}
}

// Remembering is a log that cannot be reached now and then: what a state was checked by is remembered, so that a view
// goes on to answer from it. A stage, which writes, asks the log itself.
func Remembering(log Log) Log { return &remembering{Log: log, ids: map[string]string{}} }

type remembering struct {
	Log
	mu  sync.Mutex
	ids map[string]string // by topic
}

func (r *remembering) TopicID(topic string) (string, error) {
	id, err := r.Log.TopicID(topic)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.ids[topic] = id
	} else if known, ok := r.ids[topic]; ok {
		return known, nil
	}
	return id, err
}

// NextOffset is -1 where it is not known.
func (r *remembering) NextOffset(topic string, partition int32) (int64, error) {
	next, err := r.Log.NextOffset(topic, partition)
	if err == nil {
		return next, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.ids[topic]; ok {
		return unknownNext, nil
	}
	return next, err
}

// follower is a view's turn at a partition. goka's view calls it 0, since it has only the one.
type follower struct {
	shared *Shared
	number int32
	table  *Table
	ctx    context.Context
	fail   context.CancelCauseFunc
}

func (f *follower) build(topic string, _ int32) (storage.Storage, error) {
	st, err := f.table.Build(topic, f.number)
	if err != nil {
		return nil, err
	}
	return followed{st, f}, nil
}

func (f *follower) update(ctx goka.UpdateContext, s storage.Storage, key string, value []byte) error {
	return f.failed(f.table.update(numbered{ctx, f.number}, s, key, value))
}

// failed ends the turn with an error: goka's view would try again for ever.
func (f *follower) failed(err error) error {
	if err != nil {
		f.fail(err)
	}
	return err
}

type numbered struct {
	goka.UpdateContext
	partition int32
}

func (n numbered) Partition() int32 { return n.partition }

type followed struct {
	storage.Storage
	of *follower
}

func (f followed) SetOffset(offset int64) error { return f.of.failed(f.Storage.SetOffset(offset)) }
