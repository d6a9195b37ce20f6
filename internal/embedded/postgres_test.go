package embedded

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/jackc/pgx/v5"
)

func startPostgres(t *testing.T, o PostgresOptions) *Postgres {
	t.Helper()
	o.Log = testLog(t)
	p, err := StartPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.Stop(context.Background())
		if o.Dir != "" {
			if err := RemovePostgres(o.Dir); err != nil {
				t.Error(err)
			}
		}
	})
	return p
}

// query runs one statement and returns its first value as text.
func query(t *testing.T, p *Postgres, statement string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), p.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), statement)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var v any
	if rows.Next() {
		values, err := rows.Values()
		if err != nil {
			t.Fatal(err)
		}
		v = values[0]
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(v)
}

func TestPostgresScratch(t *testing.T) {
	p := startPostgres(t, PostgresOptions{NoSync: true, Settings: map[string]string{"work_mem": "5MB"}})
	for statement, want := range map[string]string{
		"SHOW wal_level":               "logical",
		"SHOW fsync":                   "off",
		"SHOW work_mem":                "5MB",
		"SHOW TimeZone":                "UTC",
		"SHOW listen_addresses":        "127.0.0.1",
		"SHOW unix_socket_directories": "",
		"SELECT current_user::text":    Superuser,
	} {
		if got := query(t, p, statement); got != want {
			t.Errorf("%s: %s, not %s", statement, got, want)
		}
	}
	scratch := p.scratch
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if err := p.Stop(t.Context()); err != nil {
		t.Errorf("second stop: %v", err)
	}
	if _, err := os.Stat(scratch); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the scratch directory is still there: %v", err)
	}
}

// TestPostgresSweepsScratch: a killed test leaves its directory; a later start removes it, and nothing in use.
func TestPostgresSweepsScratch(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	if err := os.Chmod(filepath.Dir(os.TempDir()), 0o755); err != nil { // for the server's user
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * sweepAge)
	age := func(dir string) {
		t.Helper()
		if err := os.Chtimes(filepath.Join(dir, "lock"), old, old); err != nil {
			t.Fatal(err)
		}
	}
	used := startPostgres(t, PostgresOptions{NoSync: true})
	age(used.scratch)
	dead := filepath.Join(os.TempDir(), "brimline-postgres-dead")
	lock, err := lockDir(dead)
	if err != nil {
		t.Fatal(err)
	}
	lock.release()
	age(dead)
	startPostgres(t, PostgresOptions{NoSync: true})
	if _, err := os.Stat(dead); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead one is still there: %v", err)
	}
	if got := query(t, used, "SELECT 1"); got != "1" {
		t.Error(got)
	}
}

func TestPostgresSurvivesItsKill(t *testing.T) {
	dir := t.TempDir()
	p := startPostgres(t, PostgresOptions{Dir: dir})
	query(t, p, "CREATE TABLE kept AS SELECT 42 AS n")
	p.Kill()
	again := startPostgres(t, PostgresOptions{Dir: dir})
	if got := query(t, again, "SELECT n FROM kept"); got != "42" {
		t.Errorf("read %s", got)
	}
	if again.URL("x") != p.URL("x") {
		t.Errorf("%s, before %s", again.URL("x"), p.URL("x"))
	}
	if got := query(t, again, "SHOW fsync"); got != "on" {
		t.Errorf("fsync %s", got)
	}
}

func TestPostgresSurvivesOurKill(t *testing.T) {
	dir := t.TempDir()
	c := startChild(t, "postgres", dir)
	c.kill(t)
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if got := query(t, p, "SELECT n FROM kept"); got != "42" {
		t.Errorf("read %s", got)
	}
	if !strings.HasSuffix(c.text, p.URL("")) {
		t.Errorf("%s, before %s", p.URL(""), c.text)
	}
}

// TestPostgresTakesOverARunningServer is the case of systems where the server
// outlives a killed parent: the lock is gone, the server runs.
func TestPostgresTakesOverARunningServer(t *testing.T) {
	dir := t.TempDir()
	orphan := startPostgres(t, PostgresOptions{Dir: dir})
	orphan.lock.release()
	p := startPostgres(t, PostgresOptions{Dir: dir})
	<-orphan.Done()
	if p.Pid() == orphan.Pid() || query(t, p, "SELECT 1") != "1" {
		t.Errorf("pid %d, before %d", p.Pid(), orphan.Pid())
	}
	// orphan's clean-up must not end what has nothing to do with it any more.
	if err := orphan.Stop(t.Context()); err != nil || query(t, p, "SELECT 1") != "1" {
		t.Error(err)
	}
}

