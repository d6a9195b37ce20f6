package table

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
)

// TestCopiesTakeLittleMemory: an instance that answers questions has a copy of every partition of two tables. What one
// takes does not depend on how much is in it.
func TestCopiesTakeLittleMemory(t *testing.T) {
	const copies, values, most = 4, 40_000, 3 << 20
	inUse := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := inUse()
	dir, random := t.TempDir(), rand.New(rand.NewPCG(1, 2))
	value := make([]byte, 400)
	for p := range int32(copies) {
		s := OpenCopy(dir, "table", p, slog.New(slog.DiscardHandler))
		t.Cleanup(func() { _ = s.Close() })
		for i := range values {
			for at := range value {
				value[at] = byte(random.Uint32())
			}
			if err := s.Set(fmt.Sprint(i), value); err != nil {
				t.Fatal(err)
			}
		}
		for i := range values {
			if got, err := s.Get(fmt.Sprint(i)); err != nil || len(got) != len(value) ||
				i == values-1 && !bytes.Equal(got, value) {
				t.Fatalf("value %d: %d bytes, %v", i, len(got), err)
			}
		}
	}
	if each := (inUse() - before) / copies; each > most {
		t.Errorf("a copy takes %d bytes of memory, more than %d", each, most)
	}
}
