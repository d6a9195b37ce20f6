package docs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

// Every list of measures that people or programs read has them all, and none that is not there. Lists in Go are made
// from brimline.Measures, or are tested where they are.
func TestEveryMeasureIsInEveryList(t *testing.T) {
	var names, quoted []string
	for _, m := range brimline.Measures() {
		names = append(names, m.String())
		quoted = append(quoted, `"`+m.String()+`"`)
	}
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, schema := range []string{"docs/alert.schema.json", "docs/rules.schema.json"} {
		if list := `"enum": [` + strings.Join(quoted, ", ") + "]"; !strings.Contains(read(schema), list) {
			t.Errorf("%s lacks %s", schema, list)
		}
	}
	if list := strings.Join(names[1:], ", "); !strings.Contains(
		read("internal/starter/rules.yaml.tmpl"),
		"# or "+list+"\n",
	) {
		t.Errorf("the first rules file does not offer %s", list)
	}
	// Each table of a page that has one of them has a row for each.
	for _, page := range []string{"docs/rules.md", "docs/semantics.md"} {
		var rows []string
		begun := false
		for line := range strings.Lines(read(page)) {
			name, _, isRow := strings.Cut(strings.TrimPrefix(line, "| `"), "` | ")
			isRow = isRow && strings.HasPrefix(line, "| `")
			if begun = begun && isRow || isRow && name == names[0]; begun {
				rows = append(rows, name)
			}
		}
		if len(rows) == 0 {
			t.Errorf("%s has no table of measures", page)
		}
		for table := range slices.Chunk(rows, len(names)) {
			if !slices.Equal(table, names) {
				t.Errorf("a table of measures in %s has %q, want %q", page, table, names)
			}
		}
	}
}
