package rules

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"

	"github.com/brimline/brimline"
)

func (c *compiler) compile(n ast.Node) operand {
	switch n := n.(type) {
	case *ast.IdentifierNode:
		return c.name(n)
	case *ast.NilNode:
		return operand{kind: nothing, node: n}
	case *ast.BoolNode:
		return logical(n, constant(n.Value)).literal()
	case *ast.StringNode:
		return textual(n, constant(n.Value)).literal()
	case *ast.IntegerNode:
		return numerical(n, constant(integer(int64(n.Value)))).literal()
	case *ast.FloatNode:
		return c.decimal(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.BuiltinNode:
		return c.call(n, n.Name, n.Arguments)
	case *ast.CallNode:
		if callee, ok := n.Callee.(*ast.IdentifierNode); ok {
			return c.call(n, callee.Value, n.Arguments)
		}
	case *ast.ArrayNode:
		return c.fail(n, "a list can only stand to the right of in")
	}
	return c.fail(n, "%s is not part of rule expressions", construct(n))
}

func construct(n ast.Node) string {
	switch n.(type) {
	case *ast.MemberNode, *ast.ChainNode, *ast.SliceNode, *ast.CallNode:
		return "access with . or []"
	case *ast.ConditionalNode:
		return "a choice with ?: or if"
	case *ast.SequenceNode, *ast.VariableDeclaratorNode:
		return "a sequence with ; or let"
	}
	return "this"
}

// decimal reads the literal's own text: its float never counts.
func (c *compiler) decimal(n ast.Node) operand {
	s := strings.TrimSuffix(strings.ReplaceAll(c.text(n), "_", ""), ".")
	if strings.HasPrefix(s, ".") {
		s = "0" + s
	}
	v, ok := parseNumber(s)
	if !ok {
		return c.fail(n, "write %s without an exponent", c.text(n))
	}
	return numerical(n, constant(v)).literal()
}

func (c *compiler) unary(n *ast.UnaryNode) operand {
	o := c.compile(n.Node)
	if o.kind == unknown {
		return o
	}
	switch n.Operator {
	case "not", "!":
		if o.kind != boolean {
			return c.fail(n, "%s stands before %s, which is not a condition; put the whole comparison in parentheses: not (…)",
				n.Operator, o)
		}
		return logical(n, negate(o.holds))
	case "-", "+":
		if o.kind != numeric || !o.fixed {
			return c.fail(n, "%s can only be the sign of a number that is written out", n.Operator)
		}
		if n.Operator == "-" {
			o.number = apply(o.number, number.neg)
		}
		o.node = n
		return o
	}
	return c.fail(n, "%s is not part of rule expressions", n.Operator)
}

func (c *compiler) binary(n *ast.BinaryNode) operand {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "..":
		return c.fail(n, "ranges are not part of rule expressions; write 10 <= amount and amount <= 20")
	case "+", "-", "*", "/", "%", "**", "^":
		return c.fail(n, "arithmetic (%s) is not part of rule expressions", n.Operator)
	}
	a, b := c.compile(n.Left), c.compile(n.Right)
	if a.kind == unknown || b.kind == unknown {
		return operand{}
	}
	if a.kind == text && a.fixed && b.kind == text && b.fixed {
		return c.fail(n, twoTexts, a.node, b.node)
	}
	switch n.Operator {
	case "and", "&&", "or", "||":
		for _, o := range [...]operand{a, b} {
			if o.kind != boolean {
				return c.fail(n, "%s joins conditions, and %s is not one", n.Operator, o)
			}
		}
		return logical(n, junction(a.holds, b.holds, n.Operator == "or" || n.Operator == "||"))
	case "==", "!=":
		return c.equality(n, a, b)
	case "<", "<=", ">", ">=":
		return c.order(n, a, b)
	case "contains", "startsWith", "endsWith", "matches":
		return c.search(n, a, b)
	case "??":
		return c.fallback(n, a, b)
	}
	return c.fail(n, "%s is not part of rule expressions", n.Operator)
}

const twoTexts = "%s and %s are both texts, so this is the same for every row; " +
	"the name of a column stands without quotes"

func same[V comparable](a, b V) bool { return a == b }

func sameNumber(a, b number) bool { return compareNumbers(a, b) == 0 }

// equality is SQL's = and <>, except beside a literal nil, where it is IS [NOT] NULL.
func (c *compiler) equality(n *ast.BinaryNode, a, b operand) operand {
	if a.kind == nothing {
		a, b = b, a
	}
	var holds condition
	if b.kind == nothing {
		c.asksNull(a.node)
		switch a.kind {
		case text:
			holds = isNull(a.text)
		case numeric:
			holds = isNull(a.number)
		case moment:
			holds = isNull(a.moment)
		case boolean:
			holds = isNull(a.holds)
		default:
			return c.fail(n, "nil can only be compared with a column")
		}
	} else {
		if !c.align(n, &a, &b, "compare") {
			return operand{}
		}
		switch a.kind {
		case text:
			holds = relate(a.text, b.text, same)
		case numeric:
			holds = relate(a.number, b.number, sameNumber)
		case moment:
			holds = relate(a.moment, b.moment, same)
		default:
			holds = relate(a.holds, b.holds, same)
		}
	}
	if n.Operator == "!=" {
		holds = negate(holds)
	}
	return logical(n, holds)
}

