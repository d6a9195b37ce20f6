package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/explain"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/processors"
)

// What questions of the HTTP API may take of PostgreSQL.
const (
	explainTimeout = 5 * time.Second // of a statement
	explainAtOnce  = 2               // questions, and connections
	explainOffsets = 200_000         // of a topic, that a question looks at
)

// Explain answers a question about a user on the command line. Where c has a database, it is asked too, by the table
// and columns that the group has written down; of c no others are used.
func Explain(
	ctx context.Context, cluster *kafka.Cluster, o kafka.Options, streams processors.Streams, set *brimline.RuleSet,
	users explain.Users, c *config.Config, q explain.Question,
) ([]*explain.Report, error) {
	compiled, err := compile(set)
	if err != nil {
		return nil, err
	}
	reader, err := feed.Open(o)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	a := &explain.Asker{Users: users, Log: reader, Streams: streams, Rules: compiled, Now: time.Now}
	if c.DatabaseURL != "" {
		l, err := groupLedger(ctx, cluster, streams, set, c)
		if l != nil {
			defer l.Close()
		}
		a.Ledger = func(context.Context) (explain.Ledger, error) { return unlessNil(l), err }
	}
	return a.Explain(ctx, q)
}

// unlessNil keeps a nil pointer from becoming an interface that is not nil.
func unlessNil(l *ledger.Ledger) explain.Ledger {
	if l == nil {
		return nil
	}
	return l
}

func groupLedger(
	ctx context.Context, cluster *kafka.Cluster, streams processors.Streams, set *brimline.RuleSet, c *config.Config,
) (*ledger.Ledger, error) {
	s, err := rulesTopic{cluster}.settings(ctx, streams.Rules)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_not_begun", Where: "topic " + streams.Rules,
			Remedy: "start `brimline run` once more: it goes on with what there is",
			Err:    errors.New("the group has not written down its table and columns"),
		}
	}
	known := asGroup(c, s)
	lo := LedgerOptions(&known, set)
	lo.MaxConns = 1
	return ledger.Open(ctx, lo)
}

// asGroup is a configuration with the table and columns that the group has written down.
func asGroup(c *config.Config, s *codecs.GroupSettings) config.Config {
	known := *c
	known.Table, known.IDColumn, known.UserColumn, known.AmountColumn = s.Table, s.ID, s.User, s.Amount
	known.TimeColumn, known.AmountMinorUnits = s.Time, s.AmountMinorUnits
	return known
}

// CompiledInForce are the group's rules in force, ready to be applied to rows; none where it has none.
func CompiledInForce(ctx context.Context, c *kafka.Cluster, topic string) ([]sliding.Rule, error) {
	set, err := RulesInForce(ctx, c, topic)
	if err != nil || set == nil {
		return nil, err
	}
	return compile(set)
}

func compile(set *brimline.RuleSet) ([]sliding.Rule, error) {
	var all []sliding.Rule
	for _, rule := range set.Rules {
		compiled, err := rules.CompileRule(rule, set.Columns, set.Scale)
		if err != nil {
			return nil, err
		}
		all = append(all, compiled)
	}
	return all, nil
}

// explainer answers such questions for the HTTP API: a few at a time, and PostgreSQL with connections of its own.
type explainer struct {
	app   *App
	by    *basis
	turns chan struct{}

	mu     sync.Mutex
	ledger *ledger.Ledger // nil until it is needed
}

func newExplainer(a *App, by *basis) *explainer {
	return &explainer{app: a, by: by, turns: make(chan struct{}, explainAtOnce)}
}

// Explain is as of explain.Asker. Who finds no turn in time is told to ask again.
func (x *explainer) Explain(ctx context.Context, q explain.Question) ([]*explain.Report, error) {
	select {
	case x.turns <- struct{}{}:
		defer func() { <-x.turns }()
	case <-time.After(explainTimeout):
		return nil, &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "explain_busy", Remedy: "ask again in a moment",
			Err: errors.New("others ask for explanations"),
		}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	a := &explain.Asker{
		Users: usersNow{x.app.serving}, Log: x.app.serving.reader, Streams: x.app.streams, Rules: x.by.compiled,
		Most: explainOffsets, Now: x.app.clock,
	}
	if x.by.config.DatabaseURL != "" {
		a.Ledger = x.open
	}
	return a.Explain(ctx, q)
}

// open opens the ledger when it is first needed. One that cannot be opened is tried again by the next question.
func (x *explainer) open(ctx context.Context) (explain.Ledger, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ledger == nil {
		o := LedgerOptions(&x.by.config, x.by.set)
		o.MaxConns, o.Timeout = explainAtOnce, explainTimeout
		l, err := ledger.Open(ctx, o)
		if err != nil {
			return nil, err
		}
		x.ledger = l
	}
	return x.ledger, nil
}

func (x *explainer) close() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.ledger != nil {
		x.ledger.Close()
	}
}
