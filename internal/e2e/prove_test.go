package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// proven is what brimline prove says as JSON.
type proven struct {
	True             bool
	LSN              string
	Looks            int
	Edges, Alerts    int
	Missing          []struct{ ID string }
	Outdated         []struct{ ID string }
	NotPromised      map[string]int `json:"not_promised"`
	missing, changed []string
}

// proof runs brimline prove, with its exit code and what it wrote.
func (j *job) proof(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), binary, append([]string{
		"prove", "--brokers", strings.Join(j.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source,
		"--alerts", j.names.Alerts, "--grace", "0s",
	}, args...)...)
	c.Env = append(os.Environ(), "BRIMLINE_DATABASE_URL="+j.url)
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
	for _, e := range p.Outdated {
		p.changed = append(p.changed, e.ID)
	}
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
	for _, a := range j.alerts(t) {
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
`

// TestProve: of a random history each edge has its alert, by the judge; and exactly the faults that are then made behind
// the stream are found.
func TestProve(t *testing.T) {
	t.Parallel()
	r := testkit.Rand(testkit.Seed(t))
	j := newJob(t, parts(t), 1, provenRules)
	j.where = map[string]string{"some": "amount > 20 AND description <> 'row 7'"}
	now := time.Now().Truncate(time.Second)
	rows := testkit.History{
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
	if p.True || p.Looks != 2 || !slices.Equal(p.missing, missing) || !slices.Equal(p.changed, outdated) {
		t.Errorf("missing  %q\nand not  %q\noutdated %q\nand not  %q\n%d looks", p.missing, missing, p.changed, outdated, p.Looks)
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
	if summary := fmt.Sprintf("%d missing, %d outdated\n", len(missing), len(outdated)); code != 1 ||
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
	if p := <-done; !p.True || p.Edges == 0 || p.Alerts != p.Edges {
		t.Errorf("a group that catches up: %+v", p)
	}
	// A rule that comes later does not alert for what was before it.
	j.setRules(t, provenRules+"  - {id: later, window: 7d, limit: 100}\n")
	j.finish(t)
	if p := j.prove(t, since...); !p.True || p.NotPromised["before_rule"] != 1 {
		t.Errorf("a later rule: %+v", p)
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
