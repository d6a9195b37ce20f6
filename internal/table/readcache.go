package table

import "sync"

// ReadCache holds encoded values of all tables of a process, and which keys have none, within one budget of memory.
// Eviction approximates least-recently-read (CLOCK). Values are shared; do not modify them.
type ReadCache struct {
	limit int

	mu     sync.Mutex
	size   int
	tables int // numbers given out
	index  map[cacheKey]int
	slots  []cacheSlot
	free   []int
	hand   int
}

// DefaultCacheBytes is a sensible budget for a process: 50,000 values of half a kilobyte.
const DefaultCacheBytes = 32 << 20

// slotBytes is the size of an entry besides its key and value: its slot and its place in the index.
const slotBytes = 128

type cacheKey struct {
	table int
	key   string
}

type cacheSlot struct {
	cacheKey
	value []byte // nil: the key has none
	taken bool
	read  bool // since the hand passed
}

func (s *cacheSlot) size() int { return entrySize(s.key, s.value) }

func entrySize(key string, value []byte) int { return slotBytes + len(key) + cap(value) }

// NewReadCache makes one that takes about limit bytes; 0 keeps nothing.
func NewReadCache(limit int) *ReadCache {
	return &ReadCache{limit: limit, index: make(map[cacheKey]int)}
}

// newTable gives a number for the keys of a table. They are never given twice: a table that is opened again must not
// meet what it held before.
func (c *ReadCache) newTable() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tables++
	return c.tables
}

func (c *ReadCache) get(table int, key string) (value []byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	i, ok := c.index[cacheKey{table, key}]
	if !ok {
		return nil, false
	}
	c.slots[i].read = true
	return c.slots[i].value, true
}

// put replaces what is held of the key. A value that would take more than a sixteenth of the budget is not held.
func (c *ReadCache) put(table int, key string, value []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := cacheKey{table, key}
	i, held := c.index[k]
	size := entrySize(key, value)
	switch {
	case size > c.limit/16:
		if held {
			c.remove(i)
		}
		return
	case held:
		c.size += size - c.slots[i].size()
		c.slots[i].value = value
	default:
		i = c.place()
		c.slots[i] = cacheSlot{cacheKey: k, value: value, taken: true}
		c.index[k] = i
		c.size += size
	}
	c.makeRoom()
}

func (c *ReadCache) place() int {
	if n := len(c.free); n > 0 {
		i := c.free[n-1]
		c.free = c.free[:n-1]
		return i
	}
	c.slots = append(c.slots, cacheSlot{})
	return len(c.slots) - 1
}

func (c *ReadCache) makeRoom() {
	for c.size > c.limit {
		s := &c.slots[c.hand]
		switch {
		case s.read:
			s.read = false
		case s.taken:
			c.remove(c.hand)
		}
		c.hand = (c.hand + 1) % len(c.slots)
	}
}

func (c *ReadCache) remove(i int) {
	s := &c.slots[i]
	c.size -= s.size()
	delete(c.index, s.cacheKey)
	*s = cacheSlot{}
	c.free = append(c.free, i)
}

// forget drops all of a table.
func (c *ReadCache) forget(table int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if s := &c.slots[i]; s.taken && s.table == table {
			c.remove(i)
		}
	}
}
