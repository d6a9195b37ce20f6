package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// misled is a group whose stream is not what the table is.
type misled struct {
	*job
	t     *testing.T
	began brimline.Time
	lsn   int64
	flat  bool // records are unwrapped
}

// at is the row of user 5 so many hours after the beginning, three days ago.
func (m *misled) at(id int64, amount brimline.Amount, hour int) testkit.Row {
	return testkit.Row{ID: id, User: 5, Amount: amount, Time: m.began.Add(time.Duration(hour) * time.Hour)}
}

// tell writes a change into the source topic, and runs the group until it has caught up. A connector that unwraps
// records does not say what a row was.
func (m *misled) tell(op string, r testkit.Row) {
	m.lsn++
	e := testkit.Envelope("transactions", op, nil, &r, m.lsn)
	if m.flat {
		e.Value = fmt.Appendf(nil, `{"id":%d,"user_id":%d,"amount":%q,"timestamp":%q,"description":"","__op":%q}`,
			r.ID, r.User, r.Amount.Format(2), r.Time.String(), op)
	}
	m.Produce(m.t, m.names.Source, []testkit.Event{e})
	m.finish(m.t)
}

func (m *misled) insert(r testkit.Row) {
	m.table.Insert(m.t, []testkit.Row{r})
	m.tell("c", r)
}

// healer says what repairs a loss without a command.
type healer int

const (
	byDismissal healer = iota // an edge that PostgreSQL dismisses, and goes on dismissing
	byQuestion                // the question about a user above a limit; an alert for 3,500 came before
	byNothing
)

// losses are the changes that a stream may lose, and the alert that each costs. Most of them make an edge, too, that
// PostgreSQL refuses.
var losses = []struct {
	name string
	want string
	by   healer
	lose func(m *misled)
}{
	// A partition of the table is detached and dropped, and made anew: nothing tells of its rows.
	{"fixed partition", "week 3300.00", byDismissal, func(m *misled) {
		m.insert(m.at(30, 2500_00, 0))
		m.table.Delete(m.t, 30)
		m.insert(m.at(31, 2600_00, 24))
		m.insert(m.at(32, 700_00, 25))
	}},
	// The slot is lost, a row deleted, and the snapshot that follows has only what is left.
	{"lost slot", "week 3300.00", byDismissal, func(m *misled) {
		m.insert(m.at(1, 2500_00, 0))
		m.table.Delete(m.t, 1)
		left := m.at(2, 2600_00, 24)
		m.table.Insert(m.t, []testkit.Row{left})
		m.tell("r", left)
		m.insert(m.at(3, 700_00, 25))
	}},
	// A connector's substitutes are all that a deletion says of the row: it is another user's, and of another time.
	{"before of defaults", "week 3300.00", byDismissal, func(m *misled) {
		m.insert(m.at(1, 2500_00, 0))
		m.table.Delete(m.t, 1)
		was := testkit.Row{ID: 1, User: 77, Amount: 10_00,
			Time: brimline.TimeOf(time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC))}
		m.lsn++
		m.Produce(m.t, m.names.Source, []testkit.Event{testkit.Envelope("transactions", "d", &was, nil, m.lsn)})
		m.finish(m.t)
		m.insert(m.at(2, 2600_00, 24))
		m.insert(m.at(3, 700_00, 25))
	}},
	// A flattened record does not say whose the row was.
	{"flat move", "week 3100.00", byDismissal, func(m *misled) {
		m.flat = true
		m.insert(m.at(1, 2900_00, 0))
		moved := m.at(1, 2900_00, 0)
		moved.User = 6
		m.table.Update(m.t, moved)
		m.tell("u", moved)
		m.insert(m.at(2, 600_00, 1))
		m.insert(m.at(3, 2500_00, 2))
	}},
	// An alert was sent for a row that was deleted unseen: the window takes the user for one who is above all the time.
	{"alerted and gone", "week 3200.00", byQuestion, func(m *misled) {
		m.insert(m.at(1, 3500_00, 0))
		m.expect(m.t, "before", "week 3500.00")
		m.table.Delete(m.t, 1)
		m.insert(m.at(2, 3200_00, 24))
	}},
	// Rows that never came, the newest among them.
	{"rows that never came", "week 3100.00", byNothing, func(m *misled) {
		m.insert(m.at(1, 2900_00, 0))
		m.table.Insert(m.t, []testkit.Row{m.at(2, 200_00, 10)})
	}},
}

