package kafka

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestFileMap: the package's text names the files that there are.
func TestFileMap(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("doc.go")
	must(t, err)
	there, err := filepath.Glob("*.go")
	must(t, err)
	there = slices.DeleteFunc(
		there,
		func(name string) bool { return name == "doc.go" || strings.HasSuffix(name, "_test.go") },
	)
	var named []string
	for _, line := range regexp.MustCompile(`(?m)^//\t.*$`).FindAllString(string(text), -1) {
		named = append(named, regexp.MustCompile(`\b\w+\.go\b`).FindAllString(line, -1)...)
	}
	slices.Sort(named)
	if !slices.Equal(named, there) {
		t.Errorf("doc.go names\n%q, there are\n%q", named, there)
	}
}
