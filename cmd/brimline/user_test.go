package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

// A user's rules are shown with what makes some of their crossings silent; and of such a crossing it is not said that
// it raises an alert.
func TestUserShowsWhatIsSilent(t *testing.T) {
	total := func(units int64) brimline.Total { return brimline.Amount(units * 100).Total() }
	rule := brimline.Rule{ID: "plain", Window: 7 * 24 * time.Hour, Limit: total(3000)}
	quiet, armed, average := rule, rule, rule
	average.ID, average.Measure, average.MinCount = "average", brimline.Avg, 3
	quiet.ID, quiet.Quiet = "calm", 36*time.Hour
	armed.ID, armed.Rearms, armed.Rearm = "armed", true, total(2700)
	rules, err := views.CompileRules(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{rule, quiet, armed, average}})
	if err != nil {
		t.Fatal(err)
	}
	const now = brimline.Time(1_800_000_000_000_000)
	row := brimline.Transaction{ID: "1", User: "u", Amount: 2950_00, Time: now - 1}
	u := views.UserAt("u", &brimline.Window{Last: 1, Scale: 2, Floor: brimline.MinTime, Rows: []brimline.Row{
		brimline.RowOf(&row)}}, rules, now)
	c := &userCmd{With: "100"}
	with, err := c.with(&u)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c.print(&world{Context: t.Context(), out: &out}, u, with)
	for _, line := range []string{
		"  50.00 to go",
		"calm         7d  2,950.00  3,000.00             1  50.00 to go, quiet for 1d12h",
		"average      7d  2,950.00  3,000.00             1  not above, with 3 transactions or more",
		"  50.00 to go, rearms at 2,700.00",
		"plain    3,050.00  raises an alert",
		"calm     3,050.00  crosses the limit: an alert, unless another crossing came within 1d12h before",
		"armed    3,050.00  crosses the limit: an alert, if the total was at or below 2,700.00 since the crossing before",
	} {
		if !strings.Contains(out.String(), line+"\n") {
			t.Errorf("not there: %s", line)
		}
	}
	if t.Failed() {
		t.Log("\n" + out.String())
	}
	record, err := json.Marshal(c.record(&u, with))
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"quiet":"1d12h"`, `"rearm":"2700.00"`, `"alerts":true`, `"alerts":null`, `"min_count":3`,
	} {
		if !strings.Contains(string(record), part) {
			t.Errorf("%s is not in %s", part, record)
		}
	}
}
