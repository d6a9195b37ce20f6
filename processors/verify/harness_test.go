package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

const patience = 60 * time.Second

// world is a broker with the topics of one group, and a database that answers as told.
type world struct {
	t       testing.TB
	brokers []string
	options kafka.Options
	streams processors.Streams
	ledger  *fakeLedger
	heavy   func(user string, at brimline.Time) bool // who has more rows in a window than a statement may read
	mu      sync.Mutex
	metrics *prometheus.Registry // of the last stage that was made
	client  *kgo.Client
	count   int           // partitions of each topic
	more    []kgo.Opt     // settings of the stage's clients
	config  func(*Config) // changes the stage's settings
	stage   func(*Stage)  // changes the stage itself
}

// newWorld takes the brokers of BRIMLINE_TEST_BROKERS, or one in this process.
func newWorld(t testing.TB, partitions int32) *world {
	t.Helper()
	if external := os.Getenv("BRIMLINE_TEST_BROKERS"); external != "" {
		return newWorldOn(t, partitions, strings.Split(external, ","))
	}
	b, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return newWorldOn(t, partitions, b.Addrs())
}

func newWorldOn(t testing.TB, partitions int32, brokers []string) *world {
	t.Helper()
	w := &world{
		t: t, ledger: &fakeLedger{}, metrics: prometheus.NewRegistry(), brokers: brokers,
		config: func(*Config) {}, stage: func(*Stage) {},
	}
	w.options = kafka.Options{Brokers: w.brokers, SessionTimeout: 6 * time.Second, TransactionTimeout: 3 * time.Second}
	group := fmt.Sprintf("verify-%x", rand.Uint64())
	w.streams = processors.NewStreams(group, group+"-source", group+"-alerts")
	var err error
	if w.client, err = kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MetadataMinAge(20*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.client.Close)
	admin := kadm.NewClient(w.client)
	topics := w.topics()
	for _, r := range must(admin.CreateTopics(t.Context(), partitions, 1, nil, topics...)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	w.count = int(partitions)
	deadline := time.Now().Add(patience)
	for known := 0; known < len(topics)*w.count; { // a real broker knows new topics a little later
		known = 0
		must(admin.ListTopics(t.Context(), topics...)).EachPartition(func(p kadm.PartitionDetail) {
			if p.Leader >= 0 && p.Err == nil {
				known++
			}
		})
		if time.Now().After(deadline) {
			t.Fatal("the topics do not come up")
		}
	}
	t.Cleanup(func() { _, _ = admin.DeleteTopics(context.Background(), topics...) })
	return w
}

// inEachVersion runs a test with both protocols of Kafka's transactions.
func inEachVersion(t *testing.T, partitions int32, test func(*testing.T, *world)) {
	for _, version := range []int16{2, 0} {
		t.Run(fmt.Sprint("transaction.version=", version), func(t *testing.T) {
			w := newWorld(t, partitions)
			w.agreeOn(version)
			test(t, w)
		})
	}
}

// agreeOn changes the version of transactions, as an operator does.
func (w *world) agreeOn(version int16) {
	w.t.Helper()
	now := must(transactionVersion(w.t.Context(), w.client))
	if now == version {
		return
	}
	const upgrade, safeDowngrade = 1, 2
	feature := kmsg.NewUpdateFeaturesRequestFeatureUpdate()
	feature.Feature, feature.MaxVersionLevel, feature.UpgradeType = "transaction.version", version, upgrade
	if version < now {
		feature.UpgradeType = safeDowngrade
	}
	r := kmsg.NewPtrUpdateFeaturesRequest()
	r.TimeoutMillis = 10_000
	r.FeatureUpdates = append(r.FeatureUpdates, feature)
	answer := must(r.RequestWith(w.t.Context(), w.client))
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		w.t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); now != version; now = must(transactionVersion(w.t.Context(), w.client)) {
		if time.Now().After(deadline) {
			w.t.Fatalf("the brokers have agreed on version %d: %+v", now, answer)
		}
	}
}

