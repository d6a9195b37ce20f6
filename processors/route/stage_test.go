package route

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

const (
	patience = 60 * time.Second
	sources  = 4 // partitions of the source
	targets  = 3 // and of changes and dead letters
)

// world is a broker with the topics of one group.
type world struct {
	t       *testing.T
	kafka   *kfake.Cluster
	client  *kgo.Client
	admin   *kadm.Client
	streams processors.Streams
	put     [sources]int
	read    atomic.Int64 // by all stages
}

func newWorld(t *testing.T, more ...kfake.Opt) *world {
	t.Helper()
	w := &world{t: t, streams: processors.NewStreams("g", "source", "alerts")}
	w.kafka = must(
		kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.GroupMinSessionTimeout(100 * time.Millisecond),
			kfake.SeedTopics(
				sources,
				w.streams.Source,
			), kfake.SeedTopics(targets, w.streams.Changes, w.streams.DeadLetters)}, more...)...),
	)
	t.Cleanup(w.kafka.Close)
	w.client = must(
		kgo.NewClient(kgo.SeedBrokers(w.kafka.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())),
	)
	t.Cleanup(w.client.Close)
	w.admin = kadm.NewClient(w.client)
	return w
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// numbered reads a record as the n-th change of its user, or refuses it. It counts what it is given.
type numbered struct{ count *atomic.Int64 }

func (d numbered) Read(key, value []byte) (debezium.Decoded, error) {
	d.count.Add(1)
	n, err := strconv.Atoi(string(value))
	if err != nil {
		return debezium.Decoded{}, brimline.BadInput("odd", "write a number", "%q is none", value)
	}
	return debezium.Decoded{Changes: []brimline.Change{{
		Kind: brimline.Upsert, User: string(key), Row: brimline.Transaction{
			User: string(key), ID: strconv.Itoa(n), Amount: brimline.Amount(n), Time: 1,
		}}}}, nil
}

// write appends n records to a partition of the source. Its users are its own, so that each user's order is known.
func (w *world) write(partition, n int) {
	w.t.Helper()
	var records []*kgo.Record
	for range n {
		i := w.put[partition]
		w.put[partition]++
		records = append(records, &kgo.Record{
			Topic: w.streams.Source, Partition: int32(partition), Key: fmt.Appendf(nil, "u%d-%d", partition, i%5),
			Value: strconv.AppendInt(nil, int64(i), 10),
		})
	}
	if err := w.client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// instance is a stage that runs.
type instance struct {
	stop  context.CancelFunc
	done  chan struct{}
	err   error // after done
	given chan []int32
}

func (w *world) stage(name string) (*Stage, chan []int32) {
	given := make(chan []int32, 100)
	o := kafka.Options{
		Brokers:          w.kafka.ListenAddrs(),
		ClientID:         name,
		SessionTimeout:   2 * time.Second,
		RebalanceTimeout: 5 * time.Second,
	}
	return New(Config{
		Streams: w.streams, Decoder: numbered{&w.read}, Partitions: targets, Clock: time.Now,
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
		Member:      func() ([]kgo.Opt, error) { return o.MemberSettings(kafka.Group{}) },
		Producer:    func() ([]kgo.Opt, error) { return o.ProducerSettings(processors.Hasher) },
		Assigned:    func(partitions []int32) { given <- partitions },
		CommitEvery: 20 * time.Millisecond, DrainWithin: 2 * time.Second,
	}), given
}

// bind looks which topic the source is.
func (w *world) bind() *kafka.Binding {
	w.t.Helper()
	o := kafka.Options{Brokers: w.kafka.ListenAddrs(), ClientID: "bind"}
	cluster := must(kafka.Dial(w.t.Context(), o, kafka.Lasting))
	w.t.Cleanup(func() { _ = cluster.Close() })
	return must(cluster.Bind(w.streams.Source))
}

func (w *world) start(name string) *instance { return w.run(w.stage(name)) }

func (w *world) run(s *Stage, given chan []int32) *instance {
	ctx, stop := context.WithCancel(context.Background())
	i := &instance{stop: stop, done: make(chan struct{}), given: given}
	go func() {
		defer close(i.done)
		i.err = s.Run(ctx)
	}()
	w.t.Cleanup(func() { stop(); <-i.done })
	return i
}

func (i *instance) stopped(t *testing.T) {
	t.Helper()
	i.stop()
	if err := i.end(t); err != nil {
		t.Errorf("a stop gave %v", err)
	}
}

func (i *instance) end(t *testing.T) error {
	t.Helper()
	select {
	case <-i.done:
		return i.err
	case <-time.After(patience):
		t.Fatal("the stage did not end")
		return nil
	}
}

// committed are the offsets of the group; 0 where there is none.
func (w *world) committed() (at [sources]int64) {
	w.t.Helper()
	offsets, err := w.admin.FetchOffsets(w.t.Context(), w.streams.RouteGroup)
	if errors.Is(err, kerr.GroupIDNotFound) {
		return at
	}
	if err != nil {
		w.t.Fatal(err)
	}
	for p := range at {
		if o, ok := offsets.Lookup(w.streams.Source, int32(p)); ok {
			at[p] = max(o.At, 0)
		}
	}
	return at
}

func (w *world) await(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("%s: not in %v; committed %v of %v", what, patience, w.committed(), w.put)
		}
	}
}

