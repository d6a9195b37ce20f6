package ledger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/embedded"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestReplayHas(t *testing.T) {
	row := brimline.Source{LSN: 100, TxID: 700}
	for name, c := range map[string]struct {
		r    replay
		src  brimline.Source
		want bool
	}{
		"a primary":             {replay{false, 0, "unknown", 0}, row, true},
		"a primary, in commit":  {replay{false, 0, "in progress", 0}, row, false},
		"not there":             {replay{true, 100, "committed", 0}, row, false},
		"row there, not commit": {replay{true, 101, "in progress", 0}, row, false},
		"not heard of":          {replay{true, 101, "unknown", 0}, row, false},
		"committed":             {replay{true, 101, "committed", 0}, row, true},
		"long ago":              {replay{true, 101, "forgotten", 0}, row, true},
		"no transaction id":     {replay{true, 101, "unknown", 0}, brimline.Source{LSN: 100}, true},
	} {
		if got := c.r.has(c.src); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestParseLSN(t *testing.T) {
	for _, lsn := range []uint64{0, 1, 0x16B3748, 1 << 32, 1<<64 - 1} {
		if got, err := parseLSN(brimline.FormatLSN(lsn)); err != nil || got != lsn {
			t.Errorf("%X: %X %v", lsn, got, err)
		}
	}
	for _, bad := range []string{"", "/", "1", "1/", "/1", "x/1", "1/123456789"} {
		if got, err := parseLSN(bad); err == nil {
			t.Errorf("%q was read as %X", bad, got)
		}
	}
}

func TestDecimal(t *testing.T) {
	for in, want := range map[string]brimline.Decimal{
		"0": "0", "-0.00": "0", "001.500": "1.5", "100": "100", ".5": "0.5", "-12.30": "-12.3",
		"1e+20": "100000000000000000000", "1.5e-07": "0.00000015", "-1.25e+01": "-12.5", "1.25e+01": "12.5", "1.7976931348623157e+3": "1797.6931348623157",
	} {
		if got, err := decimal(in); err != nil || got != want {
			t.Errorf("%s: %s, want %s: %v", in, got, want, err)
		}
	}
	for _, bad := range []string{"", "-", ".", "NaN", "Infinity", "-Infinity", "1e", "1e9999", "1 2", "--1"} {
		if got, err := decimal(bad); err == nil {
			t.Errorf("%q was read as %s", bad, got)
		}
	}
}

func TestClassify(t *testing.T) {
	l := &Ledger{where: "PostgreSQL", o: transactions()}
	for code, c := range map[string]struct {
		kind      string
		temporary bool
		class     brimline.Class
	}{
		"57P01": {kindAway, true, brimline.ClassEnvironment},        // admin_shutdown
		"57P03": {kindAway, true, brimline.ClassEnvironment},        // cannot_connect_now
		"08006": {kindAway, true, brimline.ClassEnvironment},        // connection_failure
		"53300": {kindBusy, true, brimline.ClassEnvironment},        // too_many_connections
		"40001": {kindBusy, true, brimline.ClassEnvironment},        // serialization_failure
		"40P01": {kindBusy, true, brimline.ClassEnvironment},        // deadlock_detected
		"57014": {kindTimeout, true, brimline.ClassEnvironment},     // query_canceled
		"42501": {kindPermission, false, brimline.ClassEnvironment}, // insufficient_privilege
		"42P01": {kindMissing, false, brimline.ClassEnvironment},    // undefined_table
		"28P01": {kindLogin, false, brimline.ClassEnvironment},      // invalid_password
		"3D000": {kindDatabase, false, brimline.ClassEnvironment},   // invalid_catalog_name
		"22P02": {kindValue, false, brimline.ClassInput},            // invalid_text_representation
		"XX000": {kindQuery, false, brimline.ClassEnvironment},      // internal_error
		"":      {kindQuery, false, brimline.ClassEnvironment},
	} {
		err := l.fail(context.Background(), "asking", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}))
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != c.kind || e.Class != c.class || Temporary(err) != c.temporary {
			t.Errorf("%s: %v, temporary %v", code, err, Temporary(err))
		}
	}
	if Temporary(nil) || Temporary(errors.New("else")) || !Temporary(l.fail(context.Background(), "asking", syscall.ECONNRESET)) {
		t.Error("errors without a state")
	}
}

