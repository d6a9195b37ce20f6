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
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func TestSightShows(t *testing.T) {
	row := brimline.Source{LSN: 100, TxID: 700}
	old := brimline.Source{LSN: 100, TxID: 700, Commit: 1}
	minutes := func(n int) brimline.Time { return brimline.Time(1).Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		s    sight
		src  brimline.Source
		want bool
	}{
		"a primary":                        {sight{false, 200, 0, unknown}, row, true},
		"a primary, in commit":             {sight{false, 200, 0, inProgress}, row, false},
		"a primary, another cluster's row": {sight{false, 100, 0, inProgress}, brimline.Source{LSN: 101, TxID: 700}, true},
		"a primary, a row without LSN":     {sight{false, 100, 0, inProgress}, brimline.Source{TxID: 700}, false},
		"not there":                        {sight{true, 100, 0, "committed"}, row, false},
		"row there, not commit":            {sight{true, 101, 0, inProgress}, row, false},
		"row there, no such transaction":   {sight{true, 101, 0, unknown}, row, true},
		"committed":                        {sight{true, 101, 0, "committed"}, row, true},
		"long ago":                         {sight{true, 101, 0, "forgotten"}, row, true},
		"no transaction id":                {sight{true, 101, 0, unknown}, brimline.Source{LSN: 100}, true},
		"no LSN":                           {sight{true, 101, 0, "committed"}, brimline.Source{TxID: 700}, true},
		"no LSN, in commit":                {sight{true, 101, 0, inProgress}, brimline.Source{TxID: 700}, false},
		"not there, nothing replayed":      {sight{true, 100, 0, unknown}, old, false},
		"not there, a little later":        {sight{true, 100, minutes(9), unknown}, old, false},
		"another timeline's row":           {sight{true, 100, minutes(11), unknown}, old, true},
		"without a commit time":            {sight{true, 100, minutes(11), unknown}, row, false},
	} {
		if got := c.s.shows(c.src); got != c.want {
			t.Errorf("%s: %v", name, got)
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
	l := &Ledger{where: "PostgreSQL", o: transactions(), target: target(t)}
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
		"42703": {kindMissing, false, brimline.ClassEnvironment},    // undefined_column
		"42883": {kindMissing, false, brimline.ClassEnvironment},    // undefined_function: an operator for another type
		"55000": {kindAway, true, brimline.ClassEnvironment},        // object_not_in_prerequisite_state
		"26000": {kindPooler, false, brimline.ClassEnvironment},     // invalid_sql_statement_name
		"42P05": {kindPooler, false, brimline.ClassEnvironment},     // duplicate_prepared_statement
		"XX000": {kindQuery, false, brimline.ClassEnvironment},      // internal_error
		"":      {kindQuery, false, brimline.ClassEnvironment},
	} {
		err := l.fail(context.Background(), "asking", fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}))
		if e, ok := errors.AsType[*brimline.Error](err); !ok || e.Kind != c.kind || e.Class != c.class ||
			temporary(err) != c.temporary {
			t.Errorf("%s: %v, temporary %v", code, err, temporary(err))
		}
	}
	if temporary(nil) || temporary(errors.New("else")) || !temporary(l.fail(context.Background(), "asking",
		syscall.ECONNRESET)) {
		t.Error("errors without a state")
	}
}

// standbyOf starts a standby of the primary.
func standbyOf(t *testing.T, primary *server) *embedded.Postgres {
	t.Helper()
	backup := programPath("pg_basebackup")
	if backup == "" {
		t.Skip("pg_basebackup is not here")
	}
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
	return replica
}

// TestReplica asks a real standby whose replay is stopped between a row and its commit.
func TestReplica(t *testing.T) {
	primary := startServer(t, nil)
	replica := standbyOf(t, primary)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	standby, err := pgxpool.New(ctx, replica.URL(testDB))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(standby.Close)

	target, err := postgres.Parse(replica.URL(testDB))
	if err != nil {
		t.Fatal(err)
	}
	_, err = target.Scratch(ctx, "test", time.Minute)
	e, ok := errors.AsType[*brimline.Error](err)
	if !ok || e.Kind != postgres.KindSession || !strings.Contains(e.Remedy, "primary") {
		t.Errorf("temporary tables on a standby: %v", err)
	}

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
	if src.LSN, err = brimline.ParseLSN(before); err != nil {
		t.Fatal(err)
	}
	// Something else commits, so that the row's record is flushed and replayed.
	primary.exec(t, "CREATE TABLE flush ()")
	awaitLSN(t, standby, after)
	if _, _, err := l.Figures(ctx, "1", rule, 0, src); !errors.Is(err, errBehind) || !temporary(err) {
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
	out, err := exec.Command(program, "-D", data, "-h", u.Hostname(), "-p", u.Port(), "-U", u.User.Username(),
		"-R", "-c", "fast", "-N").CombinedOutput()
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

// asker is a connection or a pool.
type asker interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func awaitLSN(t *testing.T, standby asker, lsn string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for there := false; !there; time.Sleep(5 * time.Millisecond) {
		if err := standby.QueryRow(t.Context(), "SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn",
			lsn).Scan(&there); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the standby did not get to %s", strings.TrimSpace(lsn))
		}
	}
}
