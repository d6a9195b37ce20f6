package codecs

import (
	"fmt"

	"github.com/brimline/brimline"
)

// RuleSet is the codec of *brimline.RuleSet, the record of the rules in force in the rules topic,
// by which instances of a group agree on their rules.
type RuleSet struct{}

// groupFormat is the version of everything that a group stores. It rises when a layout changes, so that a group of an
// older brimline is refused as a whole, when it starts.
const (
	groupFormat      = 3
	olderGroupFormat = 2 // is taken over: its records are read
)

type ruleSetRecord struct {
	Version  int          `json:"version"`
	Format   int          `json:"format"` // groups of the first format did not say so
	Scale    int          `json:"scale"`
	Lateness string       `json:"lateness"` // 0s: as long as the longest window
	Columns  []columnSpec `json:"columns,omitempty"`
	Rules    []ruleRecord `json:"rules"`
}

type columnSpec struct {
	Name string              `json:"name"`
	Type brimline.ColumnType `json:"type"`
}

const aRuleSet = "the record of the rules topic"

// Encode takes a *brimline.RuleSet.
func (RuleSet) Encode(v any) ([]byte, error) {
	s, ok := v.(*brimline.RuleSet)
	if !ok {
		return nil, mistyped("rule sets", v)
	}
	if s.Scale < 0 || s.Scale > brimline.MaxScale {
		return nil, fmt.Errorf("a rule set of scale %d", s.Scale)
	}
	r := ruleSetRecord{Version: recordVersion, Format: groupFormat, Scale: s.Scale,
		Rules: make([]ruleRecord, len(s.Rules))}
	var err error
	if r.Lateness, err = formatDuration(s.Lateness); err != nil {
		return nil, err
	}
	for _, c := range s.Columns {
		r.Columns = append(r.Columns, columnSpec(c))
	}
	for i := range s.Rules {
		if r.Rules[i], err = ruleOf(&s.Rules[i], s.Scale); err != nil {
			return nil, err
		}
	}
	return marshal(r)
}

// Decode gives a *brimline.RuleSet.
func (RuleSet) Decode(b []byte) (any, error) {
	var r ruleSetRecord
	if err := unmarshal(aRuleSet, b, &r); err != nil {
		return nil, err
	}
	if r.Format != groupFormat && r.Format != olderGroupFormat {
		return nil, unknown("what this group has stored", max(r.Format, 1), groupFormat)
	}
	if r.Scale < 0 || r.Scale > brimline.MaxScale {
		return nil, corrupt(aRuleSet, fmt.Errorf("scale %d", r.Scale))
	}
	s := &brimline.RuleSet{Scale: r.Scale}
	var err error
	if s.Lateness, err = parseDuration(r.Lateness); err != nil {
		return nil, corrupt(aRuleSet, err)
	}
	for _, c := range r.Columns {
		s.Columns = append(s.Columns, brimline.Column(c))
	}
	for i := range r.Rules {
		rule, err := r.Rules[i].rule(r.Scale)
		if err != nil {
			return nil, corrupt(aRuleSet, err)
		}
		s.Rules = append(s.Rules, rule)
	}
	return s, nil
}
