package rules

import (
	"strings"
	"text/tabwriter"
)

// Describe is one aligned line per rule: id, window, limit, measure, where and
// severity; every row and no severity are written as "-".
func Describe(s *Set) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for i := range s.Rules {
		rule := &s.Rules[i]
		cells := []string{
			rule.ID, FormatWindow(rule.Window), "> " + rule.Limit.Format(rule.Measure.Scale(s.Scale)), rule.Measure.String(),
			oneLine(rule.Where), oneLine(rule.Severity),
		}
		_, _ = w.Write([]byte(strings.Join(cells, "\t") + "\n"))
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
