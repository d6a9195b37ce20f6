package kafka

import (
	"testing"

	"github.com/IBM/sarama"
)

func TestOnlyTheLeadersRulesGetPartitions(t *testing.T) {
	var told []byte
	s := RulesStrategy(sarama.NewBalanceStrategyRange(), []byte("new"), func(leader []byte) { told = leader })
	member := func(rules []byte, topics ...string) sarama.ConsumerGroupMemberMetadata {
		return sarama.ConsumerGroupMemberMetadata{Topics: topics, UserData: rules}
	}
	plan, err := s.Plan(map[string]sarama.ConsumerGroupMemberMetadata{
		"leader": member([]byte("new"), "in"),
		"same":   member([]byte("new"), "in"),
		"old":    member([]byte("old"), "in", "extra"),
		"none":   member(nil, "in"),
	}, map[string][]int32{"in": {0, 1, 2, 3}, "extra": {0}})
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]int{"leader": 2, "same": 2, "old": 0, "none": 0} {
		if got, ok := plan[id]; !ok || len(got["in"]) != want || len(got["extra"]) != 0 {
			t.Errorf("%s got %v, want %d partitions of in", id, got, want)
		}
	}

	on := s.(sarama.OnAssignmentBalanceStrategy)
	data, _ := s.AssignmentData("same", nil, 1)
	on.OnAssignment(&sarama.ConsumerGroupMemberAssignment{UserData: data}, 1)
	if told != nil {
		t.Errorf("told to be excluded by %q, though the rules are the same", told)
	}
	on.OnAssignment(&sarama.ConsumerGroupMemberAssignment{UserData: []byte("old")}, 2)
	if string(told) != "old" {
		t.Errorf("excluded by %q, want old", told)
	}
}
