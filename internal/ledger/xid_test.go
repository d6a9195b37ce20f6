package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/jackc/pgx/v5"
)

// counterAt has the next transaction of a cluster that is not running get the id next.
func counterAt(t *testing.T, next uint64) func(data string) {
	return func(data string) {
		reset := programPath("pg_resetwal")
		if reset == "" {
			t.Skip("pg_resetwal is not here")
		}
		info, err := os.Stat(data)
		if err != nil {
			t.Fatal(err)
		}
		owner := info.Sys().(*syscall.Stat_t)
		low := uint32(next)
		cmd := exec.Command(
			reset,
			"-x",
			fmt.Sprint(low),
			"-u",
			fmt.Sprint(max(3, low-1000)),
			"-e",
			fmt.Sprint(next>>32),
			data,
		)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: owner.Uid, Gid: owner.Gid}}
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		// What the server keeps of the states around that id: 2^20 in a file, two bits each.
		file := filepath.Join(data, "pg_xact", fmt.Sprintf("%04X", low>>20))
		if err := os.WriteFile(file, make([]byte, 256<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Lchown(file, int(owner.Uid), int(owner.Gid)); err != nil {
			t.Fatal(err)
		}
	}
}

// impossibleIDs are ids of transactions that a server cannot have had while next is its next one.
func impossibleIDs(next uint64) []int64 {
	ids := []int64{
		1,
		2,
		-1,
		-5,
		-9223372036854775808,
		9223372036854775807,
		4294967296,
		4294967298,
		1<<40 + 7,
		int64(
			uint32(next + 1000),
		),
		int64(uint32(next + 1<<31 - 100)),
		int64(next + 1<<32),
		int64(next+1<<32) - 50,
		int64(next + 1000000),
	}
	if next < 1<<31 {
		ids = append(ids, 3000000000, 4294967295, 2147483648+int64(next)+100)
	}
	if next > 1<<32 {
		ids = append(ids, int64(next-1<<32)+1000)
	}
	return ids
}

var histories = map[string]uint64{"young": 0, "2^31": 1<<31 - 2, "2^32": 1<<32 - 2, "epoch 1": 1<<32 + 1<<31 + 100}

var hour = &sliding.Rule{Rule: brimline.Rule{Window: time.Hour}}

// TestTransactionIDs: on a primary, a question waits for the transaction that
// it comes from and for nothing else, wherever the counter is, and an id that
// the server cannot have had is one that is not known.
func TestTransactionIDs(t *testing.T) {
	t.Parallel()
	for name, next := range histories {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServerWith(t, map[string]string{"autovacuum": "off"}, func(data string) {
				if next != 0 {
					counterAt(t, next)(data)
				}
			})
			o := transactions()
			o.Timeout = time.Second
			l := s.open(t, o)
			for range 3 { // across the limit
				s.insertLater(t, l)
			}
			var counter uint64
			if err := s.admin.QueryRow(t.Context(), "SELECT txid_snapshot_xmax(txid_current_snapshot())").
				Scan(&counter); err != nil ||
				counter < next+2 {
				t.Fatal(counter, err) // it was to be across the limit
			}
			for _, id := range impossibleIDs(counter) {
				for _, lsn := range []uint64{0, 1, 1 << 62} {
					f, _, err := l.Figures(t.Context(), "1", hour, 0, brimline.Source{TxID: id, LSN: lsn})
					if err != nil || f.Count != s.rows {
						t.Errorf("transaction %d at %X while %d is next: %+v, %v", id, lsn, counter, f, err)
					}
				}
			}
		})
	}
}

