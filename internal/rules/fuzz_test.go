package rules_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/rules"
)

// Any file is either refused with places within it, or gives rules that work.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join(golden, "*.yaml"))
	for _, path := range files {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	r := row(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		set, err := rules.Parse("f", data)
		if err != nil {
			var p *rules.Problems
			if !errors.As(err, &p) || len(p.List) == 0 {
				t.Fatalf("%v is not a list of problems", err)
			}
			for _, problem := range p.List {
				if problem.Line < 1 || problem.Column < 1 || problem.Message == "" {
					t.Fatalf("a problem without place or message: %+v", problem)
				}
			}
			return
		}
		if len(set.Rules) == 0 || rules.Describe(set) == "" {
			t.Fatal("a valid file without rules")
		}
		for _, rule := range set.Compiled(rules.OnFailure(func(error) {})) {
			if d, err := rules.ParseWindow(present.Duration(rule.Window)); err != nil || d != rule.Window {
				t.Fatalf("window %v: %v", rule.Window, err)
			}
			if rule.Takes != nil {
				rule.Takes(r)
			}
		}
	})
}

// Any expression is either refused or judges rows without a panic, always the
// same way, and never takes one that it failed on.
func FuzzCompile(f *testing.F) {
	for _, where := range []string{
		`amount > 10 and merchant in ["a", "b"]`, `not (fee ?? 0) < 1.005`, `booked >= "2026-01-01T00:00:00Z"`, `1 < abs(amount) <= 20`,
		`lower(merchant) matches "^c" or none == nil`, `len(trim(none)) in [0x1, -2.50]`, `any([1], # > 0)`, `merchant?.x[1:2]`, `let x = 1; x`,
	} {
		f.Add(where)
	}
	whole, bare := row(f), &brimline.Transaction{}
	f.Fuzz(func(t *testing.T, where string) {
		failures := 0
		takes, err := rules.Compile(where, columns(), 2, rules.OnFailure(func(error) { failures++ }))
		if err != nil || takes == nil {
			return
		}
		first := takes(whole)
		if takes(whole) != first || failures > 0 {
			t.Fatalf("%q is not one answer, or failed on a whole row", where)
		}
		if takes(bare) && failures > 0 {
			t.Fatalf("%q takes a row that it failed on", where)
		}
	})
}
