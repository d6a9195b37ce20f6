package window

import (
	"errors"
	"sync"
	"time"

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
	kept  *table.Decoded[*State] // by user
	mu    sync.Mutex
	of    map[int32]*partitionStates
	walks walks

	above  int       // users in partitionStates.above of all partitions
	tokens float64   // questions that DueAbove may have put
	filled time.Time // when tokens was counted last
}

// NewStates keeps states of about limit bytes in all, and the newest whatever its size.
func NewStates(limit int) *States {
	return &States{kept: table.NewDecoded[*State](limit), of: map[int32]*partitionStates{}}
}

// partitionStates is one partition's share.
type partitionStates struct {
	all      *States
	table    *table.Partition
	doubts   map[string]doubted    // by user; guarded by States.mu, as above, more and closed are
	above    map[string]aboveLimit // by user
	more     bool                  // there are users whom above has no room for
	closed   bool
	recalled bool // doubts and above have those that the table had from before; only Recall uses it

	change brimline.Change // the one that is being folded: a partition's messages are folded one by one
	// last is the state that was opened last, if it is not kept. The next one is opened in its place.
	last *opened
}

// Watch is how the stage follows its table: the states and doubts of each partition, and its marker.
func Watch(m *Markers, s *States) table.Watch {
	return table.Watch{
		Opened:    s.opened,
		Read:      s.read,
		Recovered: m.recovered,
		Visited: func(p *table.Partition, all storage.Iterator) storage.Iterator {
			return s.walks.through(all, p.Number())
		},
		Closed: s.closed,
	}
}

func (s *States) opened(p *table.Partition) {
	s.kept.DropAll(p.Number())
	s.mu.Lock()
	defer s.mu.Unlock()
	if before := s.of[p.Number()]; before != nil {
		s.above -= len(before.above)
	}
	s.of[p.Number()] = &partitionStates{
		all: s, table: p, doubts: map[string]doubted{}, above: map[string]aboveLimit{},
	}
}

// read forgets a state whose records are read from the changelog, because another instance has written them.
func (s *States) read(partition int32, key string) {
	user, _, ok := processors.ParseSegmentKey(key)
	if !ok {
		user = key
	}
	s.kept.Drop(partition, user)
}

// closed says that the partition is another's from now on.
func (s *States) closed(p *table.Partition) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of := s.of[p.Number()]; of != nil && of.table == p && !of.closed {
		of.closed = true
		s.above -= len(of.above)
		clear(of.above)
	}
}

func (s *States) partition(n int32) *partitionStates {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[n]
}

// get gives the state that is kept of a user, nil if none is.
func (p *partitionStates) get(user string) *State { return p.all.kept.Get(p.table.Number(), user) }

// keep keeps a state as the table has it now, if it has segments.
func (p *partitionStates) keep(state *State) {
	if state.tail == nil {
		p.forget(state.user)
		return
	}
	if p.last != nil && state == &p.last.state {
		p.last = nil
	}
	p.all.kept.Put(p.table.Number(), state.user, state, state.size())
}

func (p *partitionStates) forget(user string) { p.all.kept.Drop(p.table.Number(), user) }

// whole puts together what the table has of a user; nil for nothing.
func (p *partitionStates) whole(user string, value *brimline.Window) (whole *brimline.Window, entries int, err error) {
	if value == nil || value.Older.Len() == 0 {
		return value, 0, nil
	}
	return codecs.AssembleWindow(
		value,
		func(n uint64) ([]byte, error) { return p.table.Get(processors.SegmentKey(user, n)) },
	)
}

// open gives the state of a user as the table has it. Unless it is kept it is of use until the next one is opened.
// broken says why its older part could not be had; the state is then one that knows nothing up to floor, and leaves
// everything to PostgreSQL.
func (p *partitionStates) open(f *Folder, user string, floor brimline.Time) (s *State, broken, err error) {
	raw, err := p.table.Get(user)
	if err != nil {
		return nil, nil, err
	}
	if p.last == nil {
		p.last = new(opened)
	}
	value := &p.last.window
	if raw == nil {
		*value = brimline.Window{Floor: brimline.MinTime, Rules: value.Rules[:0]}
	} else if err := codecs.DecodeWindowPart(raw, value); err != nil {
		return nil, nil, err
	}
	if value.Older.Len() == 0 {
		return f.stateOf(p.last, user), nil, nil
	}
	p.last = nil // the state's from now on
	whole, entries, err := p.whole(user, value)
	switch {
	case err == nil:
		return f.NewState(user, value, whole, entries), nil, nil
	case errors.Is(err, codecs.ErrTorn):
		return f.brokenState(user, value, whole, floor), err, nil
	}
	return nil, nil, err
}

// peek is value for a sweep, which reads those of all users.
func (p *partitionStates) peek(user string) (*brimline.Window, error) {
	return decoded(p.table.Peek(user))
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
