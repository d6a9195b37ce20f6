package rules

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/brimline/brimline"
)

const (
	maxSeverity    = 64 // characters
	maxDescription = 1000
	maxCount       = 1_000_000
)

func fileFields() []string { return []string{"scale", "lateness", "columns", "rules"} }

func ruleFields() []string {
	return []string{
		"id", "window", "limit", "limits", "measure", "where", "severity", "description", "mode", "quiet",
		"rearm", "min_count", "of", "enabled",
	}
}

func tierFields() []string { return []string{"limit", "severity"} }

// The modes of a rule.
const (
	modeLive   = "live"
	modeShadow = "shadow"
)

func measures() (names []string) {
	for _, m := range brimline.Measures() {
		names = append(names, m.String())
	}
	return names
}

func columnTypes() []string {
	return []string{
		string(brimline.Text),
		string(brimline.Integer),
		string(brimline.Numeric),
		string(brimline.Boolean),
		string(brimline.Timestamp),
	}
}

// keywords of the expression language cannot name a column.
func keywords() []string {
	return []string{
		"and",
		"or",
		"not",
		"in",
		"contains",
		"startsWith",
		"endsWith",
		"matches",
		"true",
		"false",
		"nil",
		"let",
		"if",
		"else",
	}
}

func (r *reader) read() *Set {
	if root := r.document(); root != nil {
		return r.set(root)
	}
	return nil
}

func (r *reader) set(root *yaml.Node) *Set {
	top := r.known(root, "a rules file", fileFields())
	if root.Kind != yaml.MappingNode {
		return nil
	}
	s := &Set{}
	scale, sure := r.scale(top["scale"])
	s.Scale = scale
	s.Lateness = r.duration(top["lateness"], "lateness")
	s.Columns = r.columns(top["columns"])

	list, given := top["rules"]
	switch {
	case !given:
		r.problemAt(root, "rules are missing; list at least one")
	case list == nil: // noted by mapping
	case list.Kind != yaml.SequenceNode:
		r.problemAt(list, "rules must be a list, and is %s", nodeKind(list))
	case len(list.Content) == 0:
		r.problemAt(list, "the list of rules is empty")
	case len(list.Content) > MaxRules:
		r.problemAt(list, "there are %d rules; at most %d are possible", len(list.Content), MaxRules)
	default:
		ids := make(map[string]int)
		var nodes []*yaml.Node // of Rules
		for _, n := range list.Content {
			tiers, p, enabled := r.rule(n, s, sure, ids)
			if !enabled {
				s.Disabled = append(s.Disabled, tiers...)
				continue
			}
			for range tiers {
				nodes, s.predicates = append(nodes, n), append(s.predicates, p)
			}
			s.Rules = append(s.Rules, tiers...)
		}
		switch {
		case len(s.Rules) == 0 && len(s.Disabled) > 0:
			r.problemAt(list, "no rule is enabled; leave out `enabled: false` of at least one")
		case len(s.Rules) > MaxRules:
			r.problemAt(
				list,
				"there are %d rules, each limit of a rule counted; at most %d are possible",
				len(s.Rules),
				MaxRules,
			)
		}
		r.toldApart(nodes, s)
	}
	return s
}

// toldApart refuses rules that a group would take for one another: it knows them by their fingerprints, and puts its
// questions about a rule under the upper 63 bits.
func (r *reader) toldApart(nodes []*yaml.Node, s *Set) {
	first := make(map[uint64]int)
	for i := range s.Rules {
		rule := &s.Rules[i]
		known := rule.Fingerprint() >> 1
		other, taken := first[known]
		if !taken {
			first[known] = i
		} else if id := s.Rules[other].ID; id != rule.ID { // the same id is noted already
			r.problemAt(nodes[i], "rules %q and %q cannot be told apart by their fingerprints; rename one of them",
				id, rule.ID)
		}
	}
}

// scale reports false where it is not certain, so that nothing is said that follows from it.
func (r *reader) scale(n *yaml.Node) (int, bool) {
	text, ok := r.scalar(n, "scale")
	if !ok {
		return DefaultScale, n == nil
	}
	scale, err := strconv.Atoi(text)
	if err != nil || scale < 0 || scale > brimline.MaxScale {
		r.problemAt(n, "scale %q is not a whole number from 0 to %d", text, brimline.MaxScale)
		return DefaultScale, false
	}
	return scale, true
}

func (r *reader) duration(n *yaml.Node, name string) time.Duration {
	text, ok := r.scalar(n, name)
	if !ok {
		return 0
	}
	d, err := ParseWindow(text)
	if err != nil {
		r.problemAt(n, "%s: %v", name, err)
	}
	return d
}

