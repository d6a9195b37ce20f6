package window

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/storage"
	"github.com/lovoo/goka/tester"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
)

// stage is the graph under goka's own tester.
type stage struct {
	*tester.Tester
	t       *testing.T
	streams processors.Streams
	proc    *goka.Processor
	seen    *Seen
	found   *tester.QueueTracker // of candidates
	apart   *tester.QueueTracker // of questions
	states  *States
}

// start runs the graph with a rule "r", and further ones.
func start(t *testing.T, further ...brimline.Rule) *stage {
	t.Helper()
	s := &stage{Tester: tester.New(t), t: t, streams: processors.NewStreams("g", "src", "alerts")}
	rule := brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(100)}
	set := brimline.RuleSet{Rules: append([]brimline.Rule{rule}, further...)}
	var compiled []sliding.Rule
	for _, r := range set.Rules {
		compiled = append(compiled, sliding.Rule{Rule: r, Fingerprint: r.Fingerprint()})
	}
	markers, states := NewMarkers(1), NewStates(1<<20)
	s.states = states
	s.seen = NewSeen(&set, time.Hour, func() time.Time { return time.Unix(1e9, 0) })
	graph := Graph(Config{
		Streams: s.streams, Rules: set, Seen: s.seen, Compiled: compiled, Keep: time.Hour,
		Markers: markers, States: states, Clock: func() time.Time { return time.Unix(1e9, 0) },
		Metrics: NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	options := kept(s.StorageBuilder(), markers, states).Processor()
	proc, err := goka.NewProcessor(nil, graph, append([]goka.ProcessorOption{goka.WithTester(s.Tester)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	s.proc, s.found = proc, s.NewQueueTracker(s.streams.Candidates)
	s.apart = s.NewQueueTracker(s.streams.Questions)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- proc.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("processor: %v", err)
		}
	})
	if err := proc.WaitForReadyContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// kept is the stage's table over storages that hold no more than they must.
func kept(build storage.Builder, m *Markers, s *States) *table.Table {
	return table.New(table.Options{Open: build, Keep: processors.KeepNewer, Watch: Watch(m, s)})
}

func (s *stage) change(user string, c brimline.Change) {
	c.User = user
	b, err := codecs.Change{}.Encode(&c)
	if err != nil {
		s.t.Fatal(err)
	}
	s.Consume(s.streams.Changes, user, b)
}

func (s *stage) row(user, id string, amount brimline.Amount, at time.Duration) {
	s.change(user, brimline.Change{Kind: brimline.Upsert, Row: brimline.Transaction{
		ID: id, User: user, Amount: amount, Time: brimline.Time(at.Microseconds()),
	}})
}

func (s *stage) window(user string) *brimline.Window {
	w, _ := s.TableValue(goka.Table(s.streams.WindowTable), user).(*brimline.Window)
	return w
}

// candidates are those emitted since the last call.
func (s *stage) candidates() []string { return idsIn(s.found) }

// questions are those about old rows.
func (s *stage) questions() []string { return idsIn(s.apart) }

func idsIn(topic *tester.QueueTracker) (ids []string) {
	for {
		_, v, ok := topic.Next()
		if !ok {
			return ids
		}
		for _, c := range v.([]brimline.Candidate) {
			ids = append(ids, c.ID())
		}
	}
}

// TestGraphIsInTheTopology: what the stage reads and writes is what the flow as data says.
func TestGraphIsInTheTopology(t *testing.T) {
	streams := processors.NewStreams("g", "src", "alerts")
	graph := Graph(Config{Streams: streams})
	for _, stage := range processors.Topology(streams) {
		if stage.Name != processors.Window {
			continue
		}
		for what, of := range map[string]struct {
			graph goka.Edges
			data  []processors.Stream
		}{"in": {graph.InputStreams(), stage.In}, "out": {graph.OutputStreams(), stage.Out}} {
			var is, said []string
			for _, e := range of.graph {
				if e.Topic() != streams.WindowSegments { // the table by another name
					is = append(is, e.Topic())
				}
			}
			for _, e := range of.data {
				said = append(said, e.Topic)
			}
			slices.Sort(is)
			slices.Sort(said)
			if len(is) == 0 || !slices.Equal(is, said) {
				t.Errorf("%s: %v, and the topology says %v", what, is, said)
			}
		}
	}
}

func TestGraphEmitsAndKeeps(t *testing.T) {
	s := start(t)
	s.row("u", "1", 90, 0)
	s.row("u", "2", 11, time.Minute)
	s.row("v", "3", 100, 0)
	if got := s.candidates(); len(got) != 1 || got[0] != "u/r/1970-01-01T00:01:00.000000Z" {
		t.Errorf("candidates %v", got)
	}
	if w := s.window("u"); len(w.Rows) != 2 || w.Last != 2 {
		t.Errorf("window %+v", w)
	}
}

func TestGraphTruncates(t *testing.T) {
	s := start(t)
	s.row("u", "1", 90, 0)
	s.change(processors.MarkerKey(0, 1), brimline.Change{Kind: brimline.Truncate})
	s.row("u", "2", 90, time.Minute)
	if got, w := s.candidates(), s.window("u"); len(got) != 0 || len(w.Rows) != 1 {
		t.Errorf("candidates %v, window %+v", got, w)
	}
}

func TestGraphKeepsWhatItCannotDecode(t *testing.T) {
	s := start(t)
	dead := s.NewQueueTracker(s.streams.DeadLetters)
	s.Consume(s.streams.Changes, "u", []byte("?"))
	_, v, ok := dead.Next()
	if d, _ := v.(*brimline.DeadLetter); !ok || d.Kind != "bad_change" || string(d.Value) != "?" {
		t.Errorf("dead letter %+v", v)
	} else if d.Error != "format version 63 is not known" || d.Remedy != "run the brimline that wrote it, or a newer one" {
		t.Errorf("the dead letter does not say what the codec says: %q, remedy %q", d.Error, d.Remedy)
	}
	s.row("u", "1", 101, 0)
	if len(s.candidates()) != 1 {
		t.Error("the partition stopped")
	}
}

// sweep announces a sweep, and makes it.
func (s *stage) sweep(meta int) {
	s.t.Helper()
	s.change(processors.MarkerKey(0, 1),
		brimline.Change{Kind: brimline.Sweep, Row: brimline.Transaction{Time: s.seen.Horizons()[0]}})
	if _, err := s.visit(s.t.Context(), meta); err != nil {
		s.t.Fatal(err)
	}
}

// visit gives how many keys were visited. The walk ends with ctx, and goka then waits for what it has begun: with a
// context of its own that ends it would count and read the count at once.
func (s *stage) visit(ctx context.Context, meta int) (n int64, err error) {
	err = s.states.Walk(ctx, func() (err error) {
		n, err = s.proc.VisitAllWithStats(s.t.Context(), SweepVisitor, meta)
		return err
	})
	return n, err
}

func TestSweepForgetsOnlyTheIdle(t *testing.T) {
	s := start(t)
	sweep := s.sweep
	s.row("old", "1", 90, 0)
	s.row("new", "2", 90, 100*time.Hour)
	s.row("late", "3", 90, time.Minute) // old by its time, but it has only just arrived
	sweep(1)
	if s.window("old") == nil || s.window("late") == nil {
		t.Error("a user was forgotten who may still be replayed")
	}
	s.row("new", "4", 1, 101*time.Hour)
	sweep(2)
	if s.window("old") != nil || s.window("late") != nil || s.window("new") == nil {
		t.Errorf("old %v, late %v, new %v", s.window("old"), s.window("late"), s.window("new"))
	}
	s.questions()
	s.row("old", "5", 20, time.Minute) // with row 1 it is over the limit
	if got := s.questions(); len(got) != 1 {
		t.Errorf("an old row of a forgotten user asked %v", got)
	}
}

func TestGraphWritesSegments(t *testing.T) {
	s := start(t)
	records := s.NewQueueTracker(s.streams.WindowSegments)
	for i := range 100 {
		s.row("u", fmt.Sprint(i), 1, time.Duration(i)*time.Second)
	}
	w := s.window("u")
	if w.Older.Len() == 0 {
		t.Fatalf("a user with 100 rows has no segments: %+v", w)
	}
	log := map[string][]byte{}
	for {
		key, v, ok := records.Next()
		if !ok {
			break
		}
		if log[key], _ = v.([]byte); log[key] == nil {
			delete(log, key)
		}
	}
	if len(log) != w.Older.Len() {
		t.Errorf("the changelog has %d segments, the value names %d", len(log), w.Older.Len())
	}
	whole, _, err := codecs.AssembleWindow(w, func(n uint64) ([]byte, error) {
		return log[processors.SegmentKey("u", n)], nil
	})
	if err != nil || len(whole.Rows) != 100 {
		t.Fatalf("%+v, %v", whole, err)
	}
	in := s.TableValue(goka.Table(s.streams.WindowTable), processors.SegmentKey("u", w.Older.First))
	if in == nil {
		t.Error("the table does not hold the first segment")
	}
}

// TestQuestionsOfAMessageAreOneRecord: those of all rules that travel one way, in the order of their causes.
func TestQuestionsOfAMessageAreOneRecord(t *testing.T) {
	s := start(t, hourly("two", 50, brimline.SumAbs), hourly("three", 70, brimline.SumAbs))
	s.row("ahead", "1", 1, 100*time.Hour)
	s.sweep(1)
	s.sweep(2)
	s.row("u", "2", 1, time.Hour)
	_, v, _ := s.apart.Next()
	asked, _ := v.([]brimline.Candidate)
	if len(asked) != 3 {
		t.Fatalf("an old row asks %+v", v)
	}
	rules := map[string]bool{}
	for i := range asked {
		rules[asked[i].Rule.ID] = true
		if i > 0 && asked[i].Cause.Compare(asked[i-1].Cause) <= 0 {
			t.Errorf("cause %v behind %v", asked[i].Cause, asked[i-1].Cause)
		}
	}
	if len(rules) != 3 || len(s.questions())+len(s.candidates()) != 0 {
		t.Errorf("asked for rules %v, and more", rules)
	}
}

// TestSweepSparesWhoWaits: with questions open, users stay. Else the answer to the second would announce again what
// the first has announced.
func TestSweepSparesWhoWaits(t *testing.T) {
	s := start(t)
	rule := brimline.Rule{ID: "r", Window: time.Hour, Limit: brimline.Count(100)}
	answer := func(of *brimline.Candidate, edges ...brimline.Time) {
		s.change("u", brimline.Change{Kind: brimline.EdgesFound, Apart: of.Apart, Rule: rule.Fingerprint(), Edges: edges,
			Cause: of.Cause.Offset, Index: of.Cause.Index})
	}
	asked := func() *brimline.Candidate {
		t.Helper()
		_, v, ok := s.apart.Next()
		all, _ := v.([]brimline.Candidate)
		if !ok || len(all) != 1 || all[0].Kind != brimline.LateCandidate {
			t.Fatalf("nothing was asked, or too much: %+v", v)
		}
		all[0].Apart = true // as its topic says
		return &all[0]
	}
	s.row("ahead", "1", 1, 100*time.Hour)
	s.sweep(1)
	s.sweep(2)
	s.row("u", "2", 150, time.Hour)
	first := asked()
	s.row("u", "3", 1, 90*time.Minute)
	second := asked()
	s.row("ahead", "4", 1, 200*time.Hour)
	s.sweep(3)
	s.sweep(4)
	edge := brimline.Time(time.Hour.Microseconds())
	answer(first, edge)
	s.row("ahead", "5", 1, 300*time.Hour)
	s.sweep(5)
	s.sweep(6)
	answer(second, edge)
	if got := s.candidates(); len(got) != 1 {
		t.Errorf("an edge was announced %d times: %v", len(got), got)
	}
	s.row("ahead", "6", 1, 400*time.Hour)
	s.sweep(7)
	s.sweep(8)
	if s.window("u") != nil {
		t.Error("a user whose questions have their answers stays for ever")
	}
}

// TestSweepGoesByTheSlowestPartition of the source topic: rows of users who seem old by the others are still to come.
func TestSweepGoesByTheSlowestPartition(t *testing.T) {
	s := start(t)
	from := func(partition int32, user, id string, at time.Duration) {
		s.change(user, brimline.Change{Kind: brimline.Upsert, Source: brimline.Source{Partition: partition},
			Row: brimline.Transaction{
				ID: id, User: user, Amount: 1, Time: brimline.Time(at.Microseconds()),
			}})
	}
	from(0, "slow", "1", 0)
	from(1, "fast", "2", 500*time.Hour)
	s.sweep(1)
	s.sweep(2)
	if s.window("slow") == nil {
		t.Error("swept by the clock of the fast partition")
	}
	from(0, "slower", "3", 200*time.Hour)
	s.sweep(3)
	s.sweep(4)
	if s.window("slow") != nil || s.window("slower") == nil {
		t.Errorf("slow %v, slower %v", s.window("slow"), s.window("slower"))
	}
	// A partition from which nothing comes any more holds no other up.
	for i := range silentAfter + 1 {
		s.seen.saw(0, int64(100+i), &brimline.Change{Kind: brimline.Upsert, Source: brimline.Source{Partition: 1},
			Row: brimline.Transaction{Time: brimline.Time((500 * time.Hour).Microseconds())}})
	}
	s.sweep(5)
	s.sweep(6)
	if s.window("slower") != nil {
		t.Error("a partition from which nothing comes holds sweeps up")
	}
}
