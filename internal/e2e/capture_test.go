package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline/internal/testkit"
)

// own is a table of its own, captured by brimline.
type own struct {
	*testkit.Parts
	url, source string
	conn        *pgx.Conn
	env         []string
}

func newOwn(t *testing.T, table, ddl string) *own {
	t.Helper()
	name := testkit.Unique(t)
	o := &own{Parts: parts(t), source: name + "." + table}
	o.url = o.Database(t, name)
	o.conn = testkit.Connect(t, o.url)
	o.exec(t, ddl)
	o.env = []string{
		"BRIMLINE_DATABASE_URL=" + o.url, "BRIMLINE_BROKERS=" + strings.Join(o.Brokers, ","), "BRIMLINE_SOURCE=" + o.source,
		"BRIMLINE_TABLE=" + table,
		"BRIMLINE_GROUP=" + name, "BRIMLINE_ALERTS=alerts-" + name, "BRIMLINE_LISTEN=off", "BRIMLINE_SLOT=" + name,
		"BRIMLINE_PUBLICATION=" + name,
		"BRIMLINE_STATE_DIR=" + t.TempDir(),
	}
	return o
}

func (o *own) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := o.conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func (o *own) capture(t *testing.T, args ...string) *testkit.Process {
	t.Helper()
	return testkit.Start(t, binary, o.env, append([]string{"capture"}, args...)...)
}