// TestDistrustRepairsWhatTheStreamLost: the stream has not told of a change, the window holds what PostgreSQL does
// not, and an edge is missed. Once the user is distrusted its alert comes, with PostgreSQL's figure, and once.
func TestDistrustRepairsWhatTheStreamLost(t *testing.T) {
	t.Parallel()
	for _, tc := range losses {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := &misled{job: newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]"), t: t,
				began: brimline.TimeOf(time.Now().Add(-72 * time.Hour).Truncate(time.Hour))}
			m.options = []string{"--distrust-after", "0"}
			tc.lose(m)
			after := sorted(append(m.verdicts(t), tc.want))
			distrust := []string{"distrust", "5", "--state-dir", m.state + "/cli"}
			for range 2 { // the second time finds nothing new
				m.does(t, distrust, "1 user distrusted up to ")
				m.finish(t)
				m.expect(t, "distrusted", after...)
			}
			var u struct {
				Rules      []struct{ Total, Count, Distance any }
				Distrusted struct{ Reason string }
			}
			code, out := m.command(t, "user", "5", "--json", "--state-dir", m.state+"/cli")
			if err := json.Unmarshal([]byte(out), &u); err != nil || code != 0 || u.Distrusted.Reason != "command" ||
				u.Rules[0].Total != nil || u.Rules[0].Count != nil || u.Rules[0].Distance != nil {
				t.Errorf("user: %d, %v\n%s", code, err, out)
			}
			m.does(t, []string{"user", "5", "--state-dir", m.state + "/cli"}, "distrusted since ", "only PostgreSQL knows")
			// The rows that are left go unseen, and an edge comes of what follows: PostgreSQL answers.
			m.table.Empty(t)
			last := m.at(50, 3100_00, 72)
			m.insert(last)
			m.expect(t, "the next edge", sorted(append(after, "week 3100.00"))...)
		})
	}
}

func sorted(all []string) []string {
	slices.Sort(all)
	return all
}

// TestDistrustRefuses: who is not known is not distrusted, unless that is said, nor is anyone up to the future.
func TestDistrustRefuses(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]")
	code, out := j.command(t, "distrust", "5")
	if code == 0 || !strings.Contains(out, "brimline run") {
		t.Errorf("before the group has run: exit code %d\n%s", code, out)
	}
	row := testkit.Row{ID: 1, User: 5, Amount: 4000_00, Time: brimline.TimeOf(time.Now().Add(-time.Hour))}
	j.finish(t)
	state := []string{"--state-dir", j.state + "/cli"}
	for want, args := range map[string][]string{
		"--unknown":           {"distrust", "5"},
		"lies in the future":  {"distrust", "5", "--up-to", "2999-01-01T00:00:00Z"},
		"no user has this id": {"distrust", ""},
	} {
		code, out := j.command(t, append(args, state...)...)
		if code == 0 || !strings.Contains(out, want) {
			t.Errorf("%q: exit code %d, without %q\n%s", args, code, want, out)
		}
	}
	if n := len(j.Records(t, j.names.Changes)); n != 0 {
		t.Errorf("%d changes written", n)
	}
	// A row that is in no stream.
	j.table.Insert(t, []testkit.Row{row})
	j.does(t, append([]string{"distrust", "5", "--unknown"}, state...), "1 user distrusted up to ")
	j.finish(t)
	j.expect(t, "of whom the stream tells nothing", "week 4000.00")
	j.does(t, append([]string{"distrust", "5"}, state...), "1 user distrusted up to ")
}

