package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// dismissed are all records of the dismissed topic.
func (j *job) dismissed(t *testing.T) []*brimline.Alert {
	t.Helper()
	return j.Alerts(t, j.names.Dismissed)
}

// refused is a run that ends with exit code 2 and says all of that.
func (j *job) refused(t *testing.T, instance int, args []string, want ...string) {
	t.Helper()
	p := j.start(t, instance, args...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	code, err := p.Wait(ctx)
	if err != nil || code != int(brimline.ClassInput) {
		t.Errorf("%q: exit code %d, %v", args, code, err)
	}
	for _, text := range want {
		if !strings.Contains(p.Output(), text) {
			t.Errorf("%q: nothing said of %q", args, text)
		}
	}
}

func (j *job) caughtUp(t *testing.T, args ...string) *testkit.Process {
	t.Helper()
	p := j.start(t, 0, append([]string{"--until-caught-up"}, args...)...)
	j.mustEnd(t, p)
	return p
}

// TestAlertsFrom: a new group that takes in a table with a past, and alerts from a time on. What lies before is
// judged all the same, and is in the dismissed topic with PostgreSQL's figures; an edge at that very time is an
// alert. Late rows, too.
func TestAlertsFrom(t *testing.T) {
	t.Parallel()
	seed := testkit.Seed(t)
	r := testkit.Rand(seed)
	j := newJob(t, parts(t), 3, "lateness: 12h\nrules: [{id: r, window: 2d, limit: 900}, {id: n, window: 1d, limit: 6, "+
		"measure: count}]")
	rows := testkit.Shape{
		Rows: 600, Users: 9, Start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Span: 40 * 24 * time.Hour, Grain: time.Hour, MaxAmount: 30000, Heavy: 0.2,
	}.Draw(r)
	j.table.Insert(t, rows)
	want := j.edges(t)
	// The time is that of an edge in the middle.
	var ids []string
	for id := range want {
		ids = append(ids, id)
	}
	timeOf := func(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
	slices.SortFunc(ids, func(a, b string) int { return strings.Compare(timeOf(a), timeOf(b)) })
	from := timeOf(ids[len(ids)/2])
	early, late := map[string]testkit.Verdict{}, map[string]testkit.Verdict{}
	atIt := 0
	for id, v := range want {
		switch {
		case timeOf(id) < from:
			early[id] = v
		default:
			late[id] = v
		}
		if timeOf(id) == from {
			atIt++
		}
	}
	if len(early) == 0 || len(late) == 0 || atIt == 0 {
		t.Fatalf("%d edges before %s, %d after", len(early), from, len(late))
	}
	var events []testkit.Event
	var of []int64
	for i := range rows {
		events, of = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], int64(1000+i))),
			append(of, rows[i].ID)
	}
	events = testkit.Spread(r, events, of, 3, 100)
	half := len(events) / 2
	j.Produce(t, j.names.Source, events[:half])
	j.caughtUp(t, "--alerts-from", from)
	j.Produce(t, j.names.Source, events[half:])
	// Restarted with now, and without: the group's time stays what it was.
	now := j.caughtUp(t, "--alerts-from", "now")
	if !strings.Contains(now.Output(), from) {
		t.Error("the log does not say from when on the group alerts")
	}
	j.caughtUp(t)

	testkit.Compare(t, j.alerts(t), late)
	var before []*brimline.Alert
	for _, a := range j.dismissed(t) {
		if a.Reason != brimline.ReasonBeforeAlertsFrom {
			continue
		}
		if a.Verification.Status != brimline.Verified || a.Verification.LSN == 0 {
			t.Errorf("%s: %+v", a.Candidate.ID(), a.Verification)
		}
		before = append(before, a)
	}
	testkit.Compare(t, before, early)
	t.Logf("%d edges before %s, %d from then on", len(early), from, len(late))

	// Another value, and one that is no time.
	other := time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC).Format(time.RFC3339)
	j.refused(t, 1, []string{"--alerts-from", other}, from, "applies to a new --group")
	j.refused(t, 1, []string{"--alerts-from", "2026-01-01 00:00:00"}, "alerts-from", "offset")
	// The same moment in another zone is the same time.
	moment, err := brimline.ParseTime(from)
	if err != nil {
		t.Fatal(err)
	}
	j.caughtUp(t, "--alerts-from", moment.Std().In(time.FixedZone("", 2*3600)).Format(time.RFC3339Nano))
	j.does(t, []string{"status", "--every", "10ms", "--listen", "off"},
		"alerts from "+moment.Std().Format("2006-01-02 15:04:05"))
	j.does(t, []string{"status", "--json", "--every", "10ms", "--listen", "off"}, fmt.Sprintf(`"alerts_from":%q`, from))
}

