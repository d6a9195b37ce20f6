package kafka

import (
	"bytes"

	"github.com/IBM/sarama"

	"github.com/brimline/brimline/internal/failpoint"
)

// RulesStrategy shares out partitions by inner, but only among members whose fingerprint of the rules is the leader's
// own: while rules are being rolled out, two sets of them must not be applied side by side. The others get nothing and
// are told so through onExcluded (may be nil) until the leader agrees with them. A member without a fingerprint agrees
// with no one who has one.
//
// Its name differs from inner's, so that the broker keeps members away that
// know nothing of it and, as leaders, would share out partitions regardless.
func RulesStrategy(inner sarama.BalanceStrategy, rules []byte, onExcluded func(leader []byte)) sarama.BalanceStrategy {
	if onExcluded == nil {
		onExcluded = func([]byte) {}
	}
	return &rulesStrategy{inner: inner, rules: bytes.Clone(rules), onExcluded: onExcluded}
}

type rulesStrategy struct {
	inner      sarama.BalanceStrategy
	rules      []byte
	onExcluded func(leader []byte)
}

func (s *rulesStrategy) Name() string { return s.inner.Name() + "-same-rules" }

func (s *rulesStrategy) agrees(rules []byte) bool {
	return bytes.Equal(rules, s.rules) || failpoint.Without(failpoint.SameRules)
}

// Plan runs on the leader.
func (s *rulesStrategy) Plan(members map[string]sarama.ConsumerGroupMemberMetadata,
	topics map[string][]int32) (sarama.BalanceStrategyPlan, error) {
	agreeing := make(map[string]sarama.ConsumerGroupMemberMetadata, len(members))
	asked := make(map[string][]int32, len(topics)) // what only the others read must not disturb inner's plan
	for id, m := range members {
		if !s.agrees(m.UserData) {
			continue
		}
		agreeing[id] = m
		for _, topic := range m.Topics {
			asked[topic] = topics[topic]
		}
	}
	plan, err := s.inner.Plan(agreeing, asked)
	if err != nil {
		return nil, err
	}
	if plan == nil {
		plan = sarama.BalanceStrategyPlan{}
	}
	for id := range members {
		if plan[id] == nil {
			plan[id] = map[string][]int32{} // so that AssignmentData tells this member, too
		}
	}
	return plan, nil
}

// AssignmentData sends every member the leader's fingerprint.
func (s *rulesStrategy) AssignmentData(string, map[string][]int32, int32) ([]byte, error) {
	return s.rules, nil
}

// OnAssignment runs on every member.
func (s *rulesStrategy) OnAssignment(a *sarama.ConsumerGroupMemberAssignment, _ int32) {
	if !s.agrees(a.UserData) {
		s.onExcluded(bytes.Clone(a.UserData))
	}
}

// SubscriptionUserData sends the leader this member's fingerprint. Without it, sarama would send back what
// AssignmentData last brought.
func (s *rulesStrategy) SubscriptionUserData([]string) ([]byte, error) { return s.rules, nil }
