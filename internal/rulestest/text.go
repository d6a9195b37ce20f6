package rulestest

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/rules"
)

// mostPoints is how many lines of a course are shown.
const mostPoints = 60

// WriteText says what became of a test to people: a failure with what was
// expected beside what was sent, a disagreement with what either says, and the courses.
func (r *Result) WriteText(w io.Writer) {
	verdict := "pass"
	if !r.Passed() {
		verdict = "FAIL"
	}
	fmt.Fprintf(w, "%s  %s:%d: %s\n", verdict, r.Case.File.Path, r.Case.Line, r.Case.Name)
	for i := range r.Failures {
		r.failure(w, &r.Failures[i])
	}
	for i := range r.Disagreements {
		r.disagreement(w, &r.Disagreements[i])
	}
	for i := range r.Courses {
		r.course(w, &r.Courses[i])
	}
}

func (r *Result) failure(w io.Writer, f *Failure) {
	if f.Line == 0 {
		fmt.Fprintln(w, "  alerts that no step expects:")
	} else {
		fmt.Fprintf(w, "  line %d expects:\n", f.Line)
	}
	t := newColumns(w)
	t.line("", "user_id", "rule", "at", "expected", "sent")
	for i := range f.Pairs {
		p := &f.Pairs[i]
		k := p.key()
		expected, sent := "nothing", "nothing"
		if p.Expected != nil {
			expected = r.expected(p.Expected)
		}
		if p.Sent != nil {
			sent = r.figures(k.rule, &p.Sent.Figures) + severity(p.Sent.Severity)
		}
		t.line(string(p.Verdict()), present.Word(k.user), k.rule, r.Case.FormatTestTime(k.at), expected, sent)
	}
	t.end()
}

// expected writes what an expectation says of an alert.
func (r *Result) expected(e *rules.ExpectedAlert) string {
	var parts []string
	scale := r.scaleOf(e.Rule)
	if e.Before != nil {
		parts = append(parts, "before "+e.Before.Format(scale))
	}
	if e.Total != nil {
		parts = append(parts, "total "+e.Total.Format(scale))
	}
	if e.Count != nil {
		parts = append(parts, fmt.Sprintf("count %d", *e.Count))
	}
	if e.Severity != nil {
		parts = append(parts, "severity "+present.Word(*e.Severity))
	}
	if len(parts) == 0 {
		return "an alert"
	}
	return strings.Join(parts, ", ")
}

func (r *Result) figures(rule string, f *brimline.Figures) string {
	scale := r.scaleOf(rule)
	return fmt.Sprintf("before %s, total %s, count %d", f.Before.Format(scale), f.Total.Format(scale), f.Count)
}

func severity(s string) string {
	if s == "" {
		return ""
	}
	return ", severity " + present.Word(s)
}

// scaleOf is the number of decimals of a rule's totals.
func (r *Result) scaleOf(rule string) int {
	set := r.Case.File.Rules
	for i := range set.Rules {
		if set.Rules[i].ID == rule {
			return set.Rules[i].Measure.Scale(set.Scale)
		}
	}
	return set.Scale
}

func (r *Result) disagreement(w io.Writer, d *Disagreement) {
	fold, postgres := "no new edge", "no new edge"
	if d.Fold != nil {
		fold = r.figures(d.Rule, &d.Fold.Figures)
	}
	if d.PostgreSQL != nil {
		postgres = r.figures(d.Rule, d.PostgreSQL)
	}
	fmt.Fprintf(w, "  after line %d brimline and PostgreSQL disagree on %s, %s, %s:\n", d.Line,
		present.Word(d.User), d.Rule,
		r.Case.FormatTestTime(d.At))
	fmt.Fprintf(w, "    brimline    %s\n    PostgreSQL  %s\n", fold, postgres)
}

func (r *Result) course(w io.Writer, c *Course) {
	set := r.Case.File.Rules
	scale := c.Rule.Measure.Scale(set.Scale)
	quiet := ""
	if c.Rule.Quiet != 0 {
		quiet = ", quiet " + present.Duration(c.Rule.Quiet)
	}
	if c.Rule.MinCount != 0 {
		quiet += fmt.Sprintf(", min_count %d", c.Rule.MinCount)
	}
	if c.Rule.Column != "" {
		quiet += ", of " + c.Rule.Column
	}
	if c.Rule.Rearms {
		quiet += ", rearm " + c.Rule.Rearm.Format(scale)
	}
	fmt.Fprintf(w, "  the total of %s for %s: %s over %s, limit %s%s\n", present.Word(c.User), c.Rule.ID, c.Rule.Measure,
		present.Duration(c.Rule.Window), c.Rule.Limit.Format(scale), quiet)
	points := c.Points
	if len(points) == 0 && c.Now == nil {
		fmt.Fprintln(w, "    no rows")
		return
	}
	if left := len(points) - mostPoints; left > 0 {
		fmt.Fprintf(w, "    … %d earlier times are left out\n", left)
		points = points[left:]
	}
	t := newColumns(w, 2, 3, 4, 5)
	t.line("at", "row", "amount", "before", "total", "count", "")
	for i := range points {
		p := &points[i]
		var id, amount, note string
		for n, row := range p.Rows {
			if n > 0 { // the figures stand at the last of the rows of one time
				t.line(r.Case.FormatTestTime(p.At), id, amount, "", "", "", note)
			}
			id, amount, note = present.Word(row.ID), row.Amount.Format(set.Scale), ""
			if !row.Taken {
				note = "not taken by where"
			}
		}
		t.line(r.Case.FormatTestTime(p.At), id, amount, p.Before.Format(scale), p.Total.Format(scale),
			strconv.FormatInt(p.Count, 10), joined(note, p.note()))
	}
	if c.Now != nil {
		t.line(r.Case.FormatTestTime(c.Now.At), "", "", "", c.Now.Total.Format(scale),
			strconv.FormatInt(c.Now.Count, 10), "now")
	}
	t.end()
}

func (p *Point) note() string {
	switch {
	case p.Silent && p.Sent:
		return "edge, silent now, alert sent"
	case p.Silent:
		return "edge, silent"
	case p.Edge && p.Sent:
		return "edge, alert sent"
	case p.Edge:
		return "edge, no alert"
	case p.Sent:
		return "alert sent, no edge any more"
	}
	return ""
}

func joined(a, b string) string {
	if a != "" && b != "" {
		return a + "; " + b
	}
	return a + b
}

// columns writes lines in columns as wide as their widest cell, indented.
type columns struct {
	w     io.Writer
	right []int // columns that are set to the right
	lines [][]string
}

func newColumns(w io.Writer, right ...int) *columns { return &columns{w: w, right: right} }

func (t *columns) line(cells ...string) { t.lines = append(t.lines, cells) }

func (t *columns) end() {
	var widths []int
	for _, cells := range t.lines {
		for i, c := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, cells := range t.lines {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if slices.Contains(t.right, i) {
				c, pad = pad+c, ""
			}
			b.WriteString("  " + c + pad)
		}
		fmt.Fprintln(t.w, "  "+strings.TrimRight(b.String(), " "))
	}
}
