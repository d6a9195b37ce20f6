package security

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/testkit"
)

// strict is a PostgreSQL that takes logins over TLS with a password alone,
// except from the superuser. Its certificate is for 127.0.0.1.
type strict struct {
	admin *pgx.Conn
	ca    *authority
}

func newStrict(t *testing.T) *strict {
	t.Helper()
	p, err := embedded.StartPostgres(t.Context(), embedded.PostgresOptions{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	s := &strict{admin: testkit.Connect(t, p.URL("")), ca: newAuthority(t, "ours")}
	cert, key := s.ca.issue(t, "127.0.0.1")
	var data string
	if err := s.admin.QueryRow(t.Context(), "SHOW data_directory").Scan(&data); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"server.crt": cert, "server.key": key} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		place(t, data, name, string(text))
	}
	place(t, data, "pg_hba.conf", fmt.Sprintf("host all %s 127.0.0.1/32 trust\nhostssl all,replication all "+
		"127.0.0.1/32 scram-sha-256\n", embedded.Superuser))
	s.exec(t, "ALTER SYSTEM SET ssl = on")
	s.exec(t, "SELECT pg_reload_conf()")
	testkit.CreateTable(t, s.admin, "streaming", "transactions")
	err = testkit.Eventually(t.Context(), func() (bool, error) {
		c, err := pgx.Connect(t.Context(), strings.Replace(p.URL(""), "sslmode=disable", "sslmode=require", 1))
		if err != nil {
			return false, err
		}
		return true, c.Close(t.Context())
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// place writes a file that belongs to the owner of the directory.
func place(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && os.Geteuid() == 0 {
		if err := os.Chown(path, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *strict) exec(t *testing.T, sql string) {
	t.Helper()
	if _, err := s.admin.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// url of a login; options are as in "sslmode=verify-full".
func (s *strict) url(user, password, host string, options ...string) string {
	c := s.admin.Config()
	return (&url.URL{
		Scheme: "postgres", User: url.UserPassword(user, password), Host: fmt.Sprintf("%s:%d", host, c.Port),
		Path: c.Database, RawQuery: strings.Join(options, "&"),
	}).String()
}

// TestPostgresTLS: the encryption and the password that a server insists on, in
// every command that asks it.
func TestPostgresTLS(t *testing.T) {
	t.Parallel()
	s := newStrict(t)
	s.exec(t, "CREATE ROLE reader LOGIN REPLICATION PASSWORD '"+canary+"'; GRANT USAGE ON SCHEMA streaming TO reader; "+
		"GRANT SELECT ON streaming.transactions TO reader")
	s.exec(t, "CREATE PUBLICATION brimline FOR TABLE streaming.transactions")
	theirs := newAuthority(t, "theirs")
	addr := broker(t)
	root := "sslrootcert=" + s.ca.file
	for name, c := range map[string]struct {
		url   string
		code  int
		words []string
	}{
		"right":           {s.url("reader", canary, "127.0.0.1", "sslmode=verify-full", root), 0, nil},
		"wrong authority": {s.url("reader", canary, "127.0.0.1", "sslmode=verify-full", "sslrootcert="+theirs.file), 3, []string{"unknown authority", "sslrootcert"}},
		"wrong host name": {s.url("reader", canary, "localhost", "sslmode=verify-full", root), 3, []string{"localhost", "sslmode"}},
		"no TLS":          {s.url("reader", canary, "127.0.0.1", "sslmode=disable"), 3, []string{"pg_hba.conf"}},
		"wrong password":  {s.url("reader", canary+"x", "127.0.0.1", "sslmode=verify-full", root), 3, []string{"password"}},
		"wrong user":      {s.url("stranger", canary, "127.0.0.1", "sslmode=verify-full", root), 3, []string{"stranger"}},
		"no such file":    {s.url("reader", canary, "127.0.0.1", "sslmode=verify-full", "sslrootcert=/nonexistent/ca.pem"), 2, []string{"/nonexistent/ca.pem"}},
		"unreadable":      {"postgres://reader:" + canary + "/x@127.0.0.1:port/db", 2, []string{"postgres://user@host:port/database"}},
		"no URL":          {canary, 2, []string{"postgres://user@host:port/database"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := []string{"BRIMLINE_DATABASE_URL=" + c.url}
			rules := write(t, "rules.yaml", "rules: [{id: r, window: 7d, limit: 100}]")
			commands := map[string][]string{
				"run":    {"run", "--listen", "off", "--until-caught-up", "--rules", rules, "--log-level", "debug", "--log-format", "json", "--group", testkit.Unique(t)},
				"doctor": {"doctor", "--rules", rules},
			}
			if c.code != 0 {
				commands["capture"] = []string{"capture", "--log-level", "debug"}
			}
			for command, args := range commands {
				said := brimline(t, env, append(args, "--brokers", addr)...)
				hides(t, said)
				switch {
				case c.code == 0 && said.code != 0:
					t.Errorf("%s: code %d\n%s", command, said.code, said.all())
				case c.code != 0:
					said.fails(t, c.code, c.words...)
				}
			}
		})
	}
}
