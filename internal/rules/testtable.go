package rules

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// record is a row of a table, or an entry of a list: its cells by name.
type record struct {
	line, column int
	cells        map[string]cell
	bad          []string // names of cells that were refused
}

// cell is a value with its place in the file.
type cell struct {
	text         string
	null         bool
	line, column int
}

// records reads a table, or a list of mappings with the same names. known are the names that there are, nil if
// they are not known; later those that there will be, each with what is missing; remedy is said of one that is neither.
func (r *reader) records(n *yaml.Node, what string, known []string, later map[string]string, remedy string) []record {
	fits := func(name string, line, column int) bool {
		if why, reserved := later[name]; reserved {
			r.problem(line, column, "%q cannot be expected yet: %s; leave it out", name, why)
			return false
		}
		if known == nil || slices.Contains(known, name) {
			return true
		}
		hint := suggest(name, known)
		if hint == "" {
			hint = "; known are " + strings.Join(known, ", ") + remedy
		}
		r.problem(line, column, "unknown name %q of %s%s", name, what, hint)
		return false
	}
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		return r.listed(n, fits)
	case n.Kind == yaml.ScalarNode && n.Style&yaml.LiteralStyle != 0:
		return r.table(n, what, fits)
	case n.Kind == yaml.ScalarNode && strings.Contains(n.Value, "|"):
		r.problemAt(n, "a table of %s begins on the line after %q, with its rows indented", what, "|")
	case n.Kind == yaml.SequenceNode:
		r.problemAt(n, "the list of %s is empty%s", what, orNone(what))
	default:
		r.problemAt(n, "%s must be a table after %q, or a list, and is %s%s", what, "|", nodeKind(n), orNone(what))
	}
	return nil
}

// orNone is the remedy where a table may say that it has nothing.
func orNone(what string) string {
	if what == "alerts" {
		return "; write none where no alert must be sent"
	}
	return ""
}

// listed reads a list of mappings.
func (r *reader) listed(n *yaml.Node, fits func(name string, line, column int) bool) (records []record) {
	for _, item := range n.Content {
		if item.Kind != yaml.MappingNode {
			r.problemAt(item, "an entry must be a mapping such as {user_id: ada}, and is %s", nodeKind(item))
			continue
		}
		rec := record{line: item.Line, column: item.Column, cells: map[string]cell{}}
		for i := 0; i+1 < len(item.Content); i += 2 {
			key, value := item.Content[i], item.Content[i+1]
			if key.Kind != yaml.ScalarNode {
				r.problemAt(key, "a name must be plain text, and is %s", nodeKind(key))
				continue
			}
			if before, twice := rec.cells[key.Value]; twice {
				r.problemAt(key, "%q is given twice; it was first given on line %d", key.Value, before.line)
				continue
			}
			if !fits(key.Value, key.Line, key.Column) {
				continue
			}
			if value.Kind != yaml.ScalarNode {
				r.problemAt(value, "%s must be a single value, and is %s", key.Value, nodeKind(value))
				rec.bad = append(rec.bad, key.Value)
				continue
			}
			null := value.Tag == "!!null"
			rec.cells[key.Value] = cell{value.Value, null, value.Line, value.Column}
		}
		records = append(records, rec)
	}
	return records
}

// notRows are lines of a table that psql and Markdown draw, and comments.
var notRows = regexp.MustCompile(`^\s*(#.*|[-+|: ]*|\(\d+ rows?\))$`)

// table reads a table with bars between its columns, and their names in its first line.
func (r *reader) table(n *yaml.Node, what string, fits func(name string, line, column int) bool) (records []record) {
	var (
		names  []string
		framed bool // bars stand at both ends of the lines as well
		used   []bool
	)
	for i, text := range strings.Split(n.Value, "\n") {
		line := n.Line + 1 + i
		if notRows.MatchString(text) {
			continue
		}
		indent := 0
		if line <= len(r.lines) {
			whole := strings.TrimRight(r.lines[line-1], "\r")
			if strings.HasSuffix(whole, text) {
				indent = utf8.RuneCountInString(whole[:len(whole)-len(text)])
			}
		}
		if names == nil {
			trimmed := strings.TrimSpace(text)
			framed = strings.HasPrefix(trimmed, "|")
		}
		cells, ok := r.cut(text, framed, line, indent)
		if !ok {
			if names == nil {
				return nil
			}
			continue
		}
		if names == nil {
			for _, c := range cells {
				fine := fits(c.text, c.line, c.column)
				if at := slices.Index(names, c.text); at >= 0 {
					r.problem(c.line, c.column, "%q names two columns of the table", c.text)
					fine = false
				}
				names, used = append(names, c.text), append(used, fine)
			}
			continue
		}
		if len(cells) != len(names) {
			r.problem(line, indent+1, "the line has %d cells, and the table %d columns: %s; a bar within a cell needs quotes",
				len(cells), len(names), strings.Join(names, ", "))
			continue
		}
		rec := record{line: line, column: cells[0].column, cells: map[string]cell{}}
		for at, c := range cells {
			if used[at] {
				rec.cells[names[at]] = c
			} else {
				rec.bad = append(rec.bad, names[at])
			}
		}
		records = append(records, rec)
	}
	switch {
	case names == nil:
		r.problemAt(n, "the table of %s is empty; its first line names the columns", what)
	case len(records) == 0 && len(r.problems.List) == 0:
		r.problemAt(n, "the table has no %s below its first line%s", what, orNone(what))
	}
	return records
}

// cut takes a line apart. A cell in double quotes holds what stands between them, whatever it is.
func (r *reader) cut(text string, framed bool, line, indent int) (cells []cell, ok bool) {
	at, end := 0, len(strings.TrimRight(text, " \t"))
	if framed {
		at = strings.Index(text, "|") + 1
		if end == 0 || text[end-1] != '|' || end <= at || strings.TrimSpace(text[:max(at-1, 0)]) != "" {
			r.problem(line, indent+1, "the line must begin and end with a bar, as the first one does")
			return nil, false
		}
		end--
	}
	for {
		from := at + len(text[at:end]) - len(strings.TrimLeft(text[at:end], " \t"))
		c := cell{line: line, column: indent + utf8.RuneCountInString(text[:from]) + 1}
		if from < end && text[from] == '"' {
			quoted, err := strconv.QuotedPrefix(text[from:end])
			rest := strings.TrimLeft(text[from+len(quoted):end], " \t")
			if err != nil || rest != "" && rest[0] != '|' {
				r.problem(c.line, c.column,
					"a text in quotes ends with a quote, and a bar follows; write \\\" for a quote within it")
				return nil, false
			}
			c.text, _ = strconv.Unquote(quoted)
			at = end - len(rest)
		} else {
			at = end
			if bar := strings.IndexByte(text[from:end], '|'); bar >= 0 {
				at = from + bar
			}
			c.text = strings.TrimSpace(text[from:at])
			c.null = c.text == "" || c.text == "NULL"
		}
		cells = append(cells, c)
		if at == end {
			return cells, true
		}
		at++
	}
}
