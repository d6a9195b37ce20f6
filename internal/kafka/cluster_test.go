package kafka

import (
	"context"
	"errors"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
)

func kindOf(err error) string {
	if e, ok := errors.AsType[*brimline.Error](err); ok {
		return e.Kind
	}
	return ""
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	addr := l.Addr().String()
	must(t, l.Close())
	_, err = Dial(deadline(t), Options{Brokers: []string{addr}}, Lasting)
	if kindOf(err) != KindUnreachable || brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
		t.Fatalf("got %v", err)
	}
}

// A broker that accepts connections and never answers must not hold anybody up.
func TestNoAnswer(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	o := Options{Brokers: []string{l.Addr().String()}}
	_, err = dial(deadline(t), o, Lasting, 200*time.Millisecond)
	if kindOf(err) != KindUnreachable {
		t.Fatalf("got %v", err)
	}
}

// TestOutlastsARestart: a Cluster that lasts waits for a broker that is away, with a question and with a tail.
func TestOutlastsARestart(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	port, dir := l.Addr().(*net.TCPAddr).Port, t.TempDir()
	must(t, l.Close())
	opts := []kfake.Opt{kfake.Ports(port), kfake.DataDir(dir), kfake.SeedTopics(1, "t")}
	k, o := broker(t, opts...)
	c, err := Dial(t.Context(), o, Lasting)
	must(t, err)
	defer c.Close()
	impatient := dialled(t, o)
	produce(t, o, "t", 0, 0, 1)
	got := make(chan string, 8)
	ctx, cancel := context.WithCancel(deadline(t))
	tailed := make(chan error, 1)
	go func() {
		tailed <- c.Tail(ctx, "t", Oldest, true, func(m *Message) error {
			got <- string(m.Value)
			return nil
		})
	}()
	expect(t, "record", <-got, "0")

	k.Close()
	if _, err := impatient.Facts(t.Context(), "t"); kindOf(err) != KindUnreachable {
		t.Errorf("one that is quick: %v", err)
	}
	next := make(chan int64, 1)
	go func() {
		lags, err := c.Lag(deadline(t), "g", []string{"t"})
		if err != nil || len(lags) != 1 {
			t.Errorf("%+v, %v", lags, err)
			next <- -1
			return
		}
		next <- lags[0].High
	}()
	time.Sleep(2 * time.Second) // longer than franz-go itself tries a broker that refuses
	_, _ = broker(t, opts...)
	expect(t, "end", <-next, 1)
	produce(t, o, "t", 0, 1, 1)
	expect(t, "record", <-got, "1")
	cancel()
	if err := <-tailed; !errors.Is(err, context.Canceled) {
		t.Errorf("the tail ended with %v", err)
	}
}

func TestEnsureCreatesAndChecks(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.NumBrokers(3))
	c := dialled(t, o)
	topics := []Topic{
		{Name: "changes", Partitions: 4, Config: map[string]string{"retention.ms": "60000"}},
		{Name: "table", Partitions: 4, Kind: Table},
	}
	reports, err := c.Ensure(deadline(t), topics, Durability{})
	must(t, err)
	for i, want := range []TopicReport{
		{Name: "changes", Created: true, Partitions: 4}, {Name: "table", Created: true, Partitions: 4},
	} {
		got := reports[i]
		if got.Name != want.Name || got.Created != want.Created || got.Partitions != want.Partitions ||
			got.Replication != 3 ||
			got.ID == "" {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	for topic, want := range map[string]map[string]string{
		"changes": {"cleanup.policy": "delete", "retention.ms": "60000", "min.insync.replicas": "2", "max.message.bytes": strconv.Itoa(16<<20 + 64<<10)},
		"table":   {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000", "max.compaction.lag.ms": "604800000"},
	} {
		have, err := c.settingsOf(t.Context(), topic)
		must(t, err)
		for k, v := range want {
			expect(t, topic+" "+k, have[k], v)
		}
	}

	// again: nothing to do, nothing to complain about
	reports, err = c.Ensure(deadline(t), topics, Durability{})
	must(t, err)
	for _, r := range reports {
		if r.Created || len(r.Warnings) > 0 {
			t.Errorf("again: %+v", r)
		}
	}

	// every difference is named
	_, err = c.Ensure(deadline(t), []Topic{
		{Name: "changes", Partitions: 8}, {Name: "table", Partitions: 4},
	}, Durability{})
	problems, _ := err.(interface{ Unwrap() []error })
	if problems == nil || len(problems.Unwrap()) != 2 {
		t.Fatalf("got %v", err)
	}
	for i, kind := range []string{KindTopicDiffers, KindTopicDiffers} {
		expect(t, "problem", kindOf(problems.Unwrap()[i]), kind)
	}
}

// Instances that start together all find the topics ready.
func TestEnsureMayRace(t *testing.T) {
	t.Parallel()
	_, o := broker(t)
	errs := make(chan error)
	for range 4 {
		c := dialled(t, o)
		go func() {
			_, err := c.Ensure(
				deadline(t),
				[]Topic{{Name: "a", Partitions: 3}, {Name: "b", Partitions: 3, Kind: Table}},
				Durability{},
			)
			errs <- err
		}()
	}
	for range 4 {
		must(t, <-errs)
	}
}

func TestTopicCreatedAnewHasAnotherID(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(1, "t"))
	c := dialled(t, o)
	before, err := c.TopicID("t")
	must(t, err)
	must(t, c.Delete(deadline(t), "t", "never there"))
	if _, err := c.TopicID("t"); kindOf(err) != KindTopicMissing {
		t.Fatalf("it is still there: %v", err)
	}
	_, err = c.Ensure(deadline(t), []Topic{{Name: "t", Partitions: 1}}, Durability{})
	must(t, err)
	after, err := c.TopicID("t")
	if must(t, err); before == "" || after == "" || before == after {
		t.Fatalf("ids %q and %q", before, after)
	}
}

func commit(t *testing.T, c *Cluster, group, topic string, partition int32, offset int64, metadata string) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: offset, Metadata: metadata, LeaderEpoch: -1})
	must(t, c.admin.CommitAllOffsets(t.Context(), group, offsets))
}

