package verify

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/processors"
)

// records are the outputs of one candidate. closing says that it is its user's last question of the batch.
func (s *Stage) records(it *item, closing bool) []*kgo.Record {
	m := it.message
	if closing && it.out.dead == nil {
		it.out.answers = answersComplete(it.candidate, it.out.answers)
	}
	out, err := s.encode(it)
	if err != nil {
		it.out = outcome{dead: s.deadLetter(m, it.candidate, err)}
		out = nil
	}
	if it.out.dead == nil {
		return out
	}
	codecs.FitDeadLetter(it.out.dead, s.MaxRecordBytes)
	value, err := codecs.DeadLetter{}.Encode(it.out.dead)
	if err != nil { // a dead letter holds nothing but text, bytes and numbers
		value = m.Value
	}
	s.Log.Warn("a candidate cannot be decided; it is in the dead letter topic",
		"partition", m.Partition, "offset", m.Offset, "kind", it.out.dead.Kind, "error", it.out.dead.Error)
	partition := processors.Partition(string(m.Key), s.partitions.deadLetters)
	out = []*kgo.Record{record(s.Streams.DeadLetters, partition, codecs.DeadLetterKey(m.Key), value)}
	if it.candidate == nil {
		return out
	}
	it.out.answers = []*brimline.Change{unjudgeable(it.candidate)}
	if closing {
		it.out.answers = answersComplete(it.candidate, it.out.answers)
	}
	answers, err := s.answers(it)
	if err != nil { // the only thing that may not be encoded is a column
		for _, c := range it.out.answers {
			c.Row.Columns = nil
		}
		answers, _ = s.answers(it)
	}
	return append(out, answers...)
}

func (s *Stage) encode(it *item) (out []*kgo.Record, err error) {
	alert := func(topic string, partitions int, a *brimline.Alert) error {
		if a == nil {
			return nil
		}
		value, cut, err := codecs.FitAlert(a, s.MaxAlertBytes)
		it.out.cut = it.out.cut || cut
		out = append(out, record(topic, processors.Partition(a.Candidate.User, partitions), []byte(a.Candidate.ID()), value))
		return err
	}
	topic, partitions := s.Streams.Alerts, s.partitions.alerts
	if it.out.alert != nil && it.out.alert.Candidate.Rule.Shadow {
		topic, partitions = s.Streams.Shadow, s.partitions.shadow
	}
	if err := alert(topic, partitions, it.out.alert); err != nil {
		return nil, err
	}
	if err := alert(s.Streams.Dismissed, s.partitions.dismissed, it.out.dismissed); err != nil {
		return nil, err
	}
	if a := it.out.again; a != nil {
		again, err := s.againRecord(a)
		if err != nil {
			return nil, err
		}
		out = append(out, again)
	}
	answers, err := s.answers(it)
	return append(out, answers...), err
}

// answers are the records that go back to the window stage.
func (s *Stage) answers(it *item) (out []*kgo.Record, err error) {
	for _, c := range it.out.answers {
		value, err := codecs.Change{}.Encode(c)
		if err != nil {
			return nil, err
		}
		out = append(out, record(s.Streams.Changes, processors.Partition(c.User, s.partitions.changes),
			[]byte(c.User), value))
	}
	return out, nil
}

func record(topic string, partition int32, key, value []byte) *kgo.Record {
	return &kgo.Record{Topic: topic, Partition: partition, Key: key, Value: value}
}

// deadLetter is of a candidate c that cannot be decided, and that alone of those of its message; or of a message that
// cannot be decoded, with nil for c.
func (s *Stage) deadLetter(m *kgo.Record, c *brimline.Candidate, err error) *brimline.DeadLetter {
	d := processors.NewDeadLetter(brimline.DeadLetter{
		Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Key: m.Key, Value: m.Value,
		Kind: "bad_candidate", Remedy: processors.Stranger, At: brimline.TimeOf(s.Clock()),
	}, err)
	for _, h := range m.Headers {
		d.Headers = append(d.Headers, brimline.Header{Key: h.Key, Value: h.Value})
	}
	if c == nil {
		return d
	}
	d.User, d.Row = c.User, c.Trigger.ID
	value, err := codecs.Candidate{}.Encode(c)
	if err == nil { // what was decoded can be encoded
		d.Value = value
	}
	return d
}
