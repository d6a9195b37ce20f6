package app

import (
	"fmt"
	"hash"
	"strconv"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/lovoo/goka"
)

// RetryHeader says in a record of the source topic that it was there before,
// and is a retried dead letter: `topic/partition/offset` of the first time.
const RetryHeader = "brimline-retry"

// Retry puts dead letters back where they came from: the same bytes and
// headers into the same partition of the source topic, at its end. A row that
// was changed since is then set back to what the letter says, until its next
// change; who retries must know that.
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
		headers[RetryHeader] = []byte(d.Topic + "/" + strconv.Itoa(int(d.Partition)) + "/" + strconv.FormatInt(d.Offset, 10))
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
