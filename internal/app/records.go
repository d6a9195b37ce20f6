package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
)

// RulesInForce reads the rules that the group applies from its topic of rules;
// nil where nothing has been written.
func RulesInForce(ctx context.Context, c *kafka.Cluster, topic string) (*brimline.RuleSet, error) {
	return rulesTopic{c}.lastRules(ctx, topic)
}

// GroupsThere are the names of the groups that have topics in the cluster, in order.
func GroupsThere(ctx context.Context, c *kafka.Cluster) ([]string, error) {
	topics, err := c.Topics(ctx)
	if err != nil {
		return nil, err
	}
	var groups []string
	for _, topic := range topics {
		group, ok := strings.CutSuffix(topic, processors.NewStreams("", "", "").Rules)
		if ok && group != "" && slices.Contains(topics, processors.NewStreams(group, "", "").Changes) {
			groups = append(groups, group)
		}
	}
	return groups, nil
}

// rulesTopic is a cluster as the gate wants it.
type rulesTopic struct{ *kafka.Cluster }

func (c rulesTopic) lastRules(ctx context.Context, topic string) (*brimline.RuleSet, error) {
	var last []byte
	err := c.Tail(ctx, topic, kafka.Oldest, false, func(m *kafka.Message) error {
		if string(m.Key) == rulesKey {
			last = m.Value
		}
		return nil
	})
	if err != nil || last == nil {
		return nil, err
	}
	set, err := codecs.RuleSet{}.Decode(last)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "rules_record", Where: fmt.Sprintf("topic %q", topic),
			Remedy: "use the version of brimline that wrote it, or `brimline reset`", Err: err,
		}
	}
	return set.(*brimline.RuleSet), nil
}

// writeRules puts the record of the rules in force.
func (a *App) writeRules(_ context.Context, set *brimline.RuleSet) error {
	b, err := codecs.RuleSet{}.Encode(set)
	if err != nil {
		return err
	}
	if most := a.most.of(a.kafka, a.streams.Rules) - besideValue; len(b) > most {
		return &brimline.Error{
			Class: brimline.ClassInput, Kind: "rules_too_large", Where: a.config.Rules,
			Remedy: fmt.Sprintf("shorten the rules, or raise max.message.bytes of topic %s", a.streams.Rules),
			Err:    fmt.Errorf("the rules take %d bytes as a record, and the topic takes %d", len(b), most),
		}
	}
	return a.emit(a.streams.Rules, codecs.RuleSet{}, map[string]any{rulesKey: set}, "writing down the rules")
}

// announceSweep tells partitions of the window table that users who have nothing from a time on are about to be
// forgotten. The message names the time, so that it means the same when it is replayed.
func (a *App) announceSweep(horizons map[int32]brimline.Time) error {
	changes := map[string]any{}
	for p, before := range horizons {
		key := processors.MarkerKey(p, a.partitions.users)
		changes[key] = &brimline.Change{Kind: brimline.Sweep, User: key, Row: brimline.Transaction{Time: before}}
	}
	if len(changes) == 0 {
		return nil
	}
	return a.emit(a.streams.Changes, codecs.Change{}, changes, "announcing a sweep")
}

// emit writes a few records and waits for them.
func (a *App) emit(topic string, codec goka.Codec, records map[string]any, doing string) error {
	return emit(a.kafka, topic, codec, records, doing, goka.WithEmitterLogger(gokaLog{a.log}))
}

func emit(
	o kafka.Options, topic string, codec goka.Codec, records map[string]any, doing string, more ...goka.EmitterOption,
) error {
	e, err := goka.NewEmitter(o.Brokers, goka.Stream(topic), codec, append(more,
		goka.WithEmitterProducerBuilder(o.ProducerBuilder()),
		goka.WithEmitterTopicManagerBuilder(topicManagers(o)),
		goka.WithEmitterHasher(processors.Hasher),
		goka.WithEmitterClientID(o.ClientID),
	)...)
	if err != nil {
		return kafka.Explain(err, doing)
	}
	var (
		mu     sync.Mutex
		failed error
	)
	note := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = cmp.Or(failed, err)
	}
	for key, record := range records {
		written, err := e.Emit(key, record)
		if note(err); err != nil {
			break
		}
		written.Then(note)
	}
	note(e.Finish()) // waits for all
	return kafka.Explain(failed, doing)
}

// Forget tells the stages of a group to delete what they keep of users. It returns when the brokers have all of it.
func Forget(o kafka.Options, s processors.Streams, users []string, now brimline.Time) error {
	changes, lists := map[string]any{}, map[string]any{}
	for _, id := range users {
		changes[id] = &brimline.Change{Kind: brimline.Forget, User: id, Row: brimline.Transaction{User: id, Time: now}}
		lists[id] = []byte(codecs.ForgetAlerts)
	}
	if err := emit(o, s.Changes, codecs.Change{}, changes, "forgetting users"); err != nil {
		return err
	}
	return emit(o, s.IndexLoop, codecs.Raw{}, lists, "forgetting users' alerts")
}

// Distrust tells the window stage of a group that the rows of users up to a time are not PostgreSQL's. It returns when
// the brokers have all of it.
func Distrust(o kafka.Options, s processors.Streams, users []string, upTo brimline.Time) error {
	changes := map[string]any{}
	for _, id := range users {
		changes[id] = &brimline.Change{Kind: brimline.Distrust, User: id, Reason: brimline.ByCommand,
			Row: brimline.Transaction{User: id, Time: upTo}}
	}
	return emit(o, s.Changes, codecs.Change{}, changes, "distrusting users")
}
