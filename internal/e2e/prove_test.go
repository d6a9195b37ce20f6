package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// proven is the JSON of brimline prove.
type proven struct {
	True             bool
	LSN              string
	Looks            int
	Edges, Alerts    int
	Missing          []struct{ ID string }
	Outdated, False  []struct{ ID string }
	Superseded       []struct{ ID string }
	NotPromised      map[string]int `json:"not_promised"`
	missing, changed []string       // changed are the alerts without an edge
	waited           bool           // something was amiss at the first look
}

// waits is the line that prove prints before it waits and looks again.
const waits = "waiting for the stream before looking again"

// proofCommand is brimline prove.
func (j *job) proofCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append([]string{
		"prove", "--brokers", strings.Join(j.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source,
		"--alerts", j.names.Alerts, "--grace", "0s",
	}, args...)...)
	c.Env = append(os.Environ(), "BRIMLINE_DATABASE_URL="+j.url)
	return c
}

// proof runs brimline prove, with its exit code and what it wrote.
func (j *job) proof(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := j.proofCommand(t, args...)
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.Output()
	if c.ProcessState == nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c.ProcessState.ExitCode(), string(out), errors.String()
}

func (j *job) prove(t *testing.T, args ...string) *proven {
	t.Helper()
	code, out, errors := j.proof(t, append([]string{"--json"}, args...)...)
	p := &proven{}
	if err := json.Unmarshal([]byte(out), p); err != nil {
		t.Fatalf("prove %q: exit code %d, %v\n%s%s", args, code, err, out, errors)
	}
	if want := map[bool]int{true: 0, false: 1}[p.True]; code != want {
		t.Errorf("prove %q: exit code %d, and true is %v\n%s", args, code, p.True, errors)
	}
	for _, e := range p.Missing {
		p.missing = append(p.missing, e.ID)
	}
	for _, e := range slices.Concat(p.Outdated, p.False, p.Superseded) {
		p.changed = append(p.changed, e.ID)
	}
	p.waited = strings.Contains(errors, waits)
	slices.Sort(p.missing)
	slices.Sort(p.changed)
	return p
}

// amiss are PostgreSQL's edges without an alert, and alerts without an edge, as the testkit's judge has them.
func (j *job) amiss(t *testing.T) (edges int, missing, outdated []string) {
	t.Helper()
	want, got := map[string]testkit.Verdict{}, map[string]bool{}
	for _, r := range j.rules.Rules {
		maps.Copy(want, j.table.Edges(t, r, j.where[r.ID]))
	}
	for _, a := range append(j.alerts(t), j.shadows(t)...) {
		got[a.Candidate.ID()] = true
		if _, there := want[a.Candidate.ID()]; !there {
			outdated = append(outdated, a.Candidate.ID())
		}
	}
	for id := range want {
		if !got[id] {
			missing = append(missing, id)
		}
	}
	slices.Sort(missing)
	slices.Sort(outdated)
	return len(want), missing, outdated
}

// shadows are the alerts of rules on trial.
func (j *job) shadows(t *testing.T) []*brimline.Alert {
	t.Helper()
	return j.Alerts(t, j.names.Shadow)
}

// created writes rows into the table and into the stream.
func (j *job) created(t *testing.T, rows ...testkit.Row) {
	t.Helper()
	j.table.Insert(t, rows)
	var events []testkit.Event
	for i := range rows {
		events = append(events, testkit.Envelope("transactions", "c", nil, &rows[i], rows[i].ID))
	}
	j.Produce(t, j.names.Source, events)
}

const provenRules = `
columns: {description: text}
rules:
  - {id: week, window: 7d, limit: 3000}
  - {id: net, window: 3d, limit: 800, measure: sum}
  - {id: in, window: 2d, limit: 900, measure: sum_in}
  - {id: out, window: 2d, limit: 300, measure: sum_out}
  - {id: many, window: 1d, limit: 6, measure: count}
  - {id: some, window: 5d, limit: 1500, where: 'amount > 20 && description != "row 7"'}
  - {id: steps, window: 2d, limits: [1000, 2000]}
  - {id: trial, window: 1d, limit: 700, mode: shadow}
  - {id: hush, window: 1d, limit: 500, quiet: 2d}
  - {id: armed, window: 1d, limit: 500, rearm: 70%}
`

