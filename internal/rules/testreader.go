package rules

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/brimline/brimline"
)

const maxName = 200 // characters of a test's name

func testFileFields() []string { return []string{"rules", "start", "tests"} }

func testFields() []string { return []string{"name", "only", "start", "rows", "expect", "steps"} }

func stepFields() []string {
	return []string{"insert", "update", "delete", "truncate", "now", "expect"}
}

func alertFields() []string {
	return []string{"rule", "user_id", "at", "before", "total", "count", "severity"}
}

// laterAlertFields are those of rules that there are not yet, and what is not compared: a test that
// names one would compare nothing.
func laterAlertFields() map[string]string {
	return map[string]string{
		"tier":       "rules have one limit each",
		"shadow":     "there are no rules in shadow mode",
		"supersedes": "what alerts supersede is not compared",
		"clears_at":  "alerts do not say when the total falls below the limit",
	}
}

// testReader reads a file of tests.
type testReader struct {
	*reader
	open    func(path string) ([]byte, error)
	file    *TestFile
	start   brimline.Time // of the file
	ofRules []Problem     // of the rules file that is named
}

// rules are those of the file; nil where they could not be read, and then nothing is said that follows from them.
func (r *testReader) rules() *Set { return r.file.Rules }

func (r *testReader) read() {
	root := r.document()
	if root == nil {
		return
	}
	top := r.known(root, "a file of tests", testFileFields())
	if root.Kind != yaml.MappingNode {
		return
	}
	rules, given := top["rules"]
	list, tested := top["tests"]
	switch {
	case !given:
		r.problemAt(root, "rules are missing; write rules: and the path of the rules file, or the rules themselves")
	case rules != nil && rules.Kind == yaml.SequenceNode && !tested:
		r.problemAt(rules, "this is a rules file; name the file of its tests, or check it with brimline rules check")
	case rules != nil:
		r.readRules(rules)
	}
	r.start = r.startOf(top["start"], defaultStart)
	switch {
	case !tested:
		r.problemAt(root, "tests are missing; list at least one")
	case list == nil: // noted by mapping
	case list.Kind != yaml.SequenceNode:
		r.problemAt(list, "tests must be a list, and is %s", nodeKind(list))
	case len(list.Content) == 0:
		r.problemAt(list, "the list of tests is empty")
	default:
		names := map[string]int{}
		for _, n := range list.Content {
			r.test(n, names)
		}
	}
}

// readRules takes the rules that stand in the file, or those of the file that it names.
func (r *testReader) readRules(n *yaml.Node) {
	switch n.Kind {
	case yaml.MappingNode:
		before := len(r.problems.List)
		if set := r.set(n); len(r.problems.List) == before {
			r.file.Rules = set
		}
	case yaml.ScalarNode:
		path := besides(r.file.Path, n.Value)
		data, err := r.open(path)
		if err != nil {
			r.problemAt(n, "rules: %s cannot be read: %v; the path is relative to this file", path, unwrapPath(err))
			return
		}
		set, err := Parse(path, data)
		if list, ok := errors.AsType[*Problems](err); ok {
			r.ofRules = list.List
			return
		}
		r.file.Rules = set
	default:
		r.problemAt(n, "rules must be the path of a rules file, or such a file's content, and is %s", nodeKind(n))
	}
}

func (r *testReader) startOf(n *yaml.Node, otherwise brimline.Time) brimline.Time {
	text, ok := r.scalar(n, "start")
	if !ok {
		return otherwise
	}
	t, relative, err := parseTestTime(text, 0)
	if err == nil && relative {
		err = errors.New("write the start as a time such as 2026-11-23 10:00: relative times count from it")
	}
	if err != nil {
		r.problemAt(n, "start: %v", err)
		return otherwise
	}
	return t
}

// oneTest is a test as it is read: what its rows have become by the step at hand.
type oneTest struct {
	*testReader
	Test
	rows     map[string]*brimline.Transaction
	gone     map[string]int // the line of its deletion, by id
	inserted int
	now      *brimline.Time
	absolute bool
	expects  bool
}