func (w *world) caughtUp() {
	w.t.Helper()
	w.await("everything committed", func() bool {
		at := w.committed()
		for p, n := range w.put {
			if at[p] != int64(n) {
				return false
			}
		}
		return true
	})
}

// changes are those written, in the order of each partition.
func (w *world) changes() (all []*brimline.Change) {
	w.t.Helper()
	for _, r := range w.records(w.streams.Changes) {
		c := must(codecs.Change{}.Decode(r.Value)).(*brimline.Change)
		if string(r.Key) != c.User || processors.Partition(c.User, targets) != r.Partition {
			w.t.Errorf("a change of %q under key %q in partition %d", c.User, r.Key, r.Partition)
		}
		all = append(all, c)
	}
	return all
}

func (w *world) records(topic string) []*kgo.Record {
	w.t.Helper()
	ends := must(w.admin.ListEndOffsets(w.t.Context(), topic))
	left := int64(0)
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	reader := must(kgo.NewClient(kgo.SeedBrokers(w.kafka.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())))
	defer reader.Close()
	var all []*kgo.Record
	for int64(len(all)) < left {
		fetches := reader.PollFetches(w.t.Context())
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// check holds what is in changes against the source: nothing is missing, the
// last of each row's is its newest, and a user's come in the order of the source, each replay from where it began.
func (w *world) check() (replayed int) {
	w.t.Helper()
	seen, last := map[string]bool{}, map[string]int64{}
	first := map[string]int64{} // the highest of each user that was met
	for _, c := range w.changes() {
		at := fmt.Sprint(c.Source.Partition, "/", c.Source.Offset)
		if seen[at] {
			replayed++
		} else if c.Source.Offset < first[c.User] {
			w.t.Errorf("%s of %s came for the first time behind offset %d", at, c.User, first[c.User])
		}
		seen[at] = true
		first[c.User], last[c.User] = max(first[c.User], c.Source.Offset), c.Source.Offset
	}
	total := 0
	for _, n := range w.put {
		total += n
	}
	if len(seen) != total {
		w.t.Errorf("%d of %d records became changes", len(seen), total)
	}
	if !maps.Equal(first, last) {
		w.t.Errorf("the last change of a user is not the newest: %v, newest %v", last, first)
	}
	return replayed
}

func TestEverythingIsWrittenAndCommitted(t *testing.T) {
	w := newWorld(t)
	for p := range sources {
		w.write(p, 700)
	}
	odd := &kgo.Record{
		Topic: w.streams.Source, Partition: 1, Key: []byte("k"), Value: []byte("x"),
		Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("v")}},
	}
	if err := w.client.ProduceSync(t.Context(), odd).FirstErr(); err != nil {
		t.Fatal(err)
	}
	i := w.start("one")
	w.await("the dead letter", func() bool { return w.committed()[1] == 701 })
	i.stopped(t)
	if replayed := w.check(); replayed != 0 {
		t.Errorf("%d changes twice after a clean stop", replayed)
	}
	letters := w.records(w.streams.DeadLetters)
	if len(letters) != 1 {
		t.Fatalf("%d dead letters", len(letters))
	}
	d := must(codecs.DeadLetter{}.Decode(letters[0].Value)).(*brimline.DeadLetter)
	if string(letters[0].Key) != "k" || d.Kind != "odd" || d.Partition != 1 || d.Offset != 700 ||
		len(d.Headers) != 1 || string(d.Headers[0].Value) != "v" {
		t.Errorf("%+v", d)
	}
}