// TestProve: of random rows each edge has its alert, by the judge; and exactly the faults that are then made behind
// the stream are found.
func TestProve(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 1, provenRules)
	j.where = map[string]string{"some": "amount > 20 AND description <> 'row 7'"}
	now := time.Now().Truncate(time.Second)
	rows := testkit.Shape{
		Rows: 3000, Users: 40, Start: now.Add(-21 * 24 * time.Hour), Span: 20 * 24 * time.Hour, Grain: time.Minute,
		MaxAmount: 40000,
	}.Draw(r)
	j.created(t, rows...)
	j.finish(t)
	edges, missing, outdated := j.amiss(t)
	if edges < 50 || len(missing)+len(outdated) > 0 {
		t.Fatalf("nothing to see: %d edges, missing %q, outdated %q", edges, missing, outdated)
	}
	whole := []string{"--since", "22d", "--whole-history"}
	if p := j.prove(t, whole...); !p.True || p.Edges != edges || p.Alerts != edges || p.Looks != 1 || p.LSN == "" {
		t.Errorf("%d edges, all with their alerts, and prove says %+v", edges, p)
	}
	// A rule alone, and a shorter time, have fewer.
	some := len(j.table.Edges(t, j.rules.Rules[5], j.where["some"]))
	if p := j.prove(t, append(whole, "--rule", "some")...); !p.True || p.Edges != some {
		t.Errorf("rule some has %d edges, and prove says %+v", some, p)
	}
	of := len(j.table.Edges(t, j.rules.Rules[6], "")) + len(j.table.Edges(t, j.rules.Rules[7], ""))
	if p := j.prove(t, append(whole, "--rule", "steps")...); !p.True || p.Edges != of || of == 0 {
		t.Errorf("rule steps has %d edges at both limits, and prove says %+v", of, p)
	}
	if p := j.prove(t, "--since", "3d", "--whole-history"); !p.True || p.Edges >= edges {
		t.Errorf("the edges of three days: %+v", p)
	}

	// Behind the stream: rows are deleted, inserted, changed, and moved to another user.
	for i := range 4 {
		gone := rows[r.IntN(len(rows))]
		j.table.Delete(t, gone.ID)
		j.table.Insert(t, []testkit.Row{{ID: int64(90001 + i), User: int64(900 + i), Amount: 5000_00,
			Time: brimline.TimeOf(now.Add(-48 * time.Hour)), Description: "unseen"}})
		changed := rows[r.IntN(len(rows))]
		changed.Amount += 1000_00
		j.table.Update(t, changed)
		moved := rows[r.IntN(len(rows))]
		moved.User = 1 + r.Int64N(40)
		j.table.Update(t, moved)
	}
	_, missing, outdated = j.amiss(t)
	if len(missing) < 4 || len(outdated) == 0 {
		t.Fatalf("nothing to see: missing %q, outdated %q", missing, outdated)
	}
	p := j.prove(t, whole...)
	if p.True || p.Looks != 2 || len(p.False) > 0 || !slices.Equal(p.missing, missing) ||
		!slices.Equal(p.changed, outdated) {
		t.Errorf(
			"missing  %q\nand not  %q\noutdated %q\nand not  %q\n%d looks",
			p.missing,
			missing,
			p.changed,
			outdated,
			p.Looks,
		)
	}
	// What is not promised is counted, and is no fault: the group began after all of it.
	if p := j.prove(t, "--since", "22d"); len(p.missing) > 0 || p.NotPromised["before_group"] != len(missing) {
		t.Errorf("before the group: %+v", p)
	}
	// A table that had its rows removed up to an hour ago has no whole window.
	from := now.Add(-time.Hour).UTC().Format(time.RFC3339)
	if p := j.prove(t, append(whole, "--table-from", from)...); !p.True || p.Edges != 0 ||
		p.NotPromised["window_not_whole"] == 0 {
		t.Errorf("without a whole window: %+v", p)
	}
	code, out, _ := j.proof(t, whole...)
	if summary := fmt.Sprintf("%d missing, %d outdated, 0 false\n", len(missing), len(p.Outdated)); code != 1 ||
		!strings.Contains(out, summary) || !strings.Contains(out, "MISSING  ") {
		t.Errorf("exit code %d, without %q\n%s", code, summary, out)
	}
}