func (r *testReader) test(n *yaml.Node, names map[string]int) {
	fields := r.known(n, "a test", testFields())
	if n.Kind != yaml.MappingNode {
		return
	}
	t := &oneTest{testReader: r, rows: map[string]*brimline.Transaction{}, gone: map[string]int{}}
	t.Line = n.Line
	t.Name = r.testName(n, fields, names)
	t.Start = r.startOf(fields["start"], r.start)
	t.Only = t.only(fields["only"])

	steps, inSteps := fields["steps"]
	rows, short := fields["rows"]
	expect, expects := fields["expect"]
	switch {
	case inSteps && (short || expects):
		r.problemAt(n, "a test has either rows and expect, or steps; as steps they are insert and expect")
	case inSteps && steps == nil: // noted by mapping
	case inSteps && steps.Kind != yaml.SequenceNode:
		r.problemAt(steps, "steps must be a list, and is %s", nodeKind(steps))
	case inSteps:
		for _, s := range steps.Content {
			t.step(s)
		}
	default:
		if rows != nil {
			t.insert(rows)
		}
		if expect != nil {
			t.expect(expect)
		}
		if short && rows == nil || expects && expect == nil {
			return // noted by mapping
		}
	}
	if !inSteps || steps != nil && steps.Kind == yaml.SequenceNode {
		t.whole(n)
	}
	t.Relative = !t.absolute
	r.file.Tests = append(r.file.Tests, t.Test)
}

// whole notes what makes a test none.
func (t *oneTest) whole(n *yaml.Node) {
	if !slices.ContainsFunc(t.Steps, func(s Step) bool { return s.Kind == RowsChange }) {
		t.problemAt(n, "the test has no rows; give some under rows, or insert them in a step")
	}
	if !t.expects {
		t.problemAt(n, "the test expects nothing; write expect: with its alerts, or expect: none")
	}
}

func (r *testReader) testName(n *yaml.Node, fields map[string]*yaml.Node, names map[string]int) string {
	if _, given := fields["name"]; !given {
		r.problemAt(n, "the test has no name; a sentence that says what must hold is a good one")
	}
	name := r.label(fields["name"], "name", maxName)
	if fields["name"] == nil {
		return ""
	}
	if name == "" || strings.ContainsAny(name, "\n\t") {
		r.problemAt(fields["name"], "the name must be one line of text")
	}
	if line, ok := names[name]; ok {
		r.problemAt(fields["name"], "a test of this name is there already, on line %d", line)
	}
	names[name] = n.Line
	return name
}

