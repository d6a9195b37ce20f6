package index

import (
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
)

// The list of a user whose alerts are large is bounded in bytes: the oldest go, the newest stay.
func TestListIsBoundedInBytes(t *testing.T) {
	text := strings.Repeat("<", 16<<10)
	var log []*brimline.Alert
	dropped := 0
	for i := range brimline.Time(20) {
		row := brimline.Transaction{ID: "1", User: "7", Columns: []brimline.Field{{Name: "memo", Value: text}}}
		a := &brimline.Alert{
			Candidate: brimline.Candidate{
				Kind: brimline.EdgeCandidate, User: "7", Rule: brimline.Rule{ID: "r", Measure: brimline.SumAbs}, Edge: i + 1,
				Trigger: row,
				Newest:  []brimline.Transaction{row, row, row, row, row},
			},
			Verification: brimline.Verification{Status: brimline.Unverified},
		}
		longer := add(log, a, 100)
		kept, err := codecs.FitAlertLog(longer, MostList)
		if err != nil {
			t.Fatal(err)
		}
		dropped += len(longer) - len(kept)
		if log = kept; len(log) == 0 || log[0] != a {
			t.Fatalf("the newest alert is not at the head of %d", len(log))
		}
		b, err := codecs.AlertLog{}.Encode(log)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > MostList {
			t.Fatalf("%d alerts take %d bytes", len(log), len(b))
		}
	}
	if len(log) < 5 || dropped+len(log) != 20 {
		t.Errorf("%d alerts kept, %d dropped", len(log), dropped)
	}
}
