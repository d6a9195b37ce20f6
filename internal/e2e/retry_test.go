package e2e

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/testkit"
)

// command runs a command about the job's group, at no terminal, and gives its exit code and what it printed.
func (j *job) command(t *testing.T, args ...string) (code int, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, binary, append(args,
		"--brokers", strings.Join(j.Brokers, ","), "--group", j.names.Group, "--source", j.names.Source, "--alerts", j.names.Alerts)...)
	c.Env = os.Environ()
	b, err := c.CombinedOutput()
	if c.ProcessState == nil {
		t.Fatalf("%q: %v", args, err)
	}
	return c.ProcessState.ExitCode(), string(b)
}

// does is a command that succeeds and prints all of that.
func (j *job) does(t *testing.T, args []string, want ...string) {
	t.Helper()
	code, out := j.command(t, args...)
	if code != 0 {
		t.Errorf("%q: exit code %d", args, code)
	}
	for _, text := range want {
		if !strings.Contains(out, text) {
			t.Errorf("%q lacks %q:\n%s", args, text, out)
		}
	}
}

// verdicts are the alerts as rule and total, sorted.
func (j *job) verdicts(t *testing.T) (all []string) {
	t.Helper()
	for _, a := range j.alerts(t) {
		all = append(all, a.Candidate.Rule.ID+" "+a.Database.Total.Format(2))
	}
	slices.Sort(all)
	return all
}

func (j *job) expect(t *testing.T, when string, want ...string) {
	t.Helper()
	if got := j.verdicts(t); !slices.Equal(got, want) {
		t.Errorf("%s: alerts %q, want %q", when, got, want)
	}
}

// badRow is a table whose first row is a NaN that is in no stream, and a group that has met the other two: by
// PostgreSQL's figures there is no telling whether the third is an edge.
func badRow(t *testing.T, rulesYAML string, rules int) (j *job, rows []testkit.Row) {
	j = newJob(t, parts(t), 1, rulesYAML)
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rows = []testkit.Row{
		{ID: 1, User: 7, Amount: 10_00, Time: at},
		{ID: 2, User: 7, Amount: 2000_00, Time: at.Add(time.Hour)},
		{ID: 3, User: 7, Amount: 1500_00, Time: at.Add(24 * time.Hour)},
	}
	j.table.Insert(t, rows)
	j.table.Exec(t, `UPDATE streaming.transactions SET amount = 'NaN' WHERE id = 1`)
	events := []testkit.Event{testkit.Envelope("transactions", "c", nil, &rows[0], 0)}
	events[0].Value = []byte(strings.Replace(string(events[0].Value), `"10.00"`, `"NaN"`, 1))
	for i := range rows[1:] {
		events = append(events, testkit.Envelope("transactions", "c", nil, &rows[1+i], 0))
	}
	j.Produce(t, j.names.Source, events)
	j.finish(t)
	j.expect(t, "with the bad row")
	var kinds []string
	for _, d := range j.deadLetters(t) {
		kinds = append(kinds, d.Kind)
	}
	if got := strings.Join(kinds, " "); got != "amount_nan"+strings.Repeat(" postgres_amount", rules) {
		t.Fatalf("dead letters %s", got)
	}
	return j, rows
}

func retryOf(kind string) []string { return []string{"deadletter", "retry", "--kind", kind, "--yes"} }

const threeRules = `rules:
- {id: sum, window: 7d, limit: 3000}
- {id: in, window: 7d, limit: 3000, measure: sum_in}
- {id: day, window: 1d, limit: 3000}`

