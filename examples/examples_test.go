package examples

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/app"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
)

const (
	partitions = 3
	ordinary   = 60 // users with one alert each
	heavy      = 38 // rows of the user "heavy", whose older ones are in segments
)

// ground is a broker with all that brimline wrote about some users.
type ground struct {
	brokers string
	alerts  []*kgo.Record
}

func newGround(t *testing.T) *ground {
	t.Helper()
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	c := config.Default()
	c.Brokers, c.Verify, c.Listen, c.UntilCaughtUp = broker.Addrs(), "off", "off", true
	c.StateDir, c.Rules = filepath.Join(t.TempDir(), "state"), filepath.Join(t.TempDir(), "rules.yaml")
	rules := "rules: [{id: weekly-spend, window: 7d, limit: 100}, {id: often, window: 7d, measure: count, limit: 1000}]"
	if err := os.WriteFile(c.Rules, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := app.EnsureSource(t.Context(), &c.Kafka, &config.Topics{Partitions: partitions}, c.Source); err != nil {
		t.Fatal(err)
	}
	source := client(t, broker.Addrs())
	now := time.Now().UTC()
	id := 0
	insert := func(user, amount string, ago time.Duration) {
		id++
		at := now.Add(-ago).Format("2006-01-02T15:04:05.000000Z")
		r := &kgo.Record{
			Topic: c.Source, Partition: int32(id % partitions), Key: fmt.Appendf(nil, `{"id":%d}`, id),
			Value: fmt.Appendf(nil, `{"before":null,"after":{"id":%d,"user_id":%q,"amount":%q,"timestamp":%q},"op":"c",`+
				`"source":{"schema":"streaming","table":"transactions"}}`, id, user, amount, at),
		}
		if err := source.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range ordinary {
		insert(fmt.Sprintf("user-%d", i), "100.01", time.Hour)
	}
	for i := range heavy {
		insert("heavy", "2.50", time.Duration(heavy-i)*time.Hour)
	}
	log := slog.New(slog.DiscardHandler)
	a, err := app.New(t.Context(), app.Options{Config: c, Log: log, Registry: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	g := &ground{brokers: strings.Join(broker.Addrs(), ",")}
	reader := client(t, broker.Addrs(), kgo.ConsumeTopics("alerts"), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for len(g.alerts) < ordinary {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		g.alerts = append(g.alerts, fetches.Records()...)
	}
	return g
}

func client(t *testing.T, brokers []string, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	options = append(options, kgo.SeedBrokers(brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	c, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// outside builds a program in a module of its own, where only what brimline exports can be used.
func outside(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	copyFile := func(from, to string) {
		t.Helper()
		text, err := os.ReadFile(from)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), text, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyFile(filepath.Join(name, "main.go"), "main.go")
	copyFile("../go.mod", "go.mod") // for the versions of what it needs; its name is changed below
	copyFile("../go.sum", "go.sum")
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"mod", "edit", "-module", "example.com/" + name, "-require", "github.com/brimline/brimline@v0.0.0",
			"-replace", "github.com/brimline/brimline=" + root},
		{"build", "-mod=mod", "-o", name, "."},
	} {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOPROXY=off", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return filepath.Join(dir, name)
}

// TestTotal: a module outside gets the totals of a user whose state is one value, of one with segments, and of an
// unknown user.
func TestTotal(t *testing.T) {
	g := newGround(t)
	program := outside(t, "total")
	for user, want := range map[string]string{
		"user-7": "weekly-spend 100.01 of 100.00\noften 1 of 1000\n",
		"heavy":  "weekly-spend 95.00 of 100.00\noften 38 of 1000\n",
		"nobody": "weekly-spend 0.00 of 100.00\noften 0 of 1000\n",
	} {
		cmd := exec.CommandContext(t.Context(), program, user)
		cmd.Env = append(os.Environ(), "BRIMLINE_BROKERS="+g.brokers, "BRIMLINE_GROUP=brimline")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("of %s it says %q (%v), want %q", user, out, err, want)
		}
	}
}

func TestConsumer(t *testing.T) {
	g := newGround(t)
	server, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	url := server.URL("postgres")
	program := outside(t, "consumer")
	g.onceEach(t, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program)
		cmd.Env = append(os.Environ(), "BRIMLINE_BROKERS="+g.brokers, "RECEIVER_URL="+url)
		return cmd
	}, func() (ids []string) {
		db, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close(t.Context())
		rows, _ := db.Query(t.Context(), `SELECT id FROM received`)
		if ids, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			t.Fatal(err)
		}
		return ids
	})
}

// TestToolsConsumerPython needs Python and its packages: `make test-tools` fetches them.
func TestToolsConsumerPython(t *testing.T) {
	python := os.Getenv("BRIMLINE_PYTHON")
	if python == "" {
		t.Skip("BRIMLINE_PYTHON is not set: run `make test-tools`")
	}
	g := newGround(t)
	dir := t.TempDir()
	script, err := filepath.Abs("consumer-python/consumer.py")
	if err != nil {
		t.Fatal(err)
	}
	g.onceEach(t, func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, python, script, g.brokers)
		cmd.Dir = dir
		return cmd
	}, func() (ids []string) {
		const query = `import json, sqlite3
print(json.dumps([row[0] for row in sqlite3.connect("received.db").execute("SELECT id FROM received")]))`
		cmd := exec.Command(python, "-c", query)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &ids)
		}
		if err != nil {
			t.Fatal(err)
		}
		return ids
	})
}

