package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
)

// handler is a consumer group handler made of functions.
type handler struct {
	setup   func(sarama.ConsumerGroupSession) error
	cleanup func(sarama.ConsumerGroupSession) error
	claim   func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error
}

func (h handler) Setup(s sarama.ConsumerGroupSession) error {
	if h.setup == nil {
		return nil
	}
	return h.setup(s)
}

func (h handler) Cleanup(s sarama.ConsumerGroupSession) error {
	if h.cleanup == nil {
		return nil
	}
	return h.cleanup(s)
}

func (h handler) ConsumeClaim(s sarama.ConsumerGroupSession, c sarama.ConsumerGroupClaim) error {
	return h.claim(s, c)
}

func wait(s sarama.ConsumerGroupSession, _ sarama.ConsumerGroupClaim) error {
	<-s.Context().Done()
	return nil
}

// join consumes topic t as group g until the test is over or stop is called; the result of Consume comes on the
// channel.
func join(t *testing.T, o Options, g Group, h handler) (stop func(), result <-chan error) {
	t.Helper()
	cg, err := o.GroupBuilder(g)(o.Brokers, "g", "client")
	must(t, err)
	ctx, cancel := context.WithCancel(deadline(t))
	done, ended := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(ended)
		done <- cg.Consume(ctx, []string{"t"}, h)
	}()
	stop = func() {
		cancel()
		<-ended
		_ = cg.Close()
	}
	t.Cleanup(stop)
	return stop, done
}

// Message 1 is acknowledged before message 0, then the consumer dies: nothing may be committed.
func TestCommitNeverPassesUnfinishedMessages(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "t"))
	c := dialled(t, o)
	produce(t, o, "t", 0, 0, 4)
	committed := func() int64 {
		lags, err := c.Lag(deadline(t), "g", []string{"t"})
		must(t, err)
		return lags[0].Committed
	}
	for _, step := range []struct {
		finish []int64 // offsets, in this order
		want   int64   // committed then
	}{
		{[]int64{1, 2}, -1},
		{[]int64{2, 0}, 1},
		{[]int64{3, 2, 1}, 4},
	} {
		marked := make(chan struct{})
		stop, _ := join(t, o, Group{},
			handler{claim: func(s sarama.ConsumerGroupSession, cl sarama.ConsumerGroupClaim) error {
				for m := range cl.Messages() {
					if m.Offset == 3 {
						break
					}
				}
				for _, offset := range step.finish {
					s.MarkOffset("t", 0, offset+1, "")
				}
				close(marked)
				return wait(s, cl)
			}})
		<-marked
		stop()
		if got := committed(); got != step.want {
			t.Fatalf("finished %v: committed %d, want %d", step.finish, got, step.want)
		}
	}
}

func TestFailuresSurface(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		h    handler
		want error
	}{
		"claim":           {handler{claim: func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error { return broken }}, broken},
		"setup":           {handler{setup: func(sarama.ConsumerGroupSession) error { return broken }, claim: wait}, broken},
		"claim, silently": {handler{claim: func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error { return nil }}, nil},
		// goka: the claim returns nil when its partition processor stops, and Cleanup knows why
		"cleanup": {handler{
			claim:   func(sarama.ConsumerGroupSession, sarama.ConsumerGroupClaim) error { return nil },
			cleanup: func(sarama.ConsumerGroupSession) error { return broken },
		}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			_, o := broker(t, kfake.SeedTopics(2, "t"))
			_, result := join(t, o, Group{}, c.h)
			if err := <-result; err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

// Input that was deleted before it was read is an error with a remedy, not a jump to what is left.
func TestLostInputSurfaces(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "t"))
	c := dialled(t, o)
	produce(t, o, "t", 0, 0, 5)
	commit(t, c, "g", "t", 0, 1, "")
	trim(t, c, "t", 0, 3)
	_, result := join(t, o, Group{}, handler{claim: wait})
	if err := <-result; kindOf(err) != KindOffsetLost {
		t.Fatalf("got %v", err)
	}
}

// A rebalance starts the next generation by itself; a stop is no failure.
func TestGenerationsFollowEachOther(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(2, "t"))
	claims := func(got chan<- int) handler {
		return handler{claim: wait, setup: func(s sarama.ConsumerGroupSession) error {
			got <- len(s.Claims()["t"])
			return nil
		}}
	}
	first, second := make(chan int, 16), make(chan int, 16)
	_, firstResult := join(t, o, Group{}, claims(first))
	expect(t, "partitions of the first alone", <-first, 2)
	stop, secondResult := join(t, o, Group{}, claims(second))
	expect(t, "partitions of the second", <-second, 1)
	expect(t, "partitions of the first beside it", <-first, 1)
	stop()
	must(t, <-secondResult)
	expect(t, "partitions of the first alone again", <-first, 2)
	select {
	case err := <-firstResult:
		t.Fatalf("the first ended: %v", err)
	default:
	}
}

