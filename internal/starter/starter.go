// Package starter writes the files that rules begin with, for `brimline rules init`: a rules file with comments, and
// tests of it that hold.
package starter

import (
	"bytes"
	_ "embed"
	"fmt"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/docs"
	"github.com/brimline/brimline/internal/ledger"
)

// About describes the watched table; the zero value says nothing.
type About struct {
	Table   string
	Columns []brimline.Column // that a rules file can declare
	// Decimals are those of amounts; Sure says that the column has so many.
	Decimals int
	Sure     bool
	Spending *ledger.Spending // nil where the data was not asked; figures have Decimals
}

// File is one to be written.
type File struct {
	Path string
	Text []byte
}

// Files are the rules file at a path, its tests and the two schemas, beside each other.
func Files(path string, a About) ([]File, error) {
	dir, name := filepath.Split(path)
	tests := strings.TrimSuffix(name, filepath.Ext(name)) + ".test.yaml"
	values := values{About: a, RulesFile: name, TestsFile: tests}
	values.limit()
	files := []File{{Path: path}, {Path: filepath.Join(dir, tests)}}
	for i, text := range [...]string{rulesText, testsText} {
		var b bytes.Buffer
		if err := template.Must(template.New("").Parse(text)).Execute(&b, &values); err != nil {
			return nil, err
		}
		files[i].Text = b.Bytes()
	}
	return append(files,
		File{filepath.Join(dir, "rules.schema.json"), docs.RulesSchema},
		File{filepath.Join(dir, "rules-test.schema.json"), docs.RulesTestSchema},
	), nil
}

var (
	//go:embed rules.yaml.tmpl
	rulesText string
	//go:embed rules.test.yaml.tmpl
	testsText string
)

// values fill the texts. The amounts are written with the table's decimals.
type values struct {
	About
	RulesFile, TestsFile string
	Limit, Least, Over   string // Least is the smallest amount; Over is the limit and Least
}

// defaultLimit is the one where no data says another.
const defaultLimit = "1000"

// limit takes that which all but one of a thousand days keep to, and at least the smallest one.
func (v *values) limit() {
	least, _ := brimline.ParseTotal("1", 0)
	limit, _ := brimline.ParseTotal(defaultLimit, v.Decimals)
	if v.Spending != nil {
		limit = v.Spending.All
	}
	if limit.Cmp(least) < 0 {
		limit = least
	}
	v.Limit, v.Least, v.Over = v.show(limit), v.show(least), v.show(limit.Add(least))
}

func (v *values) show(t brimline.Total) string { return t.Format(v.Decimals) }

// DayLines say what was found.
func (v *values) DayLines() []string {
	s := v.Spending
	return []string{
		fmt.Sprintf("on half of them the amounts come to %s at most, on 95 of 100 to %s,", v.show(s.Half), v.show(s.Most)),
		fmt.Sprintf("on 99 of 100 to %s, on 999 of 1,000 to %s. That is the limit here.", v.show(s.Nearly), v.show(s.All)),
	}
}