// TestProveAlert: an alert is true as long as the table has its edge, and outdated then.
func TestProveAlert(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, provenRules)
	at := brimline.TimeOf(time.Now().Add(-time.Hour))
	j.created(t, testkit.Row{ID: 1, User: 5, Amount: 4000_00, Time: at, Description: "x"})
	j.finish(t)
	for _, rule := range []string{"week", "some"} {
		id := brimline.AlertID("5", rule, at)
		j.table.Update(t, testkit.Row{ID: 1, User: 5, Amount: 4000_00, Time: at})
		if code, out, _ := j.proof(t, "--alert", id); code != 0 || !strings.Contains(out, "true as it stands") ||
			!strings.Contains(out, "now: $0.00 before, $4,000.00 with it, 1 transaction") {
			t.Errorf("%s: exit code %d\n%s", id, code, out)
		}
		j.table.Update(t, testkit.Row{ID: 1, User: 5, Amount: 40_00, Time: at})
		code, out, _ := j.proof(t, "--alert", id, "--json")
		if code != 1 || !strings.Contains(out, `"verdict": "outdated"`) || strings.Contains(out, `"table"`) {
			t.Errorf("%s: exit code %d\n%s", id, code, out)
		}
	}
	if code, _, errors := j.proof(t, "--alert", "5/week/2020-01-01T00:00:00.000000Z"); code != 1 ||
		!strings.Contains(errors, "has no alert with this id") {
		t.Errorf("an alert that is none: exit code %d\n%s", code, errors)
	}
}

// TestProveWaitsForTheStream: an edge whose row is on its way is looked at again once the group has handled it, and is
// not missing; one that no group handles is not proven either way.
func TestProveWaitsForTheStream(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, provenRules)
	j.finish(t)
	row := testkit.Row{ID: 1, User: 5, Amount: 4000_00, Time: brimline.TimeOf(time.Now()), Description: "x"}
	j.created(t, row) // no instance runs
	since := []string{"--since", "1h", "--whole-history"}
	code, _, errors := j.proof(t, append(since, "--wait", "1s")...)
	if code != 3 || !strings.Contains(errors, "what is amiss may be on its way") {
		t.Errorf("a group that stands still: exit code %d\n%s", code, errors)
	}
	done := make(chan *proven)
	go func() { done <- j.prove(t, append(since, "--wait", patience.String())...) }()
	j.finish(t)
	if p := <-done; !p.True || p.Edges == 0 || p.Alerts != p.Edges || p.Looks != 1 {
		t.Errorf("a group that catches up: %+v", p)
	}
	// A rule that comes later does not alert for what was before it.
	j.setRules(t, provenRules+"  - {id: later, window: 7d, limit: 100}\n")
	j.finish(t)
	if p := j.prove(t, since...); !p.True || p.NotPromised["before_rule"] != 1 {
		t.Errorf("a later rule: %+v", p)
	}
}

