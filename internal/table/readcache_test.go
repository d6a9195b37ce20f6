package table

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// The cache gives what was put last or nothing, and stays within its budget.
func TestReadCacheIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 16 * 160 // the largest entries are refused
		c := NewReadCache(limit)
		last := map[cacheKey][]byte{}
		tables := []int{c.newTable(), c.newTable()}
		hits := 0
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			k := cacheKey{rapid.SampledFrom(tables).Draw(t, "table"), fmt.Sprint(rapid.IntRange(0, 30).Draw(t, "key"))}
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				c.forget(k.table)
				for known := range last {
					if known.table == k.table {
						delete(last, known)
					}
				}
			case 1, 2, 3, 4:
				value := make([]byte, rapid.IntRange(0, 40).Draw(t, "size"))
				if rapid.Bool().Draw(t, "absent") {
					value = nil
				}
				c.put(k.table, k.key, value)
				last[k] = value
			default:
				value, ok := c.get(k.table, k.key)
				known, put := last[k]
				if ok && (!put || len(known) != len(value) || (known == nil) != (value == nil)) {
					t.Fatalf("%v: got %v, put %v %v", k, value, known, put)
				}
				if ok {
					hits++
				}
			}
			size := 0
			for i := range c.slots {
				if c.slots[i].taken {
					size += c.slots[i].size()
				}
			}
			if size != c.size || size > limit || len(c.index)+len(c.free) != len(c.slots) {
				t.Fatalf("size %d, counted %d of %d; %d entries, %d free of %d", c.size, size, limit,
					len(c.index), len(c.free), len(c.slots))
			}
		}
		t.Logf("%d hits", hits)
	})
}

func TestReadCacheKeepsWhatIsRead(t *testing.T) {
	c := NewReadCache(100 * (slotBytes + 20))
	c.put(1, "hot", []byte("v"))
	for i := range 10_000 {
		c.put(1, fmt.Sprint("cold", i), make([]byte, 10))
		if _, ok := c.get(1, "hot"); !ok {
			t.Fatalf("gone after %d others", i)
		}
	}
	if _, ok := c.get(1, "cold9000"); ok {
		t.Fatal("nothing makes room")
	}
}

func TestReadCacheHitsDoNotAllocate(t *testing.T) {
	c := NewReadCache(1 << 20)
	c.put(1, "k", []byte("v"))
	if n := testing.AllocsPerRun(100, func() { c.get(1, "k") }); n > 0 {
		t.Fatalf("%v allocations", n)
	}
}