func (t *oneTest) only(n *yaml.Node) (ids []string) {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		t.problemAt(n, "only must be a list of rule ids, such as [weekly-spend]")
		return nil
	}
	for _, item := range n.Content {
		id, ok := t.scalar(item, "a rule id")
		problem := func(format string, args ...any) { t.problemAt(item, format, args...) }
		if tiers := t.tiersOf(id); len(tiers) > 0 {
			ids = append(ids, tiers...)
		} else if ok && t.ruleOf(id, problem) != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

// tiersOf are the ids of a rule with several limits; nil for any other.
func (r *testReader) tiersOf(id string) (ids []string) {
	if r.rules() == nil {
		return nil
	}
	for i := range r.rules().Rules {
		if rule := &r.rules().Rules[i]; rule.ID != id && rule.Of() == id {
			ids = append(ids, rule.ID)
		}
	}
	return ids
}

// ruleOf is the rule of that id; nil where there is none, which is noted, or where the rules are not known.
func (r *testReader) ruleOf(id string, problem func(format string, args ...any)) *brimline.Rule {
	if r.rules() == nil {
		return nil
	}
	ids := make([]string, 0, len(r.rules().Rules))
	for i := range r.rules().Rules {
		if rule := &r.rules().Rules[i]; rule.ID == id {
			return rule
		}
		ids = append(ids, r.rules().Rules[i].ID)
	}
	if tiers := r.tiersOf(id); len(tiers) > 0 {
		problem("rule %q has several limits; name one of %s", id, strings.Join(tiers, ", "))
		return nil
	}
	hint := suggest(id, ids)
	if hint == "" && len(ids) <= 10 {
		hint = "; there are " + strings.Join(ids, ", ")
	}
	problem("there is no rule %q%s", id, hint)
	return nil
}

func (t *oneTest) step(n *yaml.Node) {
	fields := t.known(n, "a step", stepFields())
	if n.Kind != yaml.MappingNode {
		return
	}
	if len(fields) != 1 {
		t.problemAt(n, "a step is one of %s; begin each with its own dash", strings.Join(stepFields(), ", "))
		return
	}
	for name, value := range fields {
		if value == nil {
			return // noted by mapping
		}
		switch name {
		case "insert":
			t.insert(value)
		case "update":
			t.update(value)
		case "delete":
			t.delete(value)
		case "truncate":
			t.truncate(value)
		case "now":
			t.pass(value)
		case "expect":
			t.expect(value)
		}
	}
}

func (t *oneTest) add(n *yaml.Node, s Step) {
	s.Line = n.Line
	t.Steps = append(t.Steps, s)
}

// rowFields are the names that cells of rows can have; nil where they are not known.
func (t *oneTest) rowFields() []string {
	if t.rules() == nil {
		return nil
	}
	names := slices.Clone(builtIn[:])
	for _, c := range t.rules().Columns {
		names = append(names, c.Name)
	}
	return names
}

const undeclared = "; further columns must be declared under columns in the rules file"

func (t *oneTest) insert(n *yaml.Node) {
	var changes []RowChange
	for _, rec := range t.records(n, "rows", t.rowFields(), nil, undeclared) {
		t.inserted++
		row := &brimline.Transaction{ID: strconv.Itoa(t.inserted)}
		ok := true
		for _, name := range [...]string{"timestamp", "user_id", "amount"} {
			if _, given := rec.cells[name]; !given {
				if !slices.Contains(rec.bad, name) {
					t.problem(rec.line, rec.column, "the row has no %s", name)
				}
				ok = false
			}
		}
		ok = t.fill(row, &rec) && ok
		if !ok {
			continue
		}
		if before := t.rows[row.ID]; before != nil {
			_, chosen := rec.cells["id"]
			remedy := "; change it with update"
			if !chosen {
				remedy = "; give every row an id: those without count 1, 2, 3"
			}
			t.problem(rec.line, rec.column, "row %s is there already%s", row.ID, remedy)
			continue
		}
		t.rows[row.ID] = row
		changes = append(changes, RowChange{Line: rec.line, After: row})
	}
	t.add(n, Step{Kind: RowsChange, Changes: changes})
}

func (t *oneTest) update(n *yaml.Node) {
	var changes []RowChange
	for _, rec := range t.records(n, "rows", t.rowFields(), nil, undeclared) {
		id, given := rec.cells["id"]
		if !given {
			t.problem(rec.line, rec.column, "the row has no id; rows that were inserted without one count 1, 2, 3")
			continue
		}
		before := t.there(id.text, id.line, id.column)
		if before == nil {
			continue
		}
		after := *before
		after.Columns = slices.Clone(before.Columns)
		if !t.fill(&after, &rec) {
			continue
		}
		t.rows[after.ID] = &after
		changes = append(changes, RowChange{Line: rec.line, Before: before, After: &after})
	}
	t.add(n, Step{Kind: RowsChange, Changes: changes})
}

// there is a row as it is now; one that is not is noted.
func (t *oneTest) there(id string, line, column int) *brimline.Transaction {
	row := t.rows[id]
	if row == nil && t.rules() != nil { // else it may not have been understood
		why := "it was never inserted"
		if at, ok := t.gone[id]; ok {
			why = fmt.Sprintf("it was deleted on line %d", at)
		}
		t.problem(line, column, "there is no row %s: %s", id, why)
	}
	return row
}

func (t *oneTest) delete(n *yaml.Node) {
	ids := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		ids = n.Content
	}
	var changes []RowChange
	for _, item := range ids {
		id, ok := t.scalar(item, "delete takes ids of rows; each")
		if !ok {
			continue
		}
		if row := t.there(id, item.Line, item.Column); row != nil {
			delete(t.rows, id)
			t.gone[id] = item.Line
			changes = append(changes, RowChange{Line: item.Line, Before: row})
		}
	}
	t.add(n, Step{Kind: RowsChange, Changes: changes})
}

