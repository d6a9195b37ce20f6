package rules

import (
	"unicode"

	"go.yaml.in/yaml/v3"
)

// locate finds the place in the file of a scalar's character at offset. It
// walks the scalar's value and the file side by side, taking white space as
// equal, since YAML folds it; where they part ways (escapes) it gives the
// start of the scalar.
func (r *reader) locate(n *yaml.Node, offset int) (line, column int) {
	value := []rune(n.Value)
	offset = min(offset, len(value))
	c := &cursor{lines: r.lines, line: n.Line - 1, column: n.Column - 1}
	var quote rune
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.column = c.line+1, 0
	case n.Style&yaml.SingleQuotedStyle != 0:
		quote = '\''
	case n.Style&yaml.DoubleQuotedStyle != 0:
		quote = '"'
	}
	c.load()
	if quote != 0 && !c.take(quote) {
		return n.Line, n.Column
	}
	for _, want := range value[:offset] {
		if unicode.IsSpace(want) {
			continue
		}
		c.skipSpace()
		if quote == '\'' && want == '\'' && !c.take('\'') || quote == '"' && (want == '"' || want == '\\') && !c.take('\\') {
			return n.Line, n.Column
		}
		if !c.take(want) {
			return n.Line, n.Column
		}
	}
	if offset < len(value) && !unicode.IsSpace(value[offset]) {
		c.skipSpace()
	}
	return c.line + 1, c.column + 1
}

// cursor is a place in a file, in lines and characters from 0.
type cursor struct {
	lines        []string
	line, column int
	runes        []rune // of the line
}

func (c *cursor) load() {
	c.runes = nil
	if c.line < len(c.lines) {
		c.runes = []rune(c.lines[c.line])
	}
}

func (c *cursor) take(r rune) bool {
	if c.column >= len(c.runes) || c.runes[c.column] != r {
		return false
	}
	c.column++
	return true
}

// skipSpace goes to the next character that is not white space, over line ends, or to the end of the file.
func (c *cursor) skipSpace() {
	for c.line < len(c.lines) {
		for c.column < len(c.runes) && unicode.IsSpace(c.runes[c.column]) {
			c.column++
		}
		if c.column < len(c.runes) || c.line == len(c.lines)-1 {
			return
		}
		c.line, c.column = c.line+1, 0
		c.load()
	}
}