// insertLater inserts a row that is committed only after the question has been
// asked: by the id as pgoutput gives it, and by the whole one.
func (s *server) insertLater(t *testing.T, l *Ledger) {
	t.Helper()
	tx, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	s.rows++
	var whole int64
	if err := tx.QueryRow(t.Context(), `INSERT INTO streaming.transactions VALUES ($1, 1, 5, 'epoch')
		RETURNING txid_current()`, s.rows).
		Scan(&whole); err != nil {
		t.Fatal(err)
	}
	ids := []int64{whole & 0xFFFFFFFF, whole}
	for _, id := range ids[s.rows%2:][:1] { // each of these takes its time
		f, _, err := l.Figures(t.Context(), "1", hour, 0, brimline.Source{TxID: id, LSN: 1})
		if e, ok := errors.AsType[*brimline.Error](
			err,
		); !ok || e.Kind != kindOpen ||
			!strings.Contains(err.Error(), fmt.Sprint(id)) {
			t.Errorf("transaction %d is in progress, and the answer is %+v, %v", id, f, err)
		}
	}
	answers := make(chan error, len(ids))
	for _, id := range ids {
		go func() {
			var f brimline.Figures
			err := retried(t, func() (err error) {
				f, _, err = l.Figures(t.Context(), "1", hour, 0, brimline.Source{TxID: id, LSN: 1})
				return err
			})
			if err == nil && f.Count != s.rows {
				err = fmt.Errorf("transaction %d is committed, and the answer is %+v instead of %d rows", id, f, s.rows)
			}
			answers <- err
		}()
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range ids {
		if err := <-answers; err != nil {
			t.Error(err)
		}
	}
}

// TestReplicaTransactionIDs: a standby that has replayed the row's position
// does not wait for an id that it does not know then; and a position that will
// never come, of another history, is waited for only until that is certain.
func TestReplicaTransactionIDs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"young", "2^32"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			next := histories[name]
			primary := startServerWith(t, map[string]string{"autovacuum": "off"}, func(data string) {
				if next != 0 {
					counterAt(t, next)(data)
				}
			})
			replica := standbyOf(t, primary)
			standby := primary.connect(t, replica.URL(testDB))
			o := transactions()
			o.URL, o.Replica, o.Timeout = replica.URL(testDB), true, time.Second
			l := (&server{Postgres: replica}).open(t, o)
			for range 3 {
				primary.insertReplayed(t, standby, l)
			}
			var counter, position uint64
			var text string
			if err := primary.admin.QueryRow(t.Context(),
				"SELECT txid_snapshot_xmax(txid_current_snapshot()), pg_current_wal_insert_lsn()::text").
				Scan(&counter, &text); err != nil {
				t.Fatal(err)
			}
			position, err := brimline.ParseLSN(text)
			if err != nil {
				t.Fatal(err)
			}
			now := brimline.TimeOf(time.Now())
			for _, id := range impossibleIDs(counter) {
				for _, src := range []brimline.Source{
					{TxID: id, LSN: 1}, {TxID: id}, {TxID: id, LSN: position - 1},
					{TxID: id, LSN: 1 << 60, Commit: now.Add(-time.Hour)}, // of before a restore
				} {
					f, _, err := l.Figures(t.Context(), "1", hour, 0, src)
					if err != nil || f.Count != primary.rows {
						t.Errorf("transaction %d at %X while %d is next: %+v, %v", id, src.LSN, counter, f, err)
					}
				}
			}
			if _, _, err := l.Figures(
				t.Context(),
				"1",
				hour,
				0,
				brimline.Source{TxID: 1, LSN: position + 1<<20, Commit: now},
			); !errors.Is(err, errBehind) ||
				!temporary(err) {
				t.Errorf("a row that has not come yet: %v", err)
			}
		})
	}
}

// insertReplayed inserts a row whose record is replayed before its commit.
func (s *server) insertReplayed(t *testing.T, standby *pgx.Conn, l *Ledger) {
	t.Helper()
	tx, err := s.admin.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback(context.Background())
	var before, after string
	var whole int64
	s.rows++
	for _, step := range []struct {
		sql  string
		into []any
	}{
		{"SELECT pg_current_wal_insert_lsn()::text", []any{&before}},
		{fmt.Sprintf("INSERT INTO streaming.transactions VALUES (%d, 1, 5, 'epoch') RETURNING txid_current()", s.rows),
			[]any{&whole}},
		{"SELECT pg_current_wal_insert_lsn()::text", []any{&after}},
	} {
		if err := tx.QueryRow(t.Context(), step.sql).Scan(step.into...); err != nil {
			t.Fatal(err)
		}
	}
	lsn, err := brimline.ParseLSN(before)
	if err != nil {
		t.Fatal(err)
	}
	src := brimline.Source{TxID: whole & 0xFFFFFFFF, LSN: lsn, Commit: brimline.TimeOf(time.Now())}
	// Something else commits, so that the row's record is flushed and replayed.
	s.exec(t, fmt.Sprintf("CREATE TABLE flush%d ()", s.rows))
	awaitLSN(t, standby, after)
	for _, id := range []int64{whole & 0xFFFFFFFF, whole}[s.rows%2:][:1] {
		src.TxID = id
		if f, _, err := l.Figures(t.Context(), "1", hour, 0, src); !errors.Is(err, errBehind) {
			t.Errorf("the row of %d is replayed, its commit is not, and the answer is %+v, %v", id, f, err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	var f brimline.Figures
	err = retried(t, func() (err error) { f, _, err = l.Figures(t.Context(), "1", hour, 0, src); return err })
	if err != nil || f.Count != s.rows {
		t.Errorf("after the commit of %d: %+v, want %d rows: %v", whole, f, s.rows, err)
	}
}
