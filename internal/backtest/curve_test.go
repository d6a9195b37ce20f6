package backtest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/brimline/brimline"
)

// A curve that is merged on its way says at every limit what counting says, and one with too many steps says that.
func TestCurveIsMerged(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 5))
	c := newCurve(200)
	c.full = 8
	var all []brimline.Figures
	for range 5000 {
		before := r.Int64N(60) - 10
		f := brimline.Figures{Before: brimline.Count(before), Total: brimline.Count(before + r.Int64N(20) - 4)}
		all = append(all, f)
		c.add(f)
	}
	steps, known := c.Steps()
	if !known || len(c.changes) > 100 {
		t.Fatalf("%v, %d changes are kept", known, len(c.changes))
	}
	for limit := int64(-20); limit < 80; limit++ {
		var want int64
		for _, f := range all {
			if (&brimline.Rule{Limit: brimline.Count(limit)}).IsEdge(f) {
				want++
			}
		}
		if got := AlertsAt(steps, brimline.Count(limit)); got != want {
			t.Errorf("limit %d: %d alerts, want %d", limit, got, want)
		}
	}
	if last := steps[len(steps)-1].Alerts; last != 0 {
		t.Errorf("above all totals there are %d alerts", last)
	}
	few := newCurve(10)
	few.full = 8
	for _, f := range all {
		few.add(f)
	}
	if _, known := few.Steps(); known || few.changes != nil {
		t.Error("a curve with too many steps is shown")
	}
}

func TestThinned(t *testing.T) {
	var steps []Step
	for i := range int64(2500) {
		steps = append(steps, Step{brimline.Count(i), i})
	}
	if got := thinned(steps[:1000], 1000); len(got) != 1000 {
		t.Errorf("%d of 1,000", len(got))
	}
	got := thinned(steps, 1000)
	if len(got) != 1000 || got[0] != steps[0] || got[999] != steps[2499] {
		t.Errorf("%d steps, from %v to %v", len(got), got[0], got[len(got)-1])
	}
	for i := range got[1:] {
		if got[i].Limit.Cmp(got[i+1].Limit) >= 0 {
			t.Fatal(fmt.Sprint("step ", i, " comes twice"))
		}
	}
}

// Shares of a limit are exact, whatever its size and sign.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		of      string
		percent int64
		want    string
	}{
		{"3000.00", 90, "2700.00"}, {"0.03", 50, "0.01"}, {"-0.03", 50, "-0.02"}, {"0.00", 300, "0.00"},
		{"90000000000000000000.01", 200, "180000000000000000000.02"},
	} {
		total, err := brimline.ParseTotal(c.of, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got := share(total, c.percent).Format(2); got != c.want {
			t.Errorf("%d %% of %s is %s, want %s", c.percent, c.of, got, c.want)
		}
	}
}
