package crash

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// patience bounds each wait of a round for the program.
const patience = 4 * time.Minute

// round is one group with its own topics, database and processes, and what is done to them.
type round struct {
	*testing.T
	g     *ground
	r     *rand.Rand
	fault fault
	dir   string // states and logs of the instances

	names       processors.Streams
	rules       *rules.Set     // in force in the end
	roll        *roll          // nil if they were so all the time
	database    string         // name
	databaseURL string         // of the program: the reading role, through the proxy
	proxy       *testkit.Proxy // before PostgreSQL
	brokers     string         // as instances are told
	flags, env  []string       // of every instance

	events    []testkit.Event
	rowsLater []testkit.Row   // that the fault puts in
	bad       map[string]bool // values of the bad records among them
	fleet     []*instance

	rowCount int
	alerts   int // in the end
	caughtUp time.Duration
	cancel   context.CancelFunc
	hurry    chan struct{} // closed: no more pacing
	// interrupts are called by who produces, between two records, with those that are left; they give what is left then.
	interrupts chan func([]testkit.Event) []testkit.Event
	partitions int            // of the source topic
	unseen     map[int64]bool // users with rows that were deleted without a word
	produced   chan error
	left       atomic.Int64 // events not yet produced
	under      int          // percent of the load that flowed before the last fault was over

	did []string // faults, in order
	mu  sync.Mutex
}

// do notes a fault for the report and the log.
func (r *round) do(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	r.did = append(r.did, what)
	r.Logf("%s %s", time.Now().UTC().Format("15:04:05.000"), what)
}

func newRound(t *testing.T, f fault, seed uint64, rowCount int) *round {
	t.Helper()
	name := fmt.Sprintf("%s_%d_%d", strings.ReplaceAll(f.name, "-", "_"), os.Getpid(), time.Now().UnixNano()%1e9)
	dir, err := os.MkdirTemp("", "brimline-crash-round-")
	if err != nil {
		t.Fatal(err)
	}
	r := &round{
		T: t, env: f.env, g: groundOf(t, kind{max(1, f.brokers), f.old}), r: testkit.Rand(seed), fault: f, dir: dir,
		names:    processors.NewStreams("g_"+name, "src_"+name, "alerts_"+name),
		database: "db_" + name, hurry: make(chan struct{}), produced: make(chan error, 1),
		interrupts: make(chan func([]testkit.Event) []testkit.Event),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("states and logs of the instances are in %s", dir)
		} else {
			os.RemoveAll(dir)
		}
	})
	r.Cleanup(r.drop)
	r.rowCount = rowCount
	rows := shape(rowCount).Draw(r.r)
	partitions := 4 + r.r.IntN(5)
	if f.debezium {
		r.openConnector(rows, partitions)
	} else {
		r.openTable(rows, partitions)
	}
	yaml := drawRules(r.r)
	if f.deep || f.changes || f.unseen { // no row may fall out of the history before it is changed, or told of
		yaml = strings.Replace(yaml, "lateness: ", "lateness: 1440h #", 1)
	}
	if r.rules, err = rules.Parse("rules.yaml", []byte(yaml)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "rules.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(r.g.Env["BRIMLINE_DATABASE_URL"])
	if err != nil {
		t.Fatal(err)
	}
	host := u.Host
	r.proxy = testkit.NewProxy(t, func() string { return host }, false)
	u.Host, u.Path = r.proxy.Addr(), "/"+r.database
	r.databaseURL = u.String()
	r.brokers = strings.Join(r.g.Brokers, ",")
	if f.network {
		var all []string
		for _, p := range r.g.proxies {
			all = append(all, p.Addr())
		}
		r.brokers = strings.Join(all, ",")
		r.Cleanup(func() { r.network(testkit.Weather{}) })
	}
	if r.flags = f.flags; f.flags == nil && r.r.IntN(3) == 0 {
		r.flags = []string{"--hot-standby"}
	}
	if r.r.IntN(3) == 0 { // many users count as ones with many rows, and their candidates are kept back
		few := 30 + r.r.IntN(200)
		r.env = append(slices.Clip(r.env), fmt.Sprint("BRIMLINE_CRASH_STATEMENT_ROWS=", few))
		r.do("%d rows to a statement", few)
	}
	for n := range cmp.Or(f.instances, 2) {
		r.fleet = append(r.fleet, r.newInstance(n))
	}
	t.Logf("%d rows, %d events, %d partitions, flags %q, rules:\n%s", rowCount, len(r.events), partitions, r.flags, yaml)
	return r
}

