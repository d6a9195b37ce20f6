package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/brimline/brimline"
)

const (
	schemaOfRules = "../../docs/rules.schema.json"
	schemaOfTests = "../../docs/rules-test.schema.json"
)

func schema(t *testing.T, path string) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asEditor is a YAML file as an editor hands it to a schema: times are text there.
func asEditor(t *testing.T, n *yaml.Node) any {
	t.Helper()
	switch n.Kind {
	case yaml.DocumentNode:
		return asEditor(t, n.Content[0])
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			m[n.Content[i].Value] = asEditor(t, n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		l := []any{}
		for _, c := range n.Content {
			l = append(l, asEditor(t, c))
		}
		return l
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return n.Value == "true"
	case "!!int", "!!float":
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(strings.TrimPrefix(n.Value, "+")))
		if err == nil {
			return v
		}
	}
	return n.Value
}

func check(t *testing.T, s *jsonschema.Schema, text string) error {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return s.Validate(asEditor(t, &n))
}

// node finds an object in a schema by its path.
func node(t *testing.T, root any, path ...string) map[string]any {
	t.Helper()
	for _, name := range path {
		m, _ := root.(map[string]any)
		root = m[name]
	}
	m, ok := root.(map[string]any)
	if !ok {
		t.Fatalf("the schema has no object %s", strings.Join(path, "."))
	}
	return m
}

func parsed(t *testing.T, path string) any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func texts(of any) (list []string) {
	for _, v := range of.([]any) {
		list = append(list, v.(string))
	}
	return list
}

// The schemas name the fields, types and measures that the parser reads, and no others.
func TestSchemasNameWhatTheParserReads(t *testing.T) {
	rules, tests := parsed(t, schemaOfRules), parsed(t, schemaOfTests)
	for _, c := range []struct {
		what   string
		schema map[string]any
		fields []string
		closed bool
	}{
		{"a rules file", node(t, rules), fileFields(), true},
		{"a rule", node(t, rules, "definitions", "rule"), ruleFields(), true},
		{"a file of tests", node(t, tests), testFileFields(), true},
		{"a test", node(t, tests, "definitions", "test"), testFields(), true},
		{"a step", node(t, tests, "definitions", "step"), stepFields(), true},
		{"an alert", node(t, tests, "definitions", "alert"), alertFields(), true},
		{"a row", node(t, tests, "definitions", "row"), builtIn[:], false},
	} {
		var names []string
		for name := range node(t, c.schema, "properties") {
			names = append(names, name)
		}
		slices.Sort(names)
		if want := slices.Sorted(slices.Values(c.fields)); !slices.Equal(names, want) {
			t.Errorf("%s has the fields %q, in the schema %q", c.what, want, names)
		}
		if closed := c.schema["additionalProperties"] == false; closed != c.closed {
			t.Errorf("%s: other fields are refused: %t in the schema, %t by the parser", c.what, closed, c.closed)
		}
	}
	columns := node(t, rules, "properties", "columns")
	if got := texts(columns["additionalProperties"].(map[string]any)["enum"]); !slices.Equal(got, columnTypes()) {
		t.Errorf("column types %q", got)
	}
	reserved := append(builtIn[:], keywords()...)
	if got := texts(node(t, columns, "propertyNames", "not")["enum"]); !slices.Equal(got, reserved) {
		t.Errorf("names that no column can have %q, want %q", got, reserved)
	}
	if got := texts(node(t, rules, "definitions", "rule", "properties", "measure")["enum"]); !slices.Equal(
		got,
		measures(),
	) {
		t.Errorf("measures %q, want %q", got, measures())
	}
	for _, bound := range []struct {
		of   map[string]any
		name string
		want int
	}{
		{node(t, rules, "properties", "scale"), "maximum", brimline.MaxScale},
		{node(t, rules, "properties", "scale"), "default", DefaultScale},
		{node(t, rules, "properties", "rules"), "maxItems", MaxRules},
		{columns, "maxProperties", MaxColumns},
		{node(t, rules, "definitions", "rule", "properties", "severity"), "maxLength", maxSeverity},
		{node(t, rules, "definitions", "rule", "properties", "description"), "maxLength", maxDescription},
		{node(t, tests, "definitions", "test", "properties", "name"), "maxLength", maxName},
	} {
		if bound.of[bound.name] != float64(bound.want) {
			t.Errorf("%s is %v, in the program %d", bound.name, bound.of[bound.name], bound.want)
		}
	}
}