// TestDeadCandidateIsJudgedAfterTheRepair: PostgreSQL has a NaN, so the candidate becomes a dead letter. Once the
// row is repaired the alert comes, whether the stream tells of the repair or `deadletter retry` does, and once.
func TestDeadCandidateIsJudgedAfterTheRepair(t *testing.T) {
	t.Parallel()
	alerts := []string{"day 3510.00", "in 3510.00", "sum 3510.00"}
	t.Run("retried", func(t *testing.T) {
		t.Parallel()
		j, rows := badRow(t, threeRules, 3)
		j.does(t, retryOf("postgres_amount"), "3 candidates handed to the window stage")
		j.finish(t)
		j.expect(t, "retried while the row is bad")
		j.table.Update(t, rows[0])
		j.does(t, []string{"deadletter", "list", "--kind", "postgres_amount"}, j.names.Candidates+"/0/0", "account 7, row 3")
		// Six letters by now, two of each edge.
		j.does(t, retryOf("postgres_amount"), "6 candidates handed to the window stage")
		j.finish(t)
		j.expect(t, "retried after the repair", alerts...)
		j.does(t, retryOf("postgres_amount"), "6 candidates handed to the window stage")
		j.finish(t)
		j.expect(t, "retried once more", alerts...)
		// The stream's own news of the repair comes last, and the letter of the bad record sends it once more.
		j.Produce(t, j.names.Source, []testkit.Event{testkit.Envelope("transactions", "u", nil, &rows[0], 1)})
		j.does(t, retryOf("amount_nan"), "1 record sent")
		j.finish(t)
		j.expect(t, "repaired in the stream, too", alerts...)
	})
	for name, repair := range map[string]func(j *job, bad *testkit.Row) []testkit.Event{
		"update": func(_ *job, r *testkit.Row) []testkit.Event {
			return []testkit.Event{testkit.Envelope("transactions", "u", nil, r, 1)}
		},
		"insert after delete": func(_ *job, r *testkit.Row) []testkit.Event {
			return []testkit.Event{testkit.Envelope("transactions", "d", r, nil, 1),
				testkit.Envelope("transactions", "c", nil, r, 2)}
		},
	} {
		t.Run("by itself, "+name, func(t *testing.T) {
			t.Parallel()
			j, rows := badRow(t, threeRules, 3)
			j.table.Update(t, rows[0])
			j.Produce(t, j.names.Source, repair(j, &rows[0]))
			j.finish(t)
			j.expect(t, "repaired", alerts...)
			for range 2 {
				j.does(t, retryOf("postgres_amount"), "3 candidates handed to the window stage")
			}
			j.finish(t)
			j.expect(t, "retried as well", alerts...)
		})
	}
}

// TestDeadQuestionIsJudgedAfterTheRepair is the same for a question about a late row, below the retained history.
func TestDeadQuestionIsJudgedAfterTheRepair(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "lateness: 1h\nrules: [{id: r, window: 1d, limit: 3000}]")
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	rows := []testkit.Row{
		{ID: 1, User: 7, Amount: 10_00, Time: at},
		{ID: 2, User: 7, Amount: 2000_00, Time: at.Add(time.Hour)},
		{ID: 3, User: 7, Amount: 1_00, Time: at.Add(30 * 24 * time.Hour)}, // what was before is not retained
		{ID: 4, User: 7, Amount: 1500_00, Time: at.Add(20 * time.Hour)},   // late
	}
	j.table.Insert(t, rows)
	j.table.Exec(t, `UPDATE streaming.transactions SET amount = 'NaN' WHERE id = 1`)
	var events []testkit.Event
	for i := range rows[1:] {
		events = append(events, testkit.Envelope("transactions", "c", nil, &rows[1+i], 0))
	}
	j.Produce(t, j.names.Source, events)
	j.finish(t)
	if dead := j.deadLetters(t); len(dead) != 1 || dead[0].Kind != "postgres_amount" || dead[0].User != "7" ||
		dead[0].Row != "4" {
		t.Fatalf("dead letters %+v", dead)
	}
	j.table.Update(t, rows[0])
	for range 2 {
		j.does(t, retryOf("postgres_amount"), "1 candidate handed to the window stage")
		j.finish(t)
		j.expect(t, "retried", "r 3510.00")
	}
}

