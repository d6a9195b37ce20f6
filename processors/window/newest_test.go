package window

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline"
)

// TestQuestionsWaitForAllThatIsFolded: the stream loses nothing, but rows come from several partitions in any order,
// and
// PostgreSQL shows a transaction long after the stream has told of it. An edge may be made by a row that is shown and
// one that is not, whichever comes last. Each edge is alerted, once; what is dismissed is not asked again here.
func TestQuestionsWaitForAllThatIsFolded(t *testing.T) {
	edges := 0
	rapid.Check(t, func(t *rapid.T) {
		var script []write
		for i := range rapid.IntRange(2, 12).Draw(t, "transactions") {
			script = append(script, made(fmt.Sprint(i), brimline.Amount(rapid.Int64Range(1, 9).Draw(t, "amount")),
				i+rapid.IntRange(-9, 1).Draw(t, "hour")))
		}
		d := newDoubts(t, script, brimline.Rule{ID: "r", Window: 4 * time.Hour, Limit: brimline.Count(10)},
			brimline.Rule{ID: "s", Window: 2 * time.Hour, Limit: brimline.Count(6), Measure: brimline.Sum})
		d.set.Lateness = time.Hour // later rows are PostgreSQL's
		d.fold = NewFolder(&d.set, d.compiled, 1000*time.Hour)
		d.state = d.kept.load(t, d.fold)
		d.partitions, d.noCommand = true, true
		d.live(t)
		edges += len(d.alerts)
	})
	if t.Logf("%d alerts", edges); edges == 0 {
		t.Error("nothing to see")
	}
}
