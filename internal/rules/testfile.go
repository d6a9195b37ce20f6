package rules

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/brimline/brimline"
)

// TestFile is a valid file of tests for rules. It comes from LoadTests; it is to be read, not changed.
type TestFile struct {
	Path  string
	Rules *Set
	Tests []Test
}

// Test has the changes to the rows of a table, step by step, and the alerts that each must bring.
type Test struct {
	Name  string
	Line  int // of its file
	Only  []string
	Start brimline.Time // what relative times count from
	// Relative says that all its times are.
	Relative bool
	Steps    []Step
}

// Step is one of three things: changes to rows, time that passes, or an expectation.
type Step struct {
	Line int
	Kind StepKind
	// Changes of RowsChange: PostgreSQL has them all before brimline sees the first of them; they reach it in this order.
	Changes []RowChange
	Now     brimline.Time   // of TimePasses
	Alerts  []ExpectedAlert // of Expect; none where no alert may have been sent
}

// StepKind says what a Step is.
type StepKind uint8

// The kinds of steps.
const (
	RowsChange StepKind = iota + 1
	TimePasses
	Expect // all alerts since the Expect before it, and no others
)

// RowChange is an insert (no Before), an update, a delete (no After) or a TRUNCATE of the table (neither).
type RowChange struct {
	Line          int
	Before, After *brimline.Transaction
}

// ExpectedAlert is told by its rule, user and edge; the rest is compared where it is given.
type ExpectedAlert struct {
	Line          int
	Rule, User    string
	At            brimline.Time
	Before, Total *brimline.Total // at the scale of the rule's measure
	Count         *int64
	Severity      *string
}

// KindTests is the kind of errors about files of tests.
const KindTests = "tests_invalid"

// LoadTests reads files of tests and the rules files that they name. Whatever
// is wrong with any of them is told at once: the error is a *brimline.Error of
// ClassInput and kind tests_invalid around a *Problems.
func LoadTests(paths ...string) ([]*TestFile, error) {
	var (
		files []*TestFile
		all   Problems
	)
	for _, path := range paths {
		data, err := readFile(path)
		if err != nil {
			all.List = append(all.List, Problem{path, 1, 1,
				fmt.Sprintf("cannot be read: %v; name a readable file of tests", unwrapPath(err))})
			continue
		}
		file, problems := parseTests(path, data, readFile)
		for _, p := range problems {
			if !slices.Contains(all.List, p) { // several files may name one rules file
				all.List = append(all.List, p)
			}
		}
		files = append(files, file)
	}
	if len(all.List) > 0 {
		return nil, &brimline.Error{Class: brimline.ClassInput, Kind: KindTests, Err: &all}
	}
	return files, nil
}

// parseTests reads one file, called name in messages; open reads the rules file that it names.
func parseTests(name string, data []byte, open func(path string) ([]byte, error)) (*TestFile, []Problem) {
	r := &testReader{reader: newReader(name, "tests", data), open: open, file: &TestFile{Path: name}}
	r.read()
	r.problems.sort()
	return r.file, append(r.ofRules, r.problems.List...)
}

// besides is the path of a file that another one names.
func besides(file, named string) string {
	if filepath.IsAbs(named) {
		return named
	}
	return filepath.Join(filepath.Dir(file), named)
}
