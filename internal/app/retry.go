package app

import (
	"errors"
	"fmt"
	"hash"
	"strconv"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
)

// RetryHeader says in a record that it comes of a dead letter: `topic/partition/offset` of the first time.
const RetryHeader = "brimline-retry"

// Again is the record that takes up a dead letter: its own for one of the source topic or of changes, and for a
// candidate a message to the window stage, which alone knows whether its edge has been decided since. The error says
// why a letter is to be left alone. partitions are those of changes, inForce are the group's rules, nil where that
// is not known.
func Again(d *brimline.DeadLetter, s processors.Streams, partitions int,
	inForce *brimline.RuleSet) (*brimline.DeadLetter, error) {
	if d.Cut != nil {
		return nil, errors.New("the letter does not hold the whole record, which was too large: write that again from " +
			"its topic, or update the row in the table, which makes a new one")
	}
	switch d.Topic {
	case s.Source:
		return d, nil
	case s.Changes:
		v, err := codecs.Change{}.Decode(d.Value)
		if err != nil {
			return nil, fmt.Errorf("it cannot be read: %w", err)
		}
		switch c := v.(*brimline.Change); {
		case c.Kind == brimline.Truncate || c.Kind == brimline.Sweep:
			return nil, errors.New("it is about all users at a moment that has passed")
		case c.User != string(d.Key):
			return nil, errors.New("its key is not its user")
		}
		return d, nil
	case s.Candidates, s.Questions: // a letter has one candidate, whatever its record had
		v, err := codecs.Candidate{}.Decode(d.Value)
		if err != nil {
			return nil, fmt.Errorf("it cannot be read: %w", err)
		}
		c := v.(*brimline.Candidate)
		if inForce != nil && !has(inForce, &c.Rule) {
			return nil, fmt.Errorf("its rule %q is no longer in force", c.Rule.ID)
		}
		value, err := codecs.Change{}.Encode(retryOf(c))
		if err != nil {
			return nil, fmt.Errorf("it cannot be sent: %w", err)
		}
		return &brimline.DeadLetter{
			Topic: s.Changes, Partition: processors.Partition(c.User, partitions), Key: []byte(c.User), Value: value,
			Headers: []brimline.Header{{Key: RetryHeader, Value: []byte(placeOf(d))}},
		}, nil
	}
	return nil, fmt.Errorf("it is neither of the source topic %s nor of group %s", s.Source, s.Group)
}

// retryOf asks the window stage to have decided what a candidate asked, unless that has been done since.
func retryOf(c *brimline.Candidate) *brimline.Change {
	change := &brimline.Change{
		Kind: brimline.Retry, User: c.User, Row: c.Trigger, Source: c.Source,
		Rule: c.Rule.Fingerprint(), Edges: []brimline.Time{c.Edge}, Cause: c.Cause.Offset,
	}
	if c.Kind == brimline.LateCandidate {
		change.Edges = append(change.Edges, c.Until)
	}
	return change
}

// placeOf is where a dead letter's record was.
func placeOf(d *brimline.DeadLetter) string {
	return d.Topic + "/" + strconv.Itoa(int(d.Partition)) + "/" + strconv.FormatInt(d.Offset, 10)
}

// Retry writes records into the partition of the topic that they name, at its end: the same bytes and headers, and
// RetryHeader. A row of the source topic that was changed since is then set back to what its record says, until its
// next change; who retries must know that.
type Retry struct {
	options  kafka.Options
	emitters map[topicPartition]*goka.Emitter
}

// NewRetry connects when the first letter is sent.
func NewRetry(o kafka.Options) *Retry {
	return &Retry{options: o, emitters: map[topicPartition]*goka.Emitter{}}
}

// Send returns when the brokers have the record.
func (r *Retry) Send(d *brimline.DeadLetter) error {
	at := topicPartition{d.Topic, d.Partition}
	e := r.emitters[at]
	if e == nil {
		var err error
		e, err = goka.NewEmitter(r.options.Brokers, goka.Stream(d.Topic), codecs.Raw{},
			goka.WithEmitterProducerBuilder(r.options.ProducerBuilder()),
			goka.WithEmitterTopicManagerBuilder(topicManagers(r.options)),
			goka.WithEmitterHasher(func() hash.Hash32 { return always(d.Partition) }),
			goka.WithEmitterClientID(r.options.ClientID),
		)
		if err != nil {
			return kafka.Explain(err, fmt.Sprintf("writing to topic %q", d.Topic))
		}
		r.emitters[at] = e
	}
	headers := goka.Headers{}
	for _, h := range d.Headers {
		headers[h.Key] = h.Value
	}
	if _, again := headers[RetryHeader]; !again {
		headers[RetryHeader] = []byte(placeOf(d))
	}
	var value any
	if d.Value != nil {
		value = d.Value
	}
	return kafka.Explain(e.EmitSyncWithHeaders(string(d.Key), value, headers), fmt.Sprintf("writing to topic %q", d.Topic))
}

// Close waits for what is on its way.
func (r *Retry) Close() error {
	var first error
	for _, e := range r.emitters {
		if err := e.Finish(); err != nil && first == nil {
			first = err
		}
	}
	return kafka.Explain(first, "closing")
}

// always is a hash that sends every key to one partition.
type always int32

func (always) Write(b []byte) (int, error) { return len(b), nil }
func (always) Sum(b []byte) []byte         { return b }
func (always) Reset()                      {}
func (always) Size() int                   { return 4 }
func (always) BlockSize() int              { return 1 }
func (p always) Sum32() uint32             { return uint32(p) }
