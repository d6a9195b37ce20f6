package window

import (
	"container/list"
	"errors"
	"fmt"
	"sync"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// States keeps the states of users with segments in memory, whose whole log
// would have to be read otherwise, and reaches past goka to the table's
// storage, because a goka callback can only set the value of its message's key. One attempt of the stage has one.
type States struct {
	limit int // bytes
	mu    sync.Mutex
	of    map[int32]*partitionStates
	size  int       // of all states that are kept, see State.size
	used  list.List // of *kept, least recently used last; of all partitions, so that a heavy user is not driven out by another's
	walks walks
}

// NewStates keeps states of about limit bytes in all, and the newest whatever its size.
func NewStates(limit int) *States {
	return &States{limit: limit, of: map[int32]*partitionStates{}}
}

// partitionStates is one partition's share.
type partitionStates struct {
	all   *States
	table table.SegmentStorage
	noted *table.Noting            // the same, for goka
	users map[string]*list.Element // of States.used; guarded by States.mu

	partition int32
	doubts    map[string]doubted // by user; guarded by States.mu, as closed is
	closed    bool
	recalled  bool // doubts has those that the table had from before; only Recall uses it

	change brimline.Change // the one that is being folded: a partition's messages are folded one by one
}

// kept is a state in States.used.
type kept struct {
	of    *partitionStates
	state *State
	size  int
}

// Watch wraps the builder of the table's storages, which must be table.SegmentStorage.
func (s *States) Watch(builder storage.Builder) storage.Builder {
	return func(topic string, partition int32) (storage.Storage, error) {
		st, err := builder(topic, partition)
		if err != nil {
			return nil, err
		}
		segments, ok := st.(table.SegmentStorage)
		if !ok {
			return nil, fmt.Errorf("the storage of table %q cannot hold segments: %T", topic, st)
		}
		p := &partitionStates{
			all:       s,
			table:     segments,
			noted:     &table.Noting{Storage: segments},
			users:     map[string]*list.Element{},
			partition: partition,
			doubts:    map[string]doubted{},
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if before := s.of[partition]; before != nil {
			for _, e := range before.users {
				s.drop(e)
			}
		}
		s.of[partition] = p
		return watchedTable{p.noted, p}, nil
	}
}

// Updating wraps the table's update callback: a state whose records are read
// from the changelog, because another instance has written them, is forgotten here.
func (s *States) Updating(update goka.UpdateCallback) goka.UpdateCallback {
	return func(ctx goka.UpdateContext, st storage.Storage, key string, value []byte) error {
		user, _, ok := processors.ParseSegmentKey(key)
		if !ok {
			user = key
		}
		if p := s.partition(ctx.Partition()); p != nil {
			p.forget(user)
		}
		return update(ctx, st, key, value)
	}
}

func (s *States) partition(n int32) *partitionStates {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[n]
}

// get gives the state that is kept of a user, nil if none is.
func (p *partitionStates) get(user string) *State {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	e := p.users[user]
	if e == nil {
		return nil
	}
	p.all.used.MoveToFront(e)
	return e.Value.(*kept).state
}

// keep keeps a state as the table has it now, if it has segments.
func (p *partitionStates) keep(state *State) {
	if state.tail == nil {
		p.forget(state.user)
		return
	}
	s := p.all
	s.mu.Lock()
	defer s.mu.Unlock()
	e := p.users[state.user]
	if e == nil {
		e = s.used.PushFront(&kept{of: p, state: state})
		p.users[state.user] = e
	}
	k := e.Value.(*kept)
	size := state.size()
	s.size += size - k.size
	k.size = size
	for s.size > s.limit && s.used.Len() > 1 {
		s.drop(s.used.Back())
	}
}

func (p *partitionStates) forget(user string) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	if e := p.users[user]; e != nil {
		p.all.drop(e)
	}
}

func (s *States) drop(e *list.Element) {
	k := s.used.Remove(e).(*kept)
	delete(k.of.users, k.state.user)
	s.size -= k.size
}

// whole puts together what the table has of a user; nil for nothing.
func (p *partitionStates) whole(user string, value *brimline.Window) (whole *brimline.Window, entries int, err error) {
	if value == nil {
		return nil, 0, nil
	}
	return codecs.AssembleWindow(
		value,
		func(n uint64) ([]byte, error) { return p.table.Get(processors.SegmentKey(user, n)) },
	)
}

// open gives the state of a user whose value in the table is value, nil for
// nothing. broken says why its older part could not be had; the state is then one that knows nothing up to floor, and
// leaves everything to PostgreSQL.
func (p *partitionStates) open(
	f *Folder,
	user string,
	value *brimline.Window,
	floor brimline.Time,
) (s *State, broken, err error) {
	whole, entries, err := p.whole(user, value)
	switch {
	case err == nil:
		return f.NewState(user, value, whole, entries), nil, nil
	case errors.Is(err, codecs.ErrTorn):
		return f.brokenState(user, value, whole, floor), err, nil
	}
	return nil, nil, err
}

// value is what the table holds under a user's key, nil for nothing.
func (p *partitionStates) value(user string) (*brimline.Window, error) {
	return decoded(p.table.Get(user))
}

// peek is value for a sweep, which reads those of all users.
func (p *partitionStates) peek(user string) (*brimline.Window, error) {
	return decoded(table.Peek(p.table, user))
}

func decoded(raw []byte, err error) (*brimline.Window, error) {
	if err != nil || raw == nil {
		return nil, err
	}
	decoded, err := codecs.WindowPart{}.Decode(raw)
	if err != nil {
		return nil, err
	}
	return decoded.(*brimline.Window), nil
}
