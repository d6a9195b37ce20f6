package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/lovoo/goka"
	"github.com/lovoo/goka/codec"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func fnv32() hash.Hash32 { return fnv.New32a() }

// producing makes a producer as goka does.
func producing(t *testing.T, o Options) *producer {
	t.Helper()
	p, err := o.ProducerBuilder()(o.Brokers, "client", fnv32)
	must(t, err)
	t.Cleanup(func() { _ = p.Close() })
	return p.(*producer)
}

// outcome of a promise.
type outcome struct {
	message *sarama.ProducerMessage
	err     error
}

// settled waits for a promise.
func settled(t *testing.T, p *goka.Promise) outcome {
	t.Helper()
	done := make(chan outcome, 1)
	p.ThenWithMessage(func(m *sarama.ProducerMessage, err error) { done <- outcome{m, err} })
	select {
	case o := <-done:
		return o
	case <-deadline(t).Done():
		t.Fatal("the promise was never kept nor broken")
		return outcome{}
	}
}

// The defaults of franz-go lose data or time; these are ours. A change here is a change of guarantees.
func TestProducerSettings(t *testing.T) {
	settings, err := Options{Brokers: []string{"localhost:9092"}}.ProducerSettings(fnv32)
	must(t, err)
	c, err := kgo.NewClient(settings...)
	must(t, err)
	defer c.Close()
	value := func(option any) any { return c.OptValue(option) }
	expect(t, "client id", value(kgo.ClientID), any("brimline"))
	expect(t, "acks", value(kgo.RequiredAcks), any(kgo.AllISRAcks()))
	expect(t, "idempotence given up", value(kgo.DisableIdempotentWrite), any(false))
	expect(t, "stop on data loss", value(kgo.StopProducerOnDataLossDetected), any(true))
	expect(t, "topics made by use", value(kgo.AllowAutoTopicCreation), any(false))
	expect(t, "patience", value(kgo.RecordDeliveryTimeout), any(2*time.Minute))
	expect(t, "patience with unknown topics", value(kgo.UnknownTopicRetries), any(int64(-1)))
	expect(t, "end of patience for records without an answer", value(kgo.AllowIdempotentProduceCancellation), any(true))
	expect(t, "retries after a hang-up", value(kgo.AlwaysRetryEOF), any(true))
	expect(t, "flush interval of a busy stream", value(kgo.ProducerLinger), any(20*time.Millisecond))
	expect(t, "largest batch", value(kgo.ProducerBatchMaxBytes), any(int32(16<<20+1<<10)))
	expect(t, "records in memory", value(kgo.MaxBufferedRecords), any(int64(8192)))
	expect(t, "bytes in memory", value(kgo.MaxBufferedBytes), any(int64(32<<20+2<<10)))
	expect(t, "age of metadata", value(kgo.MetadataMinAge), any(100*time.Millisecond))
	expect(t, "transactions", value(kgo.TransactionalID), any(""))
}

// Records of a key stay in order, and the offsets of a partition are consecutive and reported, through faults that are
// retried.
func TestProducerKeepsOrderThroughFaults(t *testing.T) {
	t.Parallel()
	k, o := broker(t, kfake.SeedTopics(3, "t"))
	c := dialled(t, o)
	var requests atomic.Int32
	k.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if n := requests.Add(1); n%3 == 0 {
			return nil, errors.New("hang up"), true
		}
		return nil, nil, false
	})
	p := producing(t, o)
	const records = 3000
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		next = map[int32]int64{}
	)
	wg.Add(records)
	for i := range records {
		if i%100 == 0 {
			time.Sleep(10 * time.Millisecond) // a request of its own
		}
		p.Emit("t", fmt.Sprint(i%7), fmt.Append(nil, i)).ThenWithMessage(func(m *sarama.ProducerMessage, err error) {
			defer wg.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil || m.Offset != next[m.Partition] {
				t.Errorf("record %d: %+v, %v; offset %d was due", i, m, err, next[m.Partition])
				return
			}
			next[m.Partition]++
		})
	}
	wg.Wait()
	last := map[string]int{}
	read := 0
	must(t, c.Tail(deadline(t), "t", Oldest, false, func(m *Message) error {
		var i int
		_, err := fmt.Sscan(string(m.Value), &i)
		if before, ok := last[string(m.Key)]; ok && i != before+7 {
			t.Errorf("key %s: %d came after %d", m.Key, i, before)
		}
		last[string(m.Key)] = i
		read++
		return err
	}))
	expect(t, "records", read, records)
	if n := requests.Load(); n < 6 {
		t.Errorf("only %d requests: nothing was retried", n)
	}
}