// TestRetryLeavesAloneWhatItCannotRead: who cannot be understood is not sent anywhere, and is told with the reason; nor
// is anything sent without a yes.
func TestRetryLeavesAloneWhatItCannotRead(t *testing.T) {
	t.Parallel()
	j, rows := badRow(t, "rules: [{id: r, window: 7d, limit: 3000}]", 1)
	whole, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.Upsert, User: "8",
		Row: brimline.Transaction{ID: "9", User: "8", Amount: 1, Time: 1}})
	if err != nil {
		t.Fatal(err)
	}
	j.Produce(t, j.names.Candidates, []testkit.Event{{Key: []byte("7"), Value: []byte("{")}})
	j.Produce(t, j.names.Changes, []testkit.Event{{Key: []byte("8"), Value: whole[:len(whole)-1]}})
	j.finish(t)
	if n := len(j.deadLetters(t)); n != 4 {
		t.Fatalf("%d dead letters, want 4", n)
	}
	before := len(j.Records(t, j.names.Changes))
	code, out := j.command(t, "deadletter", "retry", "--kind", "postgres_amount")
	if code != 2 || !strings.Contains(out, "no terminal") || !strings.Contains(out, "--yes") {
		t.Errorf("without a terminal: exit code %d\n%s", code, out)
	}
	j.table.Update(t, rows[0])
	for kind, topic := range map[string]string{"corrupt_record": j.names.Candidates, "bad_change": j.names.Changes} {
		code, out = j.command(t, retryOf(kind)...)
		if code != 0 || !strings.Contains(out, "left alone: "+topic+"/0/") ||
			!strings.Contains(out, ": it cannot be read: ") ||
			!strings.Contains(out, "nothing was sent") {
			t.Errorf("%s: exit code %d\n%s", kind, code, out)
		}
	}
	if n := len(j.Records(t, j.names.Changes)); n != before {
		t.Errorf("%d changes sent", n-before)
	}
	// By account.
	j.does(t, []string{"deadletter", "list", "--user", "9"}, "none of these among ")
	j.does(t, []string{"deadletter", "list", "--user", "8"}, "account 8", j.names.Changes)
	j.does(t, []string{"deadletter", "retry", "--user", "7", "--dry-run"}, "account 7, row 3", "nothing was sent")
	j.does(t, []string{"deadletter", "retry", "--user", "7", "--kind", "postgres_amount", "-y"},
		"1 candidate handed to the window stage")
	j.finish(t)
	j.expect(t, "retried", "r 3510.00")
}

// TestRetriedChangeIsFolded: a message of the changes stream that could not be read, and can by now, is folded as it
// is.
func TestRetriedChangeIsFolded(t *testing.T) {
	t.Parallel()
	j := newJob(t, parts(t), 1, "rules: [{id: r, window: 7d, limit: 3000}]")
	j.finish(t)
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	row := testkit.Row{ID: 1, User: 7, Amount: 3500_00, Time: at}
	j.table.Insert(t, []testkit.Row{row})
	change, err := codecs.Change{}.Encode(&brimline.Change{Kind: brimline.Upsert, User: "7",
		Row: brimline.Transaction{ID: "1", User: "7", Amount: row.Amount, Time: at}})
	if err != nil {
		t.Fatal(err)
	}
	letter, err := codecs.DeadLetter{}.Encode(&brimline.DeadLetter{Topic: j.names.Changes, Kind: "bad_change",
		Key: []byte("7"), Value: change, User: "7", At: at})
	if err != nil {
		t.Fatal(err)
	}
	j.Produce(t, j.names.DeadLetters, []testkit.Event{{Key: []byte("7"), Value: letter}})
	for range 2 {
		j.does(t, retryOf("bad_change"), "1 record sent")
		j.finish(t)
		j.expect(t, "retried", "r 3500.00")
	}
}