// onceEach kills a receiver in the middle, sends every alert again and an aborted one, starts the receiver again, and
// compares what it has received with the alerts.
func (g *ground) onceEach(t *testing.T, start func(context.Context) *exec.Cmd, received func() []string) {
	t.Helper()
	begun := startReceiver(t, start)
	begun.until(t, func(id string) bool { return len(begun.ids) == 5 })
	begun.kill(t)

	brokers := strings.Split(g.brokers, ",")
	bury(t, client(t, brokers))
	writer := client(t, brokers, kgo.TransactionalID("test"))
	end := func(how kgo.TransactionEndTry, records ...*kgo.Record) {
		t.Helper()
		if err := writer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := writer.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := writer.EndTransaction(t.Context(), how); err != nil {
			t.Fatal(err)
		}
	}
	var want, last []string
	var again, lastOf []*kgo.Record
	for _, r := range g.alerts {
		want = append(want, string(r.Key))
		again = append(again, &kgo.Record{Topic: "alerts", Partition: r.Partition, Key: r.Key, Value: r.Value})
	}
	end(kgo.TryCommit, again...)
	end(kgo.TryAbort, g.ofUser(t, "aborted", 0))
	for p := range int32(partitions) {
		r := g.ofUser(t, fmt.Sprintf("last-%d", p), p)
		last, lastOf = append(last, string(r.Key)), append(lastOf, r)
	}
	end(kgo.TryCommit, lastOf...)
	want = append(want, last...)

	second := startReceiver(t, start)
	second.until(t, func(string) bool {
		return !slices.ContainsFunc(last, func(id string) bool { return !slices.Contains(second.ids, id) })
	})
	second.kill(t)
	got := received()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("received %d:\n%s\nwant %d:\n%s", len(got), strings.Join(got, "\n"), len(want), strings.Join(want, "\n"))
	}
	if told := slices.Concat(begun.ids, second.ids); len(slices.Compact(slices.Sorted(slices.Values(told)))) != len(told) {
		t.Errorf("told twice: %s", strings.Join(told, " "))
	}
}

// bury takes killed members out of their groups, which would else wait for them until their sessions time out.
func bury(t *testing.T, c *kgo.Client) {
	t.Helper()
	groups, err := kadm.NewClient(c).DescribeGroups(t.Context(), "receiver", "receiver-python")
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range groups {
		for _, member := range group.Members {
			leave := kmsg.NewPtrLeaveGroupRequest()
			leave.Group, leave.MemberID = group.Group, member.MemberID
			m := kmsg.NewLeaveGroupRequestMember()
			m.MemberID = member.MemberID
			leave.Members = append(leave.Members, m)
			if _, err := leave.RequestWith(t.Context(), c); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// ofUser is an alert like the others, of another user.
func (g *ground) ofUser(t *testing.T, user string, partition int32) *kgo.Record {
	t.Helper()
	v, err := codecs.Alert{}.Decode(g.alerts[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	a := v.(*brimline.Alert)
	a.Candidate.User = user
	raw, err := codecs.Alert{}.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	return &kgo.Record{Topic: "alerts", Partition: partition, Key: []byte(a.Candidate.ID()), Value: raw}
}

// receiver is a running consumer, and the ids that it told to be new.
type receiver struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	ids   []string
	err   strings.Builder
}

func startReceiver(t *testing.T, start func(context.Context) *exec.Cmd) *receiver {
	t.Helper()
	r := &receiver{cmd: start(t.Context())}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.lines, r.cmd.Stderr = bufio.NewScanner(out), &r.err
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// until reads what the receiver tells until enough is true.
func (r *receiver) until(t *testing.T, enough func(id string) bool) {
	t.Helper()
	watch := time.AfterFunc(time.Minute, func() { _ = r.cmd.Process.Kill() })
	defer watch.Stop()
	for r.lines.Scan() {
		id, found := strings.CutPrefix(r.lines.Text(), "new: ")
		if !found {
			t.Errorf("it says %q", r.lines.Text())
		}
		if r.ids = append(r.ids, id); enough(id) {
			return
		}
	}
	_ = r.cmd.Wait()
	t.Fatalf("it ended, or took more than a minute, after %d alerts: %s", len(r.ids), &r.err)
}

func (r *receiver) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for r.lines.Scan() { // what it had told before
		r.ids = append(r.ids, strings.TrimPrefix(r.lines.Text(), "new: "))
	}
	_ = r.cmd.Wait()
}

// An example is short, or it is none.
func TestExamplesAreShort(t *testing.T) {
	for _, name := range []string{"total", "consumer"} {
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, filepath.Join(name, "main.go"), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if ok && f.Name.Name == "main" {
				if lines := files.Position(f.Body.Rbrace).Line - files.Position(f.Body.Lbrace).Line - 1; lines > 20 {
					t.Errorf("main of %s has %d lines", name, lines)
				}
			}
			return true
		})
	}
}