// TestProveWaitsForTheSource: what the source has not brought yet is no finding as long as the stream shows nothing of
// after the look, and the grace is not over; and it is waited for no longer than that.
func TestProveWaitsForTheSource(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, provenRules)
	position := func() int64 {
		var text string
		if err := j.table.Conn.QueryRow(t.Context(), `SELECT pg_current_wal_lsn()::text`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		lsn, err := brimline.ParseLSN(text)
		if err != nil {
			t.Fatal(err)
		}
		return int64(lsn)
	}
	now := time.Now()
	row := testkit.Row{ID: 1, User: 5, Amount: 10_00, Time: brimline.TimeOf(now.Add(-time.Minute)), Description: "x"}
	j.created(t, row)
	j.finish(t)
	run := j.start(t, 0)
	late := testkit.Row{ID: 2, User: 5, Amount: 4000_00, Time: brimline.TimeOf(now), Description: "x"}
	at := position()
	j.table.Insert(t, []testkit.Row{late}) // and not into the stream
	since := []string{"--since", "1h", "--whole-history", "--json"}

	out, ended := j.proofThatWaits(t, append(since, "--grace", patience.String())...)
	select {
	case err := <-ended:
		t.Fatalf("it ended before the stream had shown the row: %v\n%s", err, out)
	case <-time.After(4 * time.Second): // far longer than the group takes for what it has
	}
	j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &late, at)})
	// Another one shows that all of before the look has come.
	next := testkit.Row{ID: 3, User: 6, Amount: 1_00, Time: brimline.TimeOf(now), Description: "x"}
	at = position()
	j.table.Insert(t, []testkit.Row{next})
	j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &next, at)})
	if err := <-ended; err != nil || !strings.Contains(out.String(), `"true": true`) {
		t.Errorf("%v\n%s", err, out)
	}

	// A stream that shows nothing new is waited for as long as the grace.
	j.table.Insert(t, []testkit.Row{{ID: 4, User: 7, Amount: 4000_00, Time: brimline.TimeOf(now), Description: "x"}})
	if p := j.prove(t, "--since", "1h", "--whole-history", "--grace", "2s"); len(p.missing) == 0 || p.Looks != 2 {
		t.Errorf("a row that never comes: %+v", p)
	}
	// What the second look does not show any more is no finding, nor what it alone shows.
	out, ended = j.proofThatWaits(t, append(since, "--grace", "3s")...)
	j.table.Delete(t, 4)
	j.table.Insert(t, []testkit.Row{{ID: 5, User: 8, Amount: 4000_00, Time: brimline.TimeOf(now), Description: "x"}})
	if err := <-ended; err != nil || !strings.Contains(out.String(), `"looks": 2`) {
		t.Errorf("a row that was there for a moment: %v\n%s", err, out)
	}
	run.Signal(syscall.SIGTERM)
	j.mustEnd(t, run)
}

// proofThatWaits begins brimline prove, and returns when it waits before it looks again.
func (j *job) proofThatWaits(t *testing.T, args ...string) (out *strings.Builder, ended chan error) {
	t.Helper()
	c := j.proofCommand(t, args...)
	out, ended = &strings.Builder{}, make(chan error, 1)
	c.Stdout = out
	told, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(told)
	for lines.Scan() && !strings.Contains(lines.Text(), waits) {
	}
	go func() {
		_, _ = io.Copy(io.Discard, told)
		ended <- c.Wait()
	}()
	return out, ended
}