// TestAlertsFromNow: now is the moment at which the group began, whoever asks for it later; what came before it is
// no alert.
func TestAlertsFromNow(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	began := time.Now()
	row := func(id int64, at time.Time) testkit.Row {
		return testkit.Row{ID: id, User: id, Amount: 2000_00, Time: brimline.TimeOf(at)}
	}
	produce := func(r testkit.Row) {
		j.table.Insert(t, []testkit.Row{r})
		j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &r, 0)})
	}
	produce(row(1, began.Add(-365*24*time.Hour)))
	produce(row(2, began))
	j.caughtUp(t, "--alerts-from", "now")
	produce(row(3, time.Now()))
	produce(row(4, began.Add(-time.Hour)))
	// While one runs, a second with another time does not start.
	first := j.start(t, 0, "--alerts-from", "now")
	j.refused(t, 1, []string{"--alerts-from", began.UTC().Format(time.RFC3339)}, "applies to a new --group")
	j.waitHandled(t, 4)
	first.Signal(syscall.SIGTERM)
	j.mustEnd(t, first)
	j.finish(t)
	users := func(all []*brimline.Alert) (users []string) {
		for _, a := range all {
			users = append(users, a.Candidate.User+a.Reason)
		}
		slices.Sort(users)
		return users
	}
	if got := users(j.alerts(t)); !slices.Equal(got, []string{"3"}) {
		t.Errorf("alerts of users %q, want 3", got)
	}
	const reason = brimline.ReasonBeforeAlertsFrom
	if got := users(j.dismissed(t)); !slices.Equal(got, []string{"1" + reason, "2" + reason, "4" + reason}) {
		t.Errorf("dismissed of users %q", got)
	}
}

// TestAlertsFromIsOfANewGroup: a group that began without it takes none later, in any form.
func TestAlertsFromIsOfANewGroup(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	j.finish(t)
	for _, value := range []string{"now", "2026-01-01T00:00:00Z"} {
		j.refused(t, 0, []string{"--alerts-from", value}, "applies to a new --group", "began without")
	}
	j.finish(t)
}

// TestAlertsFromOfSeveralAtOnce: of instances that begin a group at the same moment, each with a time of its own,
// one sets it, and those that name another are refused.
func TestAlertsFromOfSeveralAtOnce(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 1000}]")
	row := testkit.Row{ID: 1, User: 1, Amount: 2000_00, Time: brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 2, 0, time.UTC))}
	j.table.Insert(t, []testkit.Row{row})
	j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &row, 0)})
	const instances = 5
	var all []*testkit.Process
	for n := range instances {
		all = append(all, j.start(t, n, "--until-caught-up", "--alerts-from", fmt.Sprintf("2026-01-01T00:00:0%dZ", n)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	won := -1
	for n, p := range all {
		switch code, err := p.Wait(ctx); {
		case err != nil:
			t.Fatal(err)
		case code == 0 && won < 0:
			won = n
		case code == 0:
			t.Errorf("both %d and %d ran", won, n)
		case code != int(brimline.ClassInput) || !strings.Contains(p.Output(), "applies to a new --group"):
			t.Errorf("instance %d ended with %d", n, code)
		}
	}
	if won < 0 {
		t.Fatal("none ran")
	}
	alerts, dismissed := len(j.alerts(t)), len(j.dismissed(t))
	if isAlert := won <= 2; isAlert && (alerts != 1 || dismissed != 0) || !isAlert && (alerts != 0 || dismissed != 1) {
		t.Errorf("from 00:00:0%d on: %d alerts, %d dismissed", won, alerts, dismissed)
	}
}
