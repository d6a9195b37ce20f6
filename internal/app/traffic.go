package app

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/lovoo/goka"
	"github.com/prometheus/client_golang/prometheus"
)

// traffic notes what a stage takes in: where each partition starts, for the
// log, and how much was handled, for the metrics and the line at the end.
type traffic struct {
	stage   string
	log     *slog.Logger
	handled *prometheus.CounterVec

	mu    sync.Mutex
	spans map[topicPartition]*span
}

type topicPartition struct {
	topic     string
	partition int32
}

// span is a run of messages of one partition.
type span struct {
	first, last, count int64
	counter            prometheus.Counter
	fresh              bool // no message since the partition was assigned
}

func newTraffic(stage string, log *slog.Logger, handled *prometheus.CounterVec) *traffic {
	return &traffic{stage: stage, log: log, handled: handled, spans: map[topicPartition]*span{}}
}

// assigned makes the next message of every partition be reported as a start.
func (t *traffic) assigned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range t.spans {
		s.fresh = true
	}
}

// partitions says what this instance has to read from now on, of how many partitions.
func (t *traffic) partitions(own []int32, all int) {
	what := "none: another instance has them all"
	if len(own) > 0 {
		noun := "partitions"
		if len(own) == 1 {
			noun = "partition"
		}
		// A topic may have got more than there were at the start.
		what = fmt.Sprintf("%s %s (%d of %d)", noun, ranges(own), len(own), max(all, int(slices.Max(own))+1))
	}
	t.log.Info("stage " + t.stage + ": " + what)
}

// ranges writes numbers as 0-3,5.
func ranges(list []int32) string {
	sorted := slices.Sorted(slices.Values(list))
	var parts []string
	for i := 0; i < len(sorted); {
		last := i
		for last+1 < len(sorted) && sorted[last+1] == sorted[last]+1 {
			last++
		}
		part := strconv.Itoa(int(sorted[i]))
		if last > i {
			part += "-" + strconv.Itoa(int(sorted[last]))
		}
		parts = append(parts, part)
		i = last + 1
	}
	return strings.Join(parts, ",")
}

// take notes one message; it is called for every one.
func (t *traffic) take(topic string, partition int32, offset int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := topicPartition{topic, partition}
	s := t.spans[at]
	if s == nil {
		s = &span{first: offset, fresh: true, counter: t.handled.WithLabelValues(strconv.Itoa(int(partition)))}
		t.spans[at] = s
	}
	if s.fresh {
		s.fresh = false
		t.log.Info(fmt.Sprintf("%s: partition %d starts at offset %d", t.stage, partition, offset), "topic", topic)
	}
	s.first, s.last = min(s.first, offset), max(s.last, offset)
	s.count++
	s.counter.Inc()
}

// wrap is a goka context wrapper: it sees every callback, and changes nothing.
// Visits of the table come through it as well; they are no input.
func (t *traffic) wrap(inputs []string) goka.ContextWrapper {
	return func(ctx goka.Context) goka.Context {
		if topic := string(ctx.Topic()); slices.Contains(inputs, topic) {
			t.take(topic, ctx.Partition(), ctx.Offset())
		}
		return ctx
	}
}

// report writes what was handled since the start.
func (t *traffic) report() {
	t.mu.Lock()
	defer t.mu.Unlock()
	var (
		total int64
		parts []string
	)
	keys := make([]topicPartition, 0, len(t.spans))
	for at := range t.spans {
		keys = append(keys, at)
	}
	slices.SortFunc(keys, func(a, b topicPartition) int {
		if c := strings.Compare(a.topic, b.topic); c != 0 {
			return c
		}
		return int(a.partition - b.partition)
	})
	for _, at := range keys {
		s := t.spans[at]
		total += s.count
		parts = append(parts, fmt.Sprintf("%s/%d:%d-%d", at.topic, at.partition, s.first, s.last))
	}
	t.log.Info("stage ended", "messages", total, "offsets", strings.Join(parts, " "))
}
