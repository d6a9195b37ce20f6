package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/jackc/pgx/v5"
)

// shared is one PostgreSQL for all tests that do not kill it; each has a
// database of its own. It starts with the first test that wants it: fuzzing
// runs this program many times over and wants none.
var shared struct {
	sync.Mutex
	postgres *embedded.Postgres
}

func TestMain(m *testing.M) {
	code := m.Run()
	if shared.postgres != nil {
		_ = shared.postgres.Stop(context.Background())
	}
	os.Exit(code)
}

func server(t *testing.T) *embedded.Postgres {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.postgres == nil {
		var err error
		shared.postgres, err = embedded.StartPostgres(t.Context(), embedded.PostgresOptions{
			NoSync: true, Settings: map[string]string{"wal_sender_timeout": "3s", "max_replication_slots": "30", "max_wal_senders": "30"},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return shared.postgres
}

// memory is a sink that keeps what it is given, and acknowledges at once unless told to hold.
type memory struct {
	mu       sync.Mutex
	records  []Record
	hold     bool
	held     []func(error)
	block    chan struct{} // Produce waits for it to be closed, if not nil
	err      error
	produced chan struct{} // capacity 1: there is news
}

func newMemory() *memory { return &memory{produced: make(chan struct{}, 1)} }

func (m *memory) Produce(ctx context.Context, r Record, acked func(error)) error {
	m.mu.Lock()
	block := m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	if m.err != nil {
		defer m.mu.Unlock()
		return m.err
	}
	m.records = append(m.records, r)
	hold := m.hold
	if hold {
		m.held = append(m.held, acked)
	}
	m.mu.Unlock()
	if !hold {
		acked(nil)
	}
	select {
	case m.produced <- struct{}{}:
	default:
	}
	return nil
}

func (m *memory) Flush(ctx context.Context) error { return ctx.Err() }

func (m *memory) set(f func(*memory)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m)
}

func (m *memory) all() []Record {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Record{}, m.records...)
}

// until waits for a record that holds the text.
func (m *memory) until(t *testing.T, text string) []Record {
	t.Helper()
	records := m.within(30*time.Second, text)
	if records == nil {
		t.Fatalf("no record holds %q among %d", text, len(m.all()))
	}
	return records
}

// within is nil when no such record comes in time.
func (m *memory) within(limit time.Duration, text string) []Record {
	timeout := time.After(limit)
	for from := 0; ; {
		records := m.all()
		for _, r := range records[from:] {
			if bytes.Contains(r.Value, []byte(text)) {
				return records
			}
		}
		from = len(records)
		select {
		case <-m.produced:
		case <-timeout:
			return nil
		}
	}
}

// database makes a database and returns a connection to it and its URL.
func database(t *testing.T) (*pgx.Conn, string) {
	t.Helper()
	p := server(t)
	name := slotName(t)
	admin := dial(t, p.URL(""))
	exec(t, admin, "CREATE DATABASE "+quote(name))
	t.Cleanup(func() {
		ctx := context.Background()
		// Other tests of this server need the slots, and a slot holds its database.
		// It is free a moment after its user is gone.
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			_, err := admin.Exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1`,
				name)
			if err == nil {
				_, err = admin.Exec(ctx, "DROP DATABASE "+quote(name)+" WITH (FORCE)")
			}
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
	})
	return dial(t, p.URL(name)), p.URL(name)
}

func dial(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.PgConn().Exec(t.Context(), sql).ReadAll(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func value[T any](t *testing.T, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// slotName is the test's own: slots are the server's, not the database's.
func slotName(t *testing.T) string {
	name := strings.ToLower(strings.NewReplacer("/", "_", "-", "_", "#", "_").Replace(t.Name()))
	if len(name) > 54 {
		h := fnv.New32a()
		h.Write([]byte(name))
		name = fmt.Sprintf("%s_%x", name[:45], h.Sum32())
	}
	return name
}

type running struct {
	*Capture
	stop func() // ends it and waits
	done chan error
}

func run(t *testing.T, url string, sink Sink, change func(*Options)) *running {
	t.Helper()
	o := testOptions(t, url)
	if change != nil {
		change(&o)
	}
	return launch(t, o, sink, false)
}

// supervise runs a capture again when it ends, as a supervisor does: an outage
// that it meets before it has begun ends it.
func supervise(t *testing.T, url string, sink Sink) *running {
	t.Helper()
	return launch(t, testOptions(t, url), sink, true)
}

func testOptions(t *testing.T, url string) Options {
	return Options{
		DatabaseURL: url, Table: "streaming.transactions", Slot: slotName(t), StatusInterval: 50 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(logWriter{t}, nil)),
	}
}

func launch(t *testing.T, o Options, sink Sink, again bool) *running {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return start(t, c, sink, again)
}

// errKilled ends a capture at a named point. To PostgreSQL it is a kill: the
// connections end there, and nothing is put in order.
var errKilled = errors.New("killed")

func launchUntil(t *testing.T, o Options, sink Sink, point string) *running {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	c.passing = func(at string) error {
		if at == point {
			return errKilled
		}
		return nil
	}
	return start(t, c, sink, false)
}

func start(t *testing.T, c *Capture, sink Sink, again bool) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Capture: c, done: make(chan error, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := c.Run(ctx, sink)
		for again && ctx.Err() == nil {
			t.Log("run again after:", err)
			err = c.Run(ctx, sink)
		}
		r.done <- err
	}()
	r.stop = func() { cancel(); <-ended }
	t.Cleanup(r.stop)
	return r
}

// untilStreaming waits until the snapshot, if any, is complete and changes are followed.
func (r *running) untilStreaming(t *testing.T) {
	t.Helper()
	eventually(t, "the stream", func() bool { return r.Stats().Streaming })
}

// untilStreamingOrEnd is the error of a capture that ends before it streams.
func (r *running) untilStreamingOrEnd(t *testing.T) error {
	t.Helper()
	var err error
	eventually(t, "the stream, or an end", func() bool {
		select {
		case err = <-r.done:
			return true
		default:
			return r.Stats().Streaming
		}
	})
	return err
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(b []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// statements splits a script as psql would, for scripts that end each statement with a line's end.
func statements(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(string(text), ";\n")
}

const simpleTable = `CREATE SCHEMA streaming;
	CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, n bigint NOT NULL)`

// rewriteHBA makes the server ask the role locked for its password. The file is
// written by the server, because it may belong to another user than the test.
func rewriteHBA(t *testing.T, conn *pgx.Conn, file string) {
	t.Helper()
	exec(t, conn, `COPY (SELECT line FROM (VALUES (1, 'host all locked 127.0.0.1/32 scram-sha-256'),
		(2, 'host all all 127.0.0.1/32 trust')) v (n, line) ORDER BY n) TO '`+file+`'`)
	exec(t, conn, "SELECT pg_reload_conf()")
	eventually(t, "the reload", func() bool {
		return value[int](t, conn, "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'scram-sha-256'") == 1
	})
}

// logText keeps what is logged, and passes it on to the test.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
	t    *testing.T
}

func (l *logText) logger(t *testing.T) *slog.Logger {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = t
	return slog.New(slog.NewTextHandler(l, nil))
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t.Log(strings.TrimSpace(string(b)))
	return l.text.Write(b)
}

func (l *logText) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), part)
}

func (l *logText) expect(t *testing.T, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !l.has(part) {
			t.Errorf("the log does not say %q", part)
		}
	}
}