// A stop in the middle of a stream leaves nothing written that is not committed.
func TestStopsAreClean(t *testing.T) {
	w := newWorld(t)
	for life := range 5 {
		i := w.start("one")
		<-i.given
		for range 20 {
			for p := range sources {
				w.write(p, 50)
			}
		}
		w.await("some of it", func() bool { return w.committed() != [sources]int64{} })
		i.stopped(t)
		written, committed := len(w.records(w.streams.Changes)), int64(0)
		for _, n := range w.committed() {
			committed += n
		}
		if int64(written) != committed {
			t.Errorf("life %d: %d changes are written, %d records are committed", life, written, committed)
		}
	}
	w.start("one")
	w.caughtUp()
	if replayed := w.check(); replayed != 0 {
		t.Errorf("%d changes twice", replayed)
	}
}

func TestRebalances(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	running := map[string]*instance{"i0": w.start("i0")}
	for round := range 12 {
		for range 10 {
			for p := range sources {
				w.write(p, 1+random.IntN(60))
			}
		}
		names := slices.Sorted(maps.Keys(running))
		if len(names) > 2 || len(names) > 1 && random.IntN(2) == 0 {
			name := names[random.IntN(len(names))]
			running[name].stopped(t)
			delete(running, name)
		} else {
			name := fmt.Sprint("i", round+1)
			running[name] = w.start(name)
			<-running[name].given
		}
	}
	w.caughtUp()
	t.Logf("%d changes twice", w.check())
}

// TestOffsetsWaitForWhatIsOnItsWay keeps the changes of one user from being
// acknowledged: the offsets of its source partition stay where they are, though later records of it are finished.
func TestOffsetsWaitForWhatIsOnItsWay(t *testing.T) {
	w := newWorld(t)
	stuck := processors.Partition("u0-0", targets)
	var held atomic.Bool
	held.Store(true)
	changes := must(w.admin.ListTopics(t.Context()))[w.streams.Changes].ID
	for p := range int32(targets) { // a request to one broker is held, and none to the other
		node := int32(0)
		if p == stuck {
			node = 1
		}
		if err := w.kafka.MoveTopicPartition(w.streams.Changes, p, node); err != nil {
			t.Fatal(err)
		}
	}
	w.kafka.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		p := r.(*kmsg.ProduceRequest)
		for _, topic := range p.Topics {
			for _, partition := range topic.Partitions {
				if held.Load() && topic.TopicID == changes && partition.Partition == stuck {
					return nil, errors.New("hang up"), true
				}
			}
		}
		return nil, nil, false
	})
	free := -1
	for p := 1; p < sources && free < 0; p++ {
		free = p
		for i := range 5 {
			if processors.Partition(fmt.Sprintf("u%d-%d", p, i), targets) == stuck {
				free = -1
			}
		}
	}
	one := w.start("one")
	for i := range 20 { // the stuck user's is the first
		w.write(0, 1)
		w.await("a record is read", func() bool { return w.read.Load() > int64(i) })
	}
	if free > 0 {
		w.write(free, 200)
		w.await("another partition", func() bool { return w.committed()[free] == 200 })
	} else {
		w.await("the others' changes", func() bool { return len(w.records(w.streams.Changes)) > 0 })
	}
	if at := w.committed()[0]; at != 0 {
		t.Errorf("offset %d is committed, and the first record is not with the brokers", at)
	}
	one.stopped(t) // gives up waiting
	if at := w.committed()[0]; at != 0 {
		t.Errorf("offset %d is committed by the stop", at)
	}
	held.Store(false)
	w.start("two")
	w.caughtUp()
	w.check()
}

// A record that the brokers refuse ends the stage; nothing behind it is committed.
func TestRefusedChangeEndsTheStage(t *testing.T) {
	w := newWorld(t)
	w.write(2, 10)
	w.kafka.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		w.kafka.KeepControl()
		p := r.(*kmsg.ProduceRequest)
		answer := p.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range p.Topics {
			t := kmsg.NewProduceResponseTopic()
			t.Topic, t.TopicID = topic.Topic, topic.TopicID
			for _, partition := range topic.Partitions {
				q := kmsg.NewProduceResponseTopicPartition()
				q.Partition, q.ErrorCode = partition.Partition, kerr.TopicAuthorizationFailed.Code
				t.Partitions = append(t.Partitions, q)
			}
			answer.Topics = append(answer.Topics, t)
		}
		return answer, nil, true
	})
	err := kafka.Explain(w.start("one").end(t), "stage route")
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != kafka.KindPermission {
		t.Errorf("the stage ended with %v", err)
	}
	if at := w.committed(); at != [sources]int64{} {
		t.Errorf("committed %v", at)
	}
}