// begin starts the instances and the load, and returns when changes flow.
func (r *round) begin(over time.Duration) {
	ctx, cancel := context.WithCancel(r.Context())
	r.cancel = cancel
	r.Cleanup(func() {
		cancel()
		for _, i := range r.fleet {
			if i.done != nil {
				i.signal(18) // SIGCONT
				i.down()
			}
		}
	})
	go func() { r.produced <- r.produce(ctx, over) }()
	for _, i := range r.fleet {
		i.start()
	}
	r.awaitHandled(int64(r.rowCount / 50))
}

// awaitHandled waits until the window stage has committed n changes.
func (r *round) awaitHandled(n int64) {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	if err := testkit.Eventually(ctx, func() (bool, error) {
		have, err := r.g.Committed(ctx, r.names.WindowGroup, r.names.Changes)
		return have >= n, err
	}); err != nil {
		r.Fatalf("waiting for %d changes: %v", n, err)
	}
}

func (r *round) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), patience)
}

// catchUp lets the rest of the load in and waits until all of it has gone through all stages.
func (r *round) catchUp() error {
	r.Helper()
	close(r.hurry)
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	select {
	case err := <-r.produced:
		if err != nil {
			r.Fatalf("producing: %v", err)
		}
	case <-ctx.Done():
		r.Fatal("the load was not taken by the brokers")
	}
	err := r.atRest(ctx)
	if err != nil {
		r.Log(r.lags())
	}
	return err
}

// atRest waits until every stage has read its whole input, twice in a row with nothing written in between.
func (r *round) atRest(ctx context.Context) error {
	c, err := kafka.Dial(ctx, kafka.Options{Brokers: r.g.Brokers}, kafka.Lasting)
	if err != nil {
		return err
	}
	defer c.Close()
	var before []int64
	return testkit.EventuallyEvery(ctx, 300*time.Millisecond, func() (bool, error) {
		all, err := app.Lags(ctx, c, r.names)
		if err != nil {
			return false, err
		}
		var now []int64
		for _, s := range all {
			for _, p := range s.Partitions {
				now = append(now, p.High)
				if p.Lag != 0 {
					before = nil
					return false, fmt.Errorf("stage %s, %s/%d: lag %d", s.Stage, p.Topic, p.Partition, p.Lag)
				}
			}
		}
		same := before != nil && slices.Equal(before, now)
		before = now
		return same, nil
	})
}

func (r *round) lags() string {
	c, err := kafka.Dial(r.Context(), kafka.Options{Brokers: r.g.Brokers}, kafka.Quick)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	all, err := app.Lags(r.Context(), c, r.names)
	var b strings.Builder
	for _, s := range all {
		for _, p := range s.Partitions {
			fmt.Fprintf(&b, "%s %s/%d: committed %d, stable %d, high %d, lag %d\n", s.Stage, p.Topic, p.Partition,
				p.Committed, p.Stable, p.High, p.Lag)
		}
	}
	return fmt.Sprint(b.String(), err)
}

// stop ends all instances cleanly.
func (r *round) stop() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	for _, i := range r.fleet {
		i.end(15) // all at once
	}
	for _, i := range r.fleet {
		if err := i.stop(ctx); err != nil {
			r.Error(err)
		}
		for _, odd := range i.odd {
			r.Logf("ended by itself: %s", odd)
		}
	}
}

// drop gives the stack back what a finished round took, so that the rounds after it meet no fuller disk and no slower
// broker. A failed round leaves everything for whoever looks into it.
func (r *round) drop() {
	if r.Failed() || r.fault.debezium {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := kafka.Dial(ctx, kafka.Options{Brokers: r.g.Brokers}, kafka.Lasting)
	if err != nil {
		r.Error(err)
		return
	}
	defer c.Close()
	if err := errors.Join(c.DeleteGroups(ctx, r.names.Groups()...),
		c.Delete(ctx, append(r.names.Owned(), r.names.Alerts, r.names.Source)...)); err != nil {
		r.Error(err)
	}
	conn, err := pgx.Connect(ctx, r.g.Env["ADMIN_DATABASE_URL"])
	if err != nil {
		r.Error(err)
		return
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "DROP DATABASE "+r.database+" WITH (FORCE)"); err != nil {
		r.Error(err)
	}
}

func (r *round) adminURL() string {
	u, _ := url.Parse(r.g.Env["ADMIN_DATABASE_URL"])
	u.Path = "/" + r.database
	return u.String()
}
