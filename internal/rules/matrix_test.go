package rules_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

// What docs/rules.md says of each measure with each field is what the program does: what is refused there, the reader
// refuses, and takes all else.
func TestWhatGoesWithWhat(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## What goes with what\n")
	var table [][]string
	for line := range strings.Lines(section) {
		if cells, isRow := strings.CutPrefix(strings.TrimSpace(line), "| "); isRow {
			table = append(table, strings.Split(strings.TrimSuffix(cells, " |"), " | "))
		} else if len(table) > 0 && !strings.HasPrefix(line, "|") {
			break
		}
	}
	fields := map[string]string{
		"any `window`": "", "`where`": `where: amount > 1, limit: 5`, "`limits`": `limits: [5, 6]`,
		"`mode: shadow`": `mode: shadow, limit: 5`, "`quiet`": `quiet: 1d, limit: 5`, "`rearm`": `rearm: 90%, limit: 5`,
		"`quiet` and `rearm`": `quiet: 1d, rearm: 90%, limit: 5`, "a limit below zero": `limit: -5`, "`clears_at`": "",
	}
	if len(table) < 2 {
		t.Fatal("there is no table")
	}
	head := table[0][1:]
	for field := range fields {
		if !slices.Contains(head, field) {
			t.Errorf("%s is not in the table", field)
		}
	}
	var measures []string
	for _, row := range table[1:] {
		measures = append(measures, strings.Trim(row[0], "`"))
		m, err := brimline.ParseMeasure(strings.Trim(row[0], "`"))
		if err != nil {
			t.Error(err)
			continue
		}
		for i, field := range head {
			fragment, known := fields[field]
			says := row[i+1]
			switch {
			case !known:
				t.Errorf("%s is not tried", field)
			case field == "`clears_at`":
				if clears := says == "exact"; clears == m.Shrinks() || !clears && says != "none" {
					t.Errorf("%s of %v is %q", field, m, says)
				}
			case field == "any `window`":
				for _, window := range []string{"1us", "90s", "36h", "7d", "3653d"} {
					file := fmt.Appendf(nil, "columns: {c: text}\nrules: [{id: a, window: %s, %s, limit: 5}]", window, measure(m))
					if _, err := rules.Parse("x", file); err != nil {
						t.Error(err)
					}
				}
			default:
				_, err := rules.Parse("x",
					fmt.Appendf(nil, "columns: {c: text}\nrules: [{id: a, window: 7d, %s, %s}]", measure(m), fragment))
				if refused := err != nil; refused != (says == "refused") || !refused && says != "exact" {
					t.Errorf("%v with %s is %q in the table; the reader says %v", m, field, says, err)
				}
			}
		}
	}
	var all []string
	for _, m := range brimline.Measures() {
		all = append(all, m.String())
	}
	if !slices.Equal(measures, all) {
		t.Errorf("the table has the measures %q, there are %q", measures, all)
	}
}

// measure is how a file names a measure.
func measure(m brimline.Measure) string {
	if m == brimline.Distinct {
		return "measure: distinct, of: c"
	}
	return "measure: " + m.String()
}