func (c *compiler) order(n *ast.BinaryNode, a, b operand) operand {
	if a.kind == nothing || b.kind == nothing {
		return c.fail(n, "nil has no order; only == nil and != nil can be asked")
	}
	if !c.align(n, &a, &b, "compare") {
		return operand{}
	}
	switch a.kind {
	case numeric:
		return logical(n, relate(a.number, b.number, ordered(n.Operator, compareNumbers)))
	case moment:
		return logical(n, relate(a.moment, b.moment, ordered(n.Operator, func(a, b brimline.Time) int {
			return compareInts(int64(a), int64(b))
		})))
	}
	return c.fail(n, "%s is for numbers and timestamps, not for %s and %s", n.Operator, a, b)
}

func ordered[V any](operator string, compare func(V, V) int) func(V, V) bool {
	switch operator {
	case "<":
		return func(a, b V) bool { return compare(a, b) < 0 }
	case "<=":
		return func(a, b V) bool { return compare(a, b) <= 0 }
	case ">":
		return func(a, b V) bool { return compare(a, b) > 0 }
	}
	return func(a, b V) bool { return compare(a, b) >= 0 }
}

func (c *compiler) search(n *ast.BinaryNode, a, b operand) operand {
	for _, o := range [...]operand{a, b} {
		if o.kind != text {
			return c.fail(n, "%s is for text, and %s is not", n.Operator, o)
		}
	}
	switch n.Operator {
	case "contains":
		return logical(n, relate(a.text, b.text, strings.Contains))
	case "startsWith":
		return logical(n, relate(a.text, b.text, strings.HasPrefix))
	case "endsWith":
		return logical(n, relate(a.text, b.text, strings.HasSuffix))
	}
	if !b.fixed {
		return c.fail(n, "the pattern of matches must be written out, in quotes")
	}
	pattern, _ := b.text(nil)
	re, err := regexp.Compile(pattern)
	if err != nil {
		return c.fail(b.node, "%v", err)
	}
	return logical(n, apply(a.text, re.MatchString))
}

func (c *compiler) fallback(n *ast.BinaryNode, a, b operand) operand {
	if a.kind == nothing || b.kind == nothing {
		return c.fail(n, "?? takes a value instead of NULL; nil is none")
	}
	c.asksNull(a.node)
	if !c.align(n, &a, &b, "choose between") {
		return operand{}
	}
	switch a.kind {
	case text:
		return textual(n, coalesce(a.text, b.text))
	case numeric:
		return numerical(n, coalesce(a.number, b.number))
	case moment:
		return temporal(n, coalesce(a.moment, b.moment))
	}
	return logical(n, coalesce(a.holds, b.holds))
}

func (c *compiler) in(n *ast.BinaryNode) operand {
	a := c.compile(n.Left)
	list, ok := n.Right.(*ast.ArrayNode)
	if !ok {
		if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
			return c.binary(r)
		}
		return c.fail(n, `in needs a list to its right, such as ["a", "b"]`)
	}
	if a.kind == nothing {
		return c.fail(n, "nil is in no list; ask with == nil")
	}
	if len(list.Nodes) == 0 {
		return c.fail(list, "the list is empty")
	}
	var (
		texts   []string
		numbers []number
		moments []brimline.Time
		good    = a.kind != unknown
	)
	for _, node := range list.Nodes {
		b := c.compile(node)
		switch {
		case b.kind == unknown:
			good = false
			continue
		case !b.fixed:
			c.fail(node, "a list holds values that are written out, and %s is not one", b)
			good = false
			continue
		case a.kind == text && a.fixed && b.kind == text:
			c.fail(n, twoTexts, a.node, b.node)
			good = false
			continue
		case !c.align(node, &a, &b, "compare"):
			good = false
			continue
		}
		switch a.kind {
		case text:
			texts = append(texts, fixed(b.text))
		case numeric:
			numbers = append(numbers, fixed(b.number))
		case moment:
			moments = append(moments, fixed(b.moment))
		default:
			c.fail(n, "in is for text, numbers and timestamps, not for %s", a)
			good = false
		}
	}
	switch {
	case !good:
		return operand{}
	case a.kind == text:
		return logical(n, oneOf(a.text, texts, same))
	case a.kind == numeric:
		return logical(n, oneOf(a.number, numbers, sameNumber))
	}
	return logical(n, oneOf(a.moment, moments, same))
}

// fixed is the value of a literal.
func fixed[V any](literal value[V]) V {
	v, _ := literal(nil)
	return v
}

var functions = [...]string{"abs", "len", "lower", "trim", "upper"}

func (c *compiler) call(n ast.Node, name string, args []ast.Node) operand {
	var wants kind
	switch name {
	case "lower", "upper", "trim", "len":
		wants = text
	case "abs":
		wants = numeric
	default:
		hint := suggest(name, functions[:])
		if hint == "" {
			hint = "; there are " + strings.Join(functions[:], ", ")
		}
		return c.fail(n, "there is no function %q%s", name, hint)
	}
	if len(args) != 1 {
		return c.fail(n, "%s takes one argument, not %d", name, len(args))
	}
	o := c.compile(args[0])
	switch {
	case o.kind == unknown:
		return o
	case o.kind != wants:
		return c.fail(n, "%s takes %s, and %s is not", name, wants, o)
	}
	switch name {
	case "lower":
		return textual(n, apply(o.text, strings.ToLower))
	case "upper":
		return textual(n, apply(o.text, strings.ToUpper))
	case "trim":
		return textual(n, apply(o.text, strings.TrimSpace))
	case "len":
		return numerical(n, apply(o.text, func(s string) number { return integer(int64(utf8.RuneCountInString(s))) }))
	}
	return numerical(n, apply(o.number, number.abs))
}