// TestPostgresPidOfAnother: the number in a stale postmaster.pid belongs to
// another program by now, which must neither be stopped nor stop us.
func TestPostgresPidOfAnother(t *testing.T) {
	dir := t.TempDir()
	p := startPostgres(t, PostgresOptions{Dir: dir})
	p.Kill()
	other := exec.Command("sleep", "600")
	if owner, _ := chooseOwner(); owner != nil {
		detach(other, owner) // same user as the server's, or PostgreSQL itself would see through it
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	path := filepath.Join(p.data, "postmaster.pid")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n")
	if err := os.WriteFile(path, fmt.Appendf(nil, "%d\n%s", other.Process.Pid, rest), 0o600); err != nil {
		t.Fatal(err)
	}
	startPostgres(t, PostgresOptions{Dir: dir})
	if !exists(other.Process.Pid) {
		t.Error("a process that is not ours was ended")
	}
}

func TestPostgresDirIsLocked(t *testing.T) {
	dir := t.TempDir()
	startPostgres(t, PostgresOptions{Dir: dir})
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "data_dir_in_use" {
		t.Fatalf("%v", err)
	}
}

// TestPostgresInitInterrupted: an initdb that was killed has left a half-made directory.
func TestPostgresInitInterrupted(t *testing.T) {
	dir := t.TempDir()
	half := filepath.Join(dir, dataName+".new")
	if err := os.MkdirAll(filepath.Join(half, "base"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := startPostgres(t, PostgresOptions{Dir: dir})
	if got := query(t, p, "SELECT 1"); got != "1" {
		t.Error(got)
	}
}

func TestPostgresBadSetting(t *testing.T) {
	_, err := StartPostgres(t.Context(), PostgresOptions{NoSync: true,
		Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") ||
		brimline.ExitCode(err) != int(brimline.ClassEnvironment) {
		t.Fatalf("%v", err)
	}
}

// TestPostgresPlaceLost: where the data had to be put elsewhere, and that has
// been deleted, a start says so instead of beginning an empty database.
func TestPostgresPlaceLost(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, placeRecord), []byte(filepath.Join(dir, "gone")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir})
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "data_dir_lost" {
		t.Fatalf("%v", err)
	}
}

// away is a network without a way out.
type away struct{}

func (away) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("no way out") }

// Programs that are not on the machine are fetched, and before that it is said what, from where, how much and whereto.
func TestPostgresDownloadIsAnnounced(t *testing.T) {
	before := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = before })
	http.DefaultTransport = away{}
	cache := t.TempDir()
	// Where root's PostgreSQL can reach it; else programs that the machine has fetched before would be taken.
	if err := os.Chmod(filepath.Dir(cache), 0o755); err != nil {
		t.Fatal(err)
	}
	var said []string
	_, err := StartPostgres(t.Context(), PostgresOptions{
		NoSync: true, Download: true, CacheDir: cache, Announce: func(what string) { said = append(said, what) },
	})
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != "postgres_programs" || !strings.Contains(e.Remedy, "PG_BIN") {
		t.Errorf("%v", err)
	}
	want := regexp.MustCompile(
		`^fetching the programs of PostgreSQL 17\.\d+ \(some \d+ MB\) from Maven Central into (\S+)$`)
	if len(said) != 1 || !want.MatchString(said[0]) {
		t.Fatalf("said: %q", said)
	}
	if into := want.FindStringSubmatch(said[0])[1]; filepath.Base(filepath.Dir(into)) != "programs" {
		t.Errorf("into %s", into)
	}
}

// PG_BIN is what someone chose: a test of one release must not run on another because the folder is wrong.
func TestPostgresProgramsOfChoice(t *testing.T) {
	t.Setenv("PG_BIN", t.TempDir())
	_, err := StartPostgres(t.Context(), PostgresOptions{NoSync: true})
	if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != "postgres_programs" ||
		!strings.Contains(e.Where, "PG_BIN") {
		t.Errorf("a folder without programs was passed over: %v", err)
	}
}

// TestPostgresDownloaded fetches 14 to 31 MB, so only when asked.
func TestPostgresDownloaded(t *testing.T) {
	if os.Getenv("BRIMLINE_TEST_DOWNLOAD") == "" {
		t.Skip("fetches PostgreSQL from Maven Central; set BRIMLINE_TEST_DOWNLOAD=1")
	}
	cache := t.TempDir()
	p := startPostgres(t, PostgresOptions{NoSync: true, Download: true, CacheDir: cache})
	if got := query(t, p, "SHOW server_version"); !strings.HasPrefix(got, "17.") {
		t.Errorf("server %s", got)
	}
	if got := query(t, p, "SHOW wal_level"); got != "logical" {
		t.Errorf("wal_level %s", got)
	}
}