// fixed is a hash that is given.
type fixed struct {
	hash.Hash32
	sum uint32
}

func (f *fixed) Write(b []byte) (int, error) { f.sum = binary.BigEndian.Uint32(b); return len(b), nil }
func (f *fixed) Reset()                      {}
func (f *fixed) Sum32() uint32               { return f.sum }

// Views, emitters and the transactional producer of verify place keys with sarama: there must be no difference, the
// lowest int32 included, which stays negative when its sign is changed.
func TestProducerPlacesKeysAsSaramaDoes(t *testing.T) {
	hasher := func() hash.Hash32 { return &fixed{} }
	ours := placeBy(hasher).ForTopic("t")
	theirs := sarama.NewCustomHashPartitioner(hasher)("t")
	if !ours.RequiresConsistency(nil) {
		t.Error("a key may move while its partition has no leader")
	}
	rapid.Check(t, func(t *rapid.T) {
		sum := rapid.OneOf(rapid.Uint32(), rapid.SampledFrom([]uint32{0, 1<<31 - 1, 1 << 31, 1<<31 + 1, 1<<32 - 1})).Draw(t,
			"hash")
		partitions := rapid.IntRange(1, 1000).Draw(t, "partitions")
		key := binary.BigEndian.AppendUint32(nil, sum)
		want, err := theirs.Partition(&sarama.ProducerMessage{Key: sarama.ByteEncoder(key)}, int32(partitions))
		must(t, err)
		if got := ours.Partition(&kgo.Record{Key: key}, partitions); got != int(want) {
			t.Fatalf("hash %x is put into partition %d of %d, by sarama into %d", sum, got, partitions, want)
		}
	})
}

// What cannot be written ends the producer: nothing follows it, and everybody learns the reason.
func TestProducerStopsAtTheFirstLoss(t *testing.T) {
	t.Parallel()
	for code, kind := range map[*kerr.Error]string{
		kerr.OutOfOrderSequenceNumber: KindOther,
		kerr.TopicAuthorizationFailed: KindPermission,
		kerr.MessageTooLarge:          "kafka_message_too_large",
	} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			k, o := broker(t, kfake.SeedTopics(1, "t"))
			c := dialled(t, o)
			p := producing(t, o)
			must(t, settled(t, p.Emit("t", "k", []byte("before"))).err)
			k.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
				return refusal(r.(*kmsg.ProduceRequest), code), nil, true
			})
			for _, text := range []string{"refused", "after"} {
				// goka breaks the chain of errors
				err := errors.New("error emitting to t: " + settled(t, p.Emit("t", "k", []byte(text))).err.Error())
				if !strings.Contains(err.Error(), code.Message) || kindOf(Explain(err, "")) != kind {
					t.Errorf("%s: got %v of kind %s, want %v of kind %s", text, err, kindOf(Explain(err, "")), code, kind)
				}
			}
			must(t, p.Close())
			e, err := c.Extent(t.Context(), "t")
			must(t, err)
			expect(t, "records written", e.High[0], 1)
		})
	}
}

// refusal answers every partition of a produce request with an error.
func refusal(r *kmsg.ProduceRequest, e *kerr.Error) kmsg.Response {
	answer := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, topic := range r.Topics {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = topic.Topic, topic.TopicID
		for _, partition := range topic.Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition, p.ErrorCode = partition.Partition, e.Code
			t.Partitions = append(t.Partitions, p)
		}
		answer.Topics = append(answer.Topics, t)
	}
	return answer
}

