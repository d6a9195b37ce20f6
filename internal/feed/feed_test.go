package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
)

const topic = "alerts"

// world is a broker with a topic, and what was committed to it by partition.
type world struct {
	*testing.T
	options   kafka.Options
	admin     *kadm.Client
	writer    *kgo.Client
	reader    *Reader
	random    *rand.Rand
	committed [][]string // values
	count     int
}

func newWorld(t *testing.T, partitions int) *world {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{Announced: true})
	must(t, err)
	t.Cleanup(broker.Close)
	w := &world{T: t, options: kafka.Options{Brokers: broker.Addrs()}, random: rand.New(rand.NewPCG(seed, 0))}
	w.writer, err = kgo.NewClient(kgo.SeedBrokers(broker.Addrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID("writer"), kgo.MetadataMinAge(20*time.Millisecond))
	must(t, err)
	t.Cleanup(w.writer.Close)
	w.admin = kadm.NewClient(w.writer)
	w.create(partitions)
	w.reader, err = Open(w.options)
	must(t, err)
	t.Cleanup(w.reader.Close)
	return w
}

func (w *world) create(partitions int) {
	w.Helper()
	_, err := w.admin.CreateTopic(
		w.Context(),
		int32(partitions),
		1,
		map[string]*string{"message.timestamp.type": new("LogAppendTime")},
		topic,
	)
	must(w, err)
	w.committed = make([][]string, partitions)
}

// write makes a transaction of n records, and commits it or not.
func (w *world) write(n int, commit bool) {
	w.Helper()
	must(w, w.writer.BeginTransaction())
	for range n {
		p := w.random.IntN(len(w.committed))
		w.count++
		value := strconv.Itoa(w.count)
		must(
			w,
			w.writer.ProduceSync(w.Context(), &kgo.Record{Topic: topic, Partition: int32(p), Value: []byte(value)}).FirstErr(),
		)
		if commit {
			w.committed[p] = append(w.committed[p], value)
		}
	}
	must(w, w.writer.EndTransaction(w.Context(), kgo.TransactionEndTry(commit)))
}

