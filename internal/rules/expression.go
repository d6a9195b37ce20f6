package rules

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/sliding"
)

// maxWhere bounds the text of an expression, in bytes, and with it the nodes
// and the depth of its tree.
const maxWhere = 4096

// builtIn are the names that every expression knows, whatever the columns of
// the watched table are called.
var builtIn = [...]string{"id", "user_id", "amount", "timestamp"}

// Option changes what a compiled expression does beside its answer.
type Option func(*options)

type options struct {
	failed func(error)
}

// OnFailure has f called for each row that could not be evaluated because it
// lacks a declared column or holds another type in it; such a row does not
// match. f must be safe for concurrent use.
func OnFailure(f func(error)) Option {
	return func(o *options) { o.failed = f }
}

// Compile makes a predicate of a where expression over the built-in names and
// columns; scale is that of amounts. The predicate is pure, safe for
// concurrent use, and false where the expression is false, NULL or cannot be
// evaluated. It is nil, which is every row, for a blank expression. The error is
// a *brimline.Error of ClassInput and kind where_invalid that lists all that
// is wrong with the expression.
func Compile(
	where string, columns []brimline.Column, scale int, opts ...Option,
) (func(*brimline.Transaction) bool, error) {
	p, faults := compile(where, columns, scale)
	if len(faults) > 0 {
		texts := make([]string, len(faults))
		for i, f := range faults {
			texts[i] = fmt.Sprintf("at character %d: %s", f.at+1, f.message)
		}
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "where_invalid", Where: fmt.Sprintf("where %q", where),
			Err: errors.New(strings.Join(texts, "; ")),
		}
	}
	return p.takes(opts), nil
}

// CompileRule is Compile for a rule that did not come from a file, such as
// that of a candidate.
func CompileRule(rule brimline.Rule, columns []brimline.Column, scale int, opts ...Option) (sliding.Rule, error) {
	takes, err := Compile(rule.Where, columns, scale, opts...)
	if err != nil {
		return sliding.Rule{}, err
	}
	compiled := sliding.Rule{Rule: rule, Fingerprint: rule.Fingerprint(), Takes: takes}
	if rule.Measure != brimline.Distinct {
		return compiled, nil
	}
	column, ok := declared(columns, rule.Column)
	if !ok {
		return sliding.Rule{}, &brimline.Error{
			Class: brimline.ClassInput, Kind: "where_invalid", Where: "of " + strconv.Quote(rule.Column),
			Err: errors.New("there is no such column among those that are declared"),
		}
	}
	compiled.Value = valueOf(column, opts)
	return compiled, nil
}

func declared(columns []brimline.Column, name string) (brimline.Column, bool) {
	n := slices.IndexFunc(columns, func(c brimline.Column) bool { return name != "" && c.Name == name })
	if n < 0 {
		return brimline.Column{}, false
	}
	return columns[n], true
}

// valueOf gives rows' values of a column for sliding.Rule.Value. A row that lacks the column, or holds another type in
// it, has none.
func valueOf(column brimline.Column, opts []Option) func(*brimline.Transaction) any {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return func(t *brimline.Transaction) any {
		v, there := t.Column(column.Name)
		if v != nil && fits(column.Type, v) {
			return v
		}
		if o.failed != nil && (v != nil || !there) {
			o.failed(explain(t, []brimline.Column{column}))
		}
		return nil
	}
}

// predicate is a compiled expression; holds is nil for a blank one.
type predicate struct {
	holds condition
	used  []brimline.Column
	nulls []string // columns that are compared with nil, or given another value in its place
}

func (p predicate) takes(opts []Option) func(*brimline.Transaction) bool {
	if p.holds == nil {
		return nil
	}
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	return func(t *brimline.Transaction) bool {
		v, s := p.holds(t)
		if s == failed && o.failed != nil {
			o.failed(explain(t, p.used))
		}
		return v && s == known
	}
}

// fault is one thing wrong with an expression; at counts characters from 0.
type fault struct {
	at      int
	message string
	follows bool // from a column declared without a valid type
}

func compile(where string, columns []brimline.Column, scale int) (predicate, []fault) {
	if strings.TrimSpace(where) == "" {
		return predicate{}, nil
	}
	p, faults := compileOwn(where, columns, scale)
	if len(faults) > 0 {
		c := &compiler{source: []rune(where), columns: columns, scale: scale}
		return predicate{}, c.sql(faults)
	}
	return p, nil
}

// compileOwn compiles an expression in the language of rules.
func compileOwn(where string, columns []brimline.Column, scale int) (predicate, []fault) {
	if len(where) > maxWhere {
		return predicate{}, []fault{{message: fmt.Sprintf("the expression is longer than %d bytes", maxWhere)}}
	}
	c := &compiler{source: []rune(where), columns: columns, scale: scale}
	tree, err := parser.Parse(where)
	if err != nil {
		return predicate{}, []fault{c.syntax(err)}
	}
	result := c.compile(tree.Node)
	if result.kind != unknown && result.kind != boolean {
		c.fail(tree.Node, "the expression is %s, not a condition", result)
	}
	if len(c.faults) > 0 {
		return predicate{}, c.faults
	}
	return predicate{result.holds, c.used, c.nulls}, nil
}

// compiler types the nodes of a tree and turns them into functions. A node
// that it cannot make sense of becomes an operand of kind unknown, about which
// nothing more is said further up.
type compiler struct {
	source  []rune
	columns []brimline.Column
	scale   int
	used    []brimline.Column
	nulls   []string // columns that are compared with nil
	faults  []fault
}

func (c *compiler) fail(n ast.Node, format string, args ...any) operand {
	at := min(max(n.Location().From, 0), len(c.source))
	f := fault{at: at, message: fmt.Sprintf(format, args...)}
	for _, known := range c.faults { // `1 < x < 2` has x twice in its tree
		if known == f {
			return operand{}
		}
	}
	c.faults = append(c.faults, f)
	return operand{}
}

// syntax takes the place and the first line of a parse error.
func (c *compiler) syntax(err error) fault {
	f := fault{message: err.Error()}
	if e, ok := errors.AsType[*file.Error](err); ok {
		f = fault{at: min(max(e.From, 0), len(c.source)), message: e.Message}
	}
	f.message, _, _ = strings.Cut(f.message, "\n")
	switch {
	case strings.HasPrefix(f.message, "unexpected token EOF"), f.message == "unexpected end of expression":
		f.at, f.message = len(c.source), "the expression ends too early"
	case strings.Contains(f.message, "value out of range"):
		f.message = "the number is too large; write it with a decimal point, such as 100000000000000000000.0"
	default:
		f.message = unexpectedToken.ReplaceAllString(f.message, "unexpected $1")
	}
	return f
}

// unexpectedToken is how the parser says what it did not expect.
var unexpectedToken = regexp.MustCompile(`^unexpected token \w+\((".*")\)$`)

// text is the source of a leaf.
func (c *compiler) text(n ast.Node) string {
	l := n.Location()
	from := min(max(l.From, 0), len(c.source))
	return string(c.source[from:min(max(l.To, from), len(c.source))])
}
