package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
	"golang.org/x/term"
)

// Money is how amounts are shown.
type Money struct {
	Currency string `help:"Sign before amounts; empty for none." default:"$" env:"BRIMLINE_CURRENCY"`
}

// amount writes a rule's total: $3,441.50, or 27 where rows are counted.
func (m Money) amount(t brimline.Total, rule *brimline.Rule, scale int) string {
	s := t.Format(rule.Measure.Scale(scale))
	sign := ""
	if s[0] == '-' {
		sign, s = "-", s[1:]
	}
	whole, frac, point := strings.Cut(s, ".")
	var b strings.Builder
	b.WriteString(sign)
	if rule.Measure != brimline.CountAll {
		b.WriteString(m.Currency)
	}
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if point {
		b.WriteString("." + frac)
	}
	return b.String()
}

// alert is one line for people.
func (m Money) alert(a *brimline.Alert) string {
	c := &a.Candidate
	f := c.Stream
	if a.Database != nil {
		f = *a.Database
	}
	limit := m.amount(c.Rule.Limit, &c.Rule, c.Scale)
	what := fmt.Sprintf("%s in %s (%s, limit %s)", m.amount(f.Total, &c.Rule, c.Scale),
		rules.FormatWindow(c.Rule.Window), plural(f.Count, "transaction"), limit)
	if c.Rule.Measure == brimline.CountAll {
		what = fmt.Sprintf("%s in %s (limit %s)", plural(f.Count, "transaction"), rules.FormatWindow(c.Rule.Window), limit)
	}
	if c.Rule.Measure == brimline.Max {
		what = "one of " + what
	}
	text := fmt.Sprintf("ALERT user %s %s %s  [%s, %s]", shown(c.User), what, a.Verification.Status,
		shown(c.Rule.ID), c.Edge.Std().Format(edgeLayout))
	for i, edge := range a.Supersedes {
		before := ", "
		if i == 0 {
			before = "  supersedes "
		}
		text += before + edge.Std().Format(edgeLayout)
	}
	return text
}

const edgeLayout = "2006-01-02 15:04:05"

func plural(n int64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.FormatInt(n, 10) + " " + what + "s"
}

// maxShown is how much of a text is shown, in bytes: enough for every id that is one.
const maxShown = 256

// shown makes text that others chose safe for a terminal: plain words stay as
// they are, anything that could move the cursor, hide or pretend is quoted and escaped.
func shown(s string) string {
	if s == "" {
		return `""`
	}
	if len(s) > maxShown {
		return fmt.Sprintf("%s… (%d bytes)", shown(strings.ToValidUTF8(s[:maxShown], "")), len(s))
	}
	for _, r := range s {
		if r == unicode.ReplacementChar || r == '"' || r == '\\' || !unicode.IsGraphic(r) || unicode.IsSpace(r) {
			return strconv.QuoteToASCII(s)
		}
	}
	return s
}

// since is a duration for people: 3.2s, 5m10s.
func since(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// isTerminal tells whether a person may be watching w.
func isTerminal(w any) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// table writes rows in columns as wide as their widest cell; cells of columns
// in right are set to the right.
func table(w io.Writer, right []bool, rows ...[]string) {
	var width []int
	for _, row := range rows {
		for i, cell := range row {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i > 0 {
				b.WriteString("  ")
			}
			if i < len(right) && right[i] {
				b.WriteString(pad + cell)
			} else {
				b.WriteString(cell + pad)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