func (w *world) extent() *Extent {
	w.Helper()
	e, err := w.reader.Extent(w.Context(), topic)
	must(w, err)
	return e
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever the size of pages, together they are the topic: each committed record once, newest first.
func TestPagesAreTheTopic(t *testing.T) {
	w := newWorld(t, 3)
	for range 40 {
		w.write(1+w.random.IntN(5), w.random.IntN(4) > 0)
	}
	e, committed, total := w.extent(), make([][]string, 3), 0
	for p := range committed {
		committed[p] = slices.Clone(w.committed[p])
		total += len(committed[p])
	}
	w.write(3, true) // comes after the extent, and is not seen
	if !e.Steady {
		t.Error("the topic's times are not known to be the broker's")
	}
	for _, x := range []struct{ found, most int }{{1, 1000}, {7, 1000}, {1000, 1}, {1000, 13}, {1000, 100_000}} {
		got := make([][]string, 3)
		next, pages := e.End, 0
		for {
			var last time.Time
			found := 0
			l, err := w.reader.Newest(t.Context(), e, e.Low, next, x.most, func(m Record) bool {
				if found == x.found {
					return false
				}
				if !last.IsZero() && m.At.After(last) {
					t.Errorf("%v: %s comes after %s", x, m.At, last)
				}
				last = m.At
				got[m.Partition] = append(got[m.Partition], string(m.Value))
				found++
				return true
			})
			must(t, err)
			if found > x.found || found > x.most {
				t.Errorf("%v: a page of %d records and %d offsets", x, found, l.Offsets)
			}
			if pages++; l.Done {
				break
			}
			if slices.Equal(l.Next, next) {
				t.Fatalf("%v: a page came no further than %v", x, next)
			}
			next = l.Next
		}
		for p := range got {
			slices.Reverse(got[p])
			if !slices.Equal(got[p], committed[p]) {
				t.Errorf("%v: partition %d has %v on %d pages, want %v", x, p, got[p], pages, committed[p])
			}
		}
	}
	if total == 0 {
		t.Error("nothing was committed")
	}
}

func uncommitted(w *world) int {
	n := w.count
	for _, all := range w.committed {
		n -= len(all)
	}
	return n
}

func TestFromTime(t *testing.T) {
	w := newWorld(t, 1)
	w.write(2, true)
	e := w.extent()
	var times []time.Time
	_, err := w.reader.Read(t.Context(), e, 0, 0, e.End[0], func(m Record) error {
		times = append(times, m.At)
		return nil
	})
	must(t, err)
	for _, x := range []struct {
		at   time.Time
		want int64
	}{{times[0].Add(-time.Hour), 0}, {times[0], 0}, {times[1].Add(time.Hour), e.End[0]}} {
		from, err := w.reader.From(t.Context(), e, x.at)
		must(t, err)
		if from[0] != x.want {
			t.Errorf("from %s: offset %d, want %d", x.at, from[0], x.want)
		}
	}
}

func TestPositions(t *testing.T) {
	p := Position{TopicID{1, 2, 255}, []int64{0, 12, 1 << 40}}
	back, err := ParsePosition(p.String())
	if err != nil || back.Topic != p.Topic || !slices.Equal(back.Next, p.Next) {
		t.Errorf("%s: %v, %v", p, back, err)
	}
	for _, bad := range []string{"", ".", "x", "AQL_AAAAAAAAAAAAAAAAAA", "AQL_AAAAAAAAAAAAAAAAAA.-1",
		"AQL_AAAAAAAAAAAAAAAAAA.01",
		"AQL_AAAAAAAAAAAAAAAAAA.1.", "AQL_AAAAAAAAAAAAAAAAAB.1", "AQL.1", "AQL_AAAAAAAAAAAAAAAAAA.99999999999999999999"} {
		if p, err := ParsePosition(bad); err == nil {
			t.Errorf("%q is read as %v", bad, p)
		}
	}
}

// live runs a Live; stop ends it.
func (w *world) live() (l *Live, stop func()) {
	l = NewLive(w.reader, topic, func(e *Event) []byte { return []byte(e.After) })
	ctx, cancel := context.WithCancel(w.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	var once bool
	stop = func() {
		if !once {
			once = true
			cancel()
			if err := <-done; err != nil {
				w.Error(err)
			}
		}
	}
	w.Cleanup(stop)
	_, err := l.Begin(w.Context())
	must(w, err)
	return l, stop
}

var errEnough = errors.New("enough")

// follow collects values by partition until it has n of them; at is where it stopped, kinds what else it was told.
func (w *world) follow(l *Live, from *Position, n int, into [][]string) (at *Position, kinds []EventKind) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), 30*time.Second)
	defer cancel()
	err := l.Follow(ctx, from, time.Hour, func(events []Event, now string) error {
		stop := func(after string) error {
			p, err := ParsePosition(after)
			must(w, err)
			at = &p
			return errEnough
		}
		for _, e := range events {
			if e.Kind != New {
				kinds = append(kinds, e.Kind)
				continue
			}
			if e.Frame != nil && string(e.Frame) != e.After {
				w.Errorf("a frame of %s for a reader at %s", e.Frame, e.After)
			}
			into[e.Record.Partition] = append(into[e.Record.Partition], string(e.Record.Value))
			if n--; n == 0 {
				return stop(e.After)
			}
		}
		if n <= 0 {
			return stop(now)
		}
		return nil
	})
	if !errors.Is(err, errEnough) {
		w.Fatalf("following ended with %v, %d records short", err, n)
	}
	return at, kinds
}

// A reader that comes again, to any instance, with what it last had, has each record once and in order.
func TestReadersMissAndRepeatNothing(t *testing.T) {
	w := newWorld(t, 3)
	w.write(5, true)
	one, _ := w.live()
	got := make([][]string, 3)
	at, _ := w.follow(one, nil, 0, got) // from now on
	skipped := make([]int, 3)
	for p := range skipped {
		skipped[p] = len(w.committed[p])
	}
	two, _ := w.live()
	seen := 0
	for range 25 {
		w.write(1+w.random.IntN(6), w.random.IntN(4) > 0)
		here := 0
		for p := range w.committed {
			here += len(w.committed[p]) - skipped[p]
		}
		take := w.random.IntN(here - seen + 1)
		l := []*Live{one, two}[w.random.IntN(2)]
		if w.random.IntN(8) == 0 { // one that knows nothing but the end
			var stop func()
			l, stop = w.live()
			defer stop()
		}
		at, _ = w.follow(l, at, take, got)
		seen += take
	}
	at, _ = w.follow(two, at, w.count-uncommitted(w)-5-seen, got)
	_ = at
	for p := range got {
		if want := w.committed[p][skipped[p]:]; !slices.Equal(got[p], want) {
			t.Errorf("partition %d: %v, want %v", p, got[p], want)
		}
	}
}

