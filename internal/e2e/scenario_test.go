package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/testkit"
)

// ground runs a scenario: the embedded parts with brimline's own
// capture, or the real stack with Debezium.
type ground struct {
	*testkit.Parts
	url    string // of a database of its own
	source string // topic of the table streaming.transactions
	// flow starts what brings the table's changes to the source topic.
	flow func(ts *testscript.TestScript)
	// begin, where it is set, empties what an earlier scenario left.
	begin func(t testing.TB)
}

// scenarios runs every script of testdata/scenarios.
func scenarios(t *testing.T, prepare func(t testing.TB, name string) ground) {
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("..", "..", "testdata", "scenarios"),
		RequireUniqueNames:  true,
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			tb := env.T().(testing.TB)
			g := prepare(tb, filepath.Base(env.WorkDir))
			if g.begin != nil {
				g.begin(tb)
			}
			group := testkit.Unique(tb)
			env.Values["ground"], env.Values["tb"] = g, tb
			env.Vars = append(env.Vars,
				"BRIMLINE_BROKERS="+strings.Join(g.Brokers, ","), "BRIMLINE_DATABASE_URL="+g.url,
				"BRIMLINE_SOURCE="+g.source, "BRIMLINE_GROUP="+group, "GROUP="+group,
				"BRIMLINE_ALERTS=alerts-"+group, "BRIMLINE_LISTEN=off", "BRIMLINE_RULES=rules.yaml",
				"HOME="+env.WorkDir,
			)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"brimline":     runBrimline,
			"psql":         runSQL,
			"stream":       waitStream,
			"handled":      checkHandled,
			"alerts":       countAlerts,
			"total":        checkTotal,
			"delete-group": deleteGroup,
		},
	})
}

func on(ts *testscript.TestScript) ground { return ts.Value("ground").(ground) }

// runBrimline: brimline ARG… runs the program; ! brimline expects it to fail.
func runBrimline(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(binary, args...)
	switch {
	case err != nil && !neg:
		ts.Fatalf("brimline %s: %v", strings.Join(args, " "), err)
	case err == nil && neg:
		ts.Fatalf("brimline %s succeeded", strings.Join(args, " "))
	}
}

// runSQL: psql FILE runs a file of statements against the scenario's database.
func runSQL(ts *testscript.TestScript, neg bool, args []string) {
	tb := ts.Value("tb").(testing.TB)
	conn := testkit.Connect(tb, on(ts).url)
	if _, err := conn.Exec(context.Background(), ts.ReadFile(args[0])); (err != nil) != neg {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// waitStream: stream N waits until the source topic holds N records.
func waitStream(ts *testscript.TestScript, _ bool, args []string) {
	g := on(ts)
	n, err := strconv.ParseInt(args[0], 10, 64)
	ts.Check(err)
	g.flow(ts)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := g.WaitRecords(ctx, g.source, n); err != nil {
		ts.Fatalf("waiting for %d records in %s: %v", n, g.source, err)
	}
}

// startLine is where a partition of a stage began, endLine what a stage did.
var (
	startLine = regexp.MustCompile(`msg="(\w+): partition \d+ starts at offset (\d+)" stage=\w+ topic=(\S+)`)
	endLine   = regexp.MustCompile(`msg="stage ended" stage=(\w+) messages=(\d+)`)
)

// checkHandled: handled STAGE FIRST LAST says which messages of its input the
// last run took; messages are counted from 1 over all partitions. handled STAGE none: no message.
func checkHandled(ts *testscript.TestScript, _ bool, args []string) {
	log := ts.ReadFile("stderr")
	before, taken := 0, -1
	for _, m := range startLine.FindAllStringSubmatch(log, -1) {
		if m[1] == args[0] && m[3] == on(ts).source {
			n, err := strconv.Atoi(m[2])
			ts.Check(err)
			before += n
		}
	}
	for _, m := range endLine.FindAllStringSubmatch(log, -1) {
		if m[1] == args[0] {
			n, err := strconv.Atoi(m[2])
			ts.Check(err)
			taken = n
		}
	}
	if taken < 0 {
		ts.Fatalf("no summary of stage %s in\n%s", args[0], log)
	}
	if args[1] == "none" {
		if taken != 0 {
			ts.Fatalf("stage %s handled %d messages, want none", args[0], taken)
		}
		return
	}
	if got := []string{fmt.Sprint(before + 1), fmt.Sprint(before + taken)}; got[0] != args[1] || got[1] != args[2] {
		ts.Fatalf("stage %s handled messages %s to %s, want %s to %s\n%s", args[0], got[0], got[1], args[1], args[2], log)
	}
}

func alertsOf(ts *testscript.TestScript) []*brimline.Alert {
	return on(ts).Alerts(ts.Value("tb").(testing.TB), ts.Getenv("BRIMLINE_ALERTS"))
}

// countAlerts: alerts N says how many records the alerts topic holds.
func countAlerts(ts *testscript.TestScript, _ bool, args []string) {
	if got := fmt.Sprint(len(alertsOf(ts))); got != args[0] {
		ts.Fatalf("%s alerts, want %s", got, args[0])
	}
}

// checkTotal: total USER AMOUNT says that the user has exactly one alert, verified, with that total from the database.
func checkTotal(ts *testscript.TestScript, _ bool, args []string) {
	var found int
	for _, a := range alertsOf(ts) {
		if a.Candidate.User != args[0] {
			continue
		}
		found++
		if a.Verification.Status != brimline.Verified || a.Database == nil ||
			a.Database.Total.Format(a.Candidate.Scale) != args[1] {
			ts.Fatalf("alert %+v, want a verified total of %s", a, args[1])
		}
	}
	if found != 1 {
		ts.Fatalf("%d alerts of user %s, want 1", found, args[0])
	}
}

func deleteGroup(ts *testscript.TestScript, _ bool, args []string) {
	on(ts).DeleteGroup(ts.Value("tb").(testing.TB), args[0])
}

// TestScenarios runs the scripts on the embedded parts, with brimline's own capture.
func TestScenarios(t *testing.T) {
	t.Parallel()
	p := parts(t)
	scenarios(t, func(t testing.TB, name string) ground {
		g := ground{Parts: p, url: p.Database(t, "scenario_"+name)}
		prefix := testkit.Unique(t)
		g.source = prefix + ".streaming.transactions"
		started := false
		g.flow = func(*testscript.TestScript) {
			if started {
				return
			}
			started = true
			testkit.Start(t, binary, []string{"BRIMLINE_DATABASE_URL=" + g.url}, "capture",
				"--brokers", strings.Join(p.Brokers, ","), "--source", g.source, "--slot", prefix, "--publication", prefix)
		}
		return g
	})
}