// CanDeclare says whether a column of that name can be declared in a rules file.
func CanDeclare(name string) bool {
	return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`).MatchString(name) && !slices.Contains(builtIn[:], name) &&
		!slices.Contains(keywords(), name)
}

func (r *reader) columns(n *yaml.Node) []brimline.Column {
	if n == nil {
		return nil
	}
	var columns []brimline.Column
	for _, f := range r.mapping(n, "columns") {
		switch {
		case slices.Contains(builtIn[:], f.name):
			r.problemAt(f.key, "column %q is built in and cannot be declared again", f.name)
			continue
		case slices.Contains(keywords(), f.name):
			r.problemAt(f.key, "column %q cannot be used: it is a word of the expression language", f.name)
			continue
		case !CanDeclare(f.name):
			r.problemAt(
				f.key,
				"column %q cannot be used: a name in an expression is letters, digits and underscores",
				f.name,
			)
			continue
		}
		column := brimline.Column{Name: f.name} // without a type, expressions that use it are not evaluated
		if text, ok := r.scalar(f.value, "the type of column "+f.name); ok {
			if slices.Contains(columnTypes(), text) {
				column.Type = brimline.ColumnType(text)
			} else {
				r.problemAt(f.value, "unknown column type %q: one of %s%s", text,
					strings.Join(columnTypes(), ", "), suggest(text, columnTypes()))
			}
		}
		columns = append(columns, column)
	}
	if len(columns) > MaxColumns {
		r.problemAt(n, "there are %d columns; at most %d are possible", len(columns), MaxColumns)
	}
	return columns
}

// rule gives the rule for each of its limits, and whether it is enabled.
func (r *reader) rule(
	n *yaml.Node, s *Set, sure bool, ids map[string]int,
) (tiers []brimline.Rule, p predicate, enabled bool) {
	fields := r.known(n, "a rule", ruleFields())
	if n.Kind != yaml.MappingNode {
		return make([]brimline.Rule, 1), p, true
	}
	limits, tiered := fields["limits"]
	for _, name := range [...]string{"id", "window", "limit"} {
		if _, ok := fields[name]; !ok && (name != "limit" || !tiered) {
			r.problemAt(n, "the rule has no %s", name)
		}
	}
	if limit, ok := fields["limit"]; ok && tiered {
		if limit == nil {
			limit = n
		}
		r.problemAt(limit, "the rule has a limit and limits; put all of them into limits")
	}
	var rule brimline.Rule
	rule.ID = r.id(fields["id"], ids)
	rule.Window = r.duration(fields["window"], "window")
	measured := true
	if text, ok := r.scalar(fields["measure"], "measure"); ok {
		m, err := brimline.ParseMeasure(text)
		if measured = err == nil; !measured {
			r.problemAt(fields["measure"], "%v%s", err, suggest(text, measures()))
		}
		rule.Measure = m
	}
	limited := sure && measured && fields["limit"] != nil // what rearm is compared with is there
	if !tiered {
		noted := len(r.problems.List)
		rule.Limit = r.limit(fields["limit"], rule.Measure, s.Scale, sure && measured)
		limited = limited && len(r.problems.List) == noted
	}
	if where, ok := r.scalar(fields["where"], "where"); ok {
		rule.Where = strings.TrimSpace(where)
		p = r.where(fields["where"], where, s)
	}
	rule.Severity = r.label(fields["severity"], "severity", maxSeverity)
	rule.Description = r.label(fields["description"], "description", maxDescription)
	rule.Quiet = r.duration(fields["quiet"], "quiet")
	rule.MinCount = r.minCount(fields["min_count"], rule.Measure, measured)
	rule.Column = r.of(n, fields, rule.Measure, measured, s)
	rule.Shadow = r.word(fields["mode"], "mode", modeLive, modeShadow) == modeShadow
	enabled = r.word(fields["enabled"], "enabled", "true", "false") != "false"
	tiers = []brimline.Rule{rule}
	if tiered {
		tiers = r.tiers(limits, rule, s.Scale, sure && measured)
	}
	r.rearm(fields["rearm"], tiers, tiered, s.Scale, sure && measured, limited)
	return tiers, p, enabled
}

// minCount reads with how many rows at least an average is above the limit; 1 is what it is without.
func (r *reader) minCount(n *yaml.Node, m brimline.Measure, measured bool) int64 {
	text, ok := r.scalar(n, "min_count")
	if !ok {
		return 0
	}
	if measured && m != brimline.Avg {
		r.problemAt(n, "min_count is for the measure avg, and the rule's is %v; leave it out", m)
		return 0
	}
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || count < 1 || count > maxCount {
		r.problemAt(n, "min_count %q is not a whole number from 1 to %d", text, maxCount)
		return 0
	}
	if count == 1 {
		return 0
	}
	return count
}

// of reads which column's different values are counted.
func (r *reader) of(
	rule *yaml.Node, fields map[string]*yaml.Node, m brimline.Measure, measured bool, s *Set,
) string {
	n, given := fields["of"]
	if measured && m == brimline.Distinct && !given {
		r.problemAt(rule, "the rule has no of: distinct counts the different values of a column; write of: and its name")
		return ""
	}
	name, ok := r.scalar(n, "of")
	if !ok {
		return ""
	}
	if measured && m != brimline.Distinct {
		r.problemAt(n, "of is for the measure distinct, and the rule's is %v; leave it out", m)
		return ""
	}
	if _, known := declared(s.Columns, name); !known {
		names := make([]string, len(s.Columns))
		for i, c := range s.Columns {
			names[i] = c.Name
		}
		hint := suggest(name, names)
		switch {
		case slices.Contains(builtIn[:], name):
			hint = "; it can be of declared columns only"
		case hint == "":
			hint = "; declare it under columns with its type"
		}
		r.problemAt(n, "of: there is no column %q%s", name, hint)
	}
	return name
}

// rearm reads at or below which total a rule alerts again: a total, or so many hundredths of each limit.
func (r *reader) rearm(n *yaml.Node, tiers []brimline.Rule, tiered bool, amounts int, sure, limited bool) {
	text, ok := r.scalar(n, "rearm")
	if !ok {
		return
	}
	switch rule := &tiers[0]; {
	case rule.Measure.Shrinks():
		r.problemAt(n, "rearm is not possible with %v, whose total can fall when a row is added; "+
			"use sum_abs, sum_in, sum_out, count, max or distinct", rule.Measure)
		return
	case rule.Quiet != 0:
		r.problemAt(n, "rearm and quiet exclude each other; leave out one of them")
		return
	}
	digits, percent := strings.CutSuffix(text, "%")
	if percent {
		hundredths, err := strconv.ParseUint(digits, 10, 8)
		if err != nil || hundredths > 100 {
			r.problemAt(n, "rearm %q is not a whole number from 0%% to 100%% of the limit", text)
			return
		}
		for i := range tiers {
			tiers[i].Rearms, tiers[i].Rearm = true, share(tiers[i].Limit, int(hundredths))
		}
		return
	}
	if tiered {
		r.problemAt(n, "rearm %q of a rule with several limits must be a share of each, such as 90%%", text)
		return
	}
	noted := len(r.problems.List)
	rearm := r.total(n, "rearm", tiers[0].Measure, amounts, sure)
	if len(r.problems.List) > noted {
		return
	}
	if limited && rearm.Cmp(tiers[0].Limit) > 0 {
		r.problemAt(n, "rearm %s is above the limit; write a total at or below it, or a share such as 90%%", text)
	}
	tiers[0].Rearms, tiers[0].Rearm = true, rearm
}

// share is so many hundredths of a total, rounded down: of whole units at its scale that is exact for what is compared.
func share(t brimline.Total, hundredths int) brimline.Total {
	n, _ := new(big.Int).SetString(t.Format(0), 10)
	n.Div(n.Mul(n, big.NewInt(int64(hundredths))), big.NewInt(100))
	part, _ := brimline.ParseTotal(n.String(), 0) // never above the total
	return part
}

// word is the value of a field that is one of a few, "" where it is none.
func (r *reader) word(n *yaml.Node, name string, possible ...string) string {
	text, ok := r.scalar(n, name)
	if ok && !slices.Contains(possible, text) {
		r.problemAt(n, "%s %q is none of %s%s", name, text, strings.Join(possible, ", "), suggest(text, possible))
		return ""
	}
	return text
}

// tiers are a rule for each of its limits, which rise. A limit stands alone, or with the severity of its alerts.
func (r *reader) tiers(n *yaml.Node, rule brimline.Rule, amounts int, sure bool) (tiers []brimline.Rule) {
	switch {
	case n == nil: // noted by mapping
		return []brimline.Rule{rule}
	case n.Kind != yaml.SequenceNode:
		r.problemAt(n, "limits must be a list such as [3000, 5000], and is %s", nodeKind(n))
		return []brimline.Rule{rule}
	case len(n.Content) == 0:
		r.problemAt(n, "the list of limits is empty")
		return []brimline.Rule{rule}
	}
	for i, of := range n.Content {
		tier, limit := rule, of
		if of.Kind == yaml.MappingNode {
			fields := r.known(of, "one of the limits", tierFields())
			given, there := fields["limit"]
			if limit = given; !there {
				r.problemAt(of, "one of the limits has no limit; write {limit: 3000, severity: high}")
			}
			if _, own := fields["severity"]; own {
				tier.Severity = r.label(fields["severity"], "severity", maxSeverity)
			}
		}
		noted := len(r.problems.List)
		tier.Limit = r.limit(limit, rule.Measure, amounts, sure)
		tier.ID = brimline.TierID(rule.ID, tier.Limit, rule.Measure.Scale(amounts))
		if sure && i > 0 && limit != nil && len(r.problems.List) == noted && tier.Limit.Cmp(tiers[i-1].Limit) <= 0 {
			r.problemAt(of, "limit %s is not above the one before it; let limits rise", limit.Value)
		}
		tiers = append(tiers, tier)
	}
	return tiers
}

func (r *reader) id(n *yaml.Node, ids map[string]int) string {
	id, ok := r.scalar(n, "id")
	if !ok {
		return ""
	}
	if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`).MatchString(id) {
		r.problemAt(
			n,
			"rule id %q must be 1 to 64 letters, digits, '_', '.' or '-', and start with a letter or digit",
			id,
		)
		return id
	}
	if line, ok := ids[id]; ok {
		r.problemAt(n, "rule id %q is already used on line %d", id, line)
		return id
	}
	ids[id] = n.Line
	return id
}

