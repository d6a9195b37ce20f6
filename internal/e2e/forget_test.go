package e2e

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// newestOf is the newest record of a key in a table's topic.
func (j *job) newestOf(t *testing.T, topic, key string) (value []byte, there bool) {
	t.Helper()
	for _, r := range j.Records(t, topic) {
		if string(r.Key) == key {
			value, there = r.Value, true
		}
	}
	return value, there
}

// TestForget: of a user who is forgotten while an instance runs the tables have nothing any more, the others have all
// of theirs; what topics keep is counted. A row that comes afterwards is judged by PostgreSQL, no alert comes twice.
func TestForget(t *testing.T) {
	t.Parallel()
	m := &misled{job: newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]"), t: t,
		began: brimline.TimeOf(time.Now().Add(-72 * time.Hour).Truncate(time.Hour))}
	tell := func(op string, rows ...testkit.Row) {
		var events []testkit.Event
		for i := range rows {
			m.lsn++
			events = append(events, testkit.Envelope("transactions", op, nil, &rows[i], m.lsn))
		}
		m.Produce(t, m.names.Source, events)
	}
	other := m.at(100, 3700_00, 0)
	other.User = 6
	rows := []testkit.Row{other}
	for i := range int64(60) { // more than one value holds
		rows = append(rows, m.at(1+i, 60_00, int(i)/10))
	}
	m.table.Insert(t, rows)
	tell("c", rows...)
	bad := testkit.Envelope("transactions", "c", nil, &testkit.Row{ID: 99, User: 5, Amount: 1, Time: m.began}, 1)
	bad.Value = []byte(strings.Replace(string(bad.Value), `"amount":"0.01"`, `"amount":"nothing"`, 1))
	m.Produce(t, m.names.Source, []testkit.Event{bad})
	m.finish(t)
	m.expect(t, "before", "week 3600.00", "week 3700.00")
	if n := len(m.deadLetters(t)); n != 1 {
		t.Fatalf("%d dead letters", n)
	}
	if _, there := m.newestOf(t, m.names.IndexTable, "5"); !there {
		t.Fatal("no list of alerts")
	}

	for want, args := range map[string][]string{
		"no terminal":         {"forget", "5"},
		"no user has this id": {"forget", "", "--yes"},
	} {
		if code, out := m.command(t, args...); code != 2 || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, without %q\n%s", args, code, want, out)
		}
	}

	p := m.start(t, 0)
	for range 2 { // the second time finds nothing
		said := []string{
			"1 user of group " + m.names.Group + " forgotten",
			m.names.Alerts + " ",
			"1 record ",
			"0 records ",
			"1 letter ",
			" for ever",
			" for 30d, and up to 7d more",
			" until the brokers compact it",
		}
		for _, topic := range m.names.Owned() {
			if topic != m.names.Rules && topic != m.names.Reports { // there are no users
				said = append(said, topic+" ")
			}
		}
		m.does(t, []string{"forget", "5", "--yes"}, said...)
		m.waitHandled(t, int64(len(m.Records(t, m.names.Changes))))
	}
	p.Signal(syscall.SIGTERM)
	m.mustEnd(t, p)
	m.finish(t)
	value, _ := m.newestOf(t, m.names.WindowTable, "5")
	v, err := codecs.WindowPart{}.Decode(value)
	if err != nil {
		t.Fatalf("%q: %v", value, err)
	}
	w := v.(*brimline.Window)
	if w.Floor == brimline.MinTime || len(w.Rows) != 0 || len(w.Changed) != 0 || w.Older.Len() != 0 ||
		len(w.Rules[0].Edges) != 0 {
		t.Errorf("left are %+v", w)
	}
	segments := 0
	live := map[string]bool{}
	for _, r := range m.Records(t, m.names.WindowTable) {
		if strings.HasPrefix(string(r.Key), "5\x00") {
			segments++
			live[string(r.Key)] = len(r.Value) > 0
		}
	}
	for key, there := range live {
		if there {
			t.Errorf("segment %q is left", key)
		}
	}
	if segments == 0 {
		t.Error("the user had no segments")
	}
	if value, there := m.newestOf(t, m.names.IndexTable, "5"); !there || len(value) > 0 {
		t.Errorf("the list of alerts is %q", value)
	}
	if value, _ := m.newestOf(t, m.names.IndexTable, "6"); len(value) == 0 {
		t.Error("the other user's list of alerts is gone")
	}

	// The rows are deleted from the table, and the user comes back.
	now := func(id int64, amount brimline.Amount) testkit.Row {
		return testkit.Row{ID: id, User: 5, Amount: amount, Time: brimline.TimeOf(time.Now())}
	}
	m.insert(now(200, 200_00)) // while PostgreSQL still has them
	m.expect(t, "above all the time", "week 3600.00", "week 3700.00")
	for _, r := range rows[1:] {
		m.table.Delete(t, r.ID)
	}
	tell("d", rows[1:]...)
	m.finish(t)
	m.insert(now(201, 2900_00))
	m.expect(t, "a new edge", "week 3100.00", "week 3600.00", "week 3700.00")
}
