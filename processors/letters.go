package processors

import "sync"

// LetterCount counts dead letters by kind, for those who ask in the same process; metrics count them for others. The
// zero value is ready. It is safe for concurrent use.
type LetterCount struct {
	mu   sync.Mutex
	sums map[string]int64
}

// Add counts one.
func (c *LetterCount) Add(kind string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sums == nil {
		c.sums = map[string]int64{}
	}
	c.sums[kind]++
}

// AddTo adds the sums of the moment to those of others.
func (c *LetterCount) AddTo(sums map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kind, n := range c.sums {
		sums[kind] += n
	}
}
