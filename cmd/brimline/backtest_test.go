package main

import (
	"slices"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/backtest"
)

func TestBacktestDays(t *testing.T) {
	at := brimline.TimeOf(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	var all []backtest.Day
	for i := range 9 {
		all = append(all, backtest.Day{At: at.Add(time.Duration(i) * 24 * time.Hour), Alerts: int64(9 - i)})
	}
	want := "2026-01-08 2, 2026-01-09 1"
	if got := days(all[7:]); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	want = "9 days with alerts, the most on 2026-01-01 9; the newest, 2026-01-03 7, 2026-01-04 6, 2026-01-05 5, " +
		"2026-01-06 4, 2026-01-07 3, " + want
	if got := days(all); got != want {
		t.Errorf("%s, want %s", got, want)
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

// What a spreadsheet would take for a formula is a text in a line.
func TestBacktestLine(t *testing.T) {
	a := &backtest.Alert{Rule: &brimline.Rule{ID: "r"}, User: "=1+1"}
	if got := line(a, 2); !slices.Contains(got, "'=1+1") || slices.Contains(got, "=1+1") {
		t.Errorf("%q", got)
	}
}