// TestProveTellsLinks: an alert without an edge is superseded where links lead to an edge that is alerted, false where
// it does not show that PostgreSQL ever confirmed it, and outdated else.
func TestProveTellsLinks(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: week, window: 7d, limit: 3000}]")
	now := time.Now().Truncate(time.Second)
	row := func(id, user int64, dollars brimline.Amount, ago time.Duration) testkit.Row {
		return testkit.Row{
			ID:          id,
			User:        user,
			Amount:      dollars * 100,
			Time:        brimline.TimeOf(now.Add(-ago)),
			Description: "x",
		}
	}
	id := func(user string, ago time.Duration) string {
		return brimline.AlertID(user, "week", brimline.TimeOf(now.Add(-ago)))
	}
	j.created(t, row(1, 5, 4000, time.Hour), row(2, 6, 4000, time.Hour), row(3, 7, 4000, time.Hour))
	j.finish(t)
	j.created(t, row(11, 5, 3500, 2*time.Hour))
	j.finish(t)
	j.created(t, row(12, 5, 3500, 3*time.Hour)) // a link to a link
	j.finish(t)
	j.table.Delete(t, 2)
	// An alert that no figures confirm.
	records := j.Records(t, j.names.Alerts)
	v, err := codecs.Alert{}.Decode(records[0].Value)
	if err != nil {
		t.Fatal(err)
	}
	forged := v.(*brimline.Alert)
	forged.Candidate.User, forged.Database = "8", nil
	forged.Verification = brimline.Verification{Status: brimline.Unverified}
	b, err := codecs.Alert{}.Encode(forged)
	if err != nil {
		t.Fatal(err)
	}
	j.Produce(t, j.names.Alerts, []testkit.Event{{Key: []byte(forged.Candidate.ID()), Value: b}})

	p := j.prove(t, "--since", "1d", "--whole-history")
	ids := func(edges []struct{ ID string }) (all []string) {
		for _, e := range edges {
			all = append(all, e.ID)
		}
		slices.Sort(all)
		return all
	}
	if got, want := ids(p.Superseded), []string{id("5", time.Hour), id("5", 2*time.Hour)}; !slices.Equal(got, want) &&
		!slices.Equal(got, []string{want[1], want[0]}) {
		t.Errorf("superseded %q and not %q", got, want)
	}
	if got := ids(p.Outdated); len(got) != 1 || got[0] != id("6", time.Hour) {
		t.Errorf("outdated: %q", got)
	}
	if got := ids(p.False); len(got) != 1 || got[0] != forged.Candidate.ID() {
		t.Errorf("false: %q", got)
	}
	if len(p.missing) > 0 || p.True || p.Edges != 2 || p.Alerts != 2 {
		t.Errorf("%+v", p)
	}
	for _, of := range []struct{ id, verdict string }{
		{id("5", time.Hour), "superseded"}, {id("5", 2*time.Hour), "superseded"}, {id("5", 3*time.Hour), "true"},
		{id("6", time.Hour), "outdated"}, {id("7", time.Hour), "true"}, {forged.Candidate.ID(), "false"},
	} {
		code, out, errors := j.proof(t, "--alert", of.id, "--json")
		if want := map[bool]int{true: 0, false: 1}[of.verdict == "true"]; code != want ||
			!strings.Contains(out, `"verdict": "`+of.verdict+`"`) {
			t.Errorf("%s: not %s, exit code %d\n%s%s", of.id, of.verdict, code, out, errors)
		}
		if of.verdict == "superseded" && !strings.Contains(out, `"superseded_by": "`+id("5", 3*time.Hour)) {
			t.Errorf("%s: superseded by another\n%s", of.id, out)
		}
	}

	// Outdated alone is told, and is a fault where that is asked for.
	j.table.Insert(t, []testkit.Row{row(4, 8, 4000, time.Hour)})
	if p := j.prove(t, "--since", "1d", "--whole-history"); !p.True || len(p.Outdated) != 1 {
		t.Errorf("outdated alone: %+v", p)
	}
	if p := j.prove(t, "--since", "1d", "--whole-history", "--outdated", "--replica-url", j.url, "--database-url",
		"postgres://127.0.0.1:1/none"); p.True || len(p.Outdated) != 1 {
		t.Errorf("outdated, which shall count: %+v", p)
	}
	// Superseded alone is no fault.
	j.table.Insert(t, []testkit.Row{row(2, 6, 4000, time.Hour)})
	if p := j.prove(t, "--since", "1d", "--whole-history"); !p.True || len(p.Superseded) != 2 || p.Looks != 1 {
		t.Errorf("superseded alone: %+v", p)
	}
	// Records of alerts are removed: they are missing.
	want := []string{string(records[0].Key), string(records[1].Key)}
	want = slices.DeleteFunc(want, func(of string) bool { return slices.Contains(p.changed, of) && of[0] == '5' })
	slices.Sort(want)
	j.Trim(t, j.names.Alerts, 0, records[1].Offset+1)
	if p := j.prove(t, "--since", "1d", "--whole-history"); len(want) == 0 || !slices.Equal(p.missing, want) {
		t.Errorf("without the alerts %q: missing %q", want, p.missing)
	}
}

