package kafka

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The end of a topic is found whatever lies there: records, the marker of a transaction, an aborted
// transaction, or nothing at all.
func TestTailFindsTheEnd(t *testing.T) {
	t.Parallel()
	_, o := broker(
		t,
		kfake.SeedTopics(1, "plain", "committed", "aborted", "mixed", "trimmed"),
		kfake.SeedTopics(3, "empty"),
	)
	c := dialled(t, o)
	produce(t, o, "plain", 0, 0, 3)
	transact(t, o, "committed", 0, 3, true)
	transact(t, o, "aborted", 0, 3, false)
	produce(t, o, "mixed", 0, 0, 1)
	transact(t, o, "mixed", 1, 1, false)
	transact(t, o, "mixed", 2, 2, true)
	transact(t, o, "mixed", 4, 1, false)
	produce(t, o, "trimmed", 0, 0, 3)
	trim(t, c, "trimmed", 0, 3)
	for topic, want := range map[string][]string{
		"plain": {"0", "1", "2"}, "committed": {"0", "1", "2"}, "aborted": nil, "mixed": {"0", "2", "3"}, "empty": nil, "trimmed": nil,
	} {
		var got []string
		err := c.Tail(deadline(t), topic, Oldest, false, func(m *Message) error {
			got = append(got, string(m.Value))
			return nil
		})
		if must(t, err); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", topic, got, want)
		}
		if err := c.Tail(deadline(t), topic, Newest, false, func(*Message) error {
			return errors.New("a record after the end")
		}); err != nil {
			t.Errorf("%s from its end: %v", topic, err)
		}
	}
	if err := c.Tail(deadline(t), "missing", Oldest, false, nil); kindOf(err) != KindTopicMissing {
		t.Errorf("a missing topic: %v", err)
	}
}

func TestTailOfACompactedTopic(t *testing.T) {
	t.Parallel()
	k, o := broker(t)
	c := dialled(t, o)
	_, err := c.Ensure(
		deadline(t),
		[]Topic{{Name: "table", Partitions: 1, Kind: Table, Config: map[string]string{"min.compaction.lag.ms": "0"}}},
		Durability{},
	)
	must(t, err)
	produce(t, o, "table", 0, 0, 10) // one key
	k.Compact()
	var last string
	n := 0
	err = c.Tail(deadline(t), "table", Oldest, false, func(m *Message) error {
		last = string(m.Value)
		n++
		return nil
	})
	if must(t, err); last != "9" || n == 10 {
		t.Fatalf("%d records, the last is %q", n, last)
	}
}

func TestTailFollows(t *testing.T) {
	t.Parallel()
	for _, from := range []From{Oldest, Newest} {
		_, o := broker(t, kfake.SeedTopics(2, "t"))
		c := dialled(t, o)
		transact(t, o, "t", 0, 1, true)
		ctx, cancel := context.WithCancel(deadline(t))
		got, done := make(chan string, 8), make(chan error)
		go func() {
			done <- c.Tail(ctx, "t", from, true, func(m *Message) error {
				got <- string(m.Value)
				return nil
			})
		}()
		if from == Oldest {
			expect(t, "record", <-got, "0") // it is reading
			produce(t, o, "t", 1, 1, 1)
			expect(t, "record", <-got, "1")
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("from %d: %v", from, err)
		}
	}
}

func TestTailStops(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "t"))
	c := dialled(t, o)
	produce(t, o, "t", 0, 0, 3)
	for _, follow := range []bool{false, true} {
		n := 0
		err := c.Tail(deadline(t), "t", Oldest, follow, func(*Message) error {
			n++
			return ErrStop
		})
		if must(t, err); n != 1 {
			t.Errorf("%d records", n)
		}
	}
}

// TestOffsetsWhileLeadersChange: a topic that another instance has just made, or whose leader has just moved, is asked
// about again. What does not pass is said at once.
func TestOffsetsWhileLeadersChange(t *testing.T) {
	t.Parallel()
	k, o := broker(t, kfake.SeedTopics(2, "t"))
	c := dialled(t, o)
	var asked, times, code atomic.Int32
	refuse := func(n int32, with int16) {
		asked.Store(0)
		times.Store(n)
		code.Store(int32(with))
	}
	k.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if asked.Add(1) > times.Load() {
			return nil, nil, false
		}
		q := r.(*kmsg.ListOffsetsRequest)
		answer := q.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, topic := range q.Topics {
			to := kmsg.NewListOffsetsResponseTopic()
			to.Topic = topic.Topic
			for _, p := range topic.Partitions {
				of := kmsg.NewListOffsetsResponseTopicPartition()
				of.Partition, of.ErrorCode = p.Partition, int16(code.Load())
				to.Partitions = append(to.Partitions, of)
			}
			answer.Topics = append(answer.Topics, to)
		}
		return answer, nil, true
	})
	refuse(4, kerr.NotLeaderForPartition.Code)
	if extent, err := c.Extent(t.Context(), "t"); err != nil || len(extent.Low) != 2 {
		t.Errorf("%+v, %v", extent, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), tryAgain/2)
	defer cancel()
	refuse(1<<30, kerr.NotLeaderForPartition.Code)
	if _, err := c.Extent(ctx, "t"); err == nil {
		t.Error("no error, though the leaders are never known")
	}
	refuse(1<<30, kerr.TopicAuthorizationFailed.Code)
	if _, err := c.Extent(t.Context(), "t"); kindOf(err) != KindPermission {
		t.Errorf("without the right to it: %v", err)
	}
	if n := asked.Load(); n > 2 {
		t.Errorf("asked %d times without the right to it", n)
	}
}