// A record beyond MaxMessageBytes is refused here, one just below it is not.
func TestProducerLimitsRecords(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "t"))
	o.MaxMessageBytes = 100_000
	must(t, settled(t, producing(t, o).Emit("t", "k", make([]byte, 100_000))).err)
	err := settled(t, producing(t, o).Emit("t", "k", make([]byte, 110_000))).err
	if kindOf(Explain(err, "")) != "kafka_message_too_large" {
		t.Errorf("got %v", err)
	}
}

// While the broker does not answer, Emit waits instead of filling the memory; Close waits for what was emitted.
func TestProducerWaitsWhenItsBufferIsFull(t *testing.T) {
	t.Parallel()
	k, o := broker(t, kfake.SeedTopics(2, "t"))
	held := make(chan struct{})
	k.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		k.SleepControl(func() { <-held })
		return nil, nil, false
	})
	p := producing(t, o)
	var emitted, written atomic.Int64
	go func() {
		for i := range maxBuffered + 100 {
			p.Emit("t", fmt.Sprint(i), []byte("v")).Then(func(err error) {
				if err == nil {
					written.Add(1)
				}
			})
			emitted.Add(1)
		}
	}()
	until(t, func() bool { return emitted.Load() == maxBuffered })
	// Nothing tells that no further record is taken; one that is would make the count wrong.
	time.Sleep(50 * time.Millisecond)
	expect(t, "records emitted", emitted.Load(), maxBuffered)
	close(held)
	until(t, func() bool { return emitted.Load() == maxBuffered+100 })
	must(t, p.Close())
	expect(t, "records written", written.Load(), maxBuffered+100)
	if err := settled(t, p.Emit("t", "late", nil)).err; !errors.Is(err, kgo.ErrClientClosed) {
		t.Errorf("after Close: %v", err)
	}
	must(t, p.Close())
}

func until(t *testing.T, done func() bool) {
	t.Helper()
	for ctx := deadline(t); !done(); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("waited in vain")
		}
	}
}

// The first record of a topic does not wait for the age of what is known of others, nor one that is made in the same
// moment.
func TestProducerLearnsOfTopicsAtOnce(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "first", "second"))
	c := dialled(t, o)
	p := producing(t, o)
	start := time.Now()
	must(t, settled(t, p.Emit("first", "k", nil)).err)
	must(t, settled(t, p.Emit("second", "k", nil)).err)
	late := p.Emit("third", "k", nil)
	time.Sleep(300 * time.Millisecond) // the producer asks for the topic some times in vain
	_, err := c.admin.CreateTopic(t.Context(), 1, 1, nil, "third")
	must(t, err)
	must(t, settled(t, late).err)
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestEmitterOverTheProducer(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(4, "t"))
	c := dialled(t, o)
	e, err := goka.NewEmitter(o.Brokers, "t", new(codec.String),
		goka.WithEmitterProducerBuilder(o.ProducerBuilder()), goka.WithEmitterHasher(fnv32))
	must(t, err)
	must(t, e.EmitSyncWithHeaders("key", "value", goka.Headers{"name": []byte("header")}))
	must(t, e.EmitSync("", nil))
	must(t, e.Finish())
	var got []string
	must(t, c.Tail(deadline(t), "t", Oldest, false, func(m *Message) error {
		h := ""
		for _, header := range m.Headers {
			h += fmt.Sprintf("%s=%s", header.Key, header.Value)
		}
		got = append(got, fmt.Sprintf("%d %q null=%v %q null=%v %s", m.Partition, m.Key,
			m.Key == nil, m.Value, m.Value == nil, h))
		return nil
	}))
	for _, want := range []string{
		`0 "key" null=false "value" null=false name=header`,
		`3 "" null=false "" null=true `,
	} {
		if !strings.Contains(strings.Join(got, "\n"), want) {
			t.Errorf("no %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	expect(t, "records", len(got), 2)
}
