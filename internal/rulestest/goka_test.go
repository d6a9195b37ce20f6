package rulestest

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/lovoo/goka"
	"github.com/lovoo/goka/tester"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/window"
)

// Every scenario holds on the window stage as goka runs it, with its table, its codecs and its segments.
func TestScenariosOnGoka(t *testing.T) {
	for _, c := range scenarios(t) {
		t.Run(c.Name, func(t *testing.T) {
			mustPass(t, newGokaGround(t, c), []*Case{c}, Options{})
		})
	}
}

// gokaGround is the window stage under goka's own tester. Verify's part is played by a table in memory, as for Fold.
type gokaGround struct {
	verifier
	*tester.Tester
	t       *testing.T
	folder  *folder // for route alone
	streams processors.Streams
	found   []*tester.QueueTracker // of candidates and of questions
	alerts  []Alert
}

func newGokaGround(t *testing.T, c *Case) *gokaGround {
	t.Helper()
	set := c.File.Rules
	g := &gokaGround{
		verifier: newVerifier(set), Tester: tester.New(t), t: t, folder: newFolder(set),
		streams: processors.NewStreams("g", "src", "alerts"),
	}
	markers, states := window.NewMarkers(1), window.NewStates(1<<20)
	graph := window.Graph(window.Config{
		Streams: g.streams, Rules: set.RuleSet, Compiled: set.Compiled(), Keep: keepEdges,
		Markers: markers, States: states, Seen: window.NewSeen(&set.RuleSet, keepEdges, time.Now),
		Clock: time.Now, Metrics: window.NewMetrics(prometheus.NewRegistry()), Log: slog.New(slog.DiscardHandler),
	})
	options := table.New(table.Options{
		Open: g.StorageBuilder(), Keep: processors.KeepNewer, Watch: window.Watch(markers, states),
	}).Processor()
	p, err := goka.NewProcessor(nil, graph, append([]goka.ProcessorOption{goka.WithTester(g.Tester)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	g.found = []*tester.QueueTracker{g.NewQueueTracker(g.streams.Candidates), g.NewQueueTracker(g.streams.Questions)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("processor: %v", err)
		}
	})
	if err := p.WaitForReadyContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gokaGround) Do(_ context.Context, turns []Turn) error {
	for _, t := range turns {
		if t.Step.Kind == rules.RowsChange {
			g.change(t.Step.Changes)
		}
	}
	return nil
}

func (g *gokaGround) change(rows []rules.RowChange) {
	var stream []brimline.Change
	for i := range rows {
		apply(&g.table, &rows[i])
		stream = append(stream, g.folder.route(&rows[i])...)
	}
	for ; len(stream) > 0; stream = stream[1:] {
		c := &stream[0]
		key := c.User
		if c.Kind == brimline.Truncate {
			key = processors.MarkerKey(0, 1)
		}
		value, err := codecs.Change{}.Encode(c)
		if err != nil {
			g.t.Fatal(err)
		}
		g.Consume(g.streams.Changes, key, value)
		for i, topic := range g.found {
			for {
				_, v, ok := topic.Next()
				if !ok {
					break
				}
				for _, candidate := range v.([]brimline.Candidate) {
					candidate.Apart = i == 1
					alert, answer := g.verify(&candidate)
					if alert != nil {
						g.alerts = append(g.alerts, *alert)
					}
					if answer != nil {
						stream = append(stream, *answer)
					}
				}
			}
		}
	}
}

func (g *gokaGround) Sent(context.Context, *Case) ([]Alert, error) {
	sent := g.alerts
	g.alerts = nil
	return sent, nil
}
