package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/leaks"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ground is a broker of its own with a source topic of two partitions.
type ground struct {
	broker  *embedded.Broker
	config  config.Config
	cluster *kafka.Cluster
	retry   *Retry
	log     *lines
}

// lines is a log that tests can read while it is written.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newGround(t *testing.T) *ground { return newGroundIn(t, "") }

// newGroundIn has a broker whose state outlives it, in dir.
func newGroundIn(t *testing.T, dir string) *ground {
	t.Helper()
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerOptions{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	c := config.Default()
	c.Brokers, c.Verify, c.Listen = broker.Addrs(), "off", "127.0.0.1:0"
	c.Source, c.StateDir, c.Rules = "src.streaming.transactions", filepath.Join(
		dir,
		"state",
	), filepath.Join(
		dir,
		"rules.yaml",
	)
	if err := os.WriteFile(c.Rules, []byte("rules: [{id: r, window: 7d, limit: 100}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := KafkaOptions(&c.Kafka, "test")
	cluster, err := kafka.Dial(t.Context(), o, kafka.Quick)
	if err != nil {
		t.Fatal(err)
	}
	return &ground{broker: broker, config: c, cluster: cluster, retry: NewRetry(o), log: &lines{}}
}

func (g *ground) close(t *testing.T) {
	_ = g.retry.Close()
	_ = g.cluster.Close()
	g.broker.Close()
	if t.Failed() {
		t.Log(g.log.String())
	}
}

func (g *ground) createSource(t *testing.T) {
	t.Helper()
	if err := EnsureSource(t.Context(), &g.config.Kafka, &config.Topics{Partitions: 2}, g.config.Source); err != nil {
		t.Fatal(err)
	}
}

// insert writes rows of user 7 with the given amounts, an hour apart, from id on.
func (g *ground) insert(t *testing.T, id int, amounts ...string) {
	t.Helper()
	for i, amount := range amounts {
		g.insertInto(t, int32((id+i)%2), id+i, amount)
	}
}

func (g *ground) insertInto(t *testing.T, partition int32, id int, amount string) {
	t.Helper()
	err := g.retry.Send(&brimline.DeadLetter{
		Topic: g.config.Source, Partition: partition, Key: fmt.Appendf(nil, `{"id":%d}`, id),
		Value: fmt.Appendf(
			nil,
			`{"before":null,"after":{"id":%d,"user_id":7,"amount":"%s","timestamp":"2026-01-01T%02d:00:00.000000Z"},"op":"c",`+
				`"source":{"schema":"streaming","table":"transactions"}}`,
			id,
			amount,
			id,
		),
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (g *ground) app(t *testing.T) *App {
	t.Helper()
	a, err := New(
		t.Context(),
		Options{Config: g.config, Log: slog.New(slog.NewTextHandler(g.log, nil)), Registry: prometheus.NewRegistry()},
	)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (g *ground) alerts(t *testing.T) (found []string) {
	t.Helper()
	err := g.cluster.Tail(t.Context(), g.config.Alerts, kafka.Oldest, false, func(m *kafka.Message) error {
		v, err := codecs.Alert{}.Decode(m.Value)
		if err == nil {
			a := v.(*brimline.Alert)
			found = append(
				found,
				fmt.Sprintf("%s %s %s", a.Candidate.User, a.Candidate.Stream.Total.Format(2), a.Verification.Status),
			)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// noLeaks looks for goroutines that were not there when it was called.
func noLeaks(t *testing.T) func() {
	before := goleak.IgnoreCurrent()
	return func() {
		if err := leaks.Left(before); err != nil {
			t.Error(err)
		}
	}
}

// The whole life: from the beginning, on from where it was, ready and stopped, with nothing left behind.
func TestLife(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.insert(t, 1, "60.00", "-39.99")
	g.config.UntilCaughtUp = true
	if err := g.app(t).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := g.alerts(t); len(got) != 0 {
		t.Errorf("alerts %v below the limit", got)
	}
	g.insert(t, 3, "0.02")
	if err := g.app(t).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(g.alerts(t), ", "); got != "7 100.01 unverified" {
		t.Errorf("alerts: %s", got)
	}
	if !strings.Contains(g.log.String(), "route: partition 1 starts at offset 1") {
		t.Error("the second run did not start where the first had stopped")
	}

	g.config.UntilCaughtUp = false
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for why := "?"; why != ""; {
		status := a.Status(t.Context())
		why = strings.Join(status.NotReady(), "; ")
		select {
		case <-time.After(20 * time.Millisecond):
		case <-a.Done():
			t.Fatalf("ended: %v", a.Wait())
		case <-t.Context().Done():
			t.Fatalf("not ready: %s", why)
		}
	}
	a.outage.set(time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC), &brimline.Error{
		Where: "PostgreSQL at db", Err: errors.New("connection refused"), Remedy: "start it"})
	const waits = "stage verify is waiting: for PostgreSQL since 2026-11-26 03:00:00 UTC: " +
		"PostgreSQL at db: connection refused"
	for path, want := range map[string]string{
		"/readyz": `"degraded":["` + waits + ` (remedy: start it)"]`, "/api/v1/status": `"state":"waiting"`, "/": waits,
	} {
		if got := get(t, a.URL()+path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %s:\n%s", path, want, got)
		}
	}
	a.outage.set(time.Time{}, nil)
	for path, want := range map[string]string{
		"/readyz": `"ready":true`, "/metrics": `brimline_stage_up{stage="verify"} 1`, "/api/v1/users/7": `"rows_total":3`,
		"/api/v1/users/7/explain": `"reason":"alerted"`,
	} {
		if got := get(t, a.URL()+path); !strings.Contains(got, want) {
			t.Errorf("%s lacks %s:\n%s", path, want, got)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 2 { // the second does nothing
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := a.Wait(); err != nil {
		t.Error(err)
	}
	http.DefaultClient.CloseIdleConnections()
}

// Who shares out partitions says so on both sides: what an instance has, and that it has none, at every change.
func TestPartitionsAreLogged(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.config.Listen = "off"
	within, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []*App
	defer func() {
		for _, a := range all {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			if err := a.Stop(ctx); err != nil {
				t.Error(err)
			}
			cancel()
		}
	}()
	for _, lines := range [][]string{
		{"partitions 0-1 (2 of 2)"}, {"partition 0 (1 of 2)", "partition 1 (1 of 2)"}, {"none: another instance has them all"},
	} {
		a := g.app(t)
		if err := a.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
		for _, stage := range []string{"route", "window", "verify", "index"} {
			for _, line := range lines {
				for !strings.Contains(g.log.String(), `msg="stage `+stage+": "+line+`"`) {
					select {
					case <-time.After(20 * time.Millisecond):
					case <-a.Done():
						t.Fatalf("ended: %v", a.Wait())
					case <-within.Done():
						t.Fatalf("the log lacks %q of stage %s", line, stage)
					}
				}
			}
		}
	}
}

// A topic of alerts that others write to as well is told: by default all groups have the same one.
func TestSharedAlertsAreTold(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.insert(t, 1, "60.00", "70.00")
	g.config.UntilCaughtUp = true
	if err := g.app(t).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := func(group, source, alerts string) string {
		c := g.config
		c.Group, c.Source, c.Alerts = group, source, alerts
		var all []string
		for _, f := range Examine(t.Context(), &c, false) {
			if f.Check == "kafka_alerts_shared" {
				all = append(all, f.Level.String()+" "+f.What+"; "+f.Remedy)
			}
		}
		return strings.Join(all, "\n")
	}
	const remedy = "; give each group a topic of its own with --alerts, unless its consumers " +
		"tell by source.topic and rule " +
		"whose an alert is"
	for _, c := range []struct{ group, source, alerts, want string }{
		{g.config.Group, g.config.Source, "alerts", ""},
		{"second", g.config.Source, "second-alerts", ""},
		{"second", g.config.Source, "alerts", `warning topic "alerts" is also that of group brimline` + remedy},
		{"second", "other.table", "alerts",
			`warning topic "alerts" is also that of group brimline, and holds alerts of rows from src.streaming.transactions` + remedy},
		{g.config.Group, "other.table", "alerts", `warning topic "alerts" holds alerts of rows from src.streaming.transactions` + remedy},
	} {
		if got := told(c.group, c.source, c.alerts); got != c.want {
			t.Errorf("group %s, source %s, alerts %s: %q, want %q", c.group, c.source, c.alerts, got, c.want)
		}
	}
	g.config.Group = "second"
	if err := g.app(t).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(g.log.String(), "is also that of group brimline") {
		t.Error("a run does not say it")
	}
}

// A partition that is added to the source topic is read without a restart, from its first record.
func TestAddedPartitionsAreRead(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.insert(t, 1, "60.00")
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	within, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	await := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-a.Done():
				t.Fatalf("ended: %v", a.Wait())
			case <-within.Done():
				t.Fatalf("still not: %s", what)
			}
		}
	}
	read := func(partitions string) func() bool {
		return func() bool { return strings.Contains(g.log.String(), `msg="stage route: partitions `+partitions+`"`) }
	}
	await("two partitions", read("0-1 (2 of 2)"))
	client, err := kgo.NewClient(kgo.SeedBrokers(g.broker.Addrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	added, err := kadm.NewClient(client).CreatePartitions(t.Context(), 1, g.config.Source)
	if err == nil {
		err = added.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	g.insertInto(t, 2, 2, "40.01")
	// What cannot be taken in is told by the instance that met it, whichever stage that was.
	for topic, record := range map[string]string{g.config.Source: "{", "brimline-changes": "no change"} {
		if err := g.retry.Send(&brimline.DeadLetter{Topic: topic, Key: []byte("k"), Value: []byte(record)}); err != nil {
			t.Fatal(err)
		}
	}
	await("two dead letters", func() bool {
		return strings.Contains(get(t, a.URL()+"/readyz"), "2 dead letters in the last hour: bad_change 1, broken_json 1")
	})
	await("three partitions", read("0-2 (3 of 3)"))
	await("an alert", func() bool { return strings.Join(g.alerts(t), ", ") == "7 100.01 unverified" })
	await("a metric of the third", func() bool {
		return strings.Contains(get(t, a.URL()+"/metrics"), `brimline_route_handled_messages_total{partition="2"} 1`)
	})
	await(
		"two partitions of the source topic are known to be three",
		func() bool { return a.sourcePartitions.Load() == 3 },
	)
}

func TestRanges(t *testing.T) {
	for want, list := range map[string][]int32{
		"": nil, "0": {0}, "0-1": {1, 0}, "0-3,5": {0, 1, 2, 3, 5}, "1,3,5-7": {7, 5, 6, 3, 1}, "10-12": {10, 11, 12},
	} {
		if got := ranges(list); got != want {
			t.Errorf("%v: %q, want %q", list, got, want)
		}
	}
}

// Whatever the listener, users and totals are told under names that were allowed; probes come by the names of services.
func TestAllowedHosts(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.config.Listen, g.config.AllowedHosts = "0.0.0.0:0", []string{"desk.example.com"}
	a := g.app(t)
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	for _, x := range []struct {
		host, path string
		status     int
	}{
		{"desk.example.com:8480", "/api/v1/status", 200}, {"", "/api/v1/status", 200}, {"evil.example", "/api/v1/status", 421},
		{"evil.example", "/", 421}, {"brimline:8480", "/healthz", 200}, {"brimline:8480", "/metrics", 200},
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.URL()+x.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = x.host
		r, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != x.status {
			t.Errorf("%s as %q: status %d, want %d", x.path, x.host, r.StatusCode, x.status)
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStartsThatFail(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	for _, x := range []struct {
		what   string
		change func(*config.Config)
		code   brimline.Class
		says   string
	}{
		{"no source topic", func(*config.Config) {}, brimline.ClassEnvironment, "--source"},
		{"Kafka is away", func(c *config.Config) { c.Brokers = []string{closedPort(t)} }, brimline.ClassEnvironment, "broker"},
		{"a port in use", func(c *config.Config) { c.Listen = g.config.Brokers[0] }, brimline.ClassEnvironment, "--listen"},
		{"a port for profiles in use", func(c *config.Config) { c.Pprof = g.config.Brokers[0] }, brimline.ClassEnvironment, "--pprof"},
		{"no rules", func(c *config.Config) { c.Rules = "missing.yaml" }, brimline.ClassInput, "missing.yaml"},
		{"a quiet rule without verification", func(c *config.Config) {
			c.Rules = filepath.Join(t.TempDir(), "quiet.yaml")
			yaml := "rules: [{id: a, window: 7d, limit: 100}, {id: b, window: 7d, limits: [1, 2], quiet: 1d}]"
			if err := os.WriteFile(c.Rules, []byte(yaml), 0o600); err != nil {
				t.Fatal(err)
			}
		}, brimline.ClassInput, `rules "b@1", "b@2"`},
		{"bad settings", func(c *config.Config) { c.Table = "transactions" }, brimline.ClassInput, "--table"},
		{"PostgreSQL is away", func(c *config.Config) {
			c.Verify, c.DatabaseURL = "on", config.Secret("postgres://me:hunter2@"+closedPort(t)+"/app")
		}, brimline.ClassEnvironment, "PostgreSQL"},
	} {
		t.Run(x.what, func(t *testing.T) {
			c := g.config
			x.change(&c)
			a, err := New(t.Context(), Options{Config: c})
			if err == nil {
				err = a.Run(t.Context())
			}
			if brimline.ExitCode(err) != int(x.code) || !strings.Contains(fmt.Sprint(err), x.says) ||
				strings.Contains(fmt.Sprint(err), "hunter2") {
				t.Errorf("%v", err)
			}
		})
	}
}

// closedPort is an address at which no server answers.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestStopWhileWaitingForOtherRules(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.config.Listen = "off"
	first := g.app(t)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for ready := false; !ready; { // it is a member now
		status := first.Status(t.Context())
		ready = len(status.NotReady()) == 0
		<-time.After(20 * time.Millisecond)
	}
	if err := os.WriteFile(g.config.Rules, []byte("rules: [{id: other, window: 1d, limit: 5}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := g.app(t)
	if err := second.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(g.log.String(), "other rules") {
		<-time.After(20 * time.Millisecond)
	}
	status := second.Status(t.Context())
	if why := strings.Join(status.NotReady(), "; "); strings.Contains(why, first.Instance()) {
		t.Errorf("a rollout that waits until it is ready would never end: %s", why)
	}
	if why := strings.Join(status.Degraded(), "; "); !strings.Contains(why, first.Instance()) ||
		!strings.Contains(why, "--group") {
		t.Errorf("degraded by %q, which should name %s", why, first.Instance())
	} else if n := strings.Count(why, "remedy"); n != 1 {
		t.Errorf("the remedy is said %d times: %s", n, why)
	}
	if got := value(t, second.Registry(), "brimline_rules_disagreeing_members", ""); got != 1 {
		t.Errorf("the one that waits counts %v instances with other rules", got)
	}
	for _, a := range []*App{second, first} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}