// TestProveCanBeStopped: while PostgreSQL lets it wait, a signal ends it at once, and the statement's bound in time.
func TestProveCanBeStopped(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, provenRules)
	j.finish(t)
	lock, err := testkit.Connect(t, j.url).Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stopped := j.proofCommand(t)
	var errors strings.Builder
	stopped.Stderr = &errors
	waiting := func(n int) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		err := testkit.Eventually(ctx, func() (bool, error) {
			var have int
			err := j.table.Conn.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
				AND application_name LIKE 'brimline prove%' AND wait_event_type = 'Lock'`).Scan(&have)
			return have == n, err
		})
		if err != nil {
			t.Fatalf("no statement waits: %v", err)
		}
	}
	if _, err := lock.Exec(t.Context(), `LOCK TABLE streaming.transactions IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	if err := stopped.Start(); err != nil {
		t.Fatal(err)
	}
	waiting(1)
	_ = stopped.Process.Signal(os.Interrupt)
	_ = stopped.Wait()
	if code := stopped.ProcessState.ExitCode(); code != 1 || !strings.Contains(errors.String(), "there is no result") {
		t.Errorf("exit code %d\n%s", code, &errors)
	}
	waiting(0) // nothing is left behind in PostgreSQL
	if code, out, errors := j.proof(t, "--statement-timeout", "500ms"); code != 3 || out != "" {
		t.Errorf("exit code %d\n%s%s", code, out, errors)
	}
	if err := lock.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p := j.prove(t); !p.True {
		t.Errorf("%+v", p)
	}
}

// TestProveEvery: one instance of a group compares by itself, all show what was found, and another takes over. A row
// that the stream has not brought is found within one time, and is no finding any more when it has come.
func TestProveEvery(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 2, provenRules)
	j.finish(t) // now the group has begun: edges from here on must have their alerts
	now := brimline.TimeOf(time.Now())
	j.created(t, testkit.Row{ID: 1, User: 5, Amount: 4000_00, Time: now, Description: "x"})
	options := []string{"--prove-every", "1s", "--listen", "127.0.0.1:0"}
	instances := []*testkit.Process{j.start(t, 0, options...), j.start(t, 1, options...)}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address := regexp.MustCompile(`msg=listening url=http://(\S+)`)
	await := func(p *testkit.Process, path string, want string) (found string) {
		t.Helper()
		var body string
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
			found = regexp.MustCompile(want).FindString(body)
			return found != "", err
		})
		if err != nil {
			t.Fatalf("%s never had %s: %v\n%s", path, want, err, body)
		}
		return found
	}
	edges := 0
	for _, r := range j.rules.Rules {
		edges += len(j.table.Edges(t, r, map[string]string{"some": "amount > 20 AND description <> 'row 7'"}[r.ID]))
	}
	proven := fmt.Sprintf(`"edges":%d,"alerts":%d,"missing":0,"outdated":0,"false":0`, edges, edges)
	for _, p := range instances {
		await(p, "/api/v1/status", proven)
		await(
			p,
			"/",
			fmt.Sprintf("up to LSN [0-9A-F/]+: %d edges, %d with an alert; compared by PostgreSQL", edges, edges),
		)
		await(p, "/metrics", fmt.Sprintf(`(?m)^brimline_prove_edges %d$`, edges))
		await(p, "/metrics", `(?m)^brimline_prove_time_seconds 1\.`)
	}
	const compared = "the alerts were compared with the table"
	var by, idle *testkit.Process
	for i, p := range instances {
		if strings.Contains(p.Output(), compared) {
			by, idle = p, instances[1-i]
		}
	}
	if by == nil || strings.Contains(idle.Output(), compared) {
		t.Fatalf("not one of the two has compared:\n%s\n%s", instances[0].Output(), instances[1].Output())
	}
	first := await(idle, "/api/v1/status", `"instance":"[^"]+"},"notices"`)

	late := testkit.Row{ID: 2, User: 6, Amount: 950_00, Time: brimline.TimeOf(time.Now()), Description: "x"}
	j.table.Insert(t, []testkit.Row{late})
	for _, p := range instances {
		await(p, "/api/v1/status", `"missing":[1-9].*"kind":"alerts_not_proven","level":"warning"`)
		await(p, "/metrics", `(?m)^brimline_prove_findings\{kind="missing"\} [1-9]`)
		await(
			p,
			"/readyz",
			`"ready":true.*compared with the table at .*, \d edges have no alert, and 0 alerts have no edge`,
		)
	}
	out, err := exec.CommandContext(
		ctx,
		binary,
		"status",
		"--every",
		"10ms",
		"--listen",
		"off",
		"--brokers",
		strings.Join(
			j.Brokers,
			",",
		),
		"--group",
		j.names.Group,
		"--source",
		j.names.Source,
		"--alerts",
		j.names.Alerts,
	).CombinedOutput()
	if err != nil ||
		!regexp.MustCompile(`(?m)^1 d up to LSN .* with an alert, \d missing; compared by PostgreSQL`).Match(out) {
		t.Errorf("status: %v\n%s", err, out)
	}
	j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "c", nil, &late, late.ID)})
	await(idle, "/api/v1/status", `"missing":0,.*"notices":\[\]`)

	if strings.Contains(idle.Output(), compared) || strings.Count(by.Output(), compared) < 3 {
		t.Errorf("not one alone has compared again and again:\n%s\n%s", by.Output(), idle.Output())
	}

	by.Signal(syscall.SIGTERM)
	j.mustEnd(t, by)
	err = testkit.Eventually(ctx, func() (bool, error) { return strings.Contains(idle.Output(), compared), nil })
	if err != nil {
		t.Fatalf("the other one does not take over: %v\n%s", err, idle.Output())
	}
	if second := await(idle, "/api/v1/status", `"instance":"[^"]+"},"notices"`); second == first {
		t.Errorf("it is still %s that has compared", first)
	}
	idle.Signal(syscall.SIGTERM)
	j.mustEnd(t, idle)
}

