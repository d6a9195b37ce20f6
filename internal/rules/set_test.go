package rules_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/rules"
)

func load(t *testing.T, name string) *rules.Set {
	t.Helper()
	set, err := rules.Load(filepath.Join(golden, name))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestDefaults(t *testing.T) {
	set := load(t, "smallest.yaml")
	if set.Scale != 2 || set.Lateness != 0 || set.Retention() != 14*24*time.Hour ||
		set.Columns != nil || len(set.Rules) != 1 {
		t.Errorf("the set is %+v", set.RuleSet)
	}
	limit, _ := brimline.ParseTotal("3000", 2)
	if want := (brimline.Rule{ID: "weekly-spend", Window: 168 * time.Hour, Limit: limit}); set.Rules[0] != want {
		t.Errorf("the rule is %+v, want %+v", set.Rules[0], want)
	}
	if compiled := set.Compiled(); compiled[0].Takes != nil {
		t.Error("a rule without where must take every row without asking")
	}
}

func TestCompiled(t *testing.T) {
	set := load(t, "full.yaml")
	if set.Lateness != 36*time.Hour || len(set.Columns) != 6 ||
		set.Columns[2] != (brimline.Column{Name: "fee", Type: brimline.Numeric}) {
		t.Errorf("the set is %+v", set.RuleSet)
	}
	var failures atomic.Int64
	compiled := set.Compiled(rules.OnFailure(func(error) { failures.Add(1) }))
	if len(compiled) != len(set.Rules) {
		t.Fatalf("%d of %d rules", len(compiled), len(set.Rules))
	}
	for i, rule := range compiled {
		if rule.Rule != set.Rules[i] || rule.Fingerprint != set.Rules[i].Fingerprint() ||
			(rule.Takes == nil) != (rule.Where == "") {
			t.Errorf("rule %d is %+v", i, rule)
		}
		again, err := rules.CompileRule(set.Rules[i], set.Columns, set.Scale)
		if err != nil || again.Fingerprint != rule.Fingerprint || (again.Takes == nil) != (rule.Takes == nil) {
			t.Errorf("compiled again, rule %d is %+v, %v", i, again, err)
		}
	}
	r := &brimline.Transaction{Amount: 1001, Columns: []brimline.Field{{Name: "merchant", Value: "b"}}}
	if !compiled[0].Takes(r) || failures.Load() != 0 {
		t.Error("weekly-spend does not take its row")
	}
	if compiled[2].Takes(r) || failures.Load() != 1 {
		t.Errorf("a row without card_present: %d failures counted", failures.Load())
	}
}

// The rule's identity does not hang on how YAML wraps its expression.
func TestWhereIsTrimmed(t *testing.T) {
	head := "rules:\n  - id: a\n    window: 1d\n    limit: 1\n    where: "
	a, errA := rules.Parse("a", []byte(head+"amount > 1\n"))
	b, errB := rules.Parse("b", []byte(head+"|\n      amount > 1\n\n"))
	if errA != nil || errB != nil || a.Fingerprint() != b.Fingerprint() {
		t.Errorf("%v, %v; or the fingerprints differ", errA, errB)
	}
}

// Rules whose fingerprints agree would share the causes of their questions, and what was announced.
func TestRulesThatCannotBeToldApart(t *testing.T) {
	file := func(ids ...string) []byte {
		text := "rules:\n"
		for _, id := range ids {
			text += "  - {id: " + id + ", window: 7d, limit: 3000}\n"
		}
		return []byte(text)
	}
	const one, other = "1e6d801f140014f", "c3f4fae067e9488"
	alone, err := rules.Parse("x", file(one))
	if err != nil {
		t.Fatal(err)
	}
	same, err := rules.Parse("x", file(other))
	if err != nil || same.Rules[0].Fingerprint() != alone.Rules[0].Fingerprint() {
		t.Fatalf("%v, or the two are no example: %x, %x", err, same.Rules[0].Fingerprint(),
			alone.Rules[0].Fingerprint())
	}
	_, err = rules.Parse("rules.yaml", file("a", one, "b", other))
	var problems *rules.Problems
	if !errors.As(err, &problems) || len(problems.List) != 1 {
		t.Fatalf("%v", err)
	}
	const want = `rules.yaml:5:5: rules "1e6d801f140014f" and "c3f4fae067e9488" cannot be told apart ` +
		`by their fingerprints; rename one of them`
	if got := problems.List[0].String(); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if _, err := rules.Parse("x", file("rule-18925", "rule-69928")); err != nil { // agree in 30 bits
		t.Error(err)
	}
	if _, err := rules.Parse("x", file("a", "a")); err == nil || strings.Contains(err.Error(), "told apart") {
		t.Errorf("one id twice: %v", err)
	}
}

func TestLimitsAreExact(t *testing.T) {
	for text, want := range map[string]string{
		`3000`: "3000.00", `"3000.00"`: "3000.00", `3000.10`: "3000.10", `0.1`: "0.10", `+5`: "5.00",
		`90071992547409931234567.01`: "90071992547409931234567.01", `'0.30'`: "0.30", `1.100000`: "1.10",
	} {
		set, err := rules.Parse("x", []byte("rules: [{id: a, window: 1d, limit: "+text+"}]"))
		if err != nil {
			t.Errorf("limit %s: %v", text, err)
		} else if got := set.Rules[0].Limit.Format(2); got != want {
			t.Errorf("limit %s is read as %s", text, got)
		}
	}
}

func TestLoadUnreadable(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "none.yaml"), t.TempDir()} {
		_, err := rules.Load(path)
		var e *brimline.Error
		if !errors.As(err, &e) || e.Class != brimline.ClassInput || e.Kind != "rules_unreadable" ||
			strings.Count(err.Error(), path) != 1 {
			t.Errorf("%v", err)
		}
	}
}

func TestTooLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.yaml")
	data := []byte("rules: [{id: a, window: 1d, limit: 1}] #" + strings.Repeat("x", rules.MaxFile))
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := rules.Load(path); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("%.200v", err)
	}
	if _, err := rules.Parse("fits", data[:rules.MaxFile]); err != nil {
		t.Error(err)
	}
}

// Files made to be costly end quickly with an error.
func TestHostileFiles(t *testing.T) {
	var many strings.Builder
	many.WriteString("rules:\n")
	for range rules.MaxRules + 1 {
		many.WriteString("  - {id: a, window: 1d, limit: 1}\n")
	}
	var wrong strings.Builder
	wrong.WriteString("rules: [")
	for range rules.MaxRules {
		wrong.WriteString("{where: a and b and c and d and e}, ")
	}
	wrong.WriteString("]")
	bomb := "a: &a [x, x, x, x]\n"
	for c := 'b'; c < 'z'; c++ {
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+string(c-1)+", ", 9), ", ") +
			"]\n"
	}
	for name, data := range map[string]string{
		"too many rules": many.String(),
		"many problems":  wrong.String(),
		"aliases":        bomb,
		"self":           "rules: &a [*a]\n",
		"deep":           strings.Repeat("[", rules.MaxFile/2),
		"deep mapping":   strings.Repeat("a: {", 9000),
		"null":           "null",
		"tag":            "!!binary x",
		"not UTF-8":      "rules: \xff\xfe",
	} {
		_, err := rules.Parse(name, []byte(data))
		var p *rules.Problems
		if !errors.As(err, &p) || len(p.List) == 0 {
			t.Errorf("%s: %.200v", name, err)
		}
		if err != nil && len(err.Error()) > 1<<20 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestProblemsAreCapped(t *testing.T) {
	var b strings.Builder
	for i := range 1200 {
		b.WriteString("f" + strings.Repeat("x", 9) + string(rune('a'+i%26)) + strings.Repeat("y", i/26+1) + ": 1\n")
	}
	_, err := rules.Parse("x", []byte(b.String()))
	if err == nil || !strings.HasSuffix(err.Error(), "and 201 more") {
		t.Errorf("%.100v", err)
	}
}
