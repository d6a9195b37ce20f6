package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// settleEvery is the pause before another try, when another producer came between.
const settleEvery = 100 * time.Millisecond

// mostServerErrors is how often a broker may say that it failed by itself. Kafka 4.3 was seen to do so for one of two
// that take an id at once.
const mostServerErrors = 20

// Settle has decide say, from the newest values of a topic with one partition, what is to be written there by key, and
// writes it as if no one else decided at the same time: where another did so with the same id in between, it reads
// and asks again. decide gives nothing where everything is settled, and may be asked several times; its error ends it.
//
// The id is a transactional one. Whoever is about to write takes it first, which fences those before, and reads
// then: what they have written is there by that time, and what they write later is refused.
func (c *Cluster) Settle(
	ctx context.Context, o Options, id, topic string, decide func(newest map[string][]byte) (map[string][]byte, error),
) error {
	where := fmt.Sprintf("settling what topic %q says", topic)
	var producer *kgo.Client // has the id since before the last look
	defer func() {
		if producer != nil {
			producer.Close()
		}
	}()
	for failed := 0; ; {
		newest := map[string][]byte{}
		err := c.Tail(ctx, topic, Oldest, false, func(m *Message) error {
			if newest[string(m.Key)] = m.Value; m.Value == nil {
				delete(newest, string(m.Key))
			}
			return nil
		})
		if err != nil {
			return err
		}
		values, err := decide(newest)
		if err != nil || len(values) == 0 {
			return err
		}
		if producer == nil {
			if producer, err = o.fencing(ctx, id); err == nil {
				continue
			}
		} else if err = write(ctx, producer, topic, values); err == nil {
			return nil
		} else {
			producer.Close()
			producer = nil
		}
		if errors.Is(err, kerr.UnknownServerError) {
			failed++
		}
		if !isFenced(err) && (!errors.Is(err, kerr.UnknownServerError) || failed > mostServerErrors) {
			return Explain(inWordsOfSarama(err), where)
		}
		select {
		case <-time.After(settleEvery):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// isFenced says whether another producer has taken the transactional id.
func isFenced(err error) bool {
	return slices.ContainsFunc([]error{
		kerr.ProducerFenced, kerr.InvalidProducerEpoch, kerr.InvalidProducerIDMapping, kerr.UnknownProducerID,
		kerr.InvalidTxnState, kerr.OperationNotAttempted,
	}, func(cause error) bool { return errors.Is(err, cause) })
}

// fencing is a producer that has a transactional id: whoever had it before writes nothing any more.
func (o Options) fencing(ctx context.Context, id string) (*kgo.Client, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	secure, err := o.franzSecurity()
	if err != nil {
		return nil, err
	}
	settings := append([]kgo.Opt{
		kgo.SeedBrokers(o.Brokers...), kgo.ClientID(o.ClientID), kgo.DialTimeout(10 * time.Second),
		kgo.DisableClientMetrics(),
		kgo.TransactionalID(id), kgo.TransactionTimeout(o.TransactionTimeout), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(deliverWithin),
	}, secure...)
	client, err := kgo.NewClient(settings...)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, deliverWithin)
	defer cancel()
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// write puts values into the topic's one partition, all or none.
func write(ctx context.Context, producer *kgo.Client, topic string, values map[string][]byte) error {
	if err := producer.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for key, value := range values {
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(key), Value: value})
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), deliverWithin)
	defer cancel()
	if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return errors.Join(err, producer.EndTransaction(ending, kgo.TryAbort))
	}
	return producer.EndTransaction(ending, kgo.TryCommit)
}
