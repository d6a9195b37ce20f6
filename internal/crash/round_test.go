package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
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
	rules       *rules.Set
	database    string // name
	databaseURL string // of the program: the reading role, through the proxy
	proxy       *proxy
	flags, env  []string // of every instance

	events []testkit.Event
	bad    map[string]bool // values of the bad records among them
	fleet  []*instance

	rowCount int
	alerts   int // in the end
	caughtUp time.Duration
	cancel   context.CancelFunc
	hurry    chan struct{} // closed: no more pacing
	produced chan error

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

// history draws the table: ties, zeros, negative amounts, one heavy user.
func history(rows int) testkit.History {
	return testkit.History{
		Rows: rows, Users: max(10, rows/50), Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 28 * 24 * time.Hour, Grain: time.Minute, MaxAmount: 100_00, Heavy: 0.03,
	}
}

func drawRules(r *rand.Rand) string {
	return fmt.Sprintf(`lateness: %dh
rules:
  - {id: week, window: 7d, limit: "%d.00"}
  - {id: often, window: 30h, limit: %d, measure: count}
  - {id: signed, window: 24h, limit: "%d.00", measure: sum}
  - {id: out, window: 96h, limit: "%d.00", measure: sum_out}
`, 6+r.IntN(42), 300+r.IntN(600), 3+r.IntN(3), 80+r.IntN(150), 40+r.IntN(100))
}