// TestStackProveUnderLoad: while 500 rows a second come for a minute, some of them late, nothing is called missing or
// false. At rest what is amiss is what the judge of the tests says, and alerts that are removed are found.
func TestStackProveUnderLoad(t *testing.T) {
	if os.Getenv("BRIMLINE_STACK") == "" {
		t.Skip("a minute of load runs in `make test-stack`: BRIMLINE_STACK is not set")
	}
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 3, provenRules)
	j.where = map[string]string{"some": "amount > 20 AND description <> 'row 7'"}
	slot := testkit.Unique(t)
	j.names.Source = slot + ".streaming.transactions"
	j.CreateTopic(t, j.names.Source, 3)
	capture := testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + j.url}, "capture",
		"--brokers", strings.Join(j.Brokers, ","), "--source", j.names.Source, "--slot", slot, "--publication", slot)
	j.table.Insert(
		t,
		[]testkit.Row{{ID: 1, User: 1, Amount: 1, Time: brimline.TimeOf(time.Now()), Description: "first"}},
	)
	j.waitSource(t, 1)
	run := j.start(t, 0)
	j.waitHandled(t, 1)

	const load, each, every = time.Minute, 50, 100 * time.Millisecond
	table := testkit.OpenTable(t, j.url, "streaming", "transactions") // the connection of j.table is the test's
	loaded := make(chan int64, 1)
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		id := int64(1)
		for range int(load / every) {
			<-tick.C
			var rows []testkit.Row
			now := time.Now()
			for range each {
				id++
				at := now.Add(-time.Duration(r.Int64N(int64(every))))
				if r.IntN(20) == 0 {
					at = now.Add(-time.Duration(r.Int64N(int64(5 * 24 * time.Hour))))
				}
				rows = append(
					rows,
					testkit.Row{ID: id, User: 1 + r.Int64N(1000), Amount: brimline.Amount(r.Int64N(30000) - 10000),
						Time: brimline.TimeOf(at), Description: "x"},
				)
			}
			table.Insert(t, rows)
		}
		loaded <- id
	}()
	since := []string{"--since", "6d", "--whole-history"}
	proofs, waited, rows := 0, 0, int64(0)
	for rows == 0 {
		p := j.prove(t, append(since, "--grace", "1m", "--wait", patience.String())...)
		if proofs++; p.waited {
			waited++
		}
		if len(p.missing)+len(p.False) > 0 {
			t.Fatalf("missing %q, false %q of %d edges", p.missing, p.False, p.Edges)
		}
		select {
		case rows = <-loaded:
		default:
		}
	}
	j.waitSource(t, int(rows))
	for _, p := range []*testkit.Process{capture, run} {
		p.Signal(syscall.SIGTERM)
		j.mustEnd(t, p)
	}
	j.finish(t)
	edges, missing, alone := j.amiss(t)
	p := j.prove(t, since...)
	if edges == 0 || waited == 0 || len(missing) > 0 {
		t.Errorf("nothing to see: %d edges, missing %q, %d of %d proofs waited", edges, missing, waited, proofs)
	}
	if len(p.missing)+len(p.False) > 0 || p.Edges != edges || !slices.Equal(p.changed, alone) {
		t.Errorf(
			"%d edges and not %d, missing %q, false %q, without an edge %q and not %q",
			p.Edges,
			edges,
			p.missing,
			p.False,
			p.changed,
			alone,
		)
	}
	t.Logf("%d rows, %d edges, %d proofs, of which %d waited; %d superseded, %d outdated", rows, edges, proofs, waited,
		len(p.Superseded), len(p.Outdated))

	first := j.Records(t, j.names.Alerts)[0]
	j.Trim(t, j.names.Alerts, first.Partition, first.Offset+1)
	_, missing, _ = j.amiss(t)
	if p := j.prove(t, since...); !slices.Equal(p.missing, missing) {
		t.Errorf("without an alert: missing %q and not %q", p.missing, missing)
	}
}

