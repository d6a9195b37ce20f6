package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader turns the nodes of a YAML document into a Set and notes every problem on its way.
type reader struct {
	file     string
	what     string // the kind of file, in messages: "rules"
	data     []byte
	lines    []string // of data
	problems Problems
}

func newReader(file, what string, data []byte) *reader {
	return &reader{file: file, what: what, data: data}
}

func (r *reader) problem(line, column int, format string, args ...any) {
	r.problems.List = append(r.problems.List, Problem{r.file, max(line, 1), max(column, 1), fmt.Sprintf(format, args...)})
}

func (r *reader) problemAt(n *yaml.Node, format string, args ...any) {
	r.problem(n.Line, n.Column, format, args...)
}

// document is the root of the only YAML document of the file, or nil.
func (r *reader) document() *yaml.Node {
	if len(r.data) > MaxFile {
		r.problem(1, 1, "the file is larger than %d bytes", MaxFile)
		return nil
	}
	r.lines = strings.Split(string(r.data), "\n")
	var first, second yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(r.data))
	switch err := d.Decode(&first); {
	case errors.Is(err, io.EOF):
		r.problem(1, 1, "the file is empty; it needs a list of %s", r.what)
		return nil
	case err != nil:
		r.syntax(err)
		return nil
	}
	switch err := d.Decode(&second); {
	case err == nil:
		r.problemAt(&second, "a second YAML document starts here; a %s file holds one", r.what)
	case !errors.Is(err, io.EOF):
		r.syntax(err)
	}
	if len(first.Content) != 1 || !r.plain(first.Content[0]) {
		return nil
	}
	return first.Content[0]
}

// syntax notes an error of the YAML library, which names the line in its text.
func (r *reader) syntax(err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 1
	if m := regexp.MustCompile(`^line (\d+): `).FindStringSubmatch(message); m != nil {
		line, _ = strconv.Atoi(m[1])
		message = message[len(m[0]):]
		if slices.ContainsFunc(countedFromZero(), func(s string) bool { return strings.HasPrefix(message, s) }) {
			line++
		}
	}
	r.problem(line, 1, "not valid YAML: %s", message)
}

// countedFromZero are the errors whose line go.yaml.in/yaml/v3 v3.0.5 gives one too low.
func countedFromZero() []string {
	return []string{
		"did not find expected key", "did not find expected ',' or", "did not find expected '-' indicator",
		"did not find expected node content", "did not find expected <document start>",
	}
}

// plain refuses aliases: what they stand for may be anywhere and of any size.
func (r *reader) plain(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		r.problemAt(n, "aliases (*%s) are not supported here; write the value out", n.Value)
		return false
	}
	ok := true
	for _, child := range n.Content {
		ok = r.plain(child) && ok
	}
	return ok
}

// field is one entry of a mapping.
type field struct {
	name       string
	key, value *yaml.Node
}

// mapping lists the entries of n in their order, without those that repeat a
// name or have no value; both are noted.
func (r *reader) mapping(n *yaml.Node, what string) []field {
	if n.Kind != yaml.MappingNode {
		r.problemAt(n, "%s must be a mapping of names to values, and is %s", what, nodeKind(n))
		return nil
	}
	var (
		fields []field
		seen   = make(map[string]int)
	)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			r.problemAt(key, "a name must be plain text, and is %s", nodeKind(key))
			continue
		}
		if line, ok := seen[key.Value]; ok {
			r.problemAt(key, "%q is given twice; it was first given on line %d", key.Value, line)
			continue
		}
		seen[key.Value] = key.Line
		if value.Kind == yaml.ScalarNode && value.Tag == "!!null" {
			r.problemAt(value, "%q has no value; give one or leave the name out", key.Value)
			value = nil
		}
		fields = append(fields, field{key.Value, key, value})
	}
	return fields
}

// known is mapping for one with the given names. Names without a value are
// keys of the result with a nil node.
func (r *reader) known(n *yaml.Node, what string, names []string) map[string]*yaml.Node {
	found := make(map[string]*yaml.Node)
	for _, f := range r.mapping(n, what) {
		found[f.name] = f.value
		if !slices.Contains(names, f.name) {
			hint := suggest(f.name, names)
			if hint == "" {
				hint = "; known are " + strings.Join(names, ", ")
			}
			r.problemAt(f.key, "unknown field %q%s", f.name, hint)
		}
	}
	return found
}

// scalar is the text of a node as it stands in the file, and false where there
// is none; a list or mapping is noted.
func (r *reader) scalar(n *yaml.Node, name string) (string, bool) {
	if n == nil {
		return "", false
	}
	if n.Kind != yaml.ScalarNode {
		r.problemAt(n, "%s must be a single value, and is %s", name, nodeKind(n))
		return "", false
	}
	return n.Value, true
}

func nodeKind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if n.Tag == "!!null" {
		return "empty"
	}
	return "a single value"
}
