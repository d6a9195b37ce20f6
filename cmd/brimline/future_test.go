package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

// The limit of an average is not taken from a sum, also where rows are dated in the future.
func TestAverageOfTheFuture(t *testing.T) {
	limit, err := brimline.ParseTotal("200", 2)
	if err != nil {
		t.Fatal(err)
	}
	rules, err := views.CompileRules(&brimline.RuleSet{Scale: 2, Rules: []brimline.Rule{
		{ID: "average", Window: 7 * 24 * time.Hour, Limit: limit, Measure: brimline.Avg, MinCount: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	const now = brimline.Time(1_800_000_000_000_000)
	for amount, want := range map[brimline.Amount]string{
		150_00: "450.00 at the newest, 2027-01-15 08:00:01 UTC, by 3 transactions, not above",
		250_00: "750.00 at the newest, 2027-01-15 08:00:01 UTC, by 3 transactions, above",
	} {
		w := &brimline.Window{Last: 1, Scale: 2, Floor: brimline.MinTime}
		for i, id := range []string{"1", "2", "3"} {
			row := brimline.Transaction{ID: id, User: "u", Amount: amount, Time: now + brimline.Time(i-1)*1_000_000}
			w.Rows = append(w.Rows, brimline.RowOf(&row))
		}
		var out bytes.Buffer
		(&userCmd{}).printFuture(&world{Context: t.Context(), out: &out}, views.UserAt("u", w, rules, now))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}
