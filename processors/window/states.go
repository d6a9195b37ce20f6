package window

import (
	"container/list"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// States keeps the states of users with segments in memory, whose whole log
// would have to be read otherwise, and reaches past goka to the table's
// storage, because a goka callback can only set the value of its message's key. One attempt of the stage has one.
type States struct {
	maxRows int64
	rows    atomic.Int64 // of all states that are kept
	mu      sync.RWMutex
	of      map[int32]*partitionStates
}

// NewStates keeps states of up to maxRows rows in all; of each partition the newest, whatever its size.
func NewStates(maxRows int) *States {
	return &States{maxRows: int64(maxRows), of: map[int32]*partitionStates{}}
}

// partitionStates is one partition's share, least recently used last.
type partitionStates struct {
	all   *States
	table processors.SegmentStorage
	mu    sync.Mutex
	users map[string]*list.Element
	used  list.List
}

// kept is a state in partitionStates.used.
type kept struct {
	state *State
	rows  int64
}

// Watch wraps the builder of the table's storages, which must be processors.SegmentStorage.
func (s *States) Watch(builder storage.Builder) storage.Builder {
	return func(topic string, partition int32) (storage.Storage, error) {
		st, err := builder(topic, partition)
		if err != nil {
			return nil, err
		}
		table, ok := st.(processors.SegmentStorage)
		if !ok {
			return nil, fmt.Errorf("the storage of table %q cannot hold segments: %T", topic, st)
		}
		p := &partitionStates{all: s, table: table, users: map[string]*list.Element{}}
		s.mu.Lock()
		before := s.of[partition]
		s.of[partition] = p
		s.mu.Unlock()
		if before != nil {
			before.clear()
		}
		return st, nil
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.of[n]
}

// get gives the state that is kept of a user, nil if none is.
func (p *partitionStates) get(user string) *State {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.users[user]
	if e == nil {
		return nil
	}
	p.used.MoveToFront(e)
	return e.Value.(*kept).state
}

// keep keeps a state as the table has it now, if it has segments.
func (p *partitionStates) keep(s *State) {
	if s.tail == nil {
		p.forget(s.user)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	rows := int64(s.live())
	e := p.users[s.user]
	if e == nil {
		e = p.used.PushFront(&kept{state: s})
		p.users[s.user] = e
	}
	k := e.Value.(*kept)
	p.all.rows.Add(rows - k.rows)
	k.rows = rows
	for p.all.rows.Load() > p.all.maxRows && p.used.Len() > 1 {
		p.drop(p.used.Back())
	}
}

func (p *partitionStates) forget(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.users[user]; e != nil {
		p.drop(e)
	}
}

func (p *partitionStates) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.used.Len() > 0 {
		p.drop(p.used.Back())
	}
}

func (p *partitionStates) drop(e *list.Element) {
	k := p.used.Remove(e).(*kept)
	delete(p.users, k.state.user)
	p.all.rows.Add(-k.rows)
}

// whole puts together what the table has of a user; nil for nothing.
func (p *partitionStates) whole(user string, value *brimline.Window) (whole *brimline.Window, entries int, err error) {
	if value == nil {
		return nil, 0, nil
	}
	return codecs.AssembleWindow(value, func(n uint64) ([]byte, error) { return p.table.Get(processors.SegmentKey(user, n)) })
}

// open gives the state of a user whose value in the table is value, nil for
// nothing. broken says why its older part could not be had; the state is then one that knows nothing up to floor, and
// leaves everything to PostgreSQL.
func (p *partitionStates) open(f *Folder, user string, value *brimline.Window, floor brimline.Time) (s *State, broken, err error) {
	if s := p.get(user); s != nil {
		return s, nil, nil
	}
	whole, entries, err := p.whole(user, value)
	switch {
	case err == nil:
		return f.NewState(user, value, whole, entries), nil, nil
	case errors.Is(err, codecs.ErrTorn) || isCorrupt(err):
		return f.brokenState(user, value, floor), err, nil
	}
	return nil, nil, err
}

func isCorrupt(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && e.Kind == codecs.KindCorruptRecord
}
