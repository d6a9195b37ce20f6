package ledger

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
)

// both is a URL with two servers' hosts, in this order.
func both(t *testing.T, login, first, second, parameters string) string {
	t.Helper()
	a, err1 := url.Parse(first)
	b, err2 := url.Parse(second)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return fmt.Sprintf("postgres://%s@%s,%s/%s?sslmode=disable%s", login, a.Host, b.Host, testDB, parameters)
}

// asked is the server that answers: whether it is a standby, and whether it would let itself be written to.
func asked(t *testing.T, l *Ledger) (standby bool) {
	t.Helper()
	conn, err := l.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	var readOnly string
	err = postgres.Ask(
		t.Context(),
		conn.Conn(),
		l.o.Timeout,
		func(b *pgx.Batch) { b.Queue("SELECT pg_is_in_recovery(), current_setting('transaction_read_only')") },
		func(results pgx.BatchResults) error { return results.QueryRow().Scan(&standby, &readOnly) },
	)
	if err != nil || readOnly != "on" {
		t.Fatal(readOnly, err)
	}
	return standby
}

// TestHosts: a URL with several servers, with each choice among them, and a failover.
func TestHosts(t *testing.T) {
	t.Parallel()
	primary := startServer(t, nil)
	replica := standbyOf(t, primary)
	standby := primary.connect(t, replica.URL(testDB))
	primary.exec(
		t,
		`CREATE ROLE writer LOGIN SUPERUSER PASSWORD 'w'; CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'w';
			ALTER ROLE reader SET default_transaction_read_only = on;
		INSERT INTO streaming.transactions VALUES (1, 1, 5, 'epoch')`,
	)
	var position string
	if err := primary.admin.QueryRow(t.Context(), "SELECT pg_current_wal_flush_lsn()::text").
		Scan(&position); err != nil {
		t.Fatal(err)
	}
	awaitLSN(t, standby, position)
	p, r := primary.url(), replica.URL(testDB)
	open := func(login, first, second, parameters string) (*Ledger, error) {
		o := transactions()
		o.URL = both(t, login, first, second, parameters)
		l, err := Open(t.Context(), o)
		if err == nil {
			t.Cleanup(l.Close)
		}
		return l, err
	}
	const superuser = "brimline"
	for attrs, want := range map[string]bool{ // whether a standby is asked
		"read-write": false, "primary": false, "read-only": true, "standby": true, "prefer-standby": true,
	} {
		for order, hosts := range map[string][2]string{"primary first": {p, r}, "standby first": {r, p}} {
			l, err := open(superuser, hosts[0], hosts[1], "&target_session_attrs="+attrs)
			if err != nil {
				t.Errorf("%s, %s: %v", attrs, order, err)
				continue
			}
			if got := asked(t, l); got != want {
				t.Errorf("%s, %s: a standby is asked: %v", attrs, order, got)
			}
			if f, _, err := l.Figures(
				t.Context(),
				"1",
				hour,
				0,
				brimline.Source{TxID: 700, LSN: 1},
			); err != nil ||
				f.Count != 1 {
				t.Errorf("%s, %s: %+v %v", attrs, order, f, err)
			}
		}
	}
	for order, hosts := range map[bool][2]string{false: {p, r}, true: {r, p}} {
		if l, err := open(
			superuser,
			hosts[0],
			hosts[1],
			"&target_session_attrs=any",
		); err != nil ||
			asked(t, l) != order {
			t.Errorf("any of %v: %v", hosts, err)
		}
	}
	if l, err := open(superuser, p, p, "&target_session_attrs=prefer-standby"); err != nil || asked(t, l) {
		t.Errorf("no standby to prefer: %v", err)
	}
	if l, err := open("reader:w", r, p, "&target_session_attrs=primary"); err != nil || asked(t, l) {
		t.Errorf("a login that is read-only by default: %v", err)
	}
	for what, c := range map[string]struct{ login, host, attrs string }{
		"a login that is read-only by default": {"reader:w", p, "read-write"}, "no primary": {superuser, r, "read-write"},
		"no primary either": {superuser, r, "primary"}, "no standby": {superuser, p, "standby"},
		"none that is read-only": {superuser, p, "read-only"},
	} {
		_, err := open(c.login, c.host, c.host, "&target_session_attrs="+c.attrs)
		if e, ok := errors.AsType[*brimline.Error](
			err,
		); !ok || e.Kind != postgres.KindSession || !strings.Contains(e.Remedy, "target_session_attrs") ||
			!temporary(err) {
			t.Errorf("%s: %v", what, err)
		}
	}

	// The standby stands still, a row is committed, the primary answers about it, and dies.
	l, err := open(superuser, p, r, "")
	if err != nil {
		t.Fatal(err)
	}
	l.o.Timeout = time.Second
	writing, err := open("writer:w", r, p, "&target_session_attrs=read-write")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := standby.Exec(t.Context(), "SELECT pg_wal_replay_pause()"); err != nil {
		t.Fatal(err)
	}
	var src brimline.Source
	var before, after string
	if err := primary.admin.QueryRow(t.Context(), "SELECT pg_current_wal_insert_lsn()::text").
		Scan(&before); err != nil {
		t.Fatal(err)
	}
	if err := primary.admin.QueryRow(t.Context(),
		"INSERT INTO streaming.transactions VALUES (2, 1, 5, 'epoch') RETURNING txid_current() & 4294967295").
		Scan(&src.TxID); err != nil {
		t.Fatal(err)
	}
	if err := primary.admin.QueryRow(t.Context(), "SELECT pg_current_wal_flush_lsn()::text").Scan(&after); err != nil {
		t.Fatal(err)
	}
	if src.LSN, err = brimline.ParseLSN(before); err != nil {
		t.Fatal(err)
	}
	src.Commit = brimline.TimeOf(time.Now())
	if f, _, err := l.Figures(t.Context(), "1", hour, 0, src); err != nil || f.Count != 2 {
		t.Fatal(f, err)
	}
	awaitReceived(t, standby, after)
	primary.admin.Close()
	if err := primary.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = retried(t, func() error {
		f, _, err := l.Figures(t.Context(), "1", hour, 0, src)
		if err == nil {
			return fmt.Errorf("a standby without the row answered %+v", f)
		}
		return err
	})
	if !temporary(err) {
		t.Error(err)
	}
	if _, _, err := writing.Figures(t.Context(), "1", hour, 0, src); err == nil || !temporary(err) {
		t.Errorf("no primary is there: %v", err)
	}
	if _, err := standby.Exec(t.Context(), "SELECT pg_wal_replay_resume(), pg_promote()"); err != nil {
		t.Fatal(err)
	}
	for what, l := range map[string]*Ledger{"any": l, "read-write": writing} {
		deadline := time.Now().Add(20 * time.Second)
		for {
			f, _, err := l.Figures(t.Context(), "1", hour, 0, src)
			if err == nil && f.Count == 2 {
				break
			}
			if err == nil || !temporary(err) || time.Now().After(deadline) {
				t.Fatalf("%s, after the failover: %+v %v", what, f, err)
			}
		}
		if asked(t, l) {
			t.Errorf("%s: the promoted server takes itself for a standby", what)
		}
	}
	if _, err := standby.Exec(
		context.Background(),
		"INSERT INTO streaming.transactions VALUES (3, 1, 5, 'epoch')",
	); err != nil {
		t.Error(err)
	}
	if f, _, err := writing.Figures(t.Context(), "1", hour, 0); err != nil || f.Count != 3 {
		t.Errorf("a row of the new primary: %+v %v", f, err)
	}
}

func awaitReceived(t *testing.T, standby asker, lsn string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for there := false; !there; time.Sleep(5 * time.Millisecond) {
		if err := standby.QueryRow(t.Context(), "SELECT pg_last_wal_receive_lsn() >= $1::text::pg_lsn", lsn).
			Scan(&there); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby has not got %s", lsn)
		}
	}
}