// drawEvents makes the stream of rows: some late, some twice, some records broken.
func (r *round) drawEvents(rows []testkit.Row, partitions int) {
	var (
		events []testkit.Event
		ids    []int64
	)
	add := func(i int) {
		events, ids = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(1000+i))), append(ids, rows[i].ID)
	}
	var late []int
	for i := range rows {
		if r.r.IntN(50) == 0 {
			late = append(late, i)
		} else {
			add(i)
		}
		if len(late) > 0 && r.r.IntN(60) == 0 {
			n := r.r.IntN(len(late))
			add(late[n])
			late = slices.Delete(late, n, n+1)
		}
		if r.r.IntN(20) == 0 { // redelivered, a short while ago or long ago
			back := 1 + r.r.IntN(200)
			if r.r.IntN(4) == 0 {
				back = 1 + r.r.IntN(i+1)
			}
			if n := len(events) - back; n >= 0 {
				events, ids = append(events, events[n]), append(ids, ids[n])
			}
		}
	}
	for _, n := range late {
		add(n)
	}
	r.events = testkit.Spread(r.r, events, ids, partitions, 20)
	r.bad = map[string]bool{}
	for n := range 12 {
		key, _ := json.Marshal(map[string]any{"id": n})
		e := testkit.Event{Partition: int32(r.r.IntN(partitions)), Key: key, Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"broken":`, n)}
		r.bad[string(e.Value)] = true
		r.events = slices.Insert(r.events, r.r.IntN(len(r.events)), e)
	}
}

// drawChanges makes a stream in which rows are changed, moved to other users and
// deleted, and gives the table that is left.
func (r *round) drawChanges(rows []testkit.Row, partitions int) (left []testkit.Row) {
	var (
		events []testkit.Event
		ids    []int64
		users  = int64(max(10, len(rows)/50))
	)
	add := func(op string, id int64, before, after *testkit.Row) {
		events, ids = append(events, testkit.Envelope("transactions", op, before, after, int64(1000+len(events)))), append(ids, id)
	}
	for i := range rows[:len(rows)/2] {
		now := rows[i]
		add("c", now.ID, nil, &now)
		for range r.r.IntN(4) {
			before := now
			switch r.r.IntN(3) {
			case 0:
				now.User = 1 + r.r.Int64N(users)
			case 1:
				now.Time += brimline.Time(r.r.Int64N(48)-24) * 3600e6
			case 2:
				now.Amount = brimline.Amount(r.r.Int64N(20000) - 5000)
			}
			add("u", now.ID, &before, &now)
		}
		if r.r.IntN(5) == 0 {
			before := now
			add("d", now.ID, &before, nil)
		} else {
			left = append(left, now)
		}
	}
	r.events = testkit.Spread(r.r, events, ids, partitions, len(events)/4)
	return left
}

func newRound(t *testing.T, f fault, seed uint64, rowCount int) *round {
	t.Helper()
	name := fmt.Sprintf("%s_%d_%d", strings.ReplaceAll(f.name, "-", "_"), os.Getpid(), time.Now().UnixNano()%1e9)
	dir, err := os.MkdirTemp("", "brimline-crash-round-")
	if err != nil {
		t.Fatal(err)
	}
	r := &round{
		T: t, env: f.env, g: groundOf(t, max(1, f.brokers)), r: testkit.Rand(seed), fault: f, dir: dir,
		names:    processors.NewStreams("g_"+name, "src_"+name, "alerts_"+name),
		database: "db_" + name, hurry: make(chan struct{}), produced: make(chan error, 1),
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("states and logs of the instances are in %s", dir)
		} else {
			os.RemoveAll(dir)
		}
	})
	r.rowCount = rowCount
	rows := history(rowCount).Draw(r.r)
	partitions := 4 + r.r.IntN(5)
	if f.debezium {
		r.openConnector(rows, partitions)
	} else {
		r.openTable(rows, partitions)
	}
	yaml := drawRules(r.r)
	if f.changes { // no row may fall out of the history before it is changed
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
	r.proxy = newProxy(t, u.Host)
	u.Host, u.Path = r.proxy.listener.Addr().String(), "/"+r.database
	r.databaseURL = u.String()
	if r.r.IntN(3) == 0 {
		r.flags = append(r.flags, "--hot-standby")
	}
	for n := range cmpOr(f.instances, 2) {
		r.fleet = append(r.fleet, r.newInstance(n))
	}
	t.Logf("%d rows, %d events, %d partitions, flags %q, rules:\n%s", rowCount, len(r.events), partitions, r.flags, yaml)
	return r
}

// openTable makes a database with all rows, and a source topic that gets them by and by.
func (r *round) openTable(rows []testkit.Row, partitions int) {
	conn := testkit.Connect(r, r.g.Database(r, r.database))
	table := testkit.CreateTable(r, conn, "streaming", "transactions")
	for _, sql := range []string{`GRANT USAGE ON SCHEMA streaming TO brimline`, `GRANT SELECT ON streaming.transactions TO brimline`} {
		if _, err := conn.Exec(r.Context(), sql); err != nil {
			r.Fatal(err)
		}
	}
	if r.fault.changes {
		rows = r.drawChanges(rows, partitions)
	} else {
		r.drawEvents(rows, partitions)
	}
	table.Insert(r, rows)
	_ = conn.Close(r.Context())
	r.g.CreateTopic(r, r.names.Source, partitions)
}

// openConnector fills the stack's own table: half of the rows come by Debezium's snapshot, half from the log.
func (r *round) openConnector(rows []testkit.Row, partitions int) {
	r.database, r.names = "app", processors.NewStreams(r.names.Group, "postgres.streaming.transactions", r.names.Alerts)
	table := testkit.OpenTable(r, r.adminURL(), "streaming", "transactions")
	table.Empty(r)
	half := len(rows) / 2
	table.Insert(r, rows[:half])
	r.script("switch.sh", []string{fmt.Sprint("KAFKA_PARTITIONS=", partitions)}, "string,fast-poll")
	r.script("down.sh", nil, "connect")
	table.Insert(r, rows[half:])
}

// produce writes the events, over about the given time until somebody is in a hurry.
func (r *round) produce(ctx context.Context, over time.Duration) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(r.g.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		return err
	}
	defer client.Close()
	const beat = 50 * time.Millisecond
	var (
		tick   = time.NewTicker(beat)
		perTic = max(1, len(r.events)*int(beat)/int(over))
		failed = make(chan error, 1)
	)
	defer tick.Stop()
	for rest := r.events; len(rest) > 0; {
		select {
		case <-tick.C:
		case <-r.hurry:
			perTic = len(rest)
		case <-ctx.Done():
			return ctx.Err()
		}
		n := min(perTic, len(rest))
		for _, e := range rest[:n] {
			client.Produce(ctx, &kgo.Record{Topic: r.names.Source, Partition: e.Partition, Key: e.Key, Value: e.Value}, func(_ *kgo.Record, err error) {
				if err != nil {
					select {
					case failed <- err:
					default:
					}
				}
			})
		}
		rest = rest[n:]
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
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
func (r *round) catchUp() time.Duration {
	r.Helper()
	begin := time.Now()
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
	if err := r.atRest(ctx); err != nil {
		r.Fatalf("not caught up after %v: %v\n%s", time.Since(begin).Round(time.Second), err, r.lags())
	}
	return time.Since(begin)
}

// atRest waits until nobody has anything left to read, twice in a row with nothing written in between.
func (r *round) atRest(ctx context.Context) error {
	c, err := kafka.Dial(ctx, kafka.Options{Brokers: r.g.Brokers}, kafka.Lasting)
	if err != nil {
		return err
	}
	defer c.Close()
	var before []int64
	return testkit.Eventually(ctx, func() (bool, error) {
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
			fmt.Fprintf(&b, "%s %s/%d: committed %d, stable %d, high %d, lag %d\n", s.Stage, p.Topic, p.Partition, p.Committed, p.Stable, p.High, p.Lag)
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

// judge lets PostgreSQL say what must be there, and gives what is wrong.
func (r *round) judge() (wrong []string) {
	table := testkit.Table{Conn: testkit.Connect(r, r.adminURL()), Name: []string{"streaming", "transactions"}}
	edges := map[string]testkit.Verdict{}
	for _, rule := range r.rules.Rules {
		maps.Copy(edges, table.Edges(r, rule, ""))
	}
	var alerts []*brimline.Alert
	for _, record := range r.g.Records(r, r.names.Alerts) {
		a, err := codecs.Alert{}.Decode(record.Value)
		if err != nil {
			r.Fatalf("alert %s: %v", record.Value, err)
		}
		alerts = append(alerts, a.(*brimline.Alert))
	}
	if !r.fault.changes { // an alert was true when PostgreSQL confirmed it, before later changes
		wrong = testkit.Differences(alerts, edges)
	}
	wrong = append(wrong, r.g.WrongTotals(r, r.names, r.rules, table)...)
	wrong = append(wrong, r.wrongIndex(alerts)...)
	seen := map[string]int{}
	for _, record := range r.g.Records(r, r.names.DeadLetters) {
		d, err := codecs.DeadLetter{}.Decode(record.Value)
		if err != nil {
			r.Fatal(err)
		}
		letter := d.(*brimline.DeadLetter)
		if !r.bad[string(letter.Value)] {
			wrong = append(wrong, fmt.Sprintf("dead letter of a good record: %+v", letter))
		}
		seen[string(letter.Value)]++
	}
	for value := range r.bad {
		if seen[value] == 0 {
			wrong = append(wrong, "no dead letter for "+value)
		}
	}
	r.Logf("%d edges, %d alerts, %d dead letters: %d wrong", len(edges), len(alerts), len(seen), len(wrong))
	r.alerts = len(alerts)
	return wrong
}

// wrongIndex compares the table of alerts by user with the alerts.
func (r *round) wrongIndex(alerts []*brimline.Alert) (wrong []string) {
	const kept = 100 // of one user
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	view, err := views.OpenAlerts(ctx, views.Config{Kafka: kafka.Options{Brokers: r.g.Brokers}, Streams: r.names, Scale: 2})
	r.must(err)
	ended := make(chan error, 1)
	go func() { ended <- view.Run(ctx) }()
	r.must(view.WaitRecovered(ctx))
	byUser := map[string]map[string]bool{}
	for _, a := range alerts {
		of := byUser[a.Candidate.User]
		if of == nil {
			of = map[string]bool{}
			byUser[a.Candidate.User] = of
		}
		of[a.Candidate.ID()] = true
	}
	for user, want := range byUser {
		got, err := view.User(user)
		r.must(err)
		if len(got) != min(kept, len(want)) {
			wrong = append(wrong, fmt.Sprintf("index: %d alerts of user %s, want %d", len(got), user, min(kept, len(want))))
			continue
		}
		for _, a := range got {
			if !want[a.Candidate.ID()] {
				wrong = append(wrong, "index: no such alert: "+a.Candidate.ID())
			}
		}
	}
	cancel()
	r.must(<-ended)
	return wrong
}

func (r *round) adminURL() string {
	u, _ := url.Parse(r.g.Env["ADMIN_DATABASE_URL"])
	u.Path = "/" + r.database
	return u.String()
}

func cmpOr(a, b int) int {
	if a != 0 {
		return a
	}
	return b
}
