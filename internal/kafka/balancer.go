package kafka

import (
	"fmt"
	"maps"
	"slices"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// balancer lets franz-go share out partitions by a strategy of sarama's, under the same name and with the same bytes,
// so that members of both clients can be in one group. It is an eager one: no member keeps a partition through a
// rebalance.
type balancer struct {
	strategy sarama.BalanceStrategy
	userData []byte // that this member shows
}

func (b balancer) ProtocolName() string { return b.strategy.Name() }

func (balancer) IsCooperative() bool { return false }

func (b balancer) JoinGroupMetadata(topics []string, _ map[string][]int32, _ int32) []byte {
	m := kmsg.NewConsumerMemberMetadata()
	m.Topics, m.UserData = topics, b.userData
	return m.AppendTo(nil)
}

func (b balancer) ParseSyncAssignment(raw []byte) (map[string][]int32, error) {
	m := kmsg.NewConsumerMemberAssignment()
	if err := m.ReadFrom(raw); err != nil {
		return nil, fmt.Errorf("the group's leader has assigned what cannot be read: %w", err)
	}
	if told, ok := b.strategy.(sarama.OnAssignmentBalanceStrategy); ok {
		told.OnAssignment(&sarama.ConsumerGroupMemberAssignment{UserData: m.UserData}, 0)
	}
	assigned := map[string][]int32{}
	for _, t := range m.Topics {
		assigned[t.Topic] = append(assigned[t.Topic], t.Partitions...)
	}
	return assigned, nil
}

func (b balancer) MemberBalancer(members []kmsg.JoinGroupResponseMember) (
	kgo.GroupMemberBalancer, map[string]struct{}, error,
) {
	r := round{b.strategy, map[string]sarama.ConsumerGroupMemberMetadata{}}
	topics := map[string]struct{}{}
	for _, member := range members {
		m := kmsg.NewConsumerMemberMetadata()
		if err := m.ReadFrom(member.ProtocolMetadata); err != nil {
			return nil, nil, fmt.Errorf("member %q of the group says what cannot be read: %w", member.MemberID, err)
		}
		r.members[member.MemberID] = sarama.ConsumerGroupMemberMetadata{
			Version: m.Version, Topics: m.Topics, UserData: m.UserData,
		}
		for _, t := range m.Topics {
			topics[t] = struct{}{}
		}
	}
	return r, topics, nil
}

// round is one sharing-out, on the group's leader.
type round struct {
	strategy sarama.BalanceStrategy
	members  map[string]sarama.ConsumerGroupMemberMetadata
}

// Balance is never called: BalanceOrError is there.
func (r round) Balance(topics map[string]int32) kgo.IntoSyncAssignment {
	plan, _ := r.BalanceOrError(topics)
	return plan
}

func (r round) BalanceOrError(topics map[string]int32) (kgo.IntoSyncAssignment, error) {
	partitions := make(map[string][]int32, len(topics))
	for topic, n := range topics {
		for p := range n {
			partitions[topic] = append(partitions[topic], p)
		}
	}
	plan, err := r.strategy.Plan(r.members, partitions)
	if err != nil {
		return nil, err
	}
	var all assignments
	for _, id := range slices.Sorted(maps.Keys(r.members)) {
		m := kmsg.NewConsumerMemberAssignment()
		for _, topic := range slices.Sorted(maps.Keys(plan[id])) {
			t := kmsg.NewConsumerMemberAssignmentTopic()
			t.Topic, t.Partitions = topic, plan[id][topic]
			m.Topics = append(m.Topics, t)
		}
		if m.UserData, err = r.strategy.AssignmentData(id, plan[id], 0); err != nil {
			return nil, err
		}
		all = append(all, kmsg.SyncGroupRequestGroupAssignment{MemberID: id, MemberAssignment: m.AppendTo(nil)})
	}
	return all, nil
}

type assignments []kmsg.SyncGroupRequestGroupAssignment

func (a assignments) IntoSyncAssignment() []kmsg.SyncGroupRequestGroupAssignment { return a }
