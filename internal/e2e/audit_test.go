package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
	"github.com/brimline/brimline/processors"
)

// audited is the JSON of brimline audit.
type audited struct {
	True     bool
	Looks    int
	Users    int
	Rows     int
	Unknown  int `json:"unknown_users"`
	Findings []struct {
		Kind, User, ID, Why string
		Stream, Table       *struct{ Amount string }
	}
	NotYet    []struct{ ID string } `json:"not_in_the_stream_yet"`
	Unsettled []struct{ ID string }
	found     []string // kind, user and row of each finding, sorted
}

// auditCommand is brimline audit.
func (j *job) auditCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append([]string{
		"audit", "--brokers", strings.Join(j.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source,
		"--alerts", j.names.Alerts, "--state-dir", j.state + "/audit", "--share", "1",
	}, args...)...)
	c.Env = append(os.Environ(), "BRIMLINE_DATABASE_URL="+j.url)
	return c
}

// auditing runs brimline audit, with its exit code and what it wrote.
func (j *job) auditing(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := j.auditCommand(t, args...)
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.Output()
	if c.ProcessState == nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c.ProcessState.ExitCode(), string(out), errors.String()
}

func (j *job) audit(t *testing.T, args ...string) *audited {
	t.Helper()
	code, out, errors := j.auditing(t, append([]string{"--json"}, args...)...)
	a := &audited{}
	if err := json.Unmarshal([]byte(out), a); err != nil {
		t.Fatalf("audit %q: exit code %d, %v\n%s%s", args, code, err, out, errors)
	}
	if want := map[bool]int{true: 0, false: 1}[a.True]; code != want || a.True != (len(a.Findings) == 0) {
		t.Errorf("audit %q: exit code %d, and true is %v\n%s", args, code, a.True, errors)
	}
	for _, f := range a.Findings {
		a.found = append(a.found, f.Kind+" "+f.User+"/"+f.ID)
	}
	slices.Sort(a.found)
	return a
}

// faults are differences that were made behind the stream.
type faults []string

func (f *faults) add(kind string, r testkit.Row) {
	*f = append(*f, fmt.Sprintf("%s %d/%d", kind, r.User, r.ID))
}

