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

// What a spreadsheet would take for a formula is a text in a line.
func TestBacktestLine(t *testing.T) {
	a := &backtest.Alert{Rule: &brimline.Rule{ID: "r"}, User: "=1+1"}
	if got := line(a, 2); !slices.Contains(got, "'=1+1") || slices.Contains(got, "=1+1") {
		t.Errorf("%q", got)
	}
}
