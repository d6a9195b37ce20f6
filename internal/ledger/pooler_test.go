package ledger

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/postgres"
	"github.com/brimline/brimline/internal/testkit"
)

// TestPooler asks through PgBouncer in transaction mode, which shares one
// session among all its clients and takes few start-up parameters.
func TestPooler(t *testing.T) {
	s := startServer(t, nil)
	through := testkit.Pooler(t, s.url())
	s.exec(t, "INSERT INTO streaming.transactions SELECT n, n % 4, 5, 'epoch' FROM generate_series(1, 40) n")
	client := s.connect(t, through+"&default_query_exec_mode=exec") // the application beside it
	settings := func() string {
		t.Helper()
		var all string
		if err := client.QueryRow(t.Context(), `SELECT string_agg(name || '=' || setting, ' ' ORDER BY name)
			FROM pg_settings WHERE name IN ('default_transaction_read_only',
			'transaction_isolation', 'statement_timeout', 'search_path', 'row_security', 'extra_float_digits',
			'idle_in_transaction_session_timeout', 'jit')`).
			Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := settings()
	for _, attrs := range []string{"", "&target_session_attrs=read-write", "&target_session_attrs=primary"} {
		o := transactions()
		o.URL = through + "&default_query_exec_mode=cache_describe" + attrs
		var ledgers []*Ledger
		for range 3 {
			ledgers = append(ledgers, s.open(t, o))
		}
		var all sync.WaitGroup
		for i, l := range ledgers {
			for user := range 4 {
				all.Go(func() {
					for range 10 {
						f, lsn, err := l.Figures(
							t.Context(),
							fmt.Sprint(user),
							hour,
							0,
							brimline.Source{TxID: 700 + int64(i), LSN: 1},
						)
						if err != nil || f.Count != 10 || lsn == 0 {
							t.Errorf("user %d: %+v %v", user, f, err)
						}
						if rows, _, err := l.Rows(t.Context(), fmt.Sprint(user), 0, 0); err != nil || len(rows) != 10 {
							t.Errorf("user %d: %d rows, %v", user, len(rows), err)
						}
					}
				})
			}
		}
		all.Wait()
		if _, _, err := ledgers[0].Figures(t.Context(), "not a number", hour, 0); err != nil {
			t.Error(err)
		}
	}
	o := transactions()
	o.URL, o.Columns.Amount = through+"&default_query_exec_mode=cache_describe", "betrag"
	if _, err := Open(t.Context(), o); err == nil {
		t.Error("a column that is not there")
	}
	if after := settings(); after != before {
		t.Errorf("the application's session was changed from\n%s to\n%s", before, after)
	}
	if _, err := client.Exec(
		t.Context(),
		"INSERT INTO streaming.transactions VALUES (100, 9, 5, 'epoch')",
	); err != nil {
		t.Errorf("the application cannot write any more: %v", err)
	}

	// Without the parameter the statements of one client meet those of another.
	o = transactions()
	o.URL = through
	var said error
	for range 3 {
		l, err := Open(t.Context(), o)
		if err == nil {
			defer l.Close()
			_, _, err = l.Figures(t.Context(), "1", hour, 0)
		}
		if err != nil {
			said = err
		}
	}
	if e, ok := errors.AsType[*brimline.Error](
		said,
	); !ok || e.Kind != postgres.KindPooler ||
		!strings.Contains(e.Remedy, "default_query_exec_mode=cache_describe") {
		t.Errorf("prepared statements: %v", said)
	}
	for what, c := range map[string]struct{ url, kind, remedy string }{
		"a start-up parameter that it refuses": {through + "&search_path=x", postgres.KindPooler,
			"ignore_startup_parameters"},
		"a login that it does not know": {strings.Replace(through, "brimline@", "stranger@", 1),
			postgres.KindLogin, "PGPASSWORD"},
	} {
		o := transactions()
		o.URL, o.Timeout = c.url, 2*time.Second
		_, err := Open(t.Context(), o)
		if e, ok := errors.AsType[*brimline.Error](
			err,
		); !ok || e.Kind != c.kind ||
			!strings.Contains(e.Remedy, c.remedy) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