// TestProveRefuses: what cannot be asked is said before anything long begins.
func TestProveRefuses(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, provenRules)
	j.finish(t)
	refuse := func(want int, says string, args ...string) {
		t.Helper()
		if code, out, errors := j.proof(t, args...); code != want || !strings.Contains(errors, says) {
			t.Errorf("%q: exit code %d, without %q\n%s%s", args, code, says, out, errors)
		}
	}
	refuse(2, "the group has no such rule", "--rule", "none")
	refuse(2, "lies in the future", "--since", "2999-01-01T00:00:00Z")
	refuse(2, "neither a span nor a time", "--since", "yesterday")
	refuse(2, "this group reads topic", "--source", "another")
	refuse(2, "it does not exist", "--group", "another")
	refuse(0, "")
	// The catalog says that the table is large.
	j.table.Exec(t, `UPDATE pg_class SET reltuples = 5e7 WHERE oid = 'streaming.transactions'::regclass`)
	refuse(3, `CREATE INDEX CONCURRENTLY ON "streaming"."transactions" ("timestamp")`)
	refuse(0, "", "--any-plan")
	j.table.Exec(t, `CREATE INDEX ON streaming.transactions ("timestamp")`)
	j.table.Exec(t, `UPDATE pg_class SET reltuples = 5e7 WHERE oid = 'streaming.transactions'::regclass`)
	refuse(0, "")
	j.table.Exec(t, `ALTER TABLE streaming.transactions DROP COLUMN description`)
	refuse(3, "description")
}
