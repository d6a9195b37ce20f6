package table

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
)

// BenchmarkRecover is the reading of a changelog into an empty partition, in no order of its keys, by a
// callback that looks at the value that is held: four records of each user, and some of the users' values twice.
func BenchmarkRecover(b *testing.B) {
	const users = 125_000
	for range b.N {
		tb := NewLocal(LocalOptions{Dir: b.TempDir(), Log: &fakeLog{id: "one", next: 5 * users}})
		keep := func(_ goka.UpdateContext, s storage.Storage, key string, value []byte) error {
			if _, err := s.Get(key); err != nil {
				return err
			}
			return s.Set(key, value)
		}
		kept := New(Options{Open: tb.Build, Keep: keep})
		s, err := kept.Build("g-table", 3)
		must(b, err)
		must(b, s.Open())
		r := rand.New(rand.NewPCG(1, 2))
		order, at := r.Perm(users), int64(0)
		record := func(key string) {
			value := make([]byte, 250)
			for i := 0; i < len(value)-4; i += 4 { // compresses by about half, as windows do
				binary.LittleEndian.PutUint32(value[i:], r.Uint32()&0xffff)
			}
			must(b, kept.update(read{offset: at}, s, key, value))
			must(b, s.SetOffset(at))
			at++
		}
		before := cpu(b)
		b.ReportAllocs()
		for u, n := range order {
			user := fmt.Sprint(27_000_000 + n)
			for segment := range 3 {
				record(fmt.Sprintf("\x00segment:%s:%d", user, segment))
			}
			record(user)
			if u%4 == 0 {
				record(fmt.Sprint(27_000_000 + order[r.IntN(u+1)]))
			}
		}
		must(b, s.MarkRecovered())
		b.ReportMetric(float64(cpu(b)-before)/float64(at), "cpu-ns/record")
		must(b, s.Close())
		b.ReportMetric(float64(cpu(b)-before)/float64(at), "cpu-ns/record-closed")
	}
}

// cpu is the processor time of this process.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
