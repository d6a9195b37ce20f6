package rules

import (
	"fmt"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/brimline/brimline"
)

// kind is the type of an expression.
type kind uint8

const (
	unknown kind = iota // a problem with it has been reported
	text
	numeric
	moment
	boolean
	nothing // the literal nil
)

var kindNames = [...]string{"unknown", "text", "a number", "a timestamp", "a condition", "nil"}

func (k kind) String() string { return kindNames[k] }

// operand is a typed node with the function of its kind.
type operand struct {
	kind   kind
	node   ast.Node
	text   value[string]
	number value[number]
	moment value[brimline.Time]
	holds  condition
	fixed  bool // a literal
}

// String is how messages name it: `amount (a number)`.
func (o operand) String() string {
	if o.kind == nothing {
		return "nil"
	}
	s := o.node.String()
	if utf8.RuneCountInString(s) > 40 {
		s = string([]rune(s)[:40]) + "…"
	}
	return fmt.Sprintf("%s (%s)", s, o.kind)
}

func textual(n ast.Node, v value[string]) operand { return operand{kind: text, node: n, text: v} }
func numerical(n ast.Node, v value[number]) operand {
	return operand{kind: numeric, node: n, number: v}
}
func logical(n ast.Node, v condition) operand { return operand{kind: boolean, node: n, holds: v} }
func temporal(n ast.Node, v value[brimline.Time]) operand {
	return operand{kind: moment, node: n, moment: v}
}

func (o operand) literal() operand {
	o.fixed = true
	return o
}

func (c *compiler) name(n *ast.IdentifierNode) operand {
	switch n.Value {
	case "id":
		return textual(n, func(t *brimline.Transaction) (string, state) { return t.ID, known })
	case "user_id":
		return textual(n, func(t *brimline.Transaction) (string, state) { return t.User, known })
	case "amount":
		scale := c.scale
		return numerical(n, func(t *brimline.Transaction) (number, state) {
			return number{units: int64(t.Amount), scale: scale}, known
		})
	case "timestamp":
		return temporal(n, func(t *brimline.Transaction) (brimline.Time, state) { return t.Time, known })
	}
	for at, col := range c.columns {
		if col.Name == n.Value {
			return c.column(n, col, at)
		}
	}
	return c.fail(n, "there is no column %q%s", n.Value, c.otherName(n.Value))
}

func (c *compiler) otherName(name string) string {
	names := builtIn[:]
	for _, col := range c.columns {
		names = append(names[:len(names):len(names)], col.Name)
	}
	if s := suggest(name, names); s != "" {
		return s
	}
	return "; declare it under columns with its type"
}

func (c *compiler) column(n ast.Node, col brimline.Column, at int) operand {
	c.used = append(c.used, col)
	switch col.Type {
	case brimline.Text:
		return textual(n, column(col.Name, at, as[string]))
	case brimline.Integer:
		return numerical(n, column(col.Name, at, func(i int64) (number, bool) { return integer(i), true }))
	case brimline.Numeric:
		return numerical(n, column(col.Name, at, func(d brimline.Decimal) (number, bool) { return parseNumber(string(d)) }))
	case brimline.Boolean:
		return logical(n, column(col.Name, at, as[bool]))
	case brimline.Timestamp:
		return temporal(n, column(col.Name, at, as[brimline.Time]))
	}
	c.fail(n, "column %q has the unknown type %q", col.Name, col.Type)
	c.faults[len(c.faults)-1].follows = true
	return operand{}
}

// align brings two operands to one kind: a text literal beside a timestamp is
// read as one. It reports false, with the problem noted, where they stay apart.
func (c *compiler) align(n ast.Node, a, b *operand, what string) bool {
	if a.kind == unknown || b.kind == unknown {
		return false
	}
	if a.kind == moment && !c.toMoment(b) || b.kind == moment && !c.toMoment(a) {
		return false
	}
	if a.kind == b.kind {
		return true
	}
	hint := ""
	switch {
	case a.kind == text && b.kind == numeric && b.fixed, b.kind == text && a.kind == numeric && a.fixed:
		hint = "; write the number in quotes to compare it as text"
	case a.kind == numeric && b.kind == text && b.fixed, b.kind == numeric && a.kind == text && a.fixed:
		hint = "; write numbers without quotes"
	}
	c.fail(n, "cannot %s %s and %s%s", what, a, b, hint)
	return false
}

// toMoment reports false only where o is a text literal that is no time.
func (c *compiler) toMoment(o *operand) bool {
	if o.kind != text || !o.fixed {
		return true
	}
	s, _ := o.text(nil)
	at, err := brimline.ParseTime(s)
	if err != nil {
		c.fail(o.node, "%v; write it like 2026-01-31T12:00:00Z", err)
		return false
	}
	*o = temporal(o.node, constant(at)).literal()
	return true
}
