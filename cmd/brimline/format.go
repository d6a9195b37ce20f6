package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"golang.org/x/term"
)

// Money is how amounts are shown.
type Money struct {
	Currency string `help:"Sign before amounts; empty for none." default:"$" env:"BRIMLINE_CURRENCY"`
}

// amount writes a rule's total: $3,441.50, or 27 where the rule counts rows.
func (m Money) amount(t brimline.Total, rule *brimline.Rule, scale int) string {
	return present.Total(m.Currency, t, rule, scale)
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
		present.Duration(c.Rule.Window), present.Plural(f.Count, "transaction"), limit)
	if c.Rule.Measure == brimline.CountAll {
		what = fmt.Sprintf("%s in %s (limit %s)", present.Plural(f.Count, "transaction"),
			present.Duration(c.Rule.Window), limit)
	}
	if c.Rule.Measure == brimline.Avg {
		what = fmt.Sprintf("average of %s by %s in %s (limit %s)", m.amount(f.Total, &c.Rule, c.Scale),
			present.Plural(f.Count, "transaction"), present.Duration(c.Rule.Window), limit)
	}
	if c.Rule.Measure == brimline.Max {
		what = "one of " + what
	}
	if c.Rule.Measure == brimline.Distinct {
		what = fmt.Sprintf("%s different %s by %s in %s (limit %s)", m.amount(f.Total, &c.Rule, c.Scale),
			present.Word(c.Rule.Column), present.Plural(f.Count, "transaction"), present.Duration(c.Rule.Window), limit)
	}
	text := fmt.Sprintf("ALERT user %s %s %s  [%s, %s]", present.Word(c.User), what, a.Verification.Status,
		present.Word(c.Rule.ID), present.Time(c.Edge))
	for i, edge := range a.Supersedes {
		before := ", "
		if i == 0 {
			before = "  supersedes "
		}
		text += before + present.Time(edge)
	}
	return text
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
