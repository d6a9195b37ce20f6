package table

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"
)

// Decoded gives what was put last or nothing, stays within its budget but for the newest, and keeps what is used.
func TestDecodedIsTruthfulAndBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const limit = 100
		d := NewDecoded[int](limit)
		type place struct {
			partition int32
			key       string
		}
		last := map[place]int{}
		for n := range rapid.IntRange(1, 200).Draw(t, "steps") {
			at := place{rapid.Int32Range(0, 2).Draw(t, "partition"), fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "key"))}
			switch rapid.IntRange(0, 9).Draw(t, "step") {
			case 0:
				d.DropAll(at.partition)
				for p := range last {
					if p.partition == at.partition {
						delete(last, p)
					}
				}
			case 1:
				d.Drop(at.partition, at.key)
				delete(last, at)
			case 2, 3, 4, 5:
				d.Put(at.partition, at.key, n+1, rapid.IntRange(1, 2*limit).Draw(t, "size"))
				last[at] = n + 1
				if d.Get(at.partition, at.key) != n+1 {
					t.Fatalf("%v is not kept, the newest", at)
				}
			default:
				if got := d.Get(at.partition, at.key); got != 0 && got != last[at] {
					t.Fatalf("%v is %d, put was %d", at, got, last[at])
				}
			}
			size, held := 0, 0
			for e := d.used.Front(); e != nil; e = e.Next() {
				size += e.Value.(*decodedEntry[int]).size
			}
			for _, keys := range d.of {
				held += len(keys)
			}
			if size != d.size || held != d.used.Len() || size > limit && held > 1 {
				t.Fatalf("%d bytes, counted %d of %d; %d values, %d in order", size, d.size, limit, held, d.used.Len())
			}
		}
	})
}

func TestDecodedKeepsWhatIsUsed(t *testing.T) {
	d := NewDecoded[string](100)
	d.Put(0, "hot", "v", 50)
	for i := range 100 {
		if d.Get(0, "hot") == "" {
			t.Fatalf("gone after %d others", i)
		}
		d.Put(int32(i%2), fmt.Sprint(i), "cold", 10)
	}
	if d.Get(0, "0") != "" || d.Get(1, "99") == "" {
		t.Error("the oldest is kept, or the newest is not")
	}
}
