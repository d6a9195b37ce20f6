package main

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
)

func TestAlertLine(t *testing.T) {
	edge, _ := brimline.ParseTime("2026-03-08T12:00:00Z")
	alert := func(change func(*brimline.Alert)) string {
		total, _ := brimline.ParseTotal("3441.50", 2)
		limit, _ := brimline.ParseTotal("3000", 2)
		a := &brimline.Alert{
			Candidate: brimline.Candidate{
				User: "27956157", Scale: 2, Edge: edge,
				Rule:   brimline.Rule{ID: "weekly-spend", Window: 7 * 24 * time.Hour, Limit: limit},
				Stream: brimline.Figures{Total: limit, Count: 11},
			},
			Database:     &brimline.Figures{Total: total, Count: 12},
			Verification: brimline.Verification{Status: brimline.Verified},
		}
		if change != nil {
			change(a)
		}
		return Money{Currency: "$"}.alert(a)
	}
	for _, x := range []struct {
		what   string
		change func(*brimline.Alert)
		want   string
	}{
		{"the README's", nil, "ALERT user 27956157 $3,441.50 in 7d (12 transactions, limit $3,000.00) verified  [weekly-spend, 2026-03-08 12:00:00]"},
		{"unverified: the stream's figures", func(a *brimline.Alert) {
			a.Database, a.Verification.Status = nil, brimline.Unverified
		}, "ALERT user 27956157 $3,000.00 in 7d (11 transactions, limit $3,000.00) unverified  [weekly-spend, 2026-03-08 12:00:00]"},
		{"rows counted", func(a *brimline.Alert) {
			a.Candidate.Rule.Measure, a.Candidate.Rule.Limit, a.Database = brimline.CountAll, brimline.Count(1000), &brimline.Figures{Total: brimline.Count(1001), Count: 1001}
		}, "ALERT user 27956157 1001 transactions in 7d (limit 1,000) verified  [weekly-spend, 2026-03-08 12:00:00]"},
		{"it supersedes two", func(a *brimline.Alert) {
			a.Supersedes = []brimline.Time{a.Candidate.Edge + 3_600_000_000, a.Candidate.Edge + 7_200_000_000}
		}, "ALERT user 27956157 $3,441.50 in 7d (12 transactions, limit $3,000.00) verified  [weekly-spend, 2026-03-08 12:00:00]  supersedes 2026-03-08 13:00:00, 2026-03-08 14:00:00"},
		{"a name that plays with the terminal", func(a *brimline.Alert) {
			a.Candidate.User = "7\x1b[2K\rALERT user 8"
		}, `ALERT user "7\x1b[2K\rALERT user 8" $3,441.50 in 7d (12 transactions, limit $3,000.00) verified  [weekly-spend, 2026-03-08 12:00:00]`},
	} {
		if got := alert(x.change); got != x.want {
			t.Errorf("%s:\n%s, want\n%s", x.what, got, x.want)
		}
	}
}

func TestAmount(t *testing.T) {
	rule := &brimline.Rule{}
	for in, want := range map[string]string{
		"0": "$0.00", "999.9": "$999.90", "1000": "$1,000.00", "-0.05": "-$0.05", "-1234567.89": "-$1,234,567.89", "123456": "$123,456.00",
	} {
		total, err := brimline.ParseTotal(in, 2)
		if err != nil {
			t.Fatal(err)
		}
		if got := (Money{"$"}).amount(total, rule, 2); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"27956157": "27956157", "Ünal": "Ünal", "a-b_c.d@e": "a-b_c.d@e", "": `""`, "two words": `"two words"`, "a\nb": `"a\nb"`,
		"\x1b[31m": `"\x1b[31m"`, "\u202egnp.exe": `"\u202egnp.exe"`, "\xff": `"\xff"`, `say "hi"`: `"say \"hi\""`, "zero\u200bwidth": `"zero\u200bwidth"`,
	} {
		if got := shown(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
}
