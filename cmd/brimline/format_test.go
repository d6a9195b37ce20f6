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
			a.Candidate.Rule.Measure, a.Candidate.Rule.Limit, a.Database = brimline.CountAll, brimline.Count(1000),
				&brimline.Figures{Total: brimline.Count(1001), Count: 1001}
		}, "ALERT user 27956157 1,001 transactions in 7d (limit 1,000) verified  [weekly-spend, 2026-03-08 12:00:00]"},
		{"an average", func(a *brimline.Alert) {
			a.Candidate.Rule.Measure = brimline.Avg
		}, "ALERT user 27956157 average of $3,441.50 by 12 transactions in 7d (limit $3,000.00) verified  [weekly-spend, 2026-03-08 12:00:00]"},
		{"the largest", func(a *brimline.Alert) {
			a.Candidate.Rule.Measure = brimline.Max
		}, "ALERT user 27956157 one of $3,441.50 in 7d (12 transactions, limit $3,000.00) verified  [weekly-spend, 2026-03-08 12:00:00]"},
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