// TestReplica asks a real standby whose replay is stopped between a row and its commit.
func TestReplica(t *testing.T) {
	backup := programPath("pg_basebackup")
	if backup == "" {
		t.Skip("no pg_basebackup on this machine (downloaded PostgreSQL programs have none)")
	}
	primary := startServer(t, nil)
	dir := t.TempDir()
	// Made by the embedded package itself, so that the directory belongs to the user that PostgreSQL runs as.
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	seed, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	data := dataDirectory(t, seed)
	if err := seed.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(data)) })
	replaceByBackup(t, backup, primary.URL(""), data)
	replica, err := embedded.StartPostgres(ctx, embedded.PostgresOptions{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = replica.Stop(context.Background()) })
	standby, err := pgxpool.New(ctx, replica.URL(testDB))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Close)

	o := transactions()
	o.URL, o.Replica, o.Timeout = replica.URL(testDB), true, 300*time.Millisecond
	l := (&server{Postgres: replica}).open(t, o)
	rule := &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}

	tx, err := primary.admin.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	var src brimline.Source
	var before, after string
	for _, step := range []struct {
		sql  string
		into []any
	}{
		{"SELECT pg_current_wal_insert_lsn()::text", []any{&before}},
		{"INSERT INTO streaming.transactions VALUES (1, 1, 5, 'epoch') RETURNING txid_current() & 4294967295", []any{&src.TxID}},
		{"SELECT pg_current_wal_insert_lsn()::text", []any{&after}},
	} {
		if err := tx.QueryRow(ctx, step.sql).Scan(step.into...); err != nil {
			t.Fatal(err)
		}
	}
	if src.LSN, err = parseLSN(before); err != nil {
		t.Fatal(err)
	}
	// Something else commits, so that the row's record is flushed and replayed.
	primary.exec(t, "CREATE TABLE flush ()")
	awaitLSN(t, standby, after)
	if _, _, err := l.Figures(ctx, "1", rule, 0, src); !errors.Is(err, errBehind) || !Temporary(err) {
		t.Fatalf("the row is replayed, its commit is not: %v", err)
	}
	answer := make(chan error, 1)
	var f brimline.Figures
	go func() {
		err := retried(t, func() (err error) { f, _, err = l.Figures(ctx, "1", rule, 0, src); return err })
		answer <- err
	}()
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; err != nil || f.Count != 1 {
		t.Fatalf("after the commit: %+v %v", f, err)
	}
}

func programPath(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	if len(found) == 0 {
		return ""
	}
	return found[len(found)-1]
}

func dataDirectory(t *testing.T, pg *embedded.Postgres) (dir string) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), pg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.QueryRow(t.Context(), "SHOW data_directory").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// replaceByBackup puts a standby of the primary in place of a data directory, with the same owner.
func replaceByBackup(t *testing.T, program, primary, data string) {
	t.Helper()
	info, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	owner := info.Sys().(*syscall.Stat_t)
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(primary)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(program, "-D", data, "-h", u.Hostname(), "-p", u.Port(), "-U", u.User.Username(), "-R", "-c", "fast", "-N").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	err = filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func awaitLSN(t *testing.T, standby *pgxpool.Pool, lsn string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for there := false; !there; time.Sleep(5 * time.Millisecond) {
		if err := standby.QueryRow(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn", lsn).Scan(&there); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby did not get to %s", strings.TrimSpace(lsn))
		}
	}
}