// Records that were deleted before they were read are missed; the stage says so instead of passing over them.
func TestLostInputEndsTheStage(t *testing.T) {
	w := newWorld(t)
	w.write(0, 10)
	w.start("one").stoppedAfter(t, w.caughtUp)
	w.write(0, 10)
	var before kadm.Offsets
	before.Add(kadm.Offset{Topic: w.streams.Source, Partition: 0, At: 15})
	if _, err := w.admin.DeleteRecords(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	err := kafka.Explain(w.start("two").end(t), "stage route")
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != kafka.KindOffsetLost {
		t.Errorf("the stage ended with %v", err)
	}
}

func (i *instance) stoppedAfter(t *testing.T, wait func()) {
	t.Helper()
	wait()
	i.stopped(t)
}

func TestStopWithoutBrokers(t *testing.T) {
	for _, away := range []testkit.Weather{{Shut: true}, {NoRequests: true}, {NoAnswers: true}} {
		l, proxy := testkit.BehindProxy(t)
		w := newWorld(t, kfake.NumBrokers(1), kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }))
		w.write(0, 100)
		one := w.start("one")
		w.caughtUp()
		w.write(0, 100)
		proxy.Set(away)
		one.stopped(t)
		proxy.Set(testkit.Weather{})
		w.start("two")
		w.caughtUp()
		w.check()
	}
}

// TestOffsetsOfAnotherTopic: the group's offsets in some partitions are of a topic of the same name that is no more.
// They
// count for nothing, whether the new topic has come so far or not; others count. What is committed names its topic.
func TestOffsetsOfAnotherTopic(t *testing.T) {
	w := newWorld(t)
	for p := range sources {
		w.write(p, 50)
	}
	bound := w.bind()
	had := kadm.Offsets{}
	for p, o := range []kadm.Offset{{At: 20, Metadata: "topic:another"}, {At: 200, Metadata: "topic:another"}, {At: 20},
		{At: 20, Metadata: bound.Metadata()}} {
		o.Topic, o.Partition, o.LeaderEpoch = w.streams.Source, int32(p), -1
		had.Add(o)
	}
	if err := w.admin.CommitAllOffsets(t.Context(), w.streams.RouteGroup, had); err != nil {
		t.Fatal(err)
	}
	s, given := w.stage("one")
	s.Binding, s.Life = bound, 3
	i := w.run(s, given)
	w.caughtUp()
	i.stopped(t)
	read := map[int32]int64{}
	for _, c := range w.changes() {
		if read[c.Source.Partition]++; c.Source.Life != 3 {
			t.Fatalf("a change of life %d", c.Source.Life)
		}
	}
	if want := (map[int32]int64{0: 50, 1: 50, 2: 30, 3: 30}); !maps.Equal(read, want) {
		t.Errorf("read %v, want %v", read, want)
	}
	offsets := must(w.admin.FetchOffsets(t.Context(), w.streams.RouteGroup))
	offsets.Each(func(o kadm.OffsetResponse) {
		if o.Metadata != bound.Metadata() || o.Metadata == "" {
			t.Errorf("partition %d: committed with %q", o.Partition, o.Metadata)
		}
	})
}

// TestTopicMadeAnewEndsTheStage: one that begins with what is said of an earlier topic reads nothing, and says so.
func TestTopicMadeAnewEndsTheStage(t *testing.T) {
	w := newWorld(t)
	w.write(0, 5)
	bound := w.bind()
	must(w.admin.DeleteTopic(t.Context(), w.streams.Source))
	must(w.admin.CreateTopic(t.Context(), sources, -1, nil, w.streams.Source))
	s, given := w.stage("one")
	s.Binding = bound
	if err := w.run(s, given).end(t); !kafka.IsMadeAnew(err) {
		t.Errorf("the stage ended with %v", err)
	}
	if n := len(w.records(w.streams.Changes)); n != 0 {
		t.Errorf("%d changes", n)
	}
}

// TestMarkersOfATruncate: those of a source with one partition say so.
func TestMarkersOfATruncate(t *testing.T) {
	for _, alone := range []bool{true, false} {
		var told brimline.Source
		s := New(Config{Alone: func() bool { return alone }, Truncated: func(at brimline.Source) { told = at }})
		changes := truncation(brimline.Change{Kind: brimline.Truncate, Source: brimline.Source{LSN: 7}}, 3)
		s.truncated(changes)
		for i := range changes {
			if changes[i].Whole != alone || told.LSN != 7 {
				t.Errorf("alone %v: %+v, told %+v", alone, changes[i], told)
			}
		}
	}
}
