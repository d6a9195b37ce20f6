package kafka

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"sync/atomic"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

const (
	// deliverWithin is how long a record may wait for the brokers: a restart or a failover is waited out.
	deliverWithin = 2 * time.Minute
	// drainWithin bounds Close. goka closes a producer when its callbacks are done or were given up.
	drainWithin = 10 * time.Second
	// maxBuffered is how many records wait at most; then Emit does. Some hundred are enough to keep a broker busy.
	maxBuffered = 8192
	// busy is how many records within FlushEvery make a stream one that sends less often, and fuller: a request costs
	// the broker as much as some hundred records, and each wakes the next stage's consumer as well. The latency of 20,000
	// records a second is that of catching up.
	busy = 100
	// patience of a busy stream, in FlushEverys.
	busyPatience = 4
	// batchOverhead counts what a batch and its only record take besides key, value and headers. Cluster.Ensure allows
	// for it.
	batchOverhead = 1 << 10
)

// ProducerBuilder makes goka's producers; it is a goka.ProducerBuilder. They
// are built on franz-go, which writes at a third of sarama's CPU time, and
// promise what Config has sarama promise. Connections are made by the first record.
func (o Options) ProducerBuilder() goka.ProducerBuilder {
	return func(brokers []string, clientID string, hasher func() hash.Hash32) (goka.Producer, error) {
		o.Brokers, o.ClientID = brokers, orElse(clientID, o.ClientID)
		settings, err := o.ProducerSettings(hasher)
		if err != nil {
			return nil, err
		}
		client, err := kgo.NewClient(settings...)
		if err != nil {
			return nil, Explain(err, "making a producer")
		}
		p := &producer{client: client, begun: make(chan struct{}, 1)}
		p.ctx, p.fail = context.WithCancelCause(context.Background())
		go p.pace(o.withDefaults().FlushEvery)
		return p, nil
	}
}

// ProducerSettings are those of a producer without transactions, Config's counterpart for franz-go. What it writes is
// placed by hasher, sent at the latest after four times FlushEvery, and earlier when Flush is called.
func (o Options) ProducerSettings(hasher func() hash.Hash32) ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return append(append(settings, o.durable()...), append([]kgo.Opt{
		kgo.RecordPartitioner(placeBy(hasher)),
		kgo.ProducerLinger(busyPatience * o.FlushEvery), // at most; see pace
		// Without the second, a record whose request got no answer is waited for without end. What is written again after
		// that, by the next attempt of the stage, is a replay like any other.
		kgo.RecordDeliveryTimeout(deliverWithin),
		kgo.AllowIdempotentProduceCancellation(),
	}, disturbProducer()...)...), nil
}

// DatedSettings are those of a producer whose records have times of their own, which may be long ago. franz-go measures
// a record's patience from its time, so here tries are counted: they take two minutes or more. What it writes is placed
// by place, and sent after FlushEvery.
func (o Options) DatedSettings(place kgo.Partitioner) ([]kgo.Opt, error) {
	settings, err := o.ClientSettings()
	if err != nil {
		return nil, err
	}
	o = o.withDefaults()
	const tries = int(deliverWithin / tryAgain)
	return append(append(settings, o.durable()...), append([]kgo.Opt{
		kgo.RecordPartitioner(place),
		kgo.ProducerLinger(o.FlushEvery),
		kgo.RecordRetries(tries),
		kgo.UnknownTopicRetries(2 * tries), // each takes half as long
		kgo.AllowIdempotentProduceCancellation(),
	}, disturbProducer()...)...), nil
}

// franzSecurity sets TLS and SASL.
func (o Options) franzSecurity() ([]kgo.Opt, error) {
	var settings []kgo.Opt
	tls, err := o.ClientTLS()
	if err != nil {
		return nil, err
	}
	if tls != nil {
		settings = append(settings, kgo.DialTLSConfig(tls))
	}
	if m := o.saslMechanism(); m != nil {
		settings = append(settings, kgo.SASL(m))
	}
	return settings, nil
}