func (w *world) topics() []string {
	return []string{
		w.streams.Candidates,
		w.streams.Questions,
		w.streams.Again,
		w.streams.Changes,
		w.streams.Alerts,
		w.streams.Dismissed,
		w.streams.Shadow,
		w.streams.DeadLetters,
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// instance is a running stage.
type instance struct {
	*Stage
	stop context.CancelFunc
	done chan error
}

func (w *world) start(name string) *instance {
	w.t.Helper()
	s := w.unstarted(name)
	ctx, cancel := context.WithCancel(context.Background())
	i := &instance{s, cancel, make(chan error, 1)}
	go func() {
		err := s.Run(ctx)
		if err != nil {
			s.Log.Error("ended", "instance", name, "error", err)
		}
		i.done <- err
	}()
	w.t.Cleanup(func() {
		cancel()
		select {
		case <-i.done:
		case <-time.After(patience):
			w.t.Error("the stage did not end")
		}
	})
	return i
}

func (w *world) unstarted(name string) *Stage {
	w.t.Helper()
	metrics := prometheus.NewRegistry()
	w.mu.Lock()
	w.metrics = metrics
	w.mu.Unlock()
	c := Config{
		Streams: w.streams, Instance: name, Scale: 2, Ledger: short{w.ledger, w}, Long: w.ledger,
		Client: w.with(w.options.ClientSettings), Transactions: w.with(w.options.TransactionSettings),
		Reader: w.with(w.options.ReaderSettings),
		Member: w.with(func() ([]kgo.Opt, error) { return w.options.MemberSettings(kafka.Group{}) }),
		Compile: func(rule brimline.Rule) (sliding.Rule, error) {
			if rule.Where != "" {
				return sliding.Rule{}, errors.New("no such column")
			}
			return sliding.Rule{Rule: rule, Fingerprint: rule.Fingerprint()}, nil
		},
		Metrics: NewMetrics(metrics), Log: slog.New(slog.NewTextHandler(testLog{w.t}, nil)), Patience: 50 * time.Millisecond,
		ProbeEvery: time.Hour,
	}
	w.config(&c)
	s, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.stage(s)
	return s
}

func (w *world) with(settings func() ([]kgo.Opt, error)) func() ([]kgo.Opt, error) {
	return func() ([]kgo.Opt, error) {
		all, err := settings()
		return append(all, w.more...), err
	}
}

// keep runs one instance after the other under a name, as the app does when one ends by an error. stop ends it.
func (w *world) keep(name string) (stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		for ctx.Err() == nil {
			i := w.start(name)
			select {
			case <-i.done:
				i.done <- nil                     // for the cleanup
				time.Sleep(20 * time.Millisecond) // the app's pause
			case <-ctx.Done():
				i.stop()
				<-i.done
				i.done <- nil
			}
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-over
	})
	w.t.Cleanup(stop)
	return stop
}

// end stops an instance, or awaits its own end, and gives what Run returned.
func (i *instance) end(t testing.TB, stop bool) error {
	t.Helper()
	if stop {
		i.stop()
	}
	select {
	case err := <-i.done:
		i.done <- nil // for the cleanup
		return err
	case <-time.After(patience):
		t.Fatal("the stage did not end")
		return nil
	}
}

func (i *instance) stopped(t testing.TB) {
	t.Helper()
	if err := i.end(t, true); err != nil {
		t.Errorf("a stop gave %v", err)
	}
}

// put writes candidates to the partition of their user.
func (w *world) put(candidates ...*brimline.Candidate) {
	w.t.Helper()
	var records []*kgo.Record
	for len(candidates) > 0 {
		message := []brimline.Candidate{*candidates[0]}
		for _, c := range candidates[1:] {
			if c.Apart != message[0].Apart || c.Cause.Index <= message[len(message)-1].Cause.Index ||
				codecs.Together(append(slices.Clone(message), *c), 1<<20) <= len(message) {
				break
			}
			message = append(message, *c)
		}
		records = append(records, w.record(message...))
		candidates = candidates[len(message):]
	}
	w.putRaw(records...)
}

func (w *world) record(candidates ...brimline.Candidate) *kgo.Record {
	c := &candidates[0]
	topic := w.streams.Candidates
	if c.Apart {
		topic = w.streams.Questions
	}
	return &kgo.Record{
		Topic: topic, Partition: processors.Partition(c.User, w.count), Key: []byte(c.User),
		Value: must(codecs.Candidates{}.Encode(candidates)),
	}
}

func (w *world) putRaw(records ...*kgo.Record) {
	w.t.Helper()
	if err := w.client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// caughtUp waits until everything in candidates and questions is committed.
func (w *world) caughtUp() {
	w.t.Helper()
	w.caughtUpWith(w.streams.Candidates, w.streams.Questions)
}

func (w *world) caughtUpWith(topics ...string) {
	w.t.Helper()
	admin := kadm.NewClient(w.client)
	deadline := time.Now().Add(patience)
	for {
		ends := must(admin.ListEndOffsets(w.t.Context(), topics...))
		committed, err := admin.FetchOffsets(w.t.Context(), w.streams.VerifyGroup)
		behind := err != nil
		ends.Each(func(end kadm.ListedOffset) {
			got, _ := committed.Lookup(end.Topic, end.Partition)
			behind = behind || end.Offset > max(got.At, 0)
		})
		if !behind {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("the stage did not catch up: %v of %v, %v", committed, ends, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// read gives all committed records of a topic: up to a last one that it adds
// to every partition itself, behind whatever transaction is open.
func (w *world) read(topic string) (records []*kgo.Record) {
	w.t.Helper()
	const last = "\x00last"
	marks := make([]*kgo.Record, w.count)
	for p := range marks {
		marks[p] = &kgo.Record{Topic: topic, Partition: int32(p), Key: []byte(last)}
	}
	w.putRaw(marks...)
	reader := must(
		kgo.NewClient(kgo.SeedBrokers(w.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchMaxWait(100*time.Millisecond)),
	)
	defer reader.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for open := w.count; open > 0; {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			w.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Key) != last {
				records = append(records, r)
			} else if r.Offset == marks[r.Partition].Offset { // and not that of an earlier read
				open--
			}
		})
	}
	return records
}

func decoded[T any](t testing.TB, codec interface{ Decode([]byte) (any, error) }, records []*kgo.Record) (values []T) {
	t.Helper()
	for _, r := range records {
		v, err := codec.Decode(r.Value)
		if err != nil {
			t.Fatalf("%s/%d@%d: %v", r.Topic, r.Partition, r.Offset, err)
		}
		values = append(values, v.(T))
	}
	return values
}

func (w *world) metric(name string) (sum float64) {
	w.t.Helper()
	w.mu.Lock()
	metrics := w.metrics
	w.mu.Unlock()
	for _, family := range must(metrics.Gather()) {
		if family.GetName() == "brimline_verify_"+name {
			for _, m := range family.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// fakeLedger confirms every edge at an even hour, dismisses the others, and finds an edge in every half hour.
type fakeLedger struct {
	mu    sync.Mutex
	err   error
	asked int
	// together is how many of them were about several spans.
	together int
	took     chan struct{}     // gets one when a question comes, if there is room
	hold     chan struct{}     // if set, a question waits until it is closed
	after    []brimline.Source // of the last question about a span
	// edges, if set, are all that Edges finds.
	edges []brimline.Time
	// open, if set, says which changes are not visible yet. looked is how often that was asked.
	open   func(brimline.Source) bool
	looked int
	// bad, if set, says why the rows of a question cannot be judged; nil where they can.
	bad func(user string, from, to brimline.Time) error
}

// refuse has the rows at the given times be no numbers.
func (l *fakeLedger) refuse(rows ...brimline.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bad = func(_ string, from, to brimline.Time) error {
		for _, t := range rows {
			if from <= t && t <= to {
				return brimline.BadInput("postgres_amount", "correct the row", "NaN")
			}
		}
		return nil
	}
}

// finds says which edges Edges finds.
func (l *fakeLedger) finds(edges ...brimline.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.edges = edges
}

func (l *fakeLedger) judge(user string, rule *sliding.Rule, from, to brimline.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.bad == nil {
		return nil
	}
	return l.bad(user, from.Add(-rule.Window), to)
}

func (l *fakeLedger) set(err error, hold chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err, l.hold, l.took = err, hold, make(chan struct{}, 1)
}

func (l *fakeLedger) question(ctx context.Context) error {
	l.mu.Lock()
	l.asked++
	err, hold := l.err, l.hold
	select {
	case l.took <- struct{}{}:
	default:
	}
	l.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (l *fakeLedger) Ping(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *fakeLedger) Figures(
	ctx context.Context,
	user string,
	rule *sliding.Rule,
	at brimline.Time,
	_ ...brimline.Source,
) (brimline.Figures, uint64, error) {
	if err := l.question(ctx); err != nil {
		return brimline.Figures{}, 0, err
	}
	if err := l.judge(user, rule, at, at); err != nil {
		return brimline.Figures{}, 0, err
	}
	f := brimline.Figures{Before: total(50), Total: total(150), Count: 2}
	if at/hour%2 != 0 {
		f.Before = total(101)
	}
	return f, 99, nil
}

// Crossing is Figures, with an edge silent where there is another one the rule's quiet before, or any if it rearms.
func (l *fakeLedger) Crossing(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source,
) (brimline.Figures, bool, uint64, error) {
	f, lsn, err := l.Figures(ctx, user, rule, at, after...)
	l.mu.Lock()
	defer l.mu.Unlock()
	silent := slices.ContainsFunc(l.edges, func(t brimline.Time) bool {
		return t < at && (rule.Rearms || t >= at.Add(-rule.Quiet))
	})
	return f, silent && rule.IsEdge(f), lsn, err
}

func (l *fakeLedger) Edges(
	ctx context.Context,
	user string,
	rule *sliding.Rule,
	from, to brimline.Time,
	after ...brimline.Source,
) (edges []brimline.Time, _ uint64, _ error) {
	if err := l.judge(user, rule, from, to); err != nil {
		return nil, 0, err
	}
	l.mu.Lock()
	edges, l.after = slices.Clone(l.edges), after
	l.mu.Unlock()
	if edges == nil {
		return halfHours(from, to), 99, l.question(ctx)
	}
	edges = slices.DeleteFunc(edges, func(t brimline.Time) bool { return t < from || t > to })
	return edges, 99, l.question(ctx)
}

func halfHours(from, to brimline.Time) (all []brimline.Time) {
	for t := from - from%(hour/2); t <= to; t += hour / 2 {
		if t >= from {
			all = append(all, t)
		}
	}
	return all
}

func (l *fakeLedger) EdgesOf(
	ctx context.Context, user string, spans []sliding.Span, after ...brimline.Source,
) (all [][]brimline.Time, lsn uint64, err error) {
	l.mu.Lock()
	l.together++
	l.mu.Unlock()
	for _, s := range spans {
		if err := l.judge(user, s.Rule, s.From, s.To); err != nil {
			return nil, 0, err
		}
		l.mu.Lock()
		edges := slices.Clone(l.edges)
		l.mu.Unlock()
		if edges == nil {
			edges = halfHours(s.From, s.To)
		}
		edges = slices.DeleteFunc(edges, func(t brimline.Time) bool { return t < s.From || t > s.To })
		all = append(all, edges)
	}
	return all, 99, l.question(ctx)
}

func (l *fakeLedger) Unseen(_ context.Context, after []brimline.Source) (unseen []brimline.Source, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.looked++
	for _, src := range after {
		if l.open != nil && l.open(src) {
			unseen = append(unseen, src)
		}
	}
	return unseen, l.err
}

func (l *fakeLedger) AsOf(_ context.Context, _ string, _ *sliding.Rule, at brimline.Time) (brimline.AsOf, error) {
	return brimline.AsOf{At: at, Total: total(7), Count: 1}, nil
}

// short refuses questions about users with many rows.
type short struct {
	*fakeLedger
	w *world
}

func (l short) refuses(user string, at brimline.Time) error {
	if l.w.heavy != nil && l.w.heavy(user, at) {
		return fmt.Errorf("asking about %q: %w", user, sliding.ErrManyRows)
	}
	return nil
}

func (l short) Figures(
	ctx context.Context, user string, rule *sliding.Rule, at brimline.Time, after ...brimline.Source,
) (brimline.Figures, uint64, error) {
	if err := l.refuses(user, at); err != nil {
		return brimline.Figures{}, 0, err
	}
	return l.fakeLedger.Figures(ctx, user, rule, at, after...)
}

func (l short) Edges(
	ctx context.Context, user string, rule *sliding.Rule, from, to brimline.Time, after ...brimline.Source,
) ([]brimline.Time, uint64, error) {
	if err := l.refuses(user, from); err != nil {
		return nil, 0, err
	}
	return l.fakeLedger.Edges(ctx, user, rule, from, to, after...)
}

func (l short) EdgesOf(
	ctx context.Context, user string, spans []sliding.Span, after ...brimline.Source,
) ([][]brimline.Time, uint64, error) {
	for _, s := range spans {
		if err := l.refuses(user, s.From); err != nil {
			return nil, 0, err
		}
	}
	return l.fakeLedger.EdgesOf(ctx, user, spans, after...)
}

type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if os.Getenv("BRIMLINE_TEST_LOG") != "" {
		return os.Stderr.Write(b)
	}
	return io.Discard.Write(b)
}

func seedOf(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, cmp.Or(seed, 1)))
}
