package window

import (
	"slices"
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// Markers are the markers of the open partitions: values of the table under processors.MarkerKey. A Truncate and a
// Sweep change them; the fold and the sweep read them.
type Markers struct {
	partitions int
	mu         sync.RWMutex
	of         map[int32]brimline.Marker
}

// keptSweeps is how many sweeps a message can be replayed across: it finds users forgotten as it did the first time.
const keptSweeps = 32

// sweepBefore says who was forgotten before the message at an offset: users whose Last is at most idle, so that a whole
// sweep has passed since their last message and none of theirs is replayed, and who have nothing from before on. It is
// 0 and 0 where none was.
func sweepBefore(m *brimline.Marker, offset int64) (idle int64, before brimline.Time) {
	for i := len(m.Sweeps) - 1; i >= 0; i-- {
		if m.Sweeps[i].Offset < offset || i == 0 && len(m.Sweeps) == keptSweeps {
			if i > 0 {
				idle = m.Sweeps[i-1].Offset
			}
			return idle, m.Sweeps[i].Before
		}
	}
	return 0, 0
}

// NewMarkers is for a table of the given number of partitions.
func NewMarkers(partitions int) *Markers {
	return &Markers{partitions: partitions, of: map[int32]brimline.Marker{}}
}

// get gives a partition's marker, whose Truncation and Sweeps must not be changed.
func (m *Markers) get(partition int32) brimline.Marker {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.of[partition]
}

// swept gives who was forgotten before the message at an offset, see sweepBefore.
func (m *Markers) swept(partition int32, offset int64) (idle int64, before brimline.Time) {
	k := m.get(partition)
	return sweepBefore(&k, offset)
}

// take takes up a message for all users of a partition, a Truncate or a Sweep, and gives the marker as it is then.
func (m *Markers) take(partition int32, offset int64, c *brimline.Change) *brimline.Marker {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := m.of[partition]
	if c.Kind == brimline.Truncate {
		truncate(&k, offset, c)
	} else {
		sweepOnce(&k, offset, c.Row.Time)
	}
	m.of[partition] = k
	return &k
}

// truncate notes a Truncate. A replay changes nothing. Nor does one that is older in the source than the newest, or the
// same once more: what it takes away is gone already.
func truncate(k *brimline.Marker, offset int64, c *brimline.Change) {
	if offset < k.TruncatedAt {
		return
	}
	if k.Truncation != nil {
		if o := k.Truncation.Order(&c.Source); o == brimline.Older || o == brimline.Same {
			return
		}
	}
	k.TruncatedAt, k.Truncation = offset+1, nil
	if c.Source.LSN != 0 {
		k.Truncation = &brimline.Truncation{Source: c.Source, Whole: c.Whole}
		k.Truncation.Source.Topic = "" // the table does not keep it
	}
}

// sweepOnce notes that users whose newest row lies before t are about to be forgotten. A replay changes nothing.
func sweepOnce(k *brimline.Marker, offset int64, t brimline.Time) {
	if n := len(k.Sweeps); n > 0 {
		if offset <= k.Sweeps[n-1].Offset {
			return
		}
		t = max(t, k.Sweeps[n-1].Before)
	}
	kept := slices.Clone(k.Sweeps[max(0, len(k.Sweeps)-keptSweeps+1):])
	k.Sweeps = append(kept, brimline.Swept{Offset: offset, Before: t})
}

// recovered takes a partition's marker from its table.
func (m *Markers) recovered(p *table.Partition) error {
	value, err := p.Get(processors.MarkerKey(p.Number(), m.partitions))
	if err != nil {
		return err
	}
	k := &brimline.Marker{}
	if value != nil {
		decoded, err := codecs.Marker{}.Decode(value)
		if err != nil {
			return err
		}
		k = decoded.(*brimline.Marker)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of[p.Number()] = *k
	return nil
}
