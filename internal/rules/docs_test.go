package rules_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

// What docs/rules.md shows works.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "\n```")
	var files, expressions int
	columns := append(columns(), brimline.Column{Name: "country", Type: brimline.Text},
		brimline.Column{Name: "card_present", Type: brimline.Boolean})
	for i := 1; i < len(blocks); i += 2 {
		language, text, _ := strings.Cut(blocks[i], "\n")
		if language == "yaml" && strings.Contains(text, "\ntests:") || language == "sh" || language == "text" {
			continue // package rulestest plays them
		}
		if language == "yaml" {
			files++
			if _, err := rules.Parse("rules.md", []byte(text)); err != nil {
				t.Error(err)
			}
			continue
		}
		for where := range strings.Lines(text) {
			expressions++
			if _, err := rules.Compile(where, columns, 2); err != nil {
				t.Error(err)
			}
		}
	}
	if files == 0 || expressions == 0 {
		t.Errorf("%d files and %d expressions found", files, expressions)
	}
}

// The table "From SQL" says what the program says.
func TestDocumentedSQL(t *testing.T) {
	page, err := os.ReadFile("../../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "### From SQL")
	table, _, _ = strings.Cut(table, "\n### ")
	columns := append(sqlColumns(), brimline.Column{Name: "card_present", Type: brimline.Boolean})
	rows := regexp.MustCompile("(?m)^\\| `(.*)` \\| `(.*)` \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) < 10 {
		t.Fatalf("%d rows found", len(rows))
	}
	for _, row := range rows {
		if _, err := rules.Compile(row[1], columns, 2); err == nil || !strings.Contains(err.Error(), "`"+row[2]+"`") {
			t.Errorf("%s: %v, and the page says %s", row[1], err, row[2])
		}
		if _, err := rules.Compile(row[2], columns, 2); err != nil {
			t.Error(err)
		}
	}
}