func TestPositionOfAnotherTopic(t *testing.T) {
	w := newWorld(t, 2)
	w.write(4, true)
	l, stop := w.live()
	at, _ := w.follow(l, nil, 0, make([][]string, 2))
	stop()
	if err := l.Follow(t.Context(), at, time.Hour, func([]Event, string) error { return nil }); !errors.Is(err, ErrEnded) {
		t.Errorf("a Live that has ended: %v", err)
	}
	_, err := w.admin.DeleteTopic(t.Context(), topic)
	must(t, err)
	w.writer.PurgeTopicsFromClient(topic)
	w.create(2)
	w.write(3, true)
	l, _ = w.live()
	got := make([][]string, 2)
	_, kinds := w.follow(l, at, 3, got)
	if !slices.Equal(kinds, []EventKind{Reset}) || fmt.Sprint(got) != fmt.Sprint(w.committed) {
		t.Errorf("%v and %v, want a reset and %v", kinds, got, w.committed)
	}
	// So is one that is beyond the end.
	beyond := w.extent()
	p := beyond.Position([]int64{beyond.End[0] + 1000, 0})
	if _, kinds := w.follow(l, &p, 3, make([][]string, 2)); !slices.Equal(kinds, []EventKind{Reset}) {
		t.Errorf("beyond the end: %v", kinds)
	}
}

func TestDeletedRecordsAreTold(t *testing.T) {
	w := newWorld(t, 1)
	w.write(10, true)
	l, _ := w.live()
	e := w.extent()
	start := e.Position([]int64{0})
	var cut kadm.Offsets
	cut.AddOffset(topic, 0, 4, -1)
	_, err := w.admin.DeleteRecords(t.Context(), cut)
	must(t, err)
	got := make([][]string, 1)
	_, kinds := w.follow(l, &start, 6, got)
	if !slices.Equal(kinds, []EventKind{Gap}) || !slices.Equal(got[0], w.committed[0][4:]) {
		t.Errorf("%v and %v, want a gap and %v", kinds, got, w.committed[0][4:])
	}
}

// Who does not take what is kept for readers is let go, and comes again without loss.
func TestSlowReaderIsLetGo(t *testing.T) {
	w := newWorld(t, 1)
	l, _ := w.live()
	held, release := make(chan struct{}), make(chan struct{})
	left := make(chan error, 1)
	var at string
	got := make([][]string, 1)
	go func() {
		left <- l.Follow(t.Context(), nil, time.Hour, func(events []Event, now string) error {
			at = now
			for _, e := range events {
				got[0] = append(got[0], string(e.Record.Value))
				if len(got[0]) == 1 {
					close(held)
					<-release
				}
			}
			return nil
		})
	}()
	_, err := l.Begin(t.Context())
	must(t, err)
	for waiting := true; waiting; { // until the reader is there
		w.write(1, true)
		select {
		case <-held:
			waiting = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	// More than is kept, without a broker in between.
	many := make([]*kgo.Record, keepEvents+1)
	l.mu.Lock()
	next := l.now[0]
	l.mu.Unlock()
	for i := range many {
		many[i] = &kgo.Record{Offset: next + int64(i), Value: []byte("x")}
	}
	l.add(many)
	close(release)
	if err := <-left; !errors.Is(err, ErrSlow) {
		t.Errorf("a slow reader is let go with %v", err)
	}
	if _, err := ParsePosition(at); err != nil {
		t.Error(err)
	}
	if n := len(l.events); n > keepEvents {
		t.Errorf("%d events are kept", n)
	}
}
