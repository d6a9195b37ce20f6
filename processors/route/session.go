package route

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/lovoo/goka"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/failpoint"
)

// session has the partitions that the member holds from one rebalance to the next. An offset
// is committed when all records before it are finished: everything that became
// of them is with the brokers.
type session struct {
	s          *Stage
	id         string // the member's
	instance   *string
	generation int32

	committing sync.Mutex // one commit at a time
	mu         sync.Mutex
	open       map[int32][]*batch // by partition, in the order of offsets
	finished   map[int32]int64    // the next offset to read, by partition; not committed yet
	moved      chan struct{}      // closed and made anew when a batch is finished
}

func newSession(s *Stage) *session {
	return &session{s: s, open: map[int32][]*batch{}, finished: map[int32]int64{}, moved: make(chan struct{})}
}

// batch is a run of records of one partition. What becomes of them is written
// together: one count instead of one promise for each.
type batch struct {
	n         *session
	partition int32
	next      int64 // the offset after its last record
	left      atomic.Int64
	done      bool // under the session's lock
}

// output gathers what becomes of a batch in two pieces of memory.
type output struct {
	records []kgo.Record
	bytes   []byte
	ends    []int // how many records there are after each one of the input
}

// outputRoom is how much room a record's output is given at first; many need less.
const outputRoom = 128

func (o *output) grown() []byte {
	if cap(o.bytes)-len(o.bytes) < outputRoom {
		o.bytes = make([]byte, 0, 16<<10)
	}
	return o.bytes
}

func (o *output) put(topic string, key, value []byte) {
	o.records = append(o.records, kgo.Record{Topic: topic, Key: key, Value: value})
}

// change puts one change; its only error is a column of a type that is none.
func (o *output) change(topic string, c *brimline.Change) error {
	buf := o.grown()
	start := len(buf)
	buf = append(buf, c.User...)
	end := len(buf)
	buf, err := codecs.AppendChange(buf, c)
	if err != nil {
		return err
	}
	o.bytes = buf
	o.put(topic, buf[start:end:end], buf[end:len(buf):len(buf)])
	return nil
}

// take routes records of one partition and has what becomes of them written.
// It returns when they are on their way.
func (n *session) take(partition int32, records []*kgo.Record) {
	s := n.s
	b := &batch{n: n, partition: partition, next: records[len(records)-1].Offset + 1}
	n.begin(b)
	out := output{
		records: make(
			[]kgo.Record,
			0,
			len(records)+len(records)/8,
		), bytes: make([]byte, 0, min(len(records), 512)*outputRoom),
		ends: make([]int, 0, len(records)),
	}
	if err := s.route(records, &out); err != nil {
		s.failed(fmt.Sprintf("partition %d of %q", partition, s.Streams.Source), err)
		return
	}
	b.left.Store(int64(len(out.records)) + 1)
	written := 0
	for _, end := range out.ends {
		for ; written < end; written++ {
			s.producer.Produce(s.writing, &out.records[written], b.written)
		}
		failpoint.Hit(failpoint.RouteEmitted)
	}
	b.written(nil, nil)
}

// route decides what becomes of records of one partition.
func (s *Stage) route(records []*kgo.Record, out *output) error {
	var r *kgo.Record
	headers := func() goka.Headers { return headersOf(r) }
	for _, r = range records {
		now := s.Clock()
		o := route(s.Decoder, s.Partitions, record{
			source: brimline.Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Life: s.Life},
			key:    r.Key, value: r.Value, headers: headers, at: brimline.TimeOf(now),
		})
		if len(o.changes) > 0 && o.changes[0].Kind == brimline.Truncate {
			s.truncated(o.changes)
		}
		for i := range o.changes {
			if err := out.change(s.Streams.Changes, &o.changes[i]); err != nil {
				return err
			}
		}
		if o.dead != nil {
			if codecs.FitDeadLetter(o.dead, s.MostBytes) {
				s.Metrics.cut.Inc()
			}
			value, err := codecs.DeadLetter{}.Encode(o.dead)
			if err != nil {
				return err
			}
			out.put(s.Streams.DeadLetters, codecs.DeadLetterKey(r.Key), value)
		}
		out.ends = append(out.ends, len(out.records))
		s.Metrics.observe(o, now)
	}
	return nil
}

// truncated completes the changes of a TRUNCATE, one for each partition, and tells of it.
func (s *Stage) truncated(changes []brimline.Change) {
	if s.Alone != nil && s.Alone() {
		for i := range changes {
			changes[i].Whole = true
		}
	}
	if s.Truncated != nil {
		s.Truncated(changes[0].Source)
	}
}

func headersOf(r *kgo.Record) goka.Headers {
	all := make(goka.Headers, len(r.Headers))
	for _, h := range r.Headers {
		all[h.Key] = h.Value
	}
	return all
}

// written counts one record that the brokers have. The last one finishes the batch.
func (b *batch) written(r *kgo.Record, err error) {
	if err != nil {
		b.n.s.failed(fmt.Sprintf("writing to topic %q", r.Topic), err)
		return
	}
	if b.left.Add(-1) == 0 {
		b.n.end(b)
	}
}

func (n *session) begin(b *batch) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open[b.partition] = append(n.open[b.partition], b)
}

// end notes that a batch is finished, and with it those after it that were finished before.
func (n *session) end(b *batch) {
	failpoint.Hit(failpoint.BeforeMark)
	n.mu.Lock()
	defer n.mu.Unlock()
	b.done = true
	if failpoint.Without(failpoint.OrderedMarks) {
		n.finished[b.partition] = max(n.finished[b.partition], b.next)
	}
	open := n.open[b.partition]
	for len(open) > 0 && open[0].done {
		n.finished[b.partition] = max(n.finished[b.partition], open[0].next)
		open = open[1:]
	}
	n.open[b.partition] = open
	close(n.moved)
	n.moved = make(chan struct{})
}

// drain waits until nothing is on its way, the stage has failed, or ctx ends.
func (n *session) drain(ctx context.Context) {
	for {
		n.mu.Lock()
		open, moved := 0, n.moved
		for _, batches := range n.open {
			open += len(batches)
		}
		n.mu.Unlock()
		if open == 0 {
			return
		}
		select {
		case <-moved:
		case <-n.s.writing.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}

// commit commits what is finished, under the generation in which it was read.
// A request that arrives late takes offsets back: their records come again, which changes nothing.
func (n *session) commit(ctx context.Context, client *kgo.Client) error {
	n.committing.Lock()
	defer n.committing.Unlock()
	n.mu.Lock()
	finished := n.finished
	n.finished = map[int32]int64{}
	n.mu.Unlock()
	if len(finished) == 0 {
		return nil
	}
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = n.s.Streams.Source
	for partition, next := range finished {
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Partition, p.Offset = partition, next
		if n.s.Binding != nil {
			p.Metadata = new(n.s.Binding.Metadata())
		}
		topic.Partitions = append(topic.Partitions, p)
	}
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation, r.InstanceID = n.s.Streams.RouteGroup, n.id, n.generation, n.instance
	r.Topics = append(r.Topics, topic)
	answer, err := r.RequestWith(ctx, client)
	if err == nil {
		err = refused(answer)
	}
	if err != nil {
		n.mu.Lock()
		for partition, next := range finished {
			n.finished[partition] = max(n.finished[partition], next)
		}
		n.mu.Unlock()
	}
	return err
}

func refused(answer *kmsg.OffsetCommitResponse) error {
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				return err
			}
		}
	}
	return nil
}
