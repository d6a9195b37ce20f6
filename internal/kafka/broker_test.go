package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// broker starts an in-process broker and tells how to reach it.
func broker(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, Options) {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1),
		kfake.GroupMinSessionTimeout(100 * time.Millisecond)}, opts...)...)
	must(t, err)
	t.Cleanup(k.Close)
	return k, Options{Brokers: k.ListenAddrs(), SessionTimeout: 2 * time.Second}
}

func dialled(t *testing.T, o Options) *Cluster {
	t.Helper()
	c, err := Dial(t.Context(), o, Quick)
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// saramaWriting has sarama write as safely as our producers do.
func saramaWriting(t testing.TB, o Options) *sarama.Config {
	t.Helper()
	config, err := o.Config()
	must(t, err)
	config.Net.MaxOpenRequests = 1
	config.Producer.RequiredAcks, config.Producer.Idempotent = sarama.WaitForAll, true
	config.Producer.Return.Successes, config.Producer.Return.Errors = true, true
	return config
}

// produce writes n records, named from from on, to one partition.
func produce(t *testing.T, o Options, topic string, partition int32, from, n int) {
	t.Helper()
	config := saramaWriting(t, o)
	config.Producer.Partitioner = sarama.NewManualPartitioner
	p, err := sarama.NewSyncProducer(o.Brokers, config)
	must(t, err)
	defer p.Close()
	for i := from; i < from+n; i++ {
		_, _, err := p.SendMessage(record(topic, partition, i))
		must(t, err)
	}
}

func record(topic string, partition int32, i int) *sarama.ProducerMessage {
	return &sarama.ProducerMessage{Topic: topic, Partition: partition, Key: sarama.StringEncoder("k"),
		Value: sarama.StringEncoder(fmt.Sprint(i))}
}

// transact writes n records in one transaction, then its control record; commit false aborts it.
func transact(t *testing.T, o Options, topic string, from, n int, commit bool) {
	t.Helper()
	settings, err := o.TransactionSettings()
	must(t, err)
	settings = append(settings, kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	p, err := kgo.NewClient(settings...)
	must(t, err)
	defer p.Close()
	must(t, p.BeginTransaction())
	for i := from; i < from+n; i++ {
		must(t, p.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("k"), Value: fmt.Append(nil, i)}).FirstErr())
	}
	must(t, p.EndTransaction(t.Context(), kgo.TransactionEndTry(commit)))
}

func must(t interface{ Fatal(...any) }, err error) {
	if err != nil {
		t.Fatal(err)
	}
}
