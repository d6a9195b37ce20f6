package e2e

import (
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// TestTableFollowsUpdatesAndDeletes: rows are inserted, changed, moved to other
// users and deleted, in any order over the partitions but that of each row. In
// the end every user's totals in the window table are those of SQL over the table.
func TestTableFollowsUpdatesAndDeletes(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	partitions := 1 + r.IntN(8)
	// Kept long enough that no row falls out of the history before it is changed.
	j := newJob(t, parts(t), partitions, strings.Replace(drawRules(r, 5000), "lateness:", "lateness: 60d #", 1))
	shape := testkit.Shape{
		Rows: 1500, Users: 20, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 21 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 10000,
	}
	events, ids := j.liveThrough(t, r, shape.Draw(r), shape.Users)
	j.Produce(t, j.names.Source, testkit.Spread(r, events, ids, partitions, -1))
	p := j.start(t, 0)
	j.waitHandled(t, int64(len(events)/2))
	p.Signal(syscall.SIGTERM)
	j.mustEnd(t, p)
	j.finish(t)
	j.compareTotals(t)
	if dead := j.deadLetters(t); len(dead) != 0 {
		t.Errorf("%d dead letters, the first: %+v", len(dead), dead[0])
	}
}

// liveThrough inserts the rows and then changes many of them, in the table and as events.
func (j *job) liveThrough(t *testing.T, r *rand.Rand, rows []testkit.Row,
	users int) (events []testkit.Event, ids []int64) {
	j.table.Insert(t, rows)
	add := func(op string, before, after *testkit.Row) {
		e := testkit.Envelope("transactions", op, before, after, int64(1000+len(events)))
		id := after
		if id == nil {
			id = before
		}
		events, ids = append(events, e), append(ids, id.ID)
	}
	for i := range rows {
		before := rows[i]
		add("c", nil, &before)
		for range r.IntN(3) {
			after := before
			switch r.IntN(4) {
			case 0:
				after.User = 1 + r.Int64N(int64(users))
			case 1:
				after.Time += brimline.Time(r.Int64N(48)-24) * 3600e6
			case 2:
				after.Amount = brimline.Amount(r.Int64N(20000) - 5000)
			}
			j.table.Update(t, after)
			old := before
			add("u", &old, &after)
			before = after
		}
		if r.IntN(5) == 0 {
			j.table.Delete(t, before.ID)
			old := before
			add("d", &old, nil)
		}
	}
	return events, ids
}

// compareTotals compares every user's totals at their newest row with SQL over the table.
func (j *job) compareTotals(t *testing.T) {
	t.Helper()
	j.CompareTotals(t, j.names, j.rules, j.table)
}

// TestTruncateEmptiesEveryWindow: after a TRUNCATE no user has rows, and later rows count from nothing.
func TestTruncateEmptiesEveryWindow(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 2, "rules: [{id: r, window: 7d, limit: 100}]")
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	row := func(id, user int64, amount brimline.Amount) testkit.Row {
		return testkit.Row{ID: id, User: user, Amount: amount, Time: at + brimline.Time(id)}
	}
	produce := func(rows ...testkit.Row) {
		var events []testkit.Event
		for i := range rows {
			events = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], rows[i].ID))
		}
		j.Produce(t, j.names.Source, events)
	}
	produce(row(1, 1, 9000), row(2, 2, 9000))
	j.Produce(t, j.names.Source, []testkit.Event{testkit.Truncation("transactions")})
	after := []testkit.Row{row(3, 1, 9000)}
	j.table.Insert(t, after)
	produce(after...)
	j.finish(t)
	j.compareTotals(t)
	if alerts := j.alerts(t); len(alerts) != 0 {
		t.Errorf("%d alerts from rows that a TRUNCATE took away", len(alerts))
	}
	again := []testkit.Row{row(4, 1, 1001)}
	j.table.Insert(t, again)
	produce(again...)
	j.finish(t)
	j.judge(t)
	if alerts := j.alerts(t); len(alerts) != 1 || alerts[0].Candidate.Stream.Total.Format(2) != "100.01" {
		t.Errorf("%d alerts, want one whose total in the stream is 100.01", len(alerts))
	}
}

// TestTruncateAmongPartitions: the place of a TRUNCATE among the rows of other partitions is that of its LSN, in
// whatever order a topic is read from its beginning.
func TestTruncateAmongPartitions(t *testing.T) {
	t.Parallel()
	for first := range int32(3) { // the rows before, those after and the TRUNCATE change places
		j := newJob(t, parts(t), 3, "rules: [{id: r, window: 7d, limit: 100}]")
		at := brimline.TimeOf(time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC))
		var events []testkit.Event
		put := func(partition int32, e testkit.Event) {
			e.Partition = (first + partition) % 3
			events = append(events, e)
		}
		insert := func(partition int32, row testkit.Row, lsn int64) {
			put(partition, testkit.Envelope("transactions", "c", nil, &row, lsn))
		}
		for n := range int64(20) {
			insert(0, testkit.Row{ID: 1 + n, User: n % 4, Amount: 9000, Time: at}, 10+n)
			after := testkit.Row{ID: 100 + n, User: n % 4, Amount: 2001, Time: at + brimline.Time(n*3_600_000_000)}
			insert(2, after, 50+n)
			j.table.Insert(t, []testkit.Row{after})
		}
		put(1, testkit.TruncationAt("transactions", "40"))
		j.Produce(t, j.names.Source, events)
		j.finish(t)
		j.compareTotals(t)
		j.judge(t)
		if alerts := j.alerts(t); len(alerts) != 4 {
			t.Errorf("%d alerts, want one of each user", len(alerts))
		}
	}
}

// TestTruncateWithoutLSN: the place of a TRUNCATE that does not say it is not known. That is said, because rows may be
// missing from the totals; with one partition it is not.
func TestTruncateWithoutLSN(t *testing.T) {
	t.Parallel()
	const said = "a TRUNCATE came whose place among the rows of other partitions is not known"
	for _, test := range []struct {
		partitions int
		lsn        string
		said       bool
	}{{1, "null", false}, {3, "null", true}, {3, "1", false}} {
		j := newJob(t, parts(t), test.partitions, "rules: [{id: r, window: 7d, limit: 1000}]")
		j.Produce(t, j.names.Source, []testkit.Event{testkit.TruncationAt("transactions", test.lsn)})
		p := j.finish(t)
		if got := strings.Contains(p.Output(), said); got != test.said {
			t.Errorf("%d partitions, LSN %s: said %v:\n%s", test.partitions, test.lsn, got, p.Output())
		}
	}
}