// TestWhatTheStreamLostIsRepairedByItself: PostgreSQL's no is asked again, and when it stands the user is distrusted.
// Where nothing is dismissed, because the rows that it does not have hide the edge, it is asked about who is above a
// limit. No command is given.
func TestWhatTheStreamLostIsRepairedByItself(t *testing.T) {
	t.Parallel()
	for _, tc := range losses {
		want, reason := []string{tc.want}, "refuted"
		switch tc.by {
		case byQuestion:
			want, reason = []string{tc.want, "week 3500.00"}, ""
		case byNothing:
			continue
		}
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := &misled{job: newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]"), t: t,
				began: brimline.TimeOf(time.Now().Add(-72 * time.Hour).Truncate(time.Hour))}
			tc.lose(m)
			m.expect(t, "by itself", want...)
			var u struct{ Distrusted struct{ Reason string } }
			code, out := m.command(t, "user", "5", "--json", "--state-dir", m.state+"/cli")
			if err := json.Unmarshal([]byte(out), &u); err != nil || code != 0 || u.Distrusted.Reason != reason {
				t.Errorf("user: %d, %v\n%s", code, err, out)
			}
			m.finish(t)
			m.expect(t, "and once", want...)
		})
	}
}

// TestARunWithNothingNewAsks: a run was killed between the row that a lost deletion hides from the window and the
// question about its user. The next one finds nothing new in the stream, and ends when PostgreSQL was asked
// nonetheless.
func TestARunWithNothingNewAsks(t *testing.T) {
	t.Parallel()
	m := &misled{job: newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]"), t: t,
		began: brimline.TimeOf(time.Now().Add(-72 * time.Hour).Truncate(time.Hour))}
	m.insert(m.at(1, 3500_00, 0))
	m.table.Delete(t, 1)
	hidden := m.at(2, 3200_00, 24)
	m.table.Insert(t, []testkit.Row{hidden})
	before, err := m.Committed(t.Context(), m.names.WindowGroup, m.names.Changes)
	if err != nil {
		t.Fatal(err)
	}
	m.lsn++
	m.Produce(t, m.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &hidden, m.lsn)})
	killed := m.start(t, 0)
	m.waitHandled(t, before+1)
	killed.Signal(syscall.SIGKILL)
	m.expect(t, "killed before it asked", "week 3500.00")
	m.finish(t)
	m.expect(t, "asked by the next", "week 3200.00", "week 3500.00")
}

// TestACatchUpDistrustsNobody: a tenth of the rows are deleted long after they were written. While the group catches
// up PostgreSQL dismisses their edges. The deletions explain that, and come before it is asked again. All rows are
// retained: what the deletion of a row below the history makes an edge is not looked for.
func TestACatchUpDistrustsNobody(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 4, "lateness: 30d\nrules: [{id: week, window: 7d, limit: 300, measure: sum_abs}]")
	rows := testkit.Shape{
		Rows: 4000, Users: 150, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Span: 28 * 24 * time.Hour,
		Grain: time.Minute, MaxAmount: 10000,
	}.Draw(r)
	j.table.Insert(t, rows)
	var events, deletions []testkit.Event
	add := func(to *[]testkit.Event, e testkit.Event, id int64) {
		e.Partition = int32(id % 4)
		*to = append(*to, e)
	}
	for i := range rows {
		add(&events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(i+1)), rows[i].ID)
		if r.IntN(10) == 0 {
			j.table.Delete(t, rows[i].ID)
			add(&deletions, testkit.Envelope("transactions", "d", &rows[i], nil, int64(len(rows)+i+1)), rows[i].ID)
		}
	}
	j.Produce(t, j.names.Source, append(events, deletions...))
	j.finish(t)
	j.judge(t)
	again, distrusted := len(j.Records(t, j.names.Again)), j.distrusts(t)
	t.Logf("%d deletions, %d edges put to be asked again, %d users distrusted", len(deletions), again, distrusted)
	if again == 0 {
		t.Error("PostgreSQL dismissed nothing: nothing to see")
	}
	if distrusted > 0 {
		t.Errorf("%d users are distrusted although the stream lost nothing", distrusted)
	}
}

// distrusts is how many users were distrusted without a command.
func (j *job) distrusts(t *testing.T) (n int) {
	t.Helper()
	for _, m := range j.Records(t, j.names.Changes) {
		v, err := codecs.Change{}.Decode(m.Value)
		if err != nil {
			t.Fatal(err)
		}
		if v.(*brimline.Change).Kind == brimline.Disbelieved {
			n++
		}
	}
	return n
}
