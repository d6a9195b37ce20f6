package rules

import (
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// Describe is one aligned line per rule, and for each limit of one that has several: id, window, limit, measure, where
// and severity, and what sets it apart; every row and no severity are written as "-".
func Describe(s *Set) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	describe := func(rule *brimline.Rule, more string) {
		cells := []string{
			rule.ID, present.Duration(rule.Window), "> " + rule.Limit.Format(rule.Measure.Scale(s.Scale)), rule.Measure.String(),
			oneLine(rule.Where), oneLine(rule.Severity),
		}
		if rule.Shadow {
			cells = append(cells, "shadow")
		}
		if rule.MinCount != 0 {
			cells = append(cells, "min_count "+strconv.FormatInt(rule.MinCount, 10))
		}
		if rule.Column != "" {
			cells = append(cells, "of "+rule.Column)
		}
		if rule.Rearms {
			cells = append(cells, "rearms at "+rule.Rearm.Format(rule.Measure.Scale(s.Scale)))
		}
		if rule.Quiet != 0 {
			cells = append(cells, "quiet "+present.Duration(rule.Quiet))
		}
		if more != "" {
			cells = append(cells, more)
		}
		_, _ = w.Write([]byte(strings.Join(cells, "\t") + "\n"))
	}
	for i := range s.Rules {
		describe(&s.Rules[i], "")
	}
	for i := range s.Disabled {
		describe(&s.Disabled[i], "not enabled")
	}
	_ = w.Flush()
	return b.String()
}

// oneLine joins the lines of s, and leaves the spaces within them, which may
// be those of a text literal. Where a comment runs to a line's end, the ends are shown.
func oneLine(s string) string {
	if s == "" {
		return "-"
	}
	lines := strings.FieldsFunc(s, func(c rune) bool { return c == '\n' || c == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(strings.ReplaceAll(lines[i], "\t", " "))
	}
	if strings.Contains(s, "//") {
		return strings.Join(lines, " ⏎ ")
	}
	return strings.Join(lines, " ")
}
