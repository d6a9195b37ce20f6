package table

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkUpdate does to a storage what a table stage does for one change: a user's value is read, written, and
// acknowledged a while later. Users are as many as their values fit into the memtable, into the cache, or into
// neither.
func BenchmarkUpdate(b *testing.B) {
	for _, users := range []int{1_000, 20_000, 200_000} {
		b.Run(fmt.Sprint("users=", users), func(b *testing.B) {
			const behind = 500
			tb := NewLocal(LocalOptions{Dir: b.TempDir(), Log: &fakeLog{id: "one", next: 1}})
			s, err := tb.Build("g-table", 0)
			must(b, err)
			must(b, s.Open())
			must(b, s.MarkRecovered())
			r := rand.New(rand.NewPCG(1, 2))
			next := int64(1)
			update := func() {
				key := fmt.Sprint("user-", r.IntN(users))
				_, err := s.Get(key)
				must(b, err)
				value := make([]byte, 700)
				for i := 0; i < len(value); i += 4 { // compresses by about half, as windows do
					binary.LittleEndian.PutUint32(value[i:], r.Uint32()&0xffff)
				}
				must(b, s.Set(key, value))
				if at := next - behind; at > 0 {
					must(b, s.SetOffset(at))
				}
				next++
			}
			for range 2 * users {
				update()
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				update()
			}
			b.StopTimer()
			must(b, s.Close())
		})
	}
}