func (t *oneTest) truncate(n *yaml.Node) {
	if n.Value != "true" {
		t.problemAt(n, "write truncate: true")
	}
	for id := range t.rows {
		t.gone[id] = n.Line
	}
	clear(t.rows)
	t.add(n, Step{Kind: RowsChange, Changes: []RowChange{{Line: n.Line}}})
}

func (t *oneTest) pass(n *yaml.Node) {
	text, ok := t.scalar(n, "now")
	if !ok {
		return
	}
	now, ok := t.time(text, n.Line, n.Column, "now")
	if !ok {
		return
	}
	if t.now != nil && now < *t.now {
		t.problemAt(n, "now lies before the now of an earlier step: time does not go back")
	}
	t.now = &now
	t.add(n, Step{Kind: TimePasses, Now: now})
}

func (t *oneTest) time(text string, line, column int, name string) (brimline.Time, bool) {
	at, relative, err := parseTestTime(text, t.Start)
	if err != nil {
		t.problem(line, column, "%s: %v", name, err)
		return 0, false
	}
	t.absolute = t.absolute || !relative
	return at, true
}

// fill takes a row's cells over. It is false where one of them is wrong, which is noted.
func (t *oneTest) fill(row *brimline.Transaction, rec *record) bool {
	ok := true
	wrong := func(c *cell, format string, args ...any) {
		t.problem(c.line, c.column, format, args...)
		ok = false
	}
	var set Set
	if t.rules() != nil {
		set = *t.rules()
	} else {
		set.Scale = brimline.MaxScale
	}
	for name, c := range rec.cells {
		if slices.Contains(builtIn[:], name) && (c.null || c.text == "") {
			wrong(&c, "%s is empty; every row has one", name)
			continue
		}
		switch name {
		case "id", "user_id":
			if !utf8.ValidString(c.text) || strings.ContainsRune(c.text, 0) {
				wrong(&c, "%s is not text that PostgreSQL can hold", name)
			}
			if name == "id" {
				row.ID = c.text
			} else {
				row.User = c.text
			}
		case "amount":
			a, err := brimline.ParseAmount(c.text, set.Scale)
			switch {
			case errors.Is(err, brimline.ErrAmountScale):
				wrong(&c, "amount %q has more decimals than the scale of amounts, %d; as a row it would become a dead letter",
					c.text, set.Scale)
			case errors.Is(err, brimline.ErrAmountRange):
				wrong(&c, "amount %q is too large", c.text)
			case err != nil:
				wrong(&c, "amount %q is not a plain decimal such as -12.50", c.text)
			}
			row.Amount = a
		case "timestamp":
			at, fine := t.time(c.text, c.line, c.column, "timestamp")
			row.Time, ok = at, ok && fine
		}
	}
	for i, column := range set.Columns {
		if i == len(row.Columns) { // of a row that is new
			row.Columns = append(row.Columns, brimline.Field{Name: column.Name})
		}
		c, given := rec.cells[column.Name]
		if !given {
			continue
		}
		v, err := t.field(&c, column.Type)
		if err != nil {
			wrong(&c, "%s: %v", column.Name, err)
		}
		row.Columns[i].Value = v
	}
	return ok
}

// field is the value of a further column, nil for NULL.
func (t *oneTest) field(c *cell, of brimline.ColumnType) (any, error) {
	if c.null {
		return nil, nil
	}
	switch of {
	case brimline.Integer:
		n, err := strconv.ParseInt(c.text, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a whole number of 64 bits", c.text)
		}
		return n, nil
	case brimline.Numeric:
		n, ok := parseNumber(c.text)
		if !ok {
			return nil, fmt.Errorf("%q is not a plain decimal such as -12.50", c.text)
		}
		return brimline.Decimal(n.canonical()), nil
	case brimline.Boolean:
		if c.text != "true" && c.text != "false" {
			return nil, fmt.Errorf("%q is neither true nor false", c.text)
		}
		return c.text == "true", nil
	case brimline.Timestamp:
		at, relative, err := parseTestTime(c.text, t.Start)
		if err != nil {
			return nil, err
		}
		t.absolute = t.absolute || !relative
		return at, nil
	}
	if !utf8.ValidString(c.text) || strings.ContainsRune(c.text, 0) {
		return nil, errors.New("not text that PostgreSQL can hold")
	}
	return c.text, nil
}

