package crash

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/testkit"
)

// proof takes protections away and repeats a fault until the judge notices.
type proof struct {
	fault
	without []string
	// covered says what stands in for the protection, so that the judge need not notice; its unit test does.
	covered string
}

func proofs() []proof {
	at := func(point string) fault {
		return fault{name: "at-" + point, load: 45 * time.Second, do: func(r *round) { killAt(r, point) }}
	}
	named := func(name string) fault {
		all := faults()
		return all[slices.IndexFunc(all, func(f fault) bool { return f.name == name })]
	}
	return []proof{
		{fault: named("kill-one"), without: []string{failpoint.Watermark}},
		{fault: at(failpoint.VerifyBetween), without: []string{failpoint.Transaction}},
		{fault: at(failpoint.WindowSet), without: []string{failpoint.Replay}},
		{fault: named("freeze"), without: []string{failpoint.TableGuard, failpoint.KeepNewer}},
		{fault: named("freeze"), without: []string{failpoint.TableGuard}},
		{fault: named("freeze"), without: []string{failpoint.KeepNewer}},
		{fault: named("freeze"), without: []string{failpoint.KeepAlerts}},
		{fault: named("freeze"), without: []string{failpoint.Generation}},
		{fault: named("freeze-changes"), without: []string{failpoint.RowVersions}},
		{fault: named("kill-one"), without: []string{failpoint.OrderedMarks}},
		{
			fault: named("kill-one"), without: []string{failpoint.ProducerID},
			covered: "the brokers abort what a killed producer left open when it times out, and the " +
				"generation keeps an old life from committing",
		},
		{fault: named("network-end-held-old"), without: []string{failpoint.Unanswered}},
		{
			fault: named("network-one-way"), without: []string{failpoint.Settled},
			covered: "a session that ends waits for its transaction; " +
				"only one that takes longer than the stop timeout is left behind",
		},
		{fault: named("freeze"), without: []string{failpoint.Supervision}},
		{fault: named("state-damaged"), without: []string{failpoint.SoundState}},
		{fault: named("rules-rolled"), without: []string{failpoint.SameRules}},
	}
}

// proofRounds is how often a fault is tried before the judge counts as blind.
const proofRounds = 10

// TestProofFailsWithout takes one protection away at a time and wants the judge to see it.
// BRIMLINE_CRASH_PROOFS names the protections, separated by commas; 1 is all of them.
func TestProofFailsWithout(t *testing.T) {
	wanted := os.Getenv("BRIMLINE_CRASH_PROOFS")
	if os.Getenv("BRIMLINE_CRASH") == "" || wanted == "" {
		t.Skip("runs with BRIMLINE_CRASH=1 BRIMLINE_CRASH_PROOFS=1")
	}
	first := testkit.Seed(t)
	rows := number(t, "BRIMLINE_CRASH_ROWS", 20_000)
	for _, proof := range proofs() {
		name := strings.Join(proof.without, "+")
		if wanted != "1" && !slices.Contains(strings.Split(wanted, ","), name) {
			continue
		}
		t.Run(name, func(t *testing.T) { proof.run(t, first, rows) })
	}
}

func (p *proof) run(t *testing.T, first uint64, rows int) {
	for n := range uint64(proofRounds) {
		var wrong []string
		ok := t.Run(fmt.Sprint(p.name, "/seed", first+n), func(t *testing.T) {
			r := newRound(t, p.fault, first+n, rows)
			r.env = append(r.env, "BRIMLINE_WITHOUT="+strings.Join(p.without, ","))
			wrong = r.run()
		})
		if !ok {
			return
		}
		if len(wrong) > 0 {
			t.Logf("PROOF without %s, %s, BRIMLINE_SEED=%d, round %d: %d wrong, the first: %s", p.without, p.name,
				first+n, n+1, len(wrong), wrong[0])
			return
		}
	}
	if p.covered != "" {
		t.Logf("PROOF without %s: nothing was wrong in %d rounds of %s: %s", p.without, proofRounds, p.name, p.covered)
		return
	}
	t.Errorf("without %s nothing was wrong in %d rounds of %s", p.without, proofRounds, p.name)
}

// TestProofUnitTestsFailWithout shows for each protection a unit test that fails without it.
func TestProofUnitTestsFailWithout(t *testing.T) {
	if os.Getenv("BRIMLINE_CRASH_PROOFS") == "" {
		t.Skip("runs with BRIMLINE_CRASH_PROOFS=1")
	}
	for _, p := range []struct{ without, in, test string }{
		{failpoint.Watermark, "processors/verify", "TestThawed"},
		{failpoint.Generation, "processors/verify", "TestThawed"},
		{failpoint.Transaction, "processors/verify", "TestThawed"},
		{failpoint.ProducerID, "processors/verify", "TestFencedEndsSoon"},
		{failpoint.ProducerID, "processors/verify", "TestKilled"},
		{failpoint.Unanswered, "processors/verify", "TestEndThatComesLate"},
		{failpoint.Unanswered, "processors/verify", "TestOffsetsThatComeLate"},
		{failpoint.Unanswered, "processors/verify", "TestLoneOffsetsThatComeLate"},
		{failpoint.Settled, "processors/verify", "TestPositionsAreReadBetweenTransactionsOnly"},
		{failpoint.Replay, "processors/window", "TestReplayAsksAgainWhatARefusalAsked"},
		{failpoint.RowVersions, "processors/window", "TestEchoesChangeNothing"},
		{failpoint.OrderedMarks, "internal/kafka", "TestCommitNeverPassesUnfinishedMessages"},
		{failpoint.TableGuard, "internal/table", "TestGuardToleratesOneWriterOnly"},
		{failpoint.KeepNewer, "internal/table", "TestTheStageHearsOfItsPartitions"},
		{failpoint.TopicID, "internal/table", "TestStateThatTheLogDoesNotBackIsDropped"},
		{failpoint.SoundState, "internal/table", "TestDamagedStateIsSetAside"},
		{failpoint.SameRules, "internal/kafka", "TestOnlyTheLeadersRulesGetPartitions"},
		{failpoint.SameRules, "internal/app", "TestGateWaitsForOtherRules"},
		{failpoint.Supervision, "internal/app", "TestSupervised"},
	} {
		t.Run(p.without+"/"+p.test, func(t *testing.T) {
			run := func(without string) ([]byte, error) {
				cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-tags", "crash", "-run", "^"+p.test+"$",
					"github.com/brimline/brimline/"+p.in)
				cmd.Env = append(os.Environ(), "BRIMLINE_WITHOUT="+without, "RAPID_NOFAILFILE=1") // its failure is wanted
				return cmd.CombinedOutput()
			}
			if out, err := run(""); err != nil || strings.Contains(string(out), "no tests to run") {
				t.Fatalf("with everything in place: %v\n%s", err, out)
			}
			if _, err := run(p.without); err == nil {
				t.Errorf("it passes without %s", p.without)
			}
		})
	}
}