// What the parser takes, the schemas take: all files of testdata.
func TestSchemasTakeWhatTheParserTakes(t *testing.T) {
	rules, tests := schema(t, schemaOfRules), schema(t, schemaOfTests)
	taken := 0
	err := filepath.WalkDir("../../testdata", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		s := rules
		_, refused := Parse(path, data)
		if bytes.Contains(data, []byte("\ntests:")) {
			s = tests
			_, refused = LoadTests(path)
		}
		if refused != nil {
			return nil
		}
		taken++
		if err := check(t, s, string(data)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || taken < 8 {
		t.Errorf("%d files, %v", taken, err)
	}
}

// Each mistake is one that the parser refuses too.
func TestSchemasRefuse(t *testing.T) {
	const (
		goodRules = "scale: 2\nlateness: 1d\ncolumns: {fee: numeric}\n" +
			"rules: [{id: a, window: 7d, limit: 1.50, measure: sum_in, where: fee > 1, severity: high}]"
		goodTests = "rules:\n  rules: [{id: a, window: 7d, limit: 1}]\nstart: 2026-11-23\ntests:\n  - name: x\n" +
			"    only: [a]\n    steps:\n    - insert: [{id: r, timestamp: +0h, user_id: ada, amount: 2}]\n" +
			"    - update: [{id: r, amount: 3}]\n    - now: +1d\n" +
			"    - expect: [{user_id: ada, at: 2026-11-23 00:00, total: 2.00, count: 1}]\n" +
			"    - delete: r\n    - truncate: true\n    - expect: none\n"
	)
	for _, c := range []struct {
		schema, good string
		mistakes     [][2]string
	}{
		{schemaOfRules, goodRules, [][2]string{
			{"scale: 2", "scale: 19"}, {"scale: 2", "scael: 2"}, {"lateness: 1d", "lateness: 1 day"},
			{"lateness: 1d", "lateness: 1h1d"}, {"fee: numeric", "fee: decimal"}, {"{fee:", "{amount:"},
			{"{fee:", "{not:"}, {"id: a, ", ""}, {"id: a", "id: -a"}, {"window: 7d", "window: 7"},
			{"limit: 1.50", `limit: "1,000"`}, {"limit: 1.50", "limit: [1]"}, {"measure: sum_in", "measure: median"},
			{"where: fee > 1", `where: ""`}, {"severity: high", "severity: {}"}, {"severity: high", "level: high"},
			{"rules: [", "rules: []\nx: ["},
		}},
		{schemaOfTests, goodTests, [][2]string{
			{"limit: 1", "limit: x"}, {"start: 2026-11-23", "start: yesterday"}, {"start: 2026-11-23", "start: +1h"},
			{"name: x", "title: x"}, {"only: [a]", "only: a"}, {"only: [a]", "expect: none"}, {"timestamp: +0h, ", ""},
			{"timestamp: +0h", "timestamp: soon"}, {"amount: 2}", "amount: 2.0.0}"}, {"{id: r, amount: 3}", "{amount: 3}"},
			{"now: +1d", "later: +1d"}, {"now: +1d", "now: tomorrow"}, {"at: 2026-11-23 00:00, ", ""},
			{"count: 1", "count: 0"}, {"count: 1", "tier: 1"}, {"truncate: true", "truncate: yes"},
			{"- expect: none", "- expect: nothing"}, {"- delete: r\n", "- delete: {}\n"},
			{"- delete: r\n    - ", "- delete: r\n      "}, {"\ntests:", "\ntest:"},
		}},
	} {
		s := schema(t, c.schema)
		refused := func(text string) error {
			if c.schema == schemaOfRules {
				_, err := Parse("x", []byte(text))
				return err
			}
			_, problems := parseTests("x", []byte(text), func(string) ([]byte, error) { return nil, errors.New("none") })
			if len(problems) > 0 {
				return errors.New(problems[0].String())
			}
			return nil
		}
		if err := check(t, s, c.good); err != nil {
			t.Fatalf("%v\n%s", err, c.good)
		}
		if err := refused(c.good); err != nil {
			t.Fatalf("%v\n%s", err, c.good)
		}
		for _, m := range c.mistakes {
			bad := strings.Replace(c.good, m[0], m[1], 1)
			if bad == c.good {
				t.Errorf("%q is not in the example", m[0])
			}
			if err := check(t, s, bad); err == nil {
				t.Errorf("%q instead of %q: the schema takes it", m[1], m[0])
			}
			if err := refused(bad); err == nil {
				t.Errorf("%q instead of %q: the parser takes it", m[1], m[0])
			}
		}
	}
}