// brimline runs a command to its end.
func (o *own) brimline(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env = append(os.Environ(), o.env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("brimline %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (o *own) await(t *testing.T, records int64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := o.WaitRecords(ctx, o.source, records); err != nil {
		t.Fatalf("%d records in %s: %v", records, o.source, err)
	}
}

// alerts runs the stages up to the end of the topic and returns what was alerted.
func (o *own) alerts(t *testing.T, rules string, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	o.brimline(t, append([]string{"run", "--until-caught-up", "--rules", file}, args...)...)
	return o.brimline(t, "alerts")
}

// TestCaptureOfMilliseconds: a table as Prisma makes it, with times to the
// millisecond, read by the stages without a word about units.
func TestCaptureOfMilliseconds(t *testing.T) {
	t.Parallel()
	o := newOwn(t, "public.payments", `CREATE TABLE payments (id text PRIMARY KEY, "userId" text NOT NULL, amount
		numeric(12,2) NOT NULL, "createdAt" timestamp(3) NOT NULL);
		ALTER TABLE payments REPLICA IDENTITY FULL; CREATE INDEX ON payments ("userId", "createdAt");
			INSERT INTO payments VALUES ('a', 'u1', 2000, '2026-11-23 01:02:03.456')`)
	o.capture(t)
	o.await(t, 1)
	o.exec(t, `INSERT INTO payments VALUES ('b', 'u1', 2000, '2026-11-24 01:02:03.456')`)
	o.await(t, 2)
	got := o.alerts(t, "rules: [{id: r, window: 7d, limit: \"3000.00\"}]", "--user-column", "userId", "--time-column",
		"createdAt")
	if !strings.Contains(got, "ALERT user u1 $4,000.00") || strings.Count(got, "ALERT") != 1 {
		t.Errorf("%s", got)
	}
}

// TestCaptureOfDomains: rows of the snapshot and of the stream are read alike,
// whatever domains the columns are of.
func TestCaptureOfDomains(t *testing.T) {
	t.Parallel()
	o := newOwn(t, "public.payments", `CREATE DOMAIN event_time AS timestamptz; CREATE DOMAIN flag AS boolean;
		CREATE TABLE payments (id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL, timestamp
			event_time NOT NULL, card flag NOT NULL);
		ALTER TABLE payments REPLICA IDENTITY FULL; CREATE INDEX ON payments (user_id, timestamp);
			INSERT INTO payments VALUES (1, 5, 2000, '2026-11-23', true)`)
	o.capture(t)
	o.await(t, 1)
	o.exec(t, `INSERT INTO payments VALUES (2, 5, 2000, '2026-11-24', true), (3, 5, 9000, '2026-11-24', false)`)
	o.await(t, 3)
	got := o.alerts(t, "columns: {card: boolean}\nrules: [{id: r, window: 7d, limit: \"3000.00\", where: card}]")
	if !strings.Contains(got, "ALERT user 5 $4,000.00") || strings.Count(got, "ALERT") != 1 {
		t.Errorf("%s", got)
	}
}

// TestCaptureOfASwappedTable: the table is replaced while the capture runs. It
// ends with exit code 3 within its interval, and its remedy, followed to the
// letter, brings what was in the new table.
func TestCaptureOfASwappedTable(t *testing.T) {
	t.Parallel()
	const ddl = `(id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(12,2) NOT NULL,
		timestamp timestamptz NOT NULL)`
	o := newOwn(t, "public.payments", `CREATE TABLE payments `+ddl+`; ALTER TABLE payments REPLICA IDENTITY FULL;
		INSERT INTO payments VALUES (1, 5, 1000, '2026-11-23')`)
	p := o.capture(t, "--check-interval", "1s")
	o.await(t, 1)
	waitOutput(t, p, "capture is streaming")
	o.exec(t, `CREATE TABLE payments_new `+ddl+`; ALTER TABLE payments_new REPLICA IDENTITY FULL;
		CREATE INDEX ON payments_new (user_id, timestamp);
		INSERT INTO payments_new SELECT * FROM payments; INSERT INTO payments_new VALUES (2, 5, 1500, '2026-11-24')`)
	o.exec(t, `ALTER TABLE payments RENAME TO payments_old; ALTER TABLE payments_new RENAME TO payments`)
	o.exec(t, `INSERT INTO payments VALUES (3, 5, 1000, '2026-11-25')`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if code, err := p.Wait(ctx); code != 3 || err != nil {
		t.Fatalf("exit code %d, %v", code, err)
	}
	said := strings.ReplaceAll(p.Output(), "\n", " ")
	remedy := regexp.MustCompile(`remedy: (ALTER PUBLICATION [^;]*); then start the capture again`).
		FindStringSubmatch(said)
	if remedy == nil {
		t.Fatalf("no remedy:\n%s", p.Output())
	}
	o.exec(t, remedy[1])
	q := o.capture(t)
	waitOutput(t, q, "capture is streaming")
	o.exec(t, `INSERT INTO payments VALUES (4, 6, 1, '2026-11-25')`)
	o.await(t, 5)
	got := o.alerts(t, "rules: [{id: r, window: 7d, limit: \"3000.00\"}]")
	if !strings.Contains(got, "ALERT user 5 $3,500.00") || strings.Count(got, "ALERT") != 1 {
		t.Errorf("%s", got)
	}
}

// TestCaptureKilledInItsSnapshot by kill -9, several times, while rows go and
// come: in the end the topic's rows are the table's.
func TestCaptureKilledInItsSnapshot(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	o := newOwn(t, "public.payments", `CREATE TABLE payments (id bigint PRIMARY KEY, n bigint NOT NULL, filler text);
		ALTER TABLE payments REPLICA IDENTITY FULL;
		INSERT INTO payments SELECT i, 0, repeat('x', 200) FROM generate_series(1, 60000) i`)
	o.CreateTopic(t, o.source, 1)
	written := int64(1)
	for round := range 3 {
		p := o.capture(t)
		o.await(t, written+int64(r.IntN(20000)))
		p.Signal(syscall.SIGKILL)
		if _, err := p.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(p.Output(), "snapshot complete") {
			t.Log("round", round, "was too late")
		}
		o.exec(t, fmt.Sprintf("DELETE FROM payments WHERE id %% 100 = %d; UPDATE payments SET n = %d WHERE id %% 50 = %d; "+
			"INSERT INTO payments VALUES (%d, 1)",
			r.IntN(100), round+1, r.IntN(50), 100000+round))
		written = int64(len(o.Records(t, o.source)))
	}
	p := o.capture(t)
	waitOutput(t, p, "capture is streaming")
	o.exec(t, "INSERT INTO payments VALUES (999999, 4711)")
	topic := map[int64]int64{}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := testkit.EventuallyEvery(ctx, 200*time.Millisecond, func() (bool, error) {
		clear(topic)
		for _, record := range o.Records(t, o.source) {
			var v struct{ Before, After *struct{ ID, N int64 } }
			if record.Value == nil {
				continue
			}
			if err := json.Unmarshal(record.Value, &v); err != nil {
				return false, err
			}
			if v.After != nil {
				topic[v.After.ID] = v.After.N
			} else {
				delete(topic, v.Before.ID)
			}
		}
		return topic[999999] == 4711, nil
	}); err != nil {
		t.Fatal(err)
	}
	rows, err := o.conn.Query(t.Context(), "SELECT id, n FROM payments")
	if err != nil {
		t.Fatal(err)
	}
	var id, n int64
	wrong := 0
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error {
		if have, ok := topic[id]; !ok || have != n {
			wrong++
		}
		delete(topic, id)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if wrong > 0 || len(topic) > 0 {
		t.Errorf("%d rows of the table are missing or different in the topic, %d of the topic are not in the table", wrong,
			len(topic))
	}
}
