package window

import (
	"math"
	"slices"
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// Markers hold the facts that concern all users of a partition: until which offset the watched table's latest
// TRUNCATE has emptied their windows, where it stands in the source, and up to which time users were forgotten with
// all their rows. A partition's marker is a value of the table under processors.MarkerKey: Window.Last is the offset
// after the Truncate, Window.Floor the time; the edges of its only rule are the times before it, with the offsets of
// their sweeps; Window.Changed is the Truncate's place, if that is known, and its From is 1 where it was Whole.
type Markers struct {
	partitions int
	mu         sync.RWMutex
	of         map[int32]marker
}

type marker struct {
	truncatedAt int64                // 0: never
	truncate    *brimline.RowVersion // its place, which never changes; nil: not known
	sweeps      []swept              // the newest last
}

// swept is a sweep, and up to which time it forgets users, if they are idle: a whole sweep has passed since their last
// message, so that none of theirs is replayed.
type swept struct {
	at     int64 // offset of its message
	before brimline.Time
}

// keptSweeps is how many sweeps a message can be replayed across: it finds users forgotten as it did the first time.
const keptSweeps = 32

// sweepBefore tells a message at an offset who was forgotten by then: users whose Last is at most idle and who have
// nothing from before on. 0 and 0 for none.
func (k marker) sweepBefore(offset int64) (idle int64, before brimline.Time) {
	for i := len(k.sweeps) - 1; i >= 0; i-- {
		if k.sweeps[i].at < offset || i == 0 && len(k.sweeps) == keptSweeps {
			if i > 0 {
				idle = k.sweeps[i-1].at
			}
			return idle, k.sweeps[i].before
		}
	}
	return 0, 0
}

// NewMarkers is for a table of the given number of partitions.
func NewMarkers(partitions int) *Markers {
	return &Markers{partitions: partitions, of: map[int32]marker{}}
}

func (m *Markers) get(partition int32) marker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.of[partition]
}

// truncated notes a Truncate at offset and gives the marker's new value. What one takes away that is older than
// another, or is the same once more, is gone already.
func (m *Markers) truncated(partition int32, offset int64, c *brimline.Change) *brimline.Window {
	return m.change(partition, func(k *marker) {
		if k.truncate != nil {
			if o := k.truncate.Order(&c.Source); o == brimline.Older || o == brimline.Same {
				return
			}
		}
		k.truncatedAt, k.truncate = offset+1, nil
		if c.Source.LSN != 0 {
			k.truncate = &brimline.RowVersion{}
			k.truncate.Note(&c.Source, brimline.Newer)
			if c.Whole {
				k.truncate.From = 1
			}
		}
	})
}

// swept notes that users whose newest row lies before t are about to be forgotten, as the message at offset says.
func (m *Markers) swept(partition int32, offset int64, t brimline.Time) *brimline.Window {
	return m.change(partition, func(k *marker) {
		if n := len(k.sweeps); n > 0 {
			if offset <= k.sweeps[n-1].at { // a replay
				return
			}
			t = max(t, k.sweeps[n-1].before)
		}
		k.sweeps = append(slices.Clone(k.sweeps[max(0, len(k.sweeps)-keptSweeps+1):]), swept{offset, t})
	})
}

func (m *Markers) change(partition int32, f func(*marker)) *brimline.Window {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.of[partition]
	f(&k)
	m.of[partition] = k
	w := &brimline.Window{Last: k.truncatedAt, Floor: brimline.MinTime}
	if k.truncate != nil {
		w.Changed = []brimline.RowVersion{*k.truncate}
	}
	if len(k.sweeps) == 0 {
		return w
	}
	_, w.Floor = k.sweepBefore(math.MaxInt64)
	w.Rules = make([]brimline.RuleState, 1)
	for _, s := range k.sweeps {
		w.Rules[0].Edges = append(w.Rules[0].Edges, brimline.Edge{Time: s.before, Cause: brimline.Cause{Offset: s.at}})
	}
	return w
}

// recovered takes a partition's marker from its table.
func (m *Markers) recovered(p *table.Partition) error {
	value, err := p.Get(processors.MarkerKey(p.Number(), m.partitions))
	if err != nil {
		return err
	}
	k := marker{}
	if value != nil {
		decoded, err := codecs.WindowPart{}.Decode(value)
		if err != nil {
			return err
		}
		window := decoded.(*brimline.Window)
		k.truncatedAt = window.Last
		if len(window.Changed) > 0 {
			k.truncate = &window.Changed[0]
		}
		if len(window.Rules) > 0 {
			for _, e := range window.Rules[0].Edges {
				k.sweeps = append(k.sweeps, swept{e.Cause.Offset, e.Time})
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of[p.Number()] = k
	return nil
}
