package e2e

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// patience bounds every wait for the program; it is far beyond what is needed.
const patience = 3 * time.Minute

var (
	binary   string
	embedded = sync.OnceValues(startEmbedded)
	stopAll  = func() {}
)

func startEmbedded() (*testkit.Parts, error) {
	parts, stop, err := testkit.Embedded(context.Background())
	if err == nil {
		before := stopAll // of a real stack that an earlier test has started
		stopAll = func() {
			before()
			stop()
		}
	}
	return parts, err
}

func TestMain(m *testing.M) {
	testkit.Main(&binary, func() int {
		defer func() { stopAll() }()
		// The tests wait for programs most of the time: more of them at once than there are cores.
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	})
}

// parts are the embedded parts, started for the first test that needs them.
func parts(t *testing.T) *testkit.Parts {
	t.Helper()
	p, err := embedded()
	if err != nil {
		t.Fatalf("embedded parts: %v", err)
	}
	return p
}

// job is one group with its own topics and database, on some parts.
type job struct {
	*testkit.Parts
	table   testkit.Table
	url     string // of the database
	names   processors.Streams
	rules   *rules.Set
	where   map[string]string // a rule's where in SQL, by rule id
	state   string
	options []string // further flags of run
}

// newJob makes a database with an empty table, and a source topic.
func newJob(t *testing.T, p *testkit.Parts, partitions int, rulesYAML string) *job {
	t.Helper()
	name := testkit.Unique(t)
	j := &job{Parts: p, names: processors.NewStreams("g_"+name, "src_"+name, "alerts_"+name), state: t.TempDir()}
	j.url = p.Database(t, "db_"+name)
	j.table = testkit.CreateTable(t, testkit.Connect(t, j.url), "streaming", "transactions")
	p.CreateTopic(t, j.names.Source, partitions)
	j.setRules(t, rulesYAML)
	return j
}

func (j *job) rulesFile() string { return filepath.Join(j.state, "rules.yaml") }

func (j *job) setRules(t *testing.T, yaml string) {
	t.Helper()
	var err error
	if j.rules, err = rules.Parse("rules.yaml", []byte(yaml)); err != nil {
		t.Fatalf("rules: %v\n%s", err, yaml)
	}
	if err := os.WriteFile(j.rulesFile(), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs `brimline run` as instance n.
func (j *job) start(t *testing.T, n int, args ...string) *testkit.Process {
	t.Helper()
	args = append([]string{
		"run", "--brokers", strings.Join(j.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source,
		"--alerts", j.names.Alerts, "--rules", j.rulesFile(), "--state-dir", filepath.Join(j.state, fmt.Sprint(n)),
		"--listen", "off", "--log-level", "info", "--distrust-after", "2s",
	}, append(args, j.options...)...)
	return testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, args...)
}

// finish runs the group until it has caught up.
func (j *job) finish(t *testing.T) *testkit.Process {
	t.Helper()
	p := j.start(t, 0, "--until-caught-up")
	j.mustEnd(t, p)
	return p
}

func (j *job) mustEnd(t *testing.T, p *testkit.Process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Fatalf("run ended with code %d, %v", code, err)
	}
}

// waitHandled waits until the window stage has committed n changes.
func (j *job) waitHandled(t *testing.T, n int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.Eventually(ctx, func() (bool, error) {
		have, err := j.Committed(ctx, j.names.WindowGroup, j.names.Changes)
		return have >= n, err
	})
	if err != nil {
		t.Fatalf("waiting for %d changes: %v", n, err)
	}
}

// waitAlert waits for an alert of a user.
func (j *job) waitAlert(t *testing.T, user string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := testkit.EventuallyEvery(ctx, 200*time.Millisecond, func() (bool, error) {
		return slices.ContainsFunc(j.alerts(t), func(a *brimline.Alert) bool { return a.Candidate.User == user }), nil
	})
	if err != nil {
		t.Fatalf("waiting for an alert of user %s: %v", user, err)
	}
}

// alerts are all records of the alerts topic.
func (j *job) alerts(t *testing.T) []*brimline.Alert {
	t.Helper()
	return j.Alerts(t, j.names.Alerts)
}

// deadLetters are all records of the dead letter topic.
func (j *job) deadLetters(t *testing.T) []*brimline.DeadLetter {
	t.Helper()
	var letters []*brimline.DeadLetter
	for _, r := range j.Records(t, j.names.DeadLetters) {
		d, err := codecs.DeadLetter{}.Decode(r.Value)
		if err != nil {
			t.Fatalf("dead letter %s: %v", r.Value, err)
		}
		letters = append(letters, d.(*brimline.DeadLetter))
	}
	return letters
}

// judge compares the alerts with PostgreSQL's edges.
func (j *job) judge(t *testing.T) {
	t.Helper()
	want := j.edges(t)
	got := j.alerts(t)
	testkit.Compare(t, got, want)
	t.Logf("%d edges, %d alerts, all alike", len(want), len(got))
}

// edges are PostgreSQL's, by the ids of their alerts, for all rules.
func (j *job) edges(t *testing.T) map[string]testkit.Verdict {
	t.Helper()
	edges := map[string]testkit.Verdict{}
	for _, r := range j.rules.Rules {
		maps.Copy(edges, j.table.Edges(t, r, j.where[r.ID]))
	}
	return edges
}

// drawRules makes a rules file with every measure, some of which are quiet or rearm as well, in YAML.
func drawRules(r *rand.Rand, mean int64) (yaml string) {
	var b strings.Builder
	fmt.Fprintf(&b, "lateness: %dh\ncolumns: {description: text}\nrules:\n", 1+r.IntN(48))
	for i, measure := range append(brimline.Measures(), brimline.SumAbs) {
		hours, of := 1+r.IntN(96), measure.String()
		limit := brimline.Amount(r.Int64N(mean * 6)).Format(2)
		if measure == brimline.CountAll {
			limit = fmt.Sprint(r.IntN(8))
		}
		if measure == brimline.Max {
			limit = brimline.Amount(r.Int64N(mean * 3)).Format(2)
		}
		if measure == brimline.Avg {
			limit = brimline.Amount(r.Int64N(mean * 3 / 2)).Format(2)
			of += fmt.Sprintf(", min_count: %d", 1+r.IntN(4))
		}
		if measure == brimline.Distinct {
			limit = fmt.Sprint(6 + r.IntN(20))
			of += ", of: description"
		}
		fmt.Fprintf(&b, "  - {id: r%d, window: %dh, limit: %q, measure: %s}\n", i, hours, limit, of)
		if !measure.Shrinks() && r.IntN(2) == 0 {
			fmt.Fprintf(&b, "  - {id: a%d, window: %dh, limit: %q, measure: %s, rearm: %d%%}\n", i, hours, limit, of,
				r.IntN(101))
		}
		if r.IntN(2) == 0 {
			fmt.Fprintf(
				&b,
				"  - {id: q%d, window: %dh, limit: %q, measure: %s, quiet: %dh}\n",
				i,
				hours,
				limit,
				of,
				1+r.IntN(96),
			)
		}
	}
	return b.String()
}
