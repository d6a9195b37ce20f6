package rules

import (
	"slices"

	"github.com/expr-lang/expr/ast"

	"github.com/brimline/brimline"
)

// AsksNull are the columns of which some rule asks whether they are NULL, as distinct does, in their order.
func (s *Set) AsksNull() (names []string) {
	for _, c := range s.Columns {
		asked := func(p predicate) bool { return slices.Contains(p.nulls, c.Name) }
		counted := func(r brimline.Rule) bool { return r.Column == c.Name }
		if slices.ContainsFunc(s.predicates, asked) || slices.ContainsFunc(s.Rules, counted) {
			names = append(names, c.Name)
		}
	}
	return names
}

// asksNull takes up the columns of an operand whose being NULL decides.
func (c *compiler) asksNull(n ast.Node) { ast.Walk(&n, nullVisitor{c}) }

type nullVisitor struct{ *compiler }

func (v nullVisitor) Visit(n *ast.Node) {
	if name, ok := (*n).(*ast.IdentifierNode); ok {
		v.nulls = append(v.nulls, name.Value)
	}
}
