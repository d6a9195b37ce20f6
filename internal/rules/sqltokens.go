package rules

import (
	"strings"
	"unicode"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// token is a piece of an expression as a person who thinks in SQL may have written it.
type token struct {
	kind tokenKind
	text string // as it stands in the source
	at   int    // characters before it
}

type tokenKind uint8

const (
	atEnd tokenKind = iota
	aWord
	aNumber
	aText // in quotes of any kind
	aSign
	aComment // of SQL: from -- to the end of the line
)

// signs of more than one character, the longer ones first.
var signs = [...]string{
	"!~*", "!~~", "::", "<>", "!=", "==", "<=", ">=", "=<", "=>", "&&", "||", "??", "?.", "..", "!~", "~*", "~~",
}

// typographic quotation marks, and what closes them.
var typographic = map[rune]string{'‘': "’‘'", '’': "’'", '“': "”“\"", '”': "”\"", '„': "“”\"", '«': "»"}

// tokens takes the source apart. A text or a comment without an end is a fault.
func tokens(source []rune) ([]token, *fault) {
	var all []token
	for i := 0; i < len(source); {
		rest, r := source[i:], source[i]
		n := 1
		t := token{kind: aSign, at: i}
		switch {
		case unicode.IsSpace(r):
			i++
			continue
		case starts(rest, "//"), starts(rest, "--"):
			if r == '-' {
				t.kind = aComment
			}
			for n < len(rest) && rest[n] != '\n' {
				n++
			}
		case starts(rest, "/*"):
			end := strings.Index(string(rest[2:]), "*/")
			if end < 0 {
				return nil, &fault{at: i, message: "unclosed comment"}
			}
			i += 4 + len([]rune(string(rest[2:])[:end]))
			continue
		case r == '\'' || r == '"' || r == '`':
			t.kind, n = aText, quoted(rest)
		case typographic[r] != "":
			t.kind = aText
			if n = strings.IndexAny(string(rest[1:]), typographic[r]); n >= 0 {
				n = len([]rune(string(rest[1:])[:n])) + 2
			}
		case isDecimal(r) || r == '.' && len(rest) > 1 && isDecimal(rest[1]):
			t.kind = aNumber
			for n < len(rest) && (isLetter(rest[n]) || rest[n] == '.' && !starts(rest[n:], "..")) {
				n++
			}
		case isLetter(r):
			t.kind = aWord
			for n < len(rest) && isLetter(rest[n]) {
				n++
			}
		default:
			for _, sign := range signs {
				if starts(rest, sign) {
					n = len(sign)
					break
				}
			}
		}
		if n <= 0 {
			return nil, &fault{at: i, message: "literal not terminated"}
		}
		t.text = string(rest[:n])
		i += n
		if r != '/' || t.kind != aSign || n == 1 { // a comment of rule expressions says nothing
			all = append(all, t)
		}
	}
	return append(all, token{at: len(source)}), nil
}

// isLetter tells what a name is made of, digits included.
func isLetter(r rune) bool { return r == '_' || r == '$' || unicode.IsLetter(r) || unicode.IsDigit(r) }

func isDecimal(r rune) bool { return '0' <= r && r <= '9' }

func starts(rest []rune, with string) bool {
	return len(rest) >= len(with) && string(rest[:len(with)]) == with // with is ASCII
}

// quoted is the length of the text that begins here, with its quotes, 0 where it has no end. A quote written twice
// is one within the text, as in SQL: two texts side by side are no expression.
func quoted(rest []rune) int {
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '\\' && rest[0] != '`':
			i++
		case rest[i] == rest[0] && i+1 < len(rest) && rest[i+1] == rest[0]:
			i++
		case rest[i] == rest[0]:
			return i + 1
		}
	}
	return 0
}

// value reads a text in quotes: as in a rule where that is possible, else as in SQL.
func (t token) value() string {
	if tree, err := parser.Parse(t.text); err == nil {
		if s, ok := tree.Node.(*ast.StringNode); ok {
			return s.Value
		}
	}
	return t.inner()
}

// inner is the text between the quotes, with doubled ones taken as one.
func (t token) inner() string {
	runes := []rune(t.text)
	quote := string(runes[0])
	return strings.ReplaceAll(string(runes[1:len(runes)-1]), quote+quote, quote)
}

func (t token) is(words ...string) bool {
	for _, w := range words {
		if t.kind == aSign && t.text == w || t.kind == aWord && strings.EqualFold(t.text, w) {
			return true
		}
	}
	return false
}
