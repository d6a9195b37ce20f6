package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline/internal/embedded"
)

// What a database adds: its judgement, the table's columns, and a limit that users keep to.
func TestRulesWithADatabase(t *testing.T) {
	pg, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pg.Stop(context.WithoutCancel(t.Context())) })
	url := pg.URL("postgres")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE SCHEMA shop; CREATE TABLE shop.payments (id bigint PRIMARY KEY, user_id bigint, amount numeric(12,3),
		"timestamp" timestamptz, merchant text, "first name" text, "not" text, tries integer);
		CREATE INDEX ON shop.payments (user_id, "timestamp");
		INSERT INTO shop.payments SELECT n, n % 10, n, timestamptz '2026-01-01 12:00+00' + n * interval '1 day'
		FROM generate_series(1, 1000) n`)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	must := func(want string, args ...string) {
		t.Helper()
		if code, out, errOut := run(t, args...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%q: code %d, %s%s", args, code, out, errOut)
		}
	}
	must("now: ", "rules", "init", at("rules.yaml"), "--suggest", "--database-url", url, "--table", "shop.payments")
	text, err := os.ReadFile(at("rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\nscale: 3\n", "#   merchant: text\n", "#   tries: integer\n", "Of 10 users, 1000 days",
		"to 999.000.", `limit: "999.000"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(string(text), "first name") || strings.Contains(string(text), "not: text") {
		t.Errorf("a column that no rule can ask about is in\n%s", text)
	}
	must("3 tests: 3 passed, 0 failed, judged by PostgreSQL", "rules", "test", at("rules.test.yaml"), "--against", url)

	exec(`TRUNCATE shop.payments; ALTER TABLE shop.payments ALTER amount TYPE numeric`)
	must("now: ", "rules", "init", at("empty.yaml"), "--suggest", "--database-url", url, "--table", "shop.payments")
	text, err = os.ReadFile(at("empty.yaml"))
	if err != nil || !strings.Contains(string(text), "see what your rows hold") ||
		!strings.Contains(string(text), `limit: "1000.00"`) {
		t.Errorf("%v\n%s", err, text)
	}
	must("3 passed", "rules", "test", at("empty.test.yaml"))
	code, _, errOut := run(t, "rules", "init", at("x.yaml"), "--database-url", url, "--table", "shop.none")
	if code != 3 || !strings.Contains(errOut, "shop.none") && !strings.Contains(errOut, `"shop"."none"`) {
		t.Errorf("no such table: code %d, %s", code, errOut)
	}
}
