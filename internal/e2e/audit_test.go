package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// audited is what brimline audit says as JSON.
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
// deleted before any was read. Exactly these rows are found, also while 500 changes a second come, some of them late,
// and of users who never rest. After the repair nothing is found, and the alerts are PostgreSQL's.
func TestAuditUnderLoad(t *testing.T) {
	t.Parallel()
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
	rows := testkit.History{
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
	go func() { stopped <- j.load(t, r, users, event, stop) }()
	for range 2 {
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
	t.Logf("%d changes came meanwhile", <-stopped)
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

// load makes 500 changes a second in table and stream, one in twenty of them late, until it is stopped.
func (j *job) load(
	t *testing.T, r *rand.Rand, users int64, event func(string, *testkit.Row, *testkit.Row, int64) testkit.Event,
	stop chan struct{},
) (changes int) {
	table := testkit.OpenTable(t, j.url, "streaming", "transactions")
	position := func() (lsn int64) {
		if err := table.Conn.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn`).Scan(&lsn); err != nil {
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
		for range 40 {
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
		for n := range 10 {
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