// trim deletes the records of a partition before an offset.
func trim(t *testing.T, c *Cluster, topic string, partition int32, before int64) {
	t.Helper()
	var offsets kadm.Offsets
	offsets.AddOffset(topic, partition, before, -1)
	_, err := c.admin.DeleteRecords(t.Context(), offsets)
	must(t, err)
}

func TestLag(t *testing.T) {
	t.Parallel()
	_, o := broker(t, kfake.SeedTopics(3, "in"), kfake.SeedTopics(1, "alerts"))
	c := dialled(t, o)
	produce(t, o, "in", 0, 0, 5)
	produce(t, o, "in", 1, 0, 2)
	trim(t, c, "in", 0, 3)
	commit(t, c, "g", "in", 0, 1, "")
	commit(t, c, "g", "in", 1, 2, "watermark")
	transact(t, o, "alerts", 0, 2, true)
	commit(t, c, "g", "alerts", 0, 2, "") // all that can be read; the marker is at 2
	lags, err := c.Lag(deadline(t), "g", []string{"in", "alerts"})
	must(t, err)
	want := []PartitionLag{
		{Topic: "in", Partition: 0, Committed: 1, Low: 3, High: 5, Stable: 5, Lag: 2, Lost: 2},
		{Topic: "in", Partition: 1, Committed: 2, Metadata: "watermark", High: 2, Stable: 2},
		{Topic: "in", Partition: 2, Committed: -1},
		{Topic: "alerts", Partition: 0, Committed: 2, High: 3, Stable: 3},
	}
	for i := range want {
		if lags[i] != want[i] {
			t.Errorf("got %+v\nwant %+v", lags[i], want[i])
		}
	}
	if _, err := c.Lag(deadline(t), "g", []string{"missing"}); kindOf(err) != KindTopicMissing {
		t.Errorf("a missing topic: %v", err)
	}
	must(t, c.DeleteGroups(deadline(t), "g", "never there"))
	lags, err = c.Lag(deadline(t), "g", []string{"in"})
	if must(t, err); lags[1].Committed != -1 {
		t.Errorf("the group is still there: %+v", lags[1])
	}
}

// TestKeeps: how long a topic keeps a record is what its settings say.
func TestKeeps(t *testing.T) {
	t.Parallel()
	_, o := broker(t)
	c := dialled(t, o)
	const day = 24 * time.Hour
	for _, x := range []struct {
		topic Topic
		want  Keeping
	}{
		{Topic{Name: "stream"}, Keeping{Age: 7 * day, Segment: 7 * day, Compaction: -1}},
		{Topic{Name: "ever", Config: map[string]string{"retention.ms": "-1", "segment.ms": "3600000"}},
			Keeping{Age: -1, Segment: time.Hour, Compaction: -1}},
		{Topic{Name: "table", Kind: Table}, Keeping{Compacted: true, Age: 7 * day, Segment: 7 * day, Compaction: 7 * day}},
		{Topic{Name: "soon", Kind: Table, Config: map[string]string{"max.compaction.lag.ms": "86400000"}},
			Keeping{Compacted: true, Age: 7 * day, Segment: 7 * day, Compaction: day}},
		{Topic{Name: "late", Kind: Table, Config: map[string]string{"max.compaction.lag.ms": "9223372036854775807"}},
			Keeping{Compacted: true, Age: 7 * day, Segment: 7 * day, Compaction: -1}}, // as Kafka has it by default
	} {
		x.topic.Partitions = 1
		_, err := c.Ensure(deadline(t), []Topic{x.topic}, Durability{})
		must(t, err)
		got, err := c.Keeps(x.topic.Name)
		must(t, err)
		if got != x.want {
			t.Errorf("%s: %+v, want %+v", x.topic.Name, got, x.want)
		}
	}
	if _, err := c.Keeps("nowhere"); err == nil {
		t.Error("a topic that is not there keeps something")
	}
}
