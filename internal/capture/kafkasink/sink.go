// Package kafkasink writes captured records to Kafka, to the partition that
// Kafka Connect would choose.
package kafkasink

import (
	"context"
	"fmt"
	"sync"

	"github.com/IBM/sarama"
	"github.com/brimline/brimline/internal/capture"
)

// Sink is a capture.Sink over an asynchronous producer.
type Sink struct {
	producer sarama.AsyncProducer
	done     chan struct{} // closed when every answer has been handed on

	mu       sync.Mutex
	inFlight int
	empty    chan struct{} // closed when nothing is in flight
}

// New connects to Kafka. Of config everything is kept but the partitioner and
// what the sink lives on, the answers of the producer; it is not changed. The
// order of changes of one row depends on config: the producer must be idempotent
// or have one request at a time under way.
func New(brokers []string, config *sarama.Config) (*Sink, error) {
	own := *config
	own.Producer.Return.Successes, own.Producer.Return.Errors = true, true
	own.Producer.Partitioner = NewPartitioner
	producer, err := sarama.NewAsyncProducer(brokers, &own)
	if err != nil {
		return nil, fmt.Errorf("producer for captured changes: %w", err)
	}
	s := &Sink{producer: producer, done: make(chan struct{}), empty: make(chan struct{})}
	close(s.empty)
	go s.answers()
	return s, nil
}

// Produce implements capture.Sink.
func (s *Sink) Produce(ctx context.Context, r capture.Record, acked func(error)) error {
	m := &sarama.ProducerMessage{Topic: r.Topic, Timestamp: r.Timestamp, Metadata: acked}
	if r.Key != nil { // a nil encoder is a null key; an encoder of nil bytes would be an empty one
		m.Key = sarama.ByteEncoder(r.Key)
	}
	if r.Value != nil {
		m.Value = sarama.ByteEncoder(r.Value)
	}
	for _, h := range r.Headers {
		m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: h.Value})
	}
	s.count(1)
	select {
	case s.producer.Input() <- m:
		return nil
	case <-ctx.Done():
		s.count(-1)
		return ctx.Err()
	}
}

// Flush implements capture.Sink.
func (s *Sink) Flush(ctx context.Context) error {
	s.mu.Lock()
	empty := s.empty
	s.mu.Unlock()
	select {
	case <-empty:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close sends what was handed over and ends the producer. Produce must not be called any more.
func (s *Sink) Close() {
	s.producer.AsyncClose()
	<-s.done
}

func (s *Sink) count(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inFlight == 0 && by > 0 {
		s.empty = make(chan struct{})
	}
	s.inFlight += by
	if s.inFlight == 0 && by < 0 {
		close(s.empty)
	}
}

func (s *Sink) answers() {
	defer close(s.done)
	successes, failures := s.producer.Successes(), s.producer.Errors()
	for successes != nil || failures != nil {
		select {
		case m, ok := <-successes:
			if !ok {
				successes = nil
				continue
			}
			s.answer(m, nil)
		case e, ok := <-failures:
			if !ok {
				failures = nil
				continue
			}
			s.answer(e.Msg, fmt.Errorf("writing a captured change to topic %q: %w", e.Msg.Topic, e.Err))
		}
	}
}

func (s *Sink) answer(m *sarama.ProducerMessage, err error) {
	if acked, ok := m.Metadata.(func(error)); ok { // not ok: a message of sarama's own
		acked(err)
		s.count(-1)
	}
}