// While rules are rolled out, members with other rules than the leader get nothing and know it; Members shows whose
// they are.
func TestMembersWithOtherRulesGetNothing(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(2, "t"))
	c := dialled(t, o)
	claimed := make(chan string, 16)
	member := func(rules string) (func(), Group, handler) {
		g := Group{Rules: []byte(rules), OnExcluded: func(leader []byte) {
			claimed <- rules + " excluded by " + string(leader)
		}}
		h := handler{claim: wait, setup: func(s sarama.ConsumerGroupSession) error {
			claimed <- fmt.Sprint(rules, " ", len(s.Claims()["t"]))
			return nil
		}}
		stop, _ := join(t, o, g, h)
		return stop, g, h
	}
	until := func(want string) {
		t.Helper()
		for {
			select {
			case got := <-claimed:
				if got == want {
					return
				}
			case <-deadline(t).Done():
				t.Fatalf("never saw %q", want)
			}
		}
	}
	stopOld, _, _ := member("old")
	until("old 2")
	member("new")
	until("new excluded by old")
	until("new 0")
	members, err := c.Members(deadline(t), "g")
	must(t, err)
	seen := map[string]int{}
	for _, m := range members {
		seen[string(m.UserData)] = len(m.Assigned["t"])
	}
	if len(members) != 2 || seen["old"] != 2 || seen["new"] != 0 {
		t.Errorf("members %+v", members)
	}
	if err := c.DeleteGroups(deadline(t), "g"); kindOf(err) != KindGroupActive {
		t.Errorf("deleting a group with members: %v", err)
	}
	stopOld()
	until("new 2")
}

// marked is a session that keeps the last mark.
type marked struct {
	sarama.ConsumerGroupSession
	offset int64
}

func (m *marked) MarkOffset(_ string, _ int32, offset int64, _ string) { m.offset = offset }

// What an old generation was handed out and did not finish does not hold up the next one, and late
// acknowledgements of the old one do not move the marks of the new.
func TestGenerationsDoNotMix(t *testing.T) {
	var g ordered
	seen := handedOut{&g.current}
	next := func() (*marked, sarama.ConsumerGroupSession) {
		var given sarama.ConsumerGroupSession
		gen := &generation{current: &g.current, handler: handler{setup: func(s sarama.ConsumerGroupSession) error {
			given = s
			return nil
		}}}
		m := &marked{offset: -1}
		must(t, gen.Setup(m))
		return m, given
	}
	read := func(offsets ...int64) {
		for _, offset := range offsets {
			seen.OnConsume(&sarama.ConsumerMessage{Topic: "t", Offset: offset})
		}
	}
	first, old := next()
	read(0, 1, 2)
	old.MarkOffset("t", 0, 1, "")
	old.MarkOffset("t", 0, 3, "")
	expect(t, "mark of the first", first.offset, 1)
	second, current := next()
	read(1, 2)
	old.MarkOffset("t", 0, 2, "")
	expect(t, "mark of the first, late", first.offset, 3)
	expect(t, "mark of the second", second.offset, -1)
	current.MarkOffset("t", 0, 3, "")
	expect(t, "mark of the second", second.offset, -1)
	current.MarkOffset("t", 0, 2, "")
	expect(t, "mark of the second", second.offset, 3)
}

// oneGeneration is a consumer group whose first session ends at once.
type oneGeneration struct {
	sarama.ConsumerGroup
	end context.CancelFunc
}

func (g oneGeneration) Consume(_ context.Context, _ []string, h sarama.ConsumerGroupHandler) error {
	defer g.end()
	if err := h.Setup(&marked{}); err != nil {
		return err
	}
	return h.Cleanup(&marked{})
}

func TestGenerationsAreAnnounced(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var told []string
	g := &ordered{ConsumerGroup: oneGeneration{end: cancel}, noted: make(chan struct{}, 1), group: Group{
		OnAssigned: func() { told = append(told, "assigned") }, OnRevoked: func() { told = append(told, "revoked") },
	}}
	_ = g.Consume(ctx, nil, handler{setup: func(sarama.ConsumerGroupSession) error { return nil }})
	if !slices.Equal(told, []string{"assigned", "revoked"}) {
		t.Errorf("told %q", told)
	}
}
