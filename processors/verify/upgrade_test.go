package verify

import (
	"slices"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/codecs"
)

// An instance that was stopped in the middle of a transaction of sarama's, as the stage before this client wrote them,
// is followed by one of today under the same name: it goes on from the old watermark, and nothing of what was open
// stays.
func TestFollowsTheOldClient(t *testing.T) { inEachVersion(t, 1, followsTheOldClient) }

func followsTheOldClient(t *testing.T, w *world) {
	h := w.newSteadyLog(60)
	for i := 5; i < len(h.all); i += 10 { // old rows asked in this topic, too
		old := lateCandidate(h.all[i].User, h.all[i].Edge, h.all[i].Edge, h.all[i].Cause.Offset)
		h.all = slices.Insert(h.all, i, old)
		h.found[old.ID()]++
	}
	w.put(h.all...)
	config := must(w.options.Config())
	config.Net.MaxOpenRequests = 1
	config.Producer.RequiredAcks, config.Producer.Idempotent = sarama.WaitForAll, true
	config.Producer.Return.Successes = true
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Producer.Transaction.ID = w.streams.VerifyGroup + "-one"
	producer := must(sarama.NewSyncProducer(w.brokers, config))
	s := w.unstarted("one")
	s.partitions = partitionCounts{1, 1, 1, 1, 1}
	b := &batch{lane: s.near, watermark: beforeAll(), unsent: new(unsent)}
	transact := func(from, to int) {
		t.Helper()
		b.messages, b.records = nil, nil
		for i := from; i < to; i++ {
			b.messages = append(b.messages, &kgo.Record{
				Topic: w.streams.Candidates, Offset: int64(i), Key: []byte(h.all[i].User),
				Value: must(codecs.Candidate{}.Encode(h.all[i])),
			})
		}
		if err := s.prepare(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if err := producer.BeginTxn(); err != nil {
			t.Fatal(err)
		}
		for _, r := range b.records {
			if _, _, err := producer.SendMessage(&sarama.ProducerMessage{
				Topic: r.Topic, Key: sarama.ByteEncoder(r.Key), Value: sarama.ByteEncoder(r.Value),
			}); err != nil {
				t.Fatal(err)
			}
		}
		watermark := formatWatermark(b.watermark)
		if err := producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{w.streams.Candidates: {
			{Offset: int64(to), LeaderEpoch: -1, Metadata: &watermark},
		}}, w.streams.VerifyGroup); err != nil {
			t.Fatal(err)
		}
	}
	transact(0, 20)
	if err := producer.CommitTxn(); err != nil {
		t.Fatal(err)
	}
	transact(20, 40)
	w.start("one")
	w.caughtUp()
	w.put(h.all...) // what the watermark knows
	w.caughtUp()
	w.check(h)
	if err := producer.CommitTxn(); err == nil {
		t.Error("the old producer could still commit")
	}
	_ = producer.Close()
	w.check(h)
}

// Operators may change the version of transactions while the stage runs.
func TestVersionChanges(t *testing.T) {
	w := newWorld(t, 2)
	h := w.newLog(600)
	w.keep("one")
	versions := []int16{2, 0, 2, 1}
	for i, version := range versions {
		w.agreeOn(version)
		w.put(h.all[i*len(h.all)/len(versions) : (i+1)*len(h.all)/len(versions)]...)
		w.caughtUp()
	}
	w.agreeOn(2)
	w.check(h)
}

// A member that is known by its instance's name keeps its partitions through a restart.
func TestStaticMember(t *testing.T) { inEachVersion(t, 2, staticMember) }

func staticMember(t *testing.T, w *world) {
	w.options.InstanceID = "one"
	h := w.newLog(300)
	for life := range 3 {
		one := w.start("one")
		w.put(h.all[life*len(h.all)/3 : (life+1)*len(h.all)/3]...)
		w.caughtUp()
		one.stopped(t)
	}
	w.check(h)
}
