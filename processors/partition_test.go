package processors

import (
	"fmt"
	"testing"
)

// TestPartitionOfTheLowestHash: user ids whose hash is the lowest int32, which
// stays negative when its sign is changed, have a partition like any other.
func TestPartitionOfTheLowestHash(t *testing.T) {
	for _, key := range []string{"7845390393", "2304669687"} {
		h := Hasher()
		fmt.Fprint(h, key)
		if h.Sum32() != 1<<31 {
			t.Fatalf("%q hashes to %x", key, h.Sum32())
		}
		for n := 1; n <= 100; n++ {
			if p := Partition(key, n); p < 0 || int(p) >= n {
				t.Errorf("%q is put into partition %d of %d", key, p, n)
			}
		}
	}
}
