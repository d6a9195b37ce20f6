package explain

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
)

// The page has every reason, in its order, with the very sentence that is said; the API's description has the list.
func TestReasonsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/explain.md")
	must(t, err)
	var documented []Reason
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.+?) \\|").FindAllStringSubmatch(string(page), -1) {
		reason := Reason(row[1])
		documented = append(documented, reason)
		if got := example(reason).Sentence(written); got != row[2] {
			t.Errorf("%s: the page has\n\t%s\nand the sentence is\n\t%s", reason, row[2], got)
		}
	}
	if !slices.Equal(documented, Reasons()) {
		t.Errorf("the page has the reasons %q, and there are %q", documented, Reasons())
	}
	description, err := os.ReadFile("../httpapi/openapi.yaml")
	must(t, err)
	_, after, _ := strings.Cut(string(description), "    Reason:\n")
	list, _, _ := strings.Cut(after, "    Explanation:\n")
	var enum []Reason
	for _, m := range regexp.MustCompile(`(?m)^ +- ([a-z_]+)$`).FindAllStringSubmatch(list, -1) {
		enum = append(enum, Reason(m[1]))
	}
	if !slices.Equal(enum, Reasons()) {
		t.Errorf("the API's description has the reasons %q, and there are %q", enum, Reasons())
	}
}

var written = Writing{
	Amount: func(t brimline.Total) string {
		s := t.Format(2)
		if len(s) > 6 {
			s = s[:len(s)-6] + "," + s[len(s)-6:]
		}
		return "$" + s
	},
	Time: func(t brimline.Time) string { return t.Std().Format("2006-01-02 15:04:05") },
	Text: func(s string) string { return s },
}

func example(reason Reason) *Report {
	at := func(month time.Month, day, hour, minute int) brimline.Time {
		return brimline.TimeOf(time.Date(2026, month, day, hour, minute, 0, 0, time.UTC))
	}
	total := func(cents int64) brimline.Total { return brimline.Amount(cents).Total() }
	r := &Report{
		Reason: reason, Rule: brimline.Rule{ID: "weekly-spend", Window: 7 * 24 * time.Hour, Limit: total(300_000)}, Scale: 2,
		Edge: at(3, 8, 11, 17), Total: total(344_150), Quiet: at(3, 9, 0, 0), OnlyInDatabase: make([]brimline.Transaction, 1),
	}
	switch reason {
	case AboveSince:
		r.Edge, r.Total = at(3, 6, 9, 0), total(360_000)
	case AboveWithoutEdge:
		r.Total = total(310_000)
	case Superseded:
		r.Edge = at(3, 8, 10, 0)
	case ShortBy:
		r.Total = total(255_764)
	case RowNotCounted:
		r.Total, r.WithAll, r.NotCounted = total(90_000), total(340_000), 2
	case Distrusted, NotRetained:
		r.Edge = 0
	case Silent:
		r.Rule.Quiet = 3 * 24 * time.Hour
	case NotArmed:
		r.Rule.Rearms, r.Rule.Rearm = true, total(270_000)
	case AlertNotKept:
		r.Edge = at(1, 8, 11, 17)
	}
	return r
}
