package verify

import (
	"errors"
	"testing"
	"time"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/processors"
)

// TestFencedEndsSoon: an instance whose producer was fenced, by another process
// under its name or by a transaction that ran into its timeout, ends with an
// error at its next candidate. It would else wait for minutes, in silence.
func TestFencedEndsSoon(t *testing.T) { inEachVersion(t, 1, fencedEndsSoon) }

func fencedEndsSoon(t *testing.T, w *world) {
	i := w.start("same")
	w.put(edgeCandidate("a", 1, 1))
	w.caughtUp()

	other := must(i.openTransactions(t.Context(), i.transactionalID(i.near), true))
	defer other.close()
	w.put(edgeCandidate("a", 2, 2))
	began := time.Now()
	err := i.end(t, false)
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "fenced" || e.Remedy == "" {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestPartitionAsSarama: what the stage writes goes where goka's producers put
// the same key, whatever its hash.
func TestPartitionAsSarama(t *testing.T) {
	for _, key := range []string{"7845390393", "2304669687", "", "a", "27956157", "__offset", "\x00", "ü"} {
		for n := int32(1); n < 50; n++ {
			p := sarama.NewCustomHashPartitioner(processors.Hasher)("topic")
			want, err := p.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, n)
			if got := processors.Partition(key, int(n)); err != nil || got != want {
				t.Errorf("%q of %d: partition %d, sarama says %d, %v", key, n, got, want, err)
			}
		}
	}
}
