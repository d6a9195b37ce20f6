package backtest

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// hostileReport has texts of users and rules that try to be markup.
func hostileReport(compared bool) *Report {
	const evil = `<script>alert(1)</script>"'&`
	money := func(n int64) brimline.Total { return brimline.Count(n) }
	rule := &brimline.Rule{
		ID: "weekly", Window: 7 * 24 * time.Hour, Limit: money(300_00), Where: `merchant == "<b>" and amount > 1`,
	}
	day := brimline.TimeOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	a := Alert{Rule: rule, User: evil, Edge: sliding.Edge{Time: day.Add(time.Hour),
		Figures: brimline.Figures{Before: money(290_00), Total: money(310_50), Count: 4}}}
	c := newCurve(100)
	for _, f := range []brimline.Figures{
		{Before: money(0), Total: money(100_00)}, {Before: money(290_00), Total: money(310_50)},
		{Before: money(250_00), Total: money(2000_00)},
	} {
		c.add(f)
	}
	r := &RuleReport{Rule: rule, Alerts: 2, Users: 1, Days: []Day{{day, 1}, {day.Add(4000 * 24 * time.Hour), 1}},
		Most: []UserAlerts{{evil, 2}}, Curve: c, compared: compared}
	if compared {
		old := *rule
		old.Limit = money(200_00)
		r.Old, r.OldAlerts, r.Gained, r.Lost, r.Moved = &old, 3, 1, 1, 1
		r.GainedExamples, r.LostExamples, r.MovedExamples = []Alert{a}, []Alert{a}, []Move{{From: a, To: a}}
	}
	gone := &RuleReport{Old: &brimline.Rule{ID: "gone", Window: time.Hour}, Lost: 1, compared: true}
	quiet := &RuleReport{Rule: &brimline.Rule{ID: "calm", Window: time.Hour, Quiet: time.Hour}, compared: compared}
	all := []*RuleReport{r, quiet}
	if compared {
		all = append(all, gone)
	}
	return &Report{Oldest: day, Newest: day, Position: 1 << 33, Rows: 12, Users: 3, Rules: all}
}

func written(t *testing.T, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	h := Heading{File: "<new>.yaml", Against: "old.yaml", Made: time.Unix(0, 0), Currency: "$"}
	if err := r.WriteHTML(&b, h, 2); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// The page loads nothing and runs nothing, whatever users and rules are called, and is well-formed.
func TestHTMLIsHarmless(t *testing.T) {
	for _, compared := range []bool{false, true} {
		page := written(t, hostileReport(compared))
		for _, forbidden := range []string{
			`(?i)<script`, `(?i)<[^>]*\son[a-z]+\s*=`, `(?i)(src|href|action)\s*=`, `url\(`, `<b>`, `ZgotmplZ`,
		} {
			if found := regexp.MustCompile(forbidden).FindString(page); found != "" {
				t.Errorf("the page has %q", found)
			}
		}
		_, body, _ := strings.Cut(page, "<body>")
		body, _, _ = strings.Cut(body, "</html>")
		d := xml.NewDecoder(strings.NewReader("<body>" + body))
		d.Strict, d.Entity = true, xml.HTMLEntity
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("not well-formed: %v", err)
			}
		}
	}
}

// The figures of the page are the report's.
func TestHTMLHasTheFigures(t *testing.T) {
	page := strings.Join(strings.Fields(written(t, hostileReport(true))), " ")
	for _, want := range []string{
		"12 rows of 3 users", "at 2/0", "sum_abs over $300.00 in 7d", "<dt>gained</dt><dd class=\"gained\">1</dd>",
		"<dt>alerts before</dt><dd>3</dd>", "before: sum_abs over $200.00 in 7d", "only in the other file: sum_abs",
		`<tr class="own"><td>$300.00</td><td class="num">2</td></tr>`, // 290 ≤ 300 < 310.50, and 250 ≤ 300 < 2,000
		"a bar is 11 days", "there are alerts with higher limits too", "quiet or rearms", "2026-03-01 01:00:00", "$290.00", "$310.50",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
}
