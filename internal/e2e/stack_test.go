package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

const stackTopic = "postgres.streaming.transactions"

// stack is the real stack of deploy/stack, one for the whole run.
type stack struct {
	*testkit.Parts
	*testkit.Stack
	table testkit.Table
}

var startStack = sync.OnceValues(func() (*stack, error) {
	s := &stack{}
	var err error
	if s.Stack, err = testkit.NewStack(filepath.Join("..", "..", "deploy", "stack")); err != nil {
		return nil, err
	}
	embeddedStop := stopAll
	stopAll = func() {
		embeddedStop()
		if err := s.Wipe(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err := s.Up(nil); err != nil {
		return nil, err
	}
	s.Parts, err = testkit.Connected(strings.Split(s.Env["KAFKA_BROKERS"], ","), s.Env["DATABASE_URL"])
	return s, err
})

// realStack starts the stack for the first test that needs it.
func realStack(t *testing.T) *stack {
	t.Helper()
	if os.Getenv("BRIMLINE_STACK") == "" {
		t.Skip("the real stack (a JVM, Maven) runs in `make test-stack`: BRIMLINE_STACK is not set")
	}
	s, err := startStack()
	if err != nil {
		t.Fatalf("the stack: %v", err)
	}
	return s
}

// begin empties the table and starts the connector over in a variant; rows, if
// any, are there for its snapshot. It gives a job on the stack's own table and topic.
func (s *stack) begin(t *testing.T, variant, rulesYAML string, rows []testkit.Row) *job {
	t.Helper()
	s.table = testkit.OpenTable(t, s.Env["DATABASE_URL"], "streaming", "transactions")
	s.table.Empty(t)
	s.table.Insert(t, rows)
	if _, err := s.Script("switch.sh", []string{"KAFKA_PARTITIONS=8", "REPLICA_IDENTITY=FULL"}, variant); err != nil {
		t.Fatal(err)
	}
	name := testkit.Unique(t)
	j := &job{
		Parts: s.Parts, table: s.table, url: s.Env["BRIMLINE_DATABASE_URL"], state: t.TempDir(),
		names: processors.NewStreams("g_"+name, stackTopic, "alerts_"+name),
	}
	j.setRules(t, rulesYAML)
	return j
}

// waitSource waits until the change stream holds n records.
func (j *job) waitSource(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := j.WaitRecords(ctx, j.names.Source, int64(n)); err != nil {
		t.Fatalf("waiting for %d records of %s: %v", n, j.names.Source, err)
	}
}

var stackRows = testkit.Shape{
	Users: 2000, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	Span: 28 * 24 * time.Hour, Grain: time.Minute, MaxAmount: 100_00, Heavy: 0.01,
}

// TestStackEdges is the judge on 100,000 rows through real Debezium, eight
// partitions and two processes; half of the rows come by the snapshot.
func TestStackEdges(t *testing.T) {
	s := realStack(t)
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	h := stackRows
	h.Rows = 100_000
	rows := h.Draw(r)
	j := s.begin(t, "string,fast-poll,big-batches", drawRules(r, 20000), rows[:len(rows)/2])
	j.table.Insert(t, rows[len(rows)/2:])
	j.runTwo(t, len(rows))
	j.judge(t)
}

// runTwo has two processes work off the stream's n records.
func (j *job) runTwo(t *testing.T, n int) {
	t.Helper()
	j.waitSource(t, n)
	a, b := j.start(t, 1, "--until-caught-up"), j.start(t, 2, "--until-caught-up")
	j.mustEnd(t, a)
	j.mustEnd(t, b)
	if dead := j.deadLetters(t); len(dead) != 0 {
		t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
	}
}

// TestStackVariants is the same judge in every encoding, on fewer rows.
func TestStackVariants(t *testing.T) {
	s := realStack(t)
	seed := testkit.Seed(t)
	for i, v := range []struct {
		variant string
		flags   []string
	}{
		{"precise", nil},
		{"schemas", nil},
		{"double", []string{"--allow-float-amounts"}},
		{"connect-time", nil},
		{"unwrap", nil},
		{"unwrap-rewrite", nil},
		{"transactions", nil},
		{"user-key", nil},
	} {
		t.Run(v.variant, func(t *testing.T) {
			r := testkit.Rand(seed + uint64(i))
			h := stackRows
			h.Rows, h.Users = 4000, 50
			rows := h.Draw(r)
			j := s.begin(t, v.variant+",fast-poll", drawRules(r, 20000), rows[:len(rows)/2])
			j.options = v.flags
			j.table.Insert(t, rows[len(rows)/2:])
			j.runTwo(t, len(rows))
			j.judge(t)
		})
	}
}

// TestStackScenarios runs the scripts with real Kafka and Debezium.
func TestStackScenarios(t *testing.T) {
	s := realStack(t)
	scenarios(t, func(t testing.TB, _ string) ground {
		return ground{Parts: s.Parts, url: s.Env["DATABASE_URL"], source: stackTopic,
			flow: func(*testscript.TestScript) {}, begin: func(tb testing.TB) {
				testkit.OpenTable(tb, s.Env["DATABASE_URL"], "streaming", "transactions").Empty(tb)
				if _, err := s.Script("switch.sh", nil, "string,fast-poll"); err != nil {
					tb.Fatal(err)
				}
			}}
	})
}