// TestAuditUnderLoad: rows are deleted, inserted, changed and moved behind the stream, and records of its topic are
// deleted before any was read. Exactly these rows are found, also while 500 changes a second come for a minute, some of
// them late, and of users who never rest. After the repair nothing is found, and the alerts are PostgreSQL's.
//
// BRIMLINE_AUDIT_LOAD is how long changes come, BRIMLINE_AUDIT_RATE how many in a second.
func TestAuditUnderLoad(t *testing.T) {
	t.Parallel()
	under, rate := time.Minute, 500
	if text := os.Getenv("BRIMLINE_AUDIT_LOAD"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		under = d
	}
	if text := os.Getenv("BRIMLINE_AUDIT_RATE"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 50 {
			t.Fatalf("BRIMLINE_AUDIT_RATE: %q is not a whole number from 50 on, %v", text, err)
		}
		rate = n
	}
	const partitions, users, quiet = 3, 150, 1000 // users of the load, and users above quiet have no load
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), partitions, "rules: [{id: week, window: 7d, limit: 3000}]")
	j.options = []string{"--distrust-after", "0"} // nothing is repaired by itself
	position := func() int64 {
		var text string
		if err := j.table.Conn.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		lsn, err := brimline.ParseLSN(text)
		if err != nil {
			t.Fatal(err)
		}
		return int64(lsn)
	}
	event := func(op string, before, after *testkit.Row, lsn int64) testkit.Event {
		e := testkit.Envelope("transactions", op, before, after, lsn)
		id := int64(0)
		if after != nil {
			id = after.ID
		} else {
			id = before.ID
		}
		e.Partition = int32(id % partitions)
		return e
	}
	now := time.Now().Truncate(time.Second)
	rows := testkit.Shape{
		Rows: 4000, Users: users, Start: now.Add(-5 * 24 * time.Hour), Span: 4 * 24 * time.Hour, Grain: time.Minute,
		MaxAmount: 40000,
	}.Draw(r)
	for i := range rows { // half of them are of users who rest
		if i%2 == 0 {
			rows[i].User += quiet
		}
	}
	var planted faults
	at := position()
	j.table.Insert(t, rows)
	var events []testkit.Event
	const trimmed = 5 // of partition 0
	n := 0
	for i := range rows {
		e := event("c", nil, &rows[i], at+int64(i))
		events = append(events, e)
		if e.Partition == 0 && n < trimmed {
			planted.add("missing", rows[i])
			n++
		}
	}
	j.Produce(t, j.names.Source, events)
	j.Trim(t, j.names.Source, 0, trimmed)
	j.finish(t)
	if a := j.audit(t, "--grace", "0s"); !slices.Equal(a.found, sorted(planted)) || a.Looks != 2 || a.Unknown != 0 {
		t.Errorf("records of the topic were deleted:\n%q\n%q\n%d looks", a.found, planted, a.Looks)
	}

	// Behind the stream, on rows that nothing else touches.
	perm := r.Perm(len(rows))
	next := func() testkit.Row {
		for {
			row := rows[perm[0]]
			if perm = perm[1:]; !slices.Contains(planted, fmt.Sprintf("missing %d/%d", row.User, row.ID)) {
				return row
			}
		}
	}
	for i := range 6 {
		gone := next()
		j.table.Delete(t, gone.ID)
		planted.add("phantom", gone)
		changed := next()
		changed.Amount += 10_00
		j.table.Update(t, changed)
		planted.add("different", changed)
		moved := next()
		planted.add("phantom", moved)
		moved.User = 1 + (moved.User+7)%users
		j.table.Update(t, moved)
		planted.add("missing", moved)
		unseen := testkit.Row{ID: int64(90001 + i), User: int64(1 + i), Amount: 4000_00,
			Time: brimline.TimeOf(now.Add(-20 * time.Hour)), Description: "unseen"}
		if i%2 == 0 {
			unseen.User += quiet
		}
		if i == 5 {
			unseen.User = 77777 // whom the window table does not know
		}
		j.table.Insert(t, []testkit.Row{unseen})
		planted.add("missing", unseen)
	}
	// What is older than the retained history is no matter.
	j.table.Insert(t, []testkit.Row{{ID: 99999, User: 88888, Amount: 1, Time: brimline.TimeOf(now.AddDate(-1, 0, 0))}})

	run := j.start(t, 0)
	j.waitHandled(t, 1)
	stop, stopped := make(chan struct{}), make(chan int, 1)
	go func() { stopped <- j.load(t, r, users, rate/10, event, stop) }()
	began, audits := time.Now(), 0
	for ; audits < 2 || time.Since(began) < under; audits++ {
		a := j.audit(t)
		if !slices.Equal(a.found, sorted(planted)) || a.Unknown != 1 || len(a.NotYet)+len(a.Unsettled) > 0 {
			t.Errorf("under load:\n%q\n%q\n%d unknown, %d not yet, %d unsettled, %d looks", a.found, sorted(planted), a.Unknown,
				len(a.NotYet), len(a.Unsettled), a.Looks)
		}
		if a.Looks < 4 {
			t.Errorf("%d looks: nobody was busy", a.Looks)
		}
	}
	close(stop)
	t.Logf("%d changes came in %v, and %d audits were made meanwhile",
		<-stopped, time.Since(began).Round(time.Second), audits)
	_, missing, _ := j.amiss(t)
	if len(missing) == 0 {
		t.Error("no edge is missing: there is nothing to repair")
	}
	code, out, errors := j.auditing(t, "--repair", "--grace", "1s")
	if code != 1 || !strings.Contains(out, "MISSING   user 77777, row 90006: PostgreSQL has 4000.00 at ") ||
		!strings.Contains(out, " users distrusted up to ") {
		t.Errorf("exit code %d\n%s%s", code, out, errors)
	}
	run.Signal(syscall.SIGTERM)
	j.mustEnd(t, run)
	j.finish(t)
	if _, missing, _ := j.amiss(t); len(missing) > 0 {
		t.Errorf("repaired, and without an alert: %q", missing)
	}
	j.table.Delete(t, 99999)
	j.CompareTotals(t, j.names, j.rules, j.table)
	if a := j.audit(t, "--grace", "0s"); !a.True || a.Users == 0 || a.Rows == 0 {
		t.Errorf("repaired, and found: %q of %d rows", a.found, a.Rows)
	}
}

