package docs

import (
	"flag"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"
)

const root = "../.."

var update = flag.Bool("update", false, "write what is made from other files instead of comparing")

// pages are the Markdown files of the repository, by their path from its root.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			hidden := strings.HasPrefix(name, ".") && name != ".." && name != ".github"
			if hidden || name == "bin" || name == "dist" || name == "testdata" {
				return fs.SkipDir
			}
			return nil
		}
		if filepath.Ext(name) != ".md" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		all[filepath.ToSlash(rel)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	fenced   = regexp.MustCompile("(?ms)^[ \t]*```.*?^[ \t]*```[ \t]*$")
	inline   = regexp.MustCompile("`[^`\n]*`")
	linked   = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	headings = regexp.MustCompile(`(?m)^#{1,6} +(.*?) *$`)
)

// anchors are the names that GitHub gives to a page's headings.
func anchors(page string) map[string]bool {
	names := map[string]bool{}
	for _, m := range headings.FindAllStringSubmatch(fenced.ReplaceAllString(page, ""), -1) {
		text := linked.ReplaceAllString(strings.NewReplacer("`", "", "[", "", "*", "").Replace(m[1]), "")
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, text)
		unique := name
		for n := 1; names[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", name, n)
		}
		names[unique] = true
	}
	return names
}

// brokenLinks are the links of a page to files that are not there and to headings that no page has.
func brokenLinks(pages map[string]string, path string) (broken []string) {
	text := inline.ReplaceAllString(fenced.ReplaceAllString(pages[path], ""), "")
	for _, m := range linked.FindAllStringSubmatch(text, -1) {
		to, err := url.Parse(m[1])
		if err != nil || to.Scheme != "" {
			if err != nil {
				broken = append(broken, m[1])
			}
			continue
		}
		target := path
		if to.Path != "" {
			target = filepath.ToSlash(filepath.Join(filepath.Dir(path), to.Path))
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				broken = append(broken, m[1])
				continue
			}
		}
		if to.Fragment != "" && !anchors(pages[target])[to.Fragment] {
			broken = append(broken, m[1])
		}
	}
	return broken
}

func TestLinksLeadSomewhere(t *testing.T) {
	all := pages(t)
	if len(all) < 20 {
		t.Fatalf("only %d pages found", len(all))
	}
	for path := range all {
		for _, link := range brokenLinks(all, path) {
			t.Errorf("%s: the link %q leads nowhere", path, link)
		}
	}
}

func TestBrokenLinksAreFound(t *testing.T) {
	const page = "# A `page`, twice\n[up](#a-page-twice) [no](#a-page) [file](README.md) [none](nothing.md) [web](https://example.com/x)\n" +
		"```\n[code](nothing)\n# no-heading\n```\n`[x](y)` [no](#no-heading) [far](docs/semantics.md#nothing) [near](docs/semantics.md)\n"
	all := pages(t)
	all["page.md"] = page
	got := strings.Join(brokenLinks(all, "page.md"), " ")
	if want := "#a-page nothing.md #no-heading docs/semantics.md#nothing"; got != want {
		t.Errorf("broken: %s, want %s", got, want)
	}
}

var decision = regexp.MustCompile(`^# (\d+)\. (.+)\n\nDate: (\d{4}-\d\d-\d\d)\. ` +
	`Status: (in force|superseded by \[\d+\]\([^)]+\))\.\n\n`)

// TestDecisions: each record says when it was made and whether it still holds, and the index lists them all.
func TestDecisions(t *testing.T) {
	const dir = root + "/docs/decisions"
	files, err := filepath.Glob(dir + "/[0-9]*.md")
	if err != nil || len(files) == 0 {
		t.Fatalf("no decisions (%v)", err)
	}
	index := "# Decisions\n\nWhy things are as they are: the situation, what was decided, what follows from it. A " +
		"record is not rewritten when things change: a new one\n" +
		"supersedes it, and its status says so.\n\n| | decision | date | status |\n| --- | --- | --- | --- |\n"
	numbers := map[string]string{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		m := decision.FindStringSubmatch(string(text))
		if m == nil {
			t.Errorf("%s does not begin with `# N. Title`, and after an empty line `Date: YYYY-MM-DD. Status: in force.`", name)
			continue
		}
		number, title, date, status := m[1], m[2], m[3], m[4]
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.HasPrefix(name, fmt.Sprintf("%04s-", number)) {
			t.Errorf("%s is number %s by its title", name, number)
		}
		if other := numbers[number]; other != "" {
			t.Errorf("%s and %s have the same number", other, name)
		}
		numbers[number] = name
		index += fmt.Sprintf("| %s | [%s](%s) | %s | %s |\n", number, title, name, date, status)
	}
	equal(t, dir+"/README.md", index)
}

var (
	namedTest = regexp.MustCompile("`(Test[A-Z][A-Za-z0-9]*)`")
	namedFile = regexp.MustCompile("`((?:cmd|codecs|deploy|examples|internal|processors|testdata|tools|views)/[^` ]*)`")
)

// TestNamesExist: a test or a file that a page names is there.
func TestNamesExist(t *testing.T) {
	tests := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for path, text := range pages(t) {
		if strings.HasPrefix(path, "docs/records/") { // what was so on a day
			continue
		}
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			found++
			if !tests[m[1]] {
				t.Errorf("%s names the test %s, which is not there", path, m[1])
			}
		}
		for _, m := range namedFile.FindAllStringSubmatch(text, -1) {
			found++
			if there, err := filepath.Glob(filepath.Join(root, m[1])); err != nil || len(there) == 0 {
				t.Errorf("%s names the file %s, which is not there", path, m[1])
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d names found", found)
	}
}

// equal compares a file with what it should hold, or writes it.
func equal(t *testing.T, path, want string) {
	t.Helper()
	if *update && !t.Failed() {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what its sources say: go test ./internal/docs -update", strings.TrimPrefix(path, root+"/"))
	}
}
