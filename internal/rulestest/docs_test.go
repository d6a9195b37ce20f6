package rulestest

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tests that docs/rules.md shows hold, and a failure looks as it shows.
func TestDocumentedTests(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Test your rules\n")
	blocks, others := map[string]string{}, []string{}
	for _, m := range regexp.MustCompile("(?s)\n```(\\w+)\n(.*?\n)```\n").FindAllStringSubmatch(section, -1) {
		if _, seen := blocks[m[1]]; !seen {
			blocks[m[1]] = m[2]
		} else if strings.Contains(m[2], "\ntests:") {
			others = append(others, m[2])
		}
	}
	t.Chdir(t.TempDir())
	cases := written(t, "docs.test.yaml", blocks["yaml"])
	if len(cases) != 3 {
		t.Errorf("%d tests", len(cases))
	}
	mustPass(t, NewFold(), cases, Options{})
	for _, recipe := range others {
		mustPass(t, NewFold(), written(t, "recipe.test.yaml", recipe), Options{})
	}
	if len(others) == 0 {
		t.Error("no recipe has a test")
	}

	const failing = `rules: {rules: [{id: weekly-spend, window: 7d, limit: 3000}]}
tests:
  - name: A week's total
    rows: |
      timestamp | user_id | amount
      +0h       | ada     | 2600.00
      +1d       | ada     |  500.00
    expect: |
      at  | user_id | total
      +1d | ada     | 3100.01
`
	results, err := Play(t.Context(), NewFold(), written(t, "rules.test.yaml", failing), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	results[0].WriteText(&b)
	if b.Len() == 0 || !strings.HasPrefix(blocks["text"], b.String()) {
		t.Errorf("the page shows\n%s\nbut it is\n%s", blocks["text"], b.String())
	}
}

func written(t *testing.T, name, text string) []*Case {
	t.Helper()
	if err := os.WriteFile(filepath.Clean(name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cases, err := load(name)
	if err != nil {
		t.Fatal(err)
	}
	return cases
}
