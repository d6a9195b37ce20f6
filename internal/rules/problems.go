package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/brimline/brimline"
)

// maxListed bounds the text of a Problems.
const maxListed = 1000

// Problem is one thing to mend in a rules file or a file of tests. Line and Column count from 1,
// the column in characters.
type Problem struct {
	File         string
	Line, Column int
	Message      string
}

func (p Problem) String() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems are all problems of a file, in the order of their places; of files of tests, one file after the other.
type Problems struct {
	List []Problem
}

// Error is one line per problem.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List))
	for i, problem := range p.List {
		if i == maxListed {
			lines = append(lines, fmt.Sprintf("and %d more", len(p.List)-i))
			break
		}
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

// sort puts the problems of one file in order.
func (p *Problems) sort() {
	slices.SortStableFunc(p.List, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
}

// invalid is the *brimline.Error for p, whose list it puts in order.
func (p *Problems) invalid() error {
	p.sort()
	return &brimline.Error{Class: brimline.ClassInput, Kind: "rules_invalid", Err: p}
}