func (r *reader) limit(n *yaml.Node, m brimline.Measure, amounts int, sure bool) brimline.Total {
	return r.total(n, "limit", m, amounts, sure)
}

// total reads the node's text, which no float has touched.
func (r *reader) total(n *yaml.Node, name string, m brimline.Measure, amounts int, sure bool) brimline.Total {
	text, ok := r.scalar(n, name)
	if !ok {
		return brimline.Total{}
	}
	scale := m.Scale(amounts)
	if !sure {
		scale = brimline.MaxScale
	}
	limit, err := brimline.ParseTotal(text, scale)
	switch {
	case errors.Is(err, brimline.ErrAmountScale) && m.Counts():
		r.problemAt(n, "%s %q: the %s of a count is a whole number", name, text, name)
	case errors.Is(err, brimline.ErrAmountScale):
		r.problemAt(n, "%s %q has more decimals than the scale of amounts, %d", name, text, amounts)
	case errors.Is(err, brimline.ErrAmountSyntax) && regexp.MustCompile(`^[-+]?[0-9][0-9eE,_' +.-]*$`).MatchString(text):
		r.problemAt(n, "%s %q is not a plain decimal; write it without exponent or separators, such as 3000.00", name, text)
	case errors.Is(err, brimline.ErrAmountSyntax):
		r.problemAt(n, "%s %q is not a decimal number such as 3000.00", name, text)
	case err != nil:
		r.problemAt(n, "%s %q is too large", name, text)
	case sure && limit.Sign() < 0 && m != brimline.Sum && name == "limit":
		r.problemAt(n, "limit %q is below zero, where a total of %s never is; only the limit of sum can be", text, m)
	case sure && limit.Sign() < 0 && m != brimline.Sum:
		r.problemAt(n, "%s %q is below zero, where a total of %s never is", name, text, m)
	case sure && (m == brimline.Avg || m == brimline.Max) && limit.Cmp(brimline.Amount(math.MaxInt64).Total()) > 0:
		r.problemAt(n, "%s %q is above every amount that can be: a total of %s never is above it", name, text, m)
	}
	return limit
}

// label reads a text that is passed on with alerts.
func (r *reader) label(n *yaml.Node, name string, most int) string {
	text, ok := r.scalar(n, name)
	if !ok {
		return ""
	}
	text = strings.TrimSpace(text)
	if utf8.RuneCountInString(text) > most {
		r.problemAt(n, "%s is longer than %d characters", name, most)
	}
	for _, c := range text {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			r.problemAt(n, "%s holds the control character %q", name, c)
			break
		}
	}
	return text
}

func (r *reader) where(n *yaml.Node, text string, s *Set) predicate {
	if strings.TrimSpace(text) == "" {
		r.problemAt(n, "where is empty; leave it out to take every row")
		return predicate{}
	}
	p, faults := compile(text, s.Columns, s.Scale)
	for _, f := range faults {
		if f.follows { // the column's declaration is in the list
			continue
		}
		line, column := n.Line, n.Column
		if len(r.problems.List) < maxListed {
			line, column = r.locate(n, f.at)
		}
		r.problem(line, column, "where: %s", f.message)
	}
	return p
}
