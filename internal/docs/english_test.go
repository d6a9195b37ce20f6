package docs

import (
	"bufio"
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// longestProse is the most characters that a line of prose may have. Tables, links and code are exempt.
const longestProse = 160

// unplain are the turns of phrase that pages and comments do without, each with a sentence that has it.
var unplain = []struct{ phrase, example string }{
	{`(?i)\b(no|some)body('s)?\b`, "A topic that nobody reads."},
	{`\b[Tt]hat is [A-Za-z]+'s\b`, "That is PostgreSQL's to say."},
	{`(?i)\bwhat [a-z' ]{1,40} is is\b`, "What it is is a table."},
	{`^[A-Za-z][A-Za-z0-9]* (is|are) what\b`, "Config is what the stage needs."},
	{`(?i)\b(refuted|disproved)\b`, "A candidate that PostgreSQL refuted."},
}

// historical pages record what was done and decided; they keep their words.
func historical(path string) bool {
	return strings.HasPrefix(path, "docs/records/") || strings.HasPrefix(path, "docs/decisions/")
}

// unwrapped are the lines of a page, with their numbers, that are too long.
func unwrapped(page string) (numbers []int) {
	code := false
	for i, line := range strings.Split(page, "\n") {
		text := strings.TrimSpace(line)
		if strings.HasPrefix(text, "```") {
			code = !code
		}
		exempt := code || strings.HasPrefix(text, "|") || strings.HasPrefix(line, "    ") || strings.Contains(text, "://") ||
			!strings.Contains(inline.ReplaceAllString(text, "code"), " ")
		if !exempt && utf8.RuneCountInString(line) > longestProse {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// proseOf is a page without code.
func proseOf(page string) string {
	return inline.ReplaceAllString(fenced.ReplaceAllString(page, ""), "``")
}

// comments are the comments of a Go file, one text for each group of lines, without directives.
func comments(t *testing.T, path string) (texts []string) {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range f.Comments {
		texts = append(texts, group.Text())
	}
	return texts
}

// goFiles are the Go files of the repository.
func goFiles(t *testing.T) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch name := ""; {
		case err != nil:
			return err
		default:
			name = d.Name()
			if d.IsDir() && (strings.HasPrefix(name, ".") && name != ".." || name == "testdata" || name == "bin") {
				return fs.SkipDir
			}
			if filepath.Ext(name) == ".go" {
				paths = append(paths, path)
			}
			return nil
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// phrases are the lines of a text that have a phrase.
func phrases(re *regexp.Regexp, text string) (lines []string) {
	for s := bufio.NewScanner(bytes.NewReader([]byte(text))); s.Scan(); {
		if re.MatchString(s.Text()) {
			lines = append(lines, s.Text())
		}
	}
	return lines
}

func TestProseIsWrapped(t *testing.T) {
	long := strings.Repeat("word ", 40)
	got := unwrapped("# A\n" + long + "\n| " + long + "|\n```\n" + long + "\n```\nshort\n")
	if len(got) != 1 || got[0] != 2 {
		t.Fatalf("the long lines of a page: %v, want line 2", got)
	}
	for path, page := range pages(t) {
		for _, n := range unwrapped(page) {
			t.Errorf("%s:%d: the line has more than %d characters", path, n, longestProse)
		}
	}
}

func TestEnglishIsPlain(t *testing.T) {
	files := goFiles(t)
	if len(files) < 400 {
		t.Fatalf("only %d Go files found", len(files))
	}
	for _, u := range unplain {
		re := regexp.MustCompile(u.phrase)
		if len(phrases(re, u.example)) != 1 {
			t.Errorf("%q is not found in its example", u.phrase)
		}
		for path, page := range pages(t) {
			if historical(path) {
				continue
			}
			for _, line := range phrases(re, proseOf(page)) {
				t.Errorf("%s: %q in %q", path, u.phrase, line)
			}
		}
		for _, path := range files {
			for _, text := range comments(t, path) {
				for _, line := range phrases(re, inline.ReplaceAllString(text, "``")) {
					t.Errorf("%s: %q in %q", strings.TrimPrefix(path, root+"/"), u.phrase, line)
				}
			}
		}
	}
}

// glossary has the words of docs/semantics.md, each with its meaning.
var glossary = regexp.MustCompile(`(?m)^- \*\*([a-z ]+)\*\*(.*)$`)

// TestGlossary: each word has one meaning, in one sentence.
func TestGlossary(t *testing.T) {
	_, words, found := strings.Cut(pages(t)["docs/semantics.md"], "\n## Words\n")
	if !found {
		t.Fatal("docs/semantics.md has no glossary")
	}
	known := map[string]bool{}
	for _, m := range glossary.FindAllStringSubmatch(words, -1) {
		if known[m[1]] {
			t.Errorf("%q has two meanings", m[1])
		}
		if known[m[1]] = true; strings.Contains(strings.TrimSuffix(m[2], "."), ". ") || !strings.HasSuffix(m[2], ".") {
			t.Errorf("the meaning of %q is not one sentence", m[1])
		}
	}
	for _, word := range []string{"edge", "limit", "candidate", "question", "answer", "alert", "dismissed", "marker",
		"row version", "layout version", "flow version", "history", "floor", "watermark", "place", "in question",
		"distrusted", "superseded", "outdated", "judge"} {
		if !known[word] {
			t.Errorf("%q is not in the glossary", word)
		}
	}
}
