package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

const testDB = "ledger_test"

// The kinds of failure, in short.
const (
	kindAway       = postgres.KindAway
	kindBusy       = postgres.KindBusy
	kindTimeout    = postgres.KindTimeout
	kindLogin      = postgres.KindLogin
	kindDatabase   = postgres.KindDatabase
	kindPermission = postgres.KindPermission
	kindMissing    = postgres.KindMissing
	kindPooler     = postgres.KindPooler
	kindValue      = postgres.KindValue
	kindQuery      = postgres.KindQuery
)

// temporary reports whether err is of a kind that passes by waiting.
func temporary(err error) bool {
	e, ok := errors.AsType[*brimline.Error](err)
	return ok && slices.Contains([]string{kindAway, kindBusy, kindTimeout, kindBehind, kindOpen,
		postgres.KindSession}, e.Kind)
}

func target(t testing.TB) *postgres.Target {
	t.Helper()
	target, err := postgres.Parse("postgres://reader@127.0.0.1:1/app")
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// server is one PostgreSQL for all tests of the package; its superuser is
// trusted, every other login needs its password.
type server struct {
	*embedded.Postgres
	admin *pgxpool.Pool
	rows  int64 // of user 1, where a test counts them
}

func (s *server) url() string { return s.URL(testDB) }

func (s *server) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// connect opens a connection that ends with the test.
func (s *server) connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (s *server) open(t testing.TB, o Options) *Ledger {
	t.Helper()
	if o.URL == "" {
		o.URL = s.url()
	}
	l, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// startServer starts a PostgreSQL whose directory every user can reach.
func startServer(t testing.TB, settings map[string]string) *server {
	t.Helper()
	return startServerWith(t, settings, nil)
}

// startServerWith stops the server once it has its tables, lets change alter its data directory, and starts it again.
func startServerWith(t testing.TB, settings map[string]string, change func(data string)) *server {
	t.Helper()
	dir, err := os.MkdirTemp("", "ledger-hba-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	hba := filepath.Join(dir, "pg_hba.conf")
	rules := fmt.Sprintf("host all %[1]s 127.0.0.1/32 trust\nhost replication %[1]s 127.0.0.1/32 trust\nhost all all "+
		"127.0.0.1/32 scram-sha-256\n", embedded.Superuser)
	if err := os.WriteFile(hba, []byte(rules), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"hba_file": hba}
	for k, v := range settings {
		all[k] = v
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o := embedded.PostgresOptions{NoSync: true, Settings: all}
	if change != nil {
		o.Dir = t.TempDir()
	}
	pg, err := embedded.StartPostgres(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Postgres: pg}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	first, err := pgxpool.New(ctx, pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Exec(ctx, "CREATE DATABASE "+testDB); err != nil {
		t.Fatal(err)
	}
	first.Close()
	if s.admin, err = pgxpool.New(ctx, s.url()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.admin.Close)
	for _, sql := range []string{
		"CREATE SCHEMA streaming",
		// The ordinary table, and one of other types and awkward names.
		`CREATE TABLE streaming.transactions (id bigint PRIMARY KEY, user_id bigint NOT NULL, amount numeric(20,2), "timestamp" timestamptz NOT NULL, kind text)`,
		`CREATE INDEX ON streaming.transactions (user_id, "timestamp")`,
		`CREATE TABLE "Odd ""name" ("the id" bigint, part text, "User" varchar(40), sum bigint, "at" timestamp, PRIMARY KEY ("the id", part))`,
		`CREATE INDEX ON "Odd ""name" ("User", "at")`,
	} {
		s.exec(t, sql)
	}
	if change != nil {
		s.exec(t, "VACUUM (FREEZE)")
		var data string
		if err := s.admin.QueryRow(ctx, "SHOW data_directory").Scan(&data); err != nil {
			t.Fatal(err)
		}
		s.admin.Close()
		if err := s.Stop(ctx); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(filepath.Dir(data)) })
		change(data)
		if s.Postgres, err = embedded.StartPostgres(ctx, o); err != nil {
			t.Fatal(err)
		}
		if s.admin, err = pgxpool.New(ctx, s.url()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.admin.Close)
	}
	return s
}

func transactions() Options {
	return Options{
		Table: "streaming.transactions", Scale: 2,
		Columns: Columns{ID: []string{"id"}, User: "user_id", Amount: "amount", Time: "timestamp"},
		Extra:   []brimline.Column{{Name: "kind", Type: brimline.Text}},
	}
}

func oddTable() Options {
	return Options{
		Table: `Odd "name`, Scale: 2,
		Columns: Columns{ID: []string{"the id", "part"}, User: "User", Amount: "sum", Time: "at"},
		Extra:   []brimline.Column{{Name: "part", Type: brimline.Text}},
	}
}
