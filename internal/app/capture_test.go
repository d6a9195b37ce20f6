package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/jackc/pgx/v5"
)

// captured is a PostgreSQL with a table of one row, and what a capture of it needs.
func captured(t *testing.T, g *ground) (*pgx.Conn, CaptureOptions) {
	t.Helper()
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	conn, err := pgx.Connect(t.Context(), p.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	execute(t, conn, "CREATE SCHEMA streaming; CREATE TABLE streaming.transactions (id bigint PRIMARY KEY); "+
		"INSERT INTO streaming.transactions VALUES (1)")
	return conn, CaptureOptions{
		Kafka: g.config.Kafka, Topics: config.Topics{Partitions: 2}, DatabaseURL: config.Secret(p.URL("")),
		Table:  "streaming.transactions",
		Source: g.config.Source, Slot: "brimline", Publication: "brimline", CheckInterval: 50 * time.Millisecond,
	}
}

func execute(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// capturing runs a capture until it streams; stop ends it and returns its log.
func capturing(t *testing.T, o CaptureOptions) (stop func() string, done chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log, streaming, ended := &lines{}, make(chan struct{}), make(chan struct{})
	o.Log, o.Streaming, done = slog.New(slog.NewTextHandler(log, nil)), func() { close(streaming) }, make(chan error, 1)
	go func() {
		defer close(ended)
		done <- Capture(ctx, o)
	}()
	stop = func() string { cancel(); <-ended; return log.String() }
	t.Cleanup(func() { stop() })
	select {
	case <-streaming:
	case <-ended:
		t.Fatalf("%v\n%s", <-done, log)
	case <-time.After(30 * time.Second):
		t.Fatalf("it does not get going\n%s", log)
	}
	return stop, done
}

// TestCaptureChecksTheTableFirst: Kafka is left as it was when the table cannot be captured.
func TestCaptureChecksTheTableFirst(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	_, o := captured(t, g)
	o.Table, o.Source = "streaming.nothing", "src.streaming.nothing"
	o.Log = slog.New(slog.DiscardHandler)
	err := Capture(t.Context(), o)
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "postgres_table" {
		t.Errorf("%v", err)
	}
	for _, topic := range []string{o.Source, CaptureTopic} {
		if _, err := g.cluster.Partitions(topic); !IsMissing(err) {
			t.Errorf("topic %q: %v", topic, err)
		}
	}
}

// TestCaptureRemembers: what a capture has written to which topic is known to the
// next one, so that it notices what was exchanged in between.
func TestCaptureRemembers(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	conn, o := captured(t, g)
	const snapshot = "snapshot complete"
	stop, _ := capturing(t, o)
	if log := stop(); !strings.Contains(log, snapshot) {
		t.Errorf("%s", log)
	}
	stop, _ = capturing(t, o)
	if log := stop(); strings.Contains(log, snapshot) {
		t.Errorf("a complete snapshot was taken again:\n%s", log)
	}

	if err := g.cluster.Delete(t.Context(), o.Source); err != nil {
		t.Fatal(err)
	}
	stop, _ = capturing(t, o)
	if log := stop(); !strings.Contains(log, snapshot) || !strings.Contains(log, "was created anew") {
		t.Errorf("%s", log)
	}
	if n := g.count(t, o.Source); n != 1 {
		t.Errorf("%d records in the new topic", n)
	}

	execute(t, conn, `CREATE TABLE streaming.new (LIKE streaming.transactions INCLUDING ALL);
		INSERT INTO streaming.new VALUES (1), (2);
		DROP TABLE streaming.transactions; ALTER TABLE streaming.new RENAME TO transactions;
			ALTER PUBLICATION brimline ADD TABLE streaming.transactions`)
	stop, _ = capturing(t, o)
	if log := stop(); !strings.Contains(log, snapshot) || !strings.Contains(log, "another table has taken this name") {
		t.Errorf("%s", log)
	}
	if n := g.count(t, o.Source); n != 3 {
		t.Errorf("%d records", n)
	}

	// The same slot, and a Kafka that has nothing.
	other := newGround(t)
	defer other.close(t)
	elsewhere := o
	elsewhere.Kafka = other.config.Kafka
	stop, _ = capturing(t, elsewhere)
	if log := stop(); !strings.Contains(log, snapshot) || !strings.Contains(log, "nothing is known") {
		t.Errorf("%s", log)
	}
	if n := other.count(t, o.Source); n != 2 {
		t.Errorf("%d records", n)
	}

	// Resnapshot, once.
	o.Resnapshot = true
	stop, _ = capturing(t, o)
	if log := stop(); strings.Count(log, snapshot) != 1 || !strings.Contains(log, "it was asked for") {
		t.Errorf("%s", log)
	}
}

// TestCaptureNoticesWhileRunning: a topic that is made anew, and a table that goes.
func TestCaptureNoticesWhileRunning(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	conn, o := captured(t, g)
	for _, c := range []struct {
		kind string
		do   func()
	}{
		{"capture_topic_anew", func() {
			if err := g.cluster.Delete(t.Context(), o.Source); err != nil {
				t.Fatal(err)
			}
			if err := EnsureSource(t.Context(), &o.Kafka, &o.Topics, o.Source); err != nil {
				t.Fatal(err)
			}
		}},
		{"postgres_table", func() { execute(t, conn, "ALTER TABLE streaming.transactions RENAME TO old") }},
	} {
		_, done := capturing(t, o)
		c.do()
		select {
		case err := <-done:
			if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != c.kind || brimline.ExitCode(err) != 3 {
				t.Errorf("%v, not %s", err, c.kind)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("%s is not noticed", c.kind)
		}
	}
}

// TestCaptureOfAnOddName: the topic is called as Debezium calls it.
func TestCaptureOfAnOddName(t *testing.T) {
	g := newGround(t)
	defer g.close(t)
	conn, o := captured(t, g)
	execute(t, conn, `CREATE TABLE streaming."Odd Näme$1" (id bigint PRIMARY KEY);
		INSERT INTO streaming."Odd Näme$1" VALUES (1)`)
	o.Table = "streaming.Odd Näme$1"
	o.Log = slog.New(slog.DiscardHandler)
	if err := Capture(t.Context(), o); err == nil || !strings.Contains(err.Error(), "<prefix>.streaming.Odd_N_me_1") {
		t.Errorf("%v", err)
	}
	o.Source = "postgres.streaming.Odd_N_me_1" // recorded from a real Debezium
	stop, _ := capturing(t, o)
	stop()
	if n := g.count(t, o.Source); n != 1 {
		t.Errorf("%d records", n)
	}
}

func (g *ground) count(t *testing.T, topic string) (n int) {
	t.Helper()
	if err := g.cluster.Tail(t.Context(), topic, kafka.Oldest, false,
		func(*kafka.Message) error { n++; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}
