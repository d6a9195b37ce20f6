package views

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/leaks"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/lovoo/goka"
)

const partitions = 3

func TestMain(m *testing.M) { leaks.Main(m) }

// fixture is a broker with the tables of one group.
type fixture struct {
	t       *testing.T
	broker  *embedded.Broker
	kafka   kafka.Options
	streams processors.Streams
	cluster *kafka.Cluster
}

func newFixture(t *testing.T) *fixture { return newFixtureIn(t, "") }

// newFixtureIn has a broker whose state outlives it, in dir.
func newFixtureIn(t *testing.T, dir string) *fixture {
	ctx := t.Context()
	broker, err := embedded.StartBroker(ctx, embedded.BrokerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	f := &fixture{t: t, broker: broker, kafka: kafka.Options{Brokers: broker.Addrs()},
		streams: processors.NewStreams("g", "source", "alerts")}
	if f.cluster, err = kafka.Dial(ctx, f.kafka, kafka.Quick); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.cluster.Close() })
	f.create(f.streams.WindowTable, f.streams.IndexTable)
	return f
}

func (f *fixture) create(tables ...string) {
	f.t.Helper()
	for _, table := range tables {
		_, err := f.cluster.Ensure(f.t.Context(), []kafka.Topic{{Name: table, Partitions: partitions, Kind: kafka.Table}},
			kafka.Durability{})
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

// put writes values as the processor does: the same hasher, no transaction.
func (f *fixture) put(table string, codec goka.Codec, pairs ...any) {
	f.t.Helper()
	e, err := goka.NewEmitter(f.kafka.Brokers, goka.Stream(table), codec,
		goka.WithEmitterHasher(processors.Hasher), goka.WithEmitterProducerBuilder(f.kafka.ProducerBuilder()))
	if err != nil {
		f.t.Fatal(err)
	}
	for i := 0; i < len(pairs); i += 2 {
		if err := e.EmitSync(pairs[i].(string), pairs[i+1]); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := e.Finish(); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) putWindows(pairs ...any) {
	f.put(f.streams.WindowTable, codecs.WindowTable{}, pairs...)
}

func (f *fixture) config() Config {
	return Config{
		Brokers: f.kafka.Brokers, Group: f.streams.Group,
		Rules: &brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{week.Rule}},
	}
}

// run runs a view until the test ends or stop is called, which waits for its end.
func run(t *testing.T, v interface {
	Run(context.Context) error
	WaitRecovered(context.Context) error
}) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- v.Run(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-ended; err != nil {
				t.Errorf("Run: %v", err)
			}
		}
	}
	t.Cleanup(stop)
	wait, done := context.WithTimeout(t.Context(), 30*time.Second)
	defer done()
	if err := v.WaitRecovered(wait); err != nil {
		t.Fatal(err)
	}
	return stop
}