func (o Options) saslMechanism() sasl.Mechanism {
	user, password := o.SASL.User, o.SASL.Password
	switch o.SASL.Mechanism {
	case SASLPlain:
		return plain.Auth{User: user, Pass: password}.AsMechanism()
	case SASLScramSHA256:
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism()
	case SASLScramSHA512:
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism()
	}
	return nil
}

// placeBy places keys exactly as sarama.NewCustomHashPartitioner does, which views and verify rely on.
func placeBy(hasher func() hash.Hash32) kgo.Partitioner {
	return kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
		h := hasher() // franz-go asks for one record of a topic at a time
		place := kgo.SaramaCompatHasher(func(key []byte) uint32 {
			h.Reset()
			_, _ = h.Write(key)
			return h.Sum32()
		})
		return func(r *kgo.Record, partitions int) int { return place(r.Key, partitions) }
	})
}

// producer is a goka.Producer. After the first record that could not be
// written it writes no other: what depends on the lost one must not follow it.
// goka ends its processor then, and the next attempt makes a new producer.
type producer struct {
	client *kgo.Client
	ctx    context.Context // ends, with the reason, when a record could not be written or the producer is closed
	fail   context.CancelCauseFunc

	gathered atomic.Int64  // records since pace looked
	begun    chan struct{} // gathered is not 0 any more
}

// Emit sends a record; it waits while the buffer is full.
func (p *producer) Emit(topic, key string, value []byte) *goka.Promise {
	return p.EmitWithHeaders(topic, key, value, nil)
}

// EmitWithHeaders is Emit with headers. A nil value is a tombstone.
func (p *producer) EmitWithHeaders(topic, key string, value []byte, headers goka.Headers) *goka.Promise {
	promise, finish := goka.NewPromiseWithFinisher()
	if p.ctx.Err() != nil {
		return finish(nil, context.Cause(p.ctx))
	}
	e := &emission{producer: p, finish: finish, record: kgo.Record{Topic: topic, Key: []byte(key), Value: value}}
	for name, v := range headers {
		e.record.Headers = append(e.record.Headers, kgo.RecordHeader{Key: name, Value: v})
	}
	p.client.Produce(p.ctx, &e.record, e.done)
	if p.gathered.Add(1) == 1 {
		select {
		case p.begun <- struct{}{}:
		default:
		}
	}
	return promise
}

// pace has the first record after a pause sent at once and those that follow
// after FlushEvery, together, unless the stream is busy.
func (p *producer) pace(every time.Duration) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	var last time.Time
	for {
		select {
		case <-p.begun:
		case <-p.ctx.Done():
			return
		}
		time.Sleep(time.Until(last.Add(every)))
		last = time.Now()
		if p.gathered.Swap(0) < busy {
			_ = p.client.Flush(over) // starts sending, and does not wait
		}
	}
}

// emission is one record on its way, in one piece of memory.
type emission struct {
	record   kgo.Record
	producer *producer
	finish   goka.PromiseFinisher
	written  sarama.ProducerMessage // what goka is told: it reads the offset and nothing else
}

func (e *emission) done(r *kgo.Record, err error) {
	if err != nil {
		e.finish(nil, e.producer.failed(err))
		return
	}
	e.written = sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	e.finish(&e.written, nil)
}

// failed ends the producer for the first reason, and gives that for every record that did not make it.
func (p *producer) failed(err error) error {
	p.fail(inWordsOfSarama(err))
	return context.Cause(p.ctx)
}

// Close waits, for a while, for what is on its way.
func (p *producer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainWithin)
	defer cancel()
	err := p.client.Flush(ctx)
	p.fail(kgo.ErrClientClosed)
	p.client.Close()
	if err != nil {
		return fmt.Errorf("records were not acknowledged within %v: %w", drainWithin, err)
	}
	return nil
}

// inWordsOfSarama gives a broker's refusal sarama's text, by which Explain knows it after goka broke the chain of
// errors.
func inWordsOfSarama(err error) error {
	if e, ok := errors.AsType[*kerr.Error](err); ok {
		return fmt.Errorf("%w (%w)", sarama.KError(e.Code), err)
	}
	return err
}