func (t *oneTest) expect(n *yaml.Node) {
	t.expects = true
	if n.Kind == yaml.ScalarNode && n.Value == "none" {
		t.add(n, Step{Kind: Expect})
		return
	}
	var alerts []ExpectedAlert
	for _, rec := range t.records(n, "alerts", alertFields(), laterAlertFields(), "") {
		if a, ok := t.alert(&rec); ok {
			same := func(o ExpectedAlert) bool { return o.Rule == a.Rule && o.User == a.User && o.At == a.At }
			if i := slices.IndexFunc(alerts, same); i >= 0 {
				t.problem(rec.line, rec.column, "the same alert is expected on line %d: an edge is alerted once", alerts[i].Line)
				continue
			}
			alerts = append(alerts, a)
		}
	}
	t.add(n, Step{Kind: Expect, Alerts: alerts})
}

func (t *oneTest) alert(rec *record) (a ExpectedAlert, ok bool) {
	a.Line = rec.line
	ok = true
	wrong := func(c *cell, format string, args ...any) {
		t.problem(c.line, c.column, format, args...)
		ok = false
	}
	for _, name := range alertFields() {
		if c, given := rec.cells[name]; given && (c.null || c.text == "" && name != "severity") {
			wrong(&c, "%s is empty; give it, or leave it out to take any", name)
			delete(rec.cells, name)
			rec.bad = append(rec.bad, name)
		}
	}
	for _, name := range [...]string{"user_id", "at"} {
		if _, given := rec.cells[name]; !given && !slices.Contains(rec.bad, name) {
			t.problem(rec.line, rec.column, "the alert has no %s", name)
			ok = false
		}
	}
	a.User = rec.cells["user_id"].text
	if c, given := rec.cells["at"]; given {
		at, fine := t.time(c.text, c.line, c.column, "at")
		a.At, ok = at, ok && fine
	}
	rule := t.ruleOfAlert(rec, wrong)
	if rule == nil {
		return a, false
	}
	a.Rule = rule.ID
	if len(t.Only) > 0 && !slices.Contains(t.Only, rule.ID) {
		t.problem(rec.line, rec.column, "the test looks at %s only, not at %s", strings.Join(t.Only, ", "), rule.ID)
		ok = false
	}
	total := func(name string) *brimline.Total {
		c, given := rec.cells[name]
		if !given {
			return nil
		}
		v, err := brimline.ParseTotal(c.text, rule.Measure.Scale(t.rules().Scale))
		if err != nil {
			wrong(&c, "%s %q is no total of rule %s: %v", name, c.text, rule.ID, errors.Unwrap(err))
			return nil
		}
		return &v
	}
	a.Before, a.Total = total("before"), total("total")
	if c, given := rec.cells["count"]; given {
		n, err := strconv.ParseInt(c.text, 10, 64)
		if err != nil || n < 1 {
			wrong(&c, "count %q is not a number of transactions", c.text)
		}
		a.Count = &n
	}
	if c, given := rec.cells["severity"]; given {
		a.Severity = &c.text
	}
	return a, ok
}

// ruleOfAlert is the rule that an alert names, or the only one there is.
func (t *oneTest) ruleOfAlert(rec *record, wrong func(c *cell, format string, args ...any)) *brimline.Rule {
	c, given := rec.cells["rule"]
	switch {
	case given:
		return t.ruleOf(c.text, func(format string, args ...any) { wrong(&c, format, args...) })
	case t.rules() == nil || slices.Contains(rec.bad, "rule"):
		return nil
	case len(t.Only) == 1:
		return t.ruleOf(t.Only[0], nil)
	case len(t.rules().Rules) == 1:
		return &t.rules().Rules[0]
	}
	t.problem(rec.line, rec.column, "the alert has no rule, and there are %d", len(t.rules().Rules))
	return nil
}
