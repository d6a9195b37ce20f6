package kafka

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// holder is a member of a group, of either client, and what it holds.
type holder struct {
	mu   sync.Mutex
	held []int32
	told []byte // the leader's rules, if they exclude it
}

func (h *holder) holds(partitions []int32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = slices.Sorted(slices.Values(partitions))
}

func (h *holder) now() ([]int32, string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.held, string(h.told)
}

func (h *holder) group(rules string) Group {
	return Group{Strategy: goka.CopartitioningStrategy, Rules: []byte(rules), OnExcluded: func(leader []byte) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.told = leader
	}}
}

// franz joins with franz-go's client.
func franz(t *testing.T, o Options, rules string) (*holder, func()) {
	t.Helper()
	h := &holder{}
	settings, err := o.MemberSettings(h.group(rules))
	must(t, err)
	c, err := kgo.NewClient(append(settings, kgo.ConsumerGroup("g"), kgo.ConsumeTopics("t"),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { h.holds(m["t"]) }),
		kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) { h.holds(nil) }))...)
	must(t, err)
	leave := sync.OnceFunc(c.Close)
	t.Cleanup(leave)
	return h, leave
}

// claims is the handler of sarama's client.
type claims struct{ *holder }

func (c claims) Setup(s sarama.ConsumerGroupSession) error {
	c.holds(s.Claims()["t"])
	return nil
}
func (c claims) Cleanup(sarama.ConsumerGroupSession) error { c.holds(nil); return nil }
func (c claims) ConsumeClaim(s sarama.ConsumerGroupSession, _ sarama.ConsumerGroupClaim) error {
	<-s.Context().Done()
	return nil
}

// old joins with sarama's client.
func old(t *testing.T, o Options, rules string) (*holder, func()) {
	t.Helper()
	h := &holder{}
	config, err := o.ConsumerGroupConfig(h.group(rules))
	must(t, err)
	g, err := sarama.NewConsumerGroup(o.Brokers, "g", config)
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{"t"}, claims{h}); err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("sarama's member: %v", err)
				return
			}
		}
	}()
	leave := sync.OnceFunc(func() {
		cancel()
		<-ended
		_ = g.Close()
	})
	t.Cleanup(leave)
	return h, leave
}

// Members of both clients are in one group, whoever of them leads it, so that instances of before and after a change of
// client can take turns; and those with other rules get nothing and are told, as among themselves.
func TestBothClientsShareAGroup(t *testing.T) {
	type join func(*testing.T, Options, string) (*holder, func())
	for name, order := range map[string][2]join{
		"sarama leads": {old, franz}, "franz-go leads": {franz, old}, "franz-go alone": {franz, franz},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, o := broker(t, kfake.SeedTopics(4, "t"))
			first, leave := order[0](t, o, "r1")
			until(t, func() bool { held, _ := first.now(); return len(held) == 4 })
			stranger, strangerLeaves := order[1](t, o, "r2")
			until(t, func() bool { _, told := stranger.now(); return told == "r1" })
			until(t, func() bool { held, _ := first.now(); return len(held) == 4 })
			if held, _ := stranger.now(); len(held) > 0 {
				t.Errorf("a member with other rules has %v", held)
			}
			strangerLeaves()
			second, _ := order[1](t, o, "r1")
			until(t, func() bool {
				a, _ := first.now()
				b, _ := second.now()
				return len(a) == 2 && len(b) == 2 && !slices.Contains(b, a[0]) && !slices.Contains(b, a[1])
			})
			leave()
			until(t, func() bool { held, _ := second.now(); return len(held) == 4 })
			if _, told := second.now(); told != "" {
				t.Errorf("told to be excluded by %q, though the rules are the same", told)
			}
		})
	}
}

// What a member cannot read ends nothing: the balance of that round fails, and the client tries again.
func TestBalancerRefusesWhatItCannotRead(t *testing.T) {
	b := balancer{Group{}.strategy(), nil}
	if _, err := b.ParseSyncAssignment([]byte{1}); err == nil {
		t.Error("half an assignment was read")
	}
	if got, err := b.ParseSyncAssignment(nil); err == nil && len(got) > 0 {
		t.Errorf("nothing was read as %v", got)
	}
}
