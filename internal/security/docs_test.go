package security

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// document is docs/security.md, which the tests take their statements and rights from.
func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section is the part of the document below a heading.
func section(t *testing.T, heading string) string {
	t.Helper()
	_, text, ok := strings.Cut(document(t), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/security.md has no heading %q", heading)
	}
	text, _, _ = strings.Cut(text, "\n## ")
	return text
}

// statements are the SQL blocks of a section.
func statements(t *testing.T, heading string) (blocks []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section(t, heading), -1) {
		blocks = append(blocks, m[1])
	}
	return blocks
}

// rows are the cells of a section's table, its head left out.
func rows(t *testing.T, heading string) (cells [][]string) {
	t.Helper()
	for line := range strings.Lines(section(t, heading)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") || strings.Contains(line, "| ---") {
			continue
		}
		var row []string
		for _, c := range strings.Split(strings.Trim(line, "|"), "|") {
			row = append(row, strings.ReplaceAll(strings.TrimSpace(c), "`", ""))
		}
		cells = append(cells, row)
	}
	if len(cells) < 2 {
		t.Fatalf("no table below %q", heading)
	}
	return cells[1:]
}

// TestDependencies: the review names exactly the direct dependencies of go.mod, at their versions.
func TestDependencies(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod edit: %v", err)
	}
	var mod struct {
		Require []struct {
			Path, Version string
			Indirect      bool
		}
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, m := range mod.Require {
		if !m.Indirect {
			want = append(want, m.Path+" "+m.Version)
		}
	}
	var got []string
	for _, row := range rows(t, "Dependencies") {
		if len(row) != 4 || slices.Contains(row, "") {
			t.Errorf("a row without all its cells: %q", row)
			continue
		}
		got = append(got, row[0]+" "+row[1])
	}
	for _, m := range want {
		if !slices.Contains(got, m) {
			t.Errorf("docs/security.md does not review %s, which go.mod requires", m)
		}
	}
	for _, m := range got {
		if !slices.Contains(want, m) {
			t.Errorf("docs/security.md reviews %s, which go.mod does not require", m)
		}
	}
}