func openWindows(t *testing.T, c Config) *Windows {
	t.Helper()
	w, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func user(t *testing.T, w *Windows, id string) User {
	t.Helper()
	u, err := w.User(t.Context(), id, noon)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// eventually waits until a view has caught up with what was written.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestWindowsFollowTheTable(t *testing.T) {
	f := newFixture(t)
	f.putWindows("alice", window(7, -1, "40.00", -2, "2.50"), "bob", window(9, -1, "1.00"))
	w := openWindows(t, f.config())
	_, err := w.User(t.Context(), "alice", noon)
	wantKind(t, err, "view_not_recovered")
	if w.Recovered() {
		t.Error("Recovered before Run")
	}
	stop := run(t, w)

	u := user(t, w, "alice")
	if !u.Found || len(u.Rows) != 2 || u.Rules[0].At.Total.Format(2) != "42.50" || u.Rules[0].At.Count != 2 {
		t.Errorf("alice: %+v", u)
	}
	if want := processors.Partition("alice", partitions); u.AsOf.Partition != want ||
		u.AsOf.Input != 6 || u.AsOf.Lag != 0 {
		t.Errorf("as of %+v, want partition %d, input 6, lag 0", u.AsOf, want)
	}
	if u := user(t, w, "nobody"); u.Found || u.Rules[0].At.Total.Sign() != 0 ||
		u.Rules[0].Distance.Format(2) != "3000.00" {
		t.Errorf("nobody: %+v", u)
	}

	f.putWindows("alice", window(8, -1, "40.00", -2, "2.50", -3, "1.00"))
	eventually(t, "the third row is seen", func() bool { return len(user(t, w, "alice").Rows) == 3 })

	stop()
	_, err = w.User(t.Context(), "alice", noon)
	wantKind(t, err, "view_stopped")
	if w.Recovered() {
		t.Error("Recovered after the stop")
	}
}

func TestWindowsKeepTheNewerValue(t *testing.T) {
	f := newFixture(t)
	w := openWindows(t, f.config())
	f.putWindows("u", window(20, -1, "20.00"), "u", window(10, -1, "10.00")) // the second by a thawed instance
	run(t, w)
	if u := user(t, w, "u"); u.AsOf.Input != 19 {
		t.Errorf("recovery took the value of input %d, want 19", u.AsOf.Input)
	}
	f.putWindows("u", window(15, -1, "15.00"), "u", window(21, -1, "21.00"), "u",
		window(20, -1, "20.00"), "end", window(1))
	eventually(t, "the end is seen", func() bool { return user(t, w, "end").Found })
	eventually(t, "u is at input 20", func() bool {
		return user(t, w, "u").AsOf.Input == 20 && user(t, w, "u").AsOf.Lag == 0
	})
	if total := user(t, w, "u").Rules[0].At.Total.Format(2); total != "21.00" {
		t.Errorf("total %s, want 21.00", total)
	}
	// The same input folded again after a crash is the same value or a newer one: the later record counts.
	f.putWindows("u", window(21, -1, "21.50"))
	eventually(t, "an equal input replaces", func() bool { return user(t, w, "u").Rules[0].At.Total.Format(2) == "21.50" })
}

func TestWindowsSeeTruncations(t *testing.T) {
	f := newFixture(t)
	marker := processors.MarkerKey(processors.Partition("u", partitions), partitions)
	f.putWindows("u", window(5, -1, "20.00"))
	w := openWindows(t, f.config())
	run(t, w)
	if n := len(user(t, w, "u").Rows); n != 1 {
		t.Fatalf("%d rows before the truncation, want 1", n)
	}
	f.putWindows(marker, window(5)) // as an older brimline wrote it down
	eventually(t, "u is empty", func() bool { return len(user(t, w, "u").Rows) == 0 })
	f.putWindows("u", window(6, -1, "20.00"))
	eventually(t, "a row after it counts", func() bool { return len(user(t, w, "u").Rows) == 1 })
	f.putWindows(marker, &brimline.Marker{TruncatedAt: 6})
	eventually(t, "u is empty again", func() bool { return len(user(t, w, "u").Rows) == 0 })
	if u := user(t, w, "u"); !u.Found || u.Rules[0].At.Total.Sign() != 0 || !u.Rules[0].Complete {
		t.Errorf("after the truncation: %+v", u)
	}
	f.putWindows("u", window(7, -1, "1.00"))
	eventually(t, "a row after it counts", func() bool { return len(user(t, w, "u").Rows) == 1 })
	_, err := w.User(t.Context(), marker, noon)
	wantKind(t, err, "bad_user_id")
}

func TestLocalCopyIsKeptAndShared(t *testing.T) {
	f := newFixture(t)
	f.putWindows("u", window(5, -1, "20.00"), "__offset", window(6, -1, "1.00"))
	c := f.config()
	c.Dir = t.TempDir()
	first := openWindows(t, c)
	stop := run(t, first)
	if u := user(t, first, "__offset"); len(u.Rows) != 1 {
		t.Errorf("a user called __offset: %+v", u)
	}

	second := openWindows(t, c)
	stopSecond := run(t, second)
	if u := user(t, second, "u"); len(u.Rows) != 1 {
		t.Errorf("beside another process: %+v", u)
	}
	stopSecond()
	stop()

	// Proof that the copy is read and not only the topic: what is only in the copy is seen.
	id, err := f.cluster.TopicID(f.streams.WindowTable)
	if err != nil {
		t.Fatal(err)
	}
	dir := table.CopyDir(c.Dir, f.streams.WindowTable, id, quiet())
	p := processors.Partition("hidden", partitions)
	s := table.OpenCopy(dir, f.streams.WindowTable, p, quiet())
	raw, err := codecs.WindowPart{}.Encode(window(1, -1, "3.00"))
	if err = errors.Join(err, s.Open(), s.Set("hidden", raw), s.Close()); err != nil {
		t.Fatal(err)
	}
	again := openWindows(t, c)
	stop = run(t, again)
	if !user(t, again, "hidden").Found || !user(t, again, "u").Found || !user(t, again, "__offset").Found {
		t.Error("the copy was not used again")
	}
	stop()

	// A topic created anew is another table.
	if err := f.cluster.Delete(t.Context(), f.streams.WindowTable); err != nil {
		t.Fatal(err)
	}
	f.create(f.streams.WindowTable)
	anew := openWindows(t, c)
	run(t, anew)
	if user(t, anew, "u").Found || user(t, anew, "hidden").Found {
		t.Error("the copy of a deleted table is served")
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy of the deleted table is still there: %v", err)
	}
}

func TestDamagedCopyIsReadAnew(t *testing.T) {
	f := newFixture(t)
	f.putWindows("u", window(5, -1, "20.00"))
	c := f.config()
	c.Dir = t.TempDir()
	run(t, openWindows(t, c))()
	current, err := filepath.Glob(filepath.Join(c.Dir, "views", f.streams.WindowTable, "*", "*", "CURRENT"))
	if err != nil || len(current) != partitions {
		t.Fatalf("%d copies: %v", len(current), err)
	}
	for _, file := range current {
		if err := os.WriteFile(file, []byte("MANIFEST-nonsense\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w := openWindows(t, c)
	run(t, w)
	if !user(t, w, "u").Found {
		t.Error("not read anew")
	}
}

func TestAnswersWhileKafkaIsAway(t *testing.T) {
	f := newFixture(t)
	f.putWindows("u", window(5, -1, "20.00"))
	w := openWindows(t, f.config())
	run(t, w)
	f.broker.Close()
	if u := user(t, w, "u"); !u.Found || u.AsOf.Lag != -1 || u.AsOf.Table != 0 {
		t.Errorf("while Kafka is away: %+v", u.AsOf)
	}
}

func TestViewOutlivesABrokerRestart(t *testing.T) {
	dir := t.TempDir()
	f := newFixtureIn(t, dir)
	f.putWindows("u", window(5, -1, "20.00"))
	w := openWindows(t, f.config())
	run(t, w)
	f.broker.Close()
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	f.putWindows("u", window(6, -1, "20.00", -2, "1.00"))
	eventually(t, "what was written after the restart is seen", func() bool { return len(user(t, w, "u").Rows) == 2 })
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	f := newFixture(t)
	c := f.config()
	c.Group = "other"
	_, err := Open(t.Context(), c)
	wantKind(t, err, "no_table")
	f.broker.Close()
	_, err = OpenAlerts(t.Context(), c)
	wantKind(t, err, kafka.KindUnreachable)
}

func wantKind(t *testing.T, err error, kind string) {
	t.Helper()
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != kind {
		t.Errorf("error %v, want kind %s", err, kind)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestWindowsPutSegmentsTogether: a user with segments has all rows and totals, and one whose segments are not all
// there is an error rather than a wrong figure.
func TestWindowsPutSegmentsTogether(t *testing.T) {
	f := newFixture(t)
	row := func(id string, amount brimline.Amount) brimline.Row {
		return brimline.RowOf(&brimline.Transaction{ID: id, Amount: amount,
			Time: brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))})
	}
	segment := &brimline.Window{Last: 3, Scale: 2, Floor: brimline.MinTime,
		Rows: []brimline.Row{row("1", 100), row("2", 200)}}
	raw, err := codecs.WindowPart{}.Encode(segment)
	if err != nil {
		t.Fatal(err)
	}
	value := &brimline.Window{Last: 4, Scale: 2, Floor: brimline.MinTime, Gone: []string{"1"}, Rows: []brimline.Row{row("3", 1000)},
		Older: brimline.Segments{First: 7, Next: 8, Check: codecs.SegmentCheck(raw)}}
	f.putWindows(processors.SegmentKey("whole", 7), segment, "whole", value, "torn", value)
	w := openWindows(t, f.config())
	run(t, w)
	u, err := w.User(t.Context(), "whole", row("", 0).Time)
	if err != nil || len(u.Rows) != 2 || u.Rules[0].At.Total != brimline.Amount(1200).Total() {
		t.Errorf("%+v, %v", u, err)
	}
	_, err = w.User(t.Context(), "torn", row("", 0).Time)
	wantKind(t, err, "view_read")
	_, err = w.User(t.Context(), processors.SegmentKey("whole", 7), row("", 0).Time)
	wantKind(t, err, "bad_user_id")
}