// load makes so many changes each tenth of a second in table and stream, one in twenty of them late, until it is
// stopped.
func (j *job) load(
	t *testing.T, r *rand.Rand, users int64, each int, event func(string, *testkit.Row, *testkit.Row, int64) testkit.Event,
	stop chan struct{},
) (changes int) {
	table := testkit.OpenTable(t, j.url, "streaming", "transactions")
	position := func() (lsn int64) {
		err := table.Conn.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn`).Scan(&lsn)
		if err != nil {
			t.Error(err)
		}
		return lsn
	}
	var live []testkit.Row
	id := int64(200_000)
	for tick := time.NewTicker(100 * time.Millisecond); ; <-tick.C {
		select {
		case <-stop:
			tick.Stop()
			return changes
		default:
		}
		var fresh []testkit.Row
		now := time.Now()
		for range each * 4 / 5 {
			id++
			at := now.Add(-time.Duration(r.Int64N(int64(100 * time.Millisecond))))
			if r.IntN(20) == 0 {
				at = now.Add(-time.Duration(r.Int64N(int64(5 * 24 * time.Hour))))
			}
			fresh = append(fresh, testkit.Row{ID: id, User: 1 + r.Int64N(users), Amount: brimline.Amount(r.Int64N(30000)),
				Time: brimline.TimeOf(at), Description: "x"})
		}
		lsn := position()
		table.Insert(t, fresh)
		var events []testkit.Event
		for i := range fresh {
			events = append(events, event("c", nil, &fresh[i], lsn+int64(i)))
		}
		live = append(live, fresh...)
		for n := range each / 5 {
			at := r.IntN(len(live))
			was := live[at]
			is := was
			lsn := position()
			switch n % 3 {
			case 0:
				is.Amount++
			case 1:
				is.User = 1 + r.Int64N(users)
			default:
				table.Delete(t, was.ID)
				live = slices.Delete(live, at, at+1)
				events = append(events, event("d", &was, nil, lsn))
				continue
			}
			table.Update(t, is)
			live[at] = is
			events = append(events, event("u", &was, &is, lsn))
		}
		time.Sleep(time.Duration(r.Int64N(int64(50 * time.Millisecond)))) // on its way
		j.Produce(t, j.names.Source, events)
		changes += len(events)
	}
}

// TestAuditEvery: one instance of a group compares by itself, and all show what was found, the command's result too.
func TestAuditEvery(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 2, "rules: [{id: week, window: 7d, limit: 3000}]")
	now := brimline.TimeOf(time.Now().Add(-time.Hour))
	j.created(t, testkit.Row{ID: 1, User: 5, Amount: 40_00, Time: now},
		testkit.Row{ID: 2, User: 6, Amount: 40_00, Time: now})
	j.finish(t)
	j.table.Insert(t, []testkit.Row{{ID: 3, User: 7, Amount: 40_00, Time: now}})
	if a := j.audit(t, "--grace", "0s", "--record"); !slices.Equal(a.found, []string{"missing 7/3"}) || a.Unknown != 1 {
		t.Errorf("%+v", a)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := regexp.MustCompile(`msg=listening url=http://(\S+)`)
	await := func(p *testkit.Process, path, want string) {
		t.Helper()
		body := ""
		err := testkit.Eventually(ctx, func() (bool, error) {
			m := address.FindStringSubmatch(p.Output())
			if m == nil {
				return false, nil
			}
			r, err := http.Get("http://" + m[1] + path)
			if err != nil {
				return false, err
			}
			defer r.Body.Close()
			b, err := io.ReadAll(r.Body)
			body = string(b)
			return regexp.MustCompile(want).MatchString(body), err
		})
		if err != nil {
			t.Fatalf("%s never had %s: %v\n%s", path, want, err, body)
		}
	}
	idle := j.start(t, 0, "--listen", "127.0.0.1:0", "--stages", "route") // it has no partition to verify
	await(idle, "/api/v1/status",
		`"audit":\{[^}]*"missing":1,[^}]*"instance":"brimline audit".*"kind":"rows_differ","level":"warning"`)
	by := j.start(t, 1, "--listen", "off", "--audit-every", "1s", "--replica-url", j.url)
	await(idle, "/api/v1/status", `"audit":\{[^}]*"users":2,"rows":2,"unknown_users":1,"missing":1,[^}]*"instance":"[^b"]`)
	await(idle, "/metrics", `(?m)^brimline_audit_findings\{kind="missing"\} 1$`)
	await(idle, "/metrics", `(?m)^brimline_audit_rows 2$`)
	await(idle, "/", "2 rows of 2 users up to LSN [0-9A-F/]+: 1 missing, compared ")
	if code, out := j.command(t, "status", "--every", "10ms", "--listen", "off"); code != 0 ||
		!strings.Contains(out, "2 rows of 2 users up to LSN ") {
		t.Errorf("status: exit code %d\n%s", code, out)
	}
	j.table.Delete(t, 3)
	await(idle, "/api/v1/status", `"audit":\{[^}]*"unknown_users":0,"missing":0,.*"notices":\[\]`)
	for _, p := range []*testkit.Process{by, idle} {
		p.Signal(syscall.SIGTERM)
		j.mustEnd(t, p)
	}
}

// TestAuditRefuses: what cannot be asked is said before anything long begins, and a signal ends it.
func TestAuditRefuses(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]")
	now := brimline.TimeOf(time.Now().Add(-time.Hour))
	j.created(t, testkit.Row{ID: 1, User: 5, Amount: 40_00, Time: now})
	j.finish(t)
	refuse := func(want int, says string, args ...string) {
		t.Helper()
		args = append(args, "--grace", "0s")
		if code, out, errors := j.auditing(t, args...); code != want || !strings.Contains(out+errors, says) {
			t.Errorf("%q: exit code %d, without %q\n%s%s", args, code, says, out, errors)
		}
	}
	refuse(2, "either says which users", "--sample", "5", "--user", "5")
	refuse(2, "some users say nothing of the group", "--record", "--user", "5")
	refuse(2, "not above 0 and up to 1", "--share", "0")
	refuse(2, "this group reads topic", "--source", "another")
	refuse(2, "it does not exist", "--group", "another")
	refuse(2, "this server has no such replication slot", "--slot", "none")
	refuse(0, "1 row of 1 user up to LSN ", "--sample", "5")
	refuse(0, "0 rows of 1 user up to LSN ", "--user", "nobody") // no user of a table with numbers
	refuse(0, "0 missing, 0 phantom, 0 different", "--replica-url", j.url, "--database-url", "postgres://127.0.0.1:1/x")

	// What the slot has not delivered yet is no finding; when it has, it is.
	slot := testkit.Unique(t)
	j.table.Exec(t, `SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, slot)
	j.table.Insert(t, []testkit.Row{{ID: 2, User: 5, Amount: 40_00, Time: now}})
	refuse(0, "1 row not in the stream yet", "--slot", slot)
	refuse(1, "MISSING   user 5, row 2: PostgreSQL has 40.00 at ")
	reader := testkit.Connect(t, j.url) // of a slot that is read on: other tests write into the log, too
	done, read := make(chan struct{}), make(chan error, 1)
	go func() {
		for {
			select {
			case <-done:
				read <- nil
				return
			case <-time.After(100 * time.Millisecond):
			}
			_, err := reader.Exec(t.Context(), `SELECT pg_replication_slot_advance($1, pg_current_wal_flush_lsn())`, slot)
			if err != nil {
				read <- err
				return
			}
		}
	}()
	code, out, errors := j.auditing(t, "--slot", slot, "--grace", "30s")
	close(done)
	if err := <-read; err != nil || code != 1 || !strings.Contains(out, "MISSING   user 5, row 2: ") {
		t.Errorf("a slot that has delivered all: %v, exit code %d\n%s%s", err, code, out, errors)
	}
	j.table.Exec(t, `SELECT pg_drop_replication_slot($1)`, slot)

	// A row that no stream can hold is missing for that reason.
	j.table.Exec(t, `UPDATE streaming.transactions SET amount = 'NaN' WHERE id = 2`)
	refuse(1, "MISSING   user 5, row 2: PostgreSQL has NaN at ", "--user", "5")
	j.table.Delete(t, 2)

	// A table whose rows of before were removed by a job that the stream does not tell of.
	j.table.Delete(t, 1)
	refuse(1, "PHANTOM   user 5, row 1: the window has 40.00 at ")
	refuse(0, "0 rows of 1 user", "--table-from", time.Now().UTC().Format(time.RFC3339))

	// While PostgreSQL lets it wait, a signal ends it at once, and the statement's bound in time.
	lock, err := testkit.Connect(t, j.url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock.Exec(t.Context(), `LOCK TABLE streaming.transactions IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	refuse(3, "", "--statement-timeout", "500ms")
	stopped := j.auditCommand(t)
	var told strings.Builder
	stopped.Stderr = &told
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	waiting := func(n int) {
		t.Helper()
		err := testkit.Eventually(ctx, func() (bool, error) {
			var have int
			err := j.table.Conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
				AND application_name LIKE 'brimline audit%' AND wait_event_type = 'Lock'`).Scan(&have)
			return have == n, err
		})
		if err != nil {
			t.Fatalf("not %d statements wait: %v", n, err)
		}
	}
	waiting(1)
	_ = stopped.Process.Signal(os.Interrupt)
	_ = stopped.Wait()
	if code := stopped.ProcessState.ExitCode(); code != 1 || !strings.Contains(told.String(), "there is no result") {
		t.Errorf("exit code %d\n%s", code, &told)
	}
	waiting(0)
	_ = lock.Rollback(t.Context())
}

// TestAuditTakes measures an audit of BRIMLINE_AUDIT_ROWS rows, of one user for each hundred of them.
func TestAuditTakes(t *testing.T) {
	n, _ := strconv.Atoi(os.Getenv("BRIMLINE_AUDIT_ROWS"))
	if n == 0 {
		t.Skip("it measures, and decides nothing: BRIMLINE_AUDIT_ROWS says of how many rows")
	}
	const partitions, each = 8, 100
	j := newJob(t, parts(t), partitions, "rules: [{id: week, window: 7d, limit: 3000000}]")
	j.finish(t)
	users := max(1, n/each)
	start := brimline.TimeOf(time.Now().Truncate(time.Second).Add(-5 * 24 * time.Hour))
	j.table.Exec(t, `INSERT INTO streaming.transactions SELECT n, n % $1, (n % 40000) / 100.0,
		$2::timestamptz + n * interval '100 microseconds' FROM generate_series(0, $3 - 1) n`, users, start.Std(), users*each)
	j.table.Analyze(t)
	var events []testkit.Event // the window stage's values
	for u := range users {
		w := &brimline.Window{Last: 1, Floor: brimline.MinTime, Scale: 2}
		for k := range each {
			id := u + k*users
			w.Rows = append(w.Rows, brimline.RowOf(&brimline.Transaction{ID: fmt.Sprint(id), Amount: brimline.Amount(id % 40000),
				Time: start + brimline.Time(id*100)}))
		}
		b, err := codecs.WindowPart{}.Encode(w)
		if err != nil {
			t.Fatal(err)
		}
		key := fmt.Sprint(u)
		events = append(events, testkit.Event{Partition: processors.Partition(key, partitions), Key: []byte(key), Value: b})
		if len(events) == 10_000 || u == users-1 {
			j.Produce(t, j.names.WindowTable, events)
			events = nil
		}
	}
	j.table.Delete(t, int64(users))
	for _, args := range [][]string{{}, {}, {"--sample", "1000"}} {
		began := time.Now()
		c := j.auditCommand(t, append(args, "--grace", "0s")...)
		p := testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, c.Args[1:]...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		if _, err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
		cpu, peak := p.Usage()
		line := regexp.MustCompile(`(?m)^[0-9,]+ rows of .* up to LSN .*$`).FindString(p.Output())
		t.Logf("%q: %s: %v, %v CPU, %d MiB at most", args, line, time.Since(began).Round(10*time.Millisecond), cpu, peak>>20)
	}
}
