package views

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// Rules are rules ready to be applied to rows.
type Rules struct {
	scale    int // of amounts
	compiled []sliding.Rule
}

// CompileRules makes a set of rules ready. It fails where an expression cannot be read.
func CompileRules(set *brimline.RuleSet) (*Rules, error) {
	r := &Rules{scale: set.Scale}
	for _, rule := range set.Rules {
		compiled, err := rules.CompileRule(rule, set.Columns, set.Scale)
		if err != nil {
			return nil, err
		}
		r.compiled = append(r.compiled, compiled)
	}
	return r, nil
}

// inForce are the rules by which figures are given, or why there are none that could be trusted.
type inForce struct {
	rules  *Rules
	err    error
	offset int64 // of the record
}

// readRules takes what the group's record says now.
func (w *Windows) readRules(ctx context.Context, c *kafka.Cluster) error {
	found := false
	err := c.Tail(ctx, w.rulesTopic, kafka.Oldest, false, func(m *kafka.Message) error {
		found = w.takeRules(m) || found
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "no_rules", Where: fmt.Sprintf("topic %q", w.rulesTopic),
			Remedy: "start `brimline run` with this --group first: it writes down its rules",
			Err:    errors.New("it holds no rules"),
		}
	}
	return w.rules.Load().err
}

func (w *Windows) takeRules(m *kafka.Message) bool {
	if string(m.Key) != processors.RulesKey || m.Value == nil {
		return false
	}
	if last := w.rules.Load(); last != nil && m.Offset <= last.offset {
		return true // read again from the beginning
	}
	now := &inForce{offset: m.Offset}
	decoded, err := codecs.RuleSet{}.Decode(m.Value)
	if err == nil {
		now.rules, err = CompileRules(decoded.(*brimline.RuleSet))
	}
	if err != nil {
		// Figures of the rules before would be figures of rules that are not in force.
		now.err = &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "rules_record", Where: fmt.Sprintf("topic %q", w.rulesTopic),
			Remedy: "use the version of brimline that wrote it", Err: err,
		}
	}
	w.rules.Store(now)
	return true
}

// rulesAgain is the pause before rules are followed again that could not be.
const rulesAgain = 5 * time.Second

// followRules takes each change of the rules until ctx ends.
func (w *Windows) followRules(ctx context.Context) {
	for ctx.Err() == nil {
		// A client of its own: the view's is asked by readers, and gives up soon.
		if c, err := kafka.Dial(ctx, w.client, kafka.Lasting); err == nil {
			err = c.Tail(ctx, w.rulesTopic, kafka.Oldest, true, func(m *kafka.Message) error {
				w.takeRules(m)
				return nil
			})
			if ctx.Err() == nil {
				w.log.Debug("the rules in force are not followed for a moment", "topic", w.rulesTopic, "error", err)
			}
			_ = c.Close()
		}
		select {
		case <-time.After(rulesAgain):
		case <-ctx.Done():
		}
	}
}
