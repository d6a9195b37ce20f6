package table

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What the package's description names is there: files here, and tests, faults and protections where it says.
func TestWhatTheDescriptionNamesIsThere(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	must(t, err)
	doc := strings.Join(strings.Fields(file.Doc.Text()), " ")
	source := func(pattern string) string {
		files, err := filepath.Glob(pattern)
		must(t, err)
		var all strings.Builder
		for _, f := range files {
			text, err := os.ReadFile(f)
			must(t, err)
			all.Write(text)
		}
		return all.String()
	}
	crash, points := source("../crash/*_test.go"), source("../failpoint/failpoint.go")
	missing := func(what, doc string) (missing []string) {
		for _, m := range regexp.MustCompile(what).FindAllStringSubmatch(doc, -1) {
			name, in := m[1], "."
			if len(m) > 2 && m[2] != "" {
				in = "../../" + m[2]
			}
			found := false
			switch {
			case strings.HasSuffix(name, ".go"):
				_, err := os.Stat(name)
				found = err == nil
			case strings.HasPrefix(name, "Test"):
				tests := source(in+"/*_test.go") + crash
				found = strings.Contains(tests, "func "+name+"(")
			default:
				fault, protection := `name: "`+name+`"`, `= "`+strings.TrimPrefix(name, "at-")+`"`
				found = strings.Contains(crash, fault) || strings.Contains(points, protection)
			}
			if !found {
				missing = append(missing, name)
			}
		}
		return missing
	}
	const (
		files = `\b([a-z]+\.go)\b`
		tests = `\b(Test\w+)(?: of ((?:processors|internal)/\w+))?`
		names = `\b((?:at-)?[a-z]+-[a-z]+(?:-[a-z]+)?)\b`
	)
	for _, what := range []string{files, tests} {
		if gone := missing(what, doc); len(gone) > 0 {
			t.Errorf("doc.go names %v, which are not there", gone)
		}
	}
	_, faults, _ := strings.Cut(doc, "# A crash in between")
	if gone := missing(names, faults); len(gone) > 0 {
		t.Errorf("doc.go names the faults or protections %v, which are not there", gone)
	}
	for _, what := range []string{files, tests, names} {
		if len(missing(what, "gone.go TestGone at-gone-by")) == 0 {
			t.Errorf("%s finds nothing missing", what)
		}
	}
}
