package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/ledger"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/internal/prove"
	"github.com/brimline/brimline/internal/reference"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/processors"
)

// ProofOptions say what is compared with what.
type ProofOptions struct {
	Streams     processors.Streams
	DatabaseURL config.Secret
	Timeout     time.Duration // of each statement
	Rules       []string      // ids; empty: all
	// WholeHistory tells that the change stream had all rows of before the group began.
	WholeHistory bool
	TableFrom    brimline.Time // from when on the table has all rows; 0: always
	// AnyPlan lets a large table be read whole where no index finds its rows by time.
	AnyPlan bool
	// Grace is how long the stream is waited for that has shown nothing of after the first look, and Wait how long the
	// group may take to handle what it has.
	Grace, Wait time.Duration
	Clock       func() time.Time
	Tell        func(string) // what is being done; nil where that interests no person
}

// Proof compares a group's alerts with the table.
type Proof struct {
	o          ProofOptions
	cluster    *kafka.Cluster
	ledger     *ledger.Ledger
	set        *brimline.RuleSet
	rules      []prove.Rule
	began      brimline.Time
	alertsFrom brimline.Time
	told       time.Time // when progress was told last
}

// large is from how many rows on a table is not read whole without being told to.
const large = 1_000_000

// OpenProof reads what the group has written down of itself, and looks at the table: what cannot be asked is an error
// before anything long begins.
func OpenProof(ctx context.Context, cluster *kafka.Cluster, o ProofOptions) (*Proof, error) {
	p := &Proof{o: o, cluster: cluster, told: time.Now()}
	if p.o.Tell == nil {
		p.o.Tell = func(string) {}
	}
	if err := p.readRules(ctx); err != nil {
		return nil, err
	}
	settings, err := writtenDown(ctx, cluster, o.Streams)
	if err != nil {
		return nil, err
	}
	if p.alertsFrom, err = AlertsFromInForce(ctx, cluster, o.Streams.Rules); err != nil {
		return nil, err
	}
	p.ledger, err = ledger.Open(ctx,
		ledgerBy(settings, p.set, o.DatabaseURL, o.Timeout, "brimline prove "+o.Streams.Group))
	return p, err
}

// writtenDown are the settings of the source that the group has written down.
func writtenDown(
	ctx context.Context, cluster *kafka.Cluster, streams processors.Streams,
) (*codecs.GroupSettings, error) {
	settings, err := rulesTopic{cluster}.settings(ctx, streams.Rules)
	switch {
	case err != nil:
		return nil, err
	case settings == nil:
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_record", Where: fmt.Sprintf("topic %q", streams.Rules),
			Remedy: "start `brimline run` of this version once: it writes down what the rows mean",
			Err:    errors.New("the group has not written down which table its rows are of"),
		}
	case settings.Source != streams.Source:
		return nil, &brimline.Error{
			Class: brimline.ClassInput, Kind: "group_settings", Where: "--source " + streams.Source,
			Remedy: "name the topic that the group reads", Err: fmt.Errorf("this group reads topic %q", settings.Source),
		}
	}
	return settings, nil
}

// ledgerBy reads the table by what the group has written down.
func ledgerBy(
	s *codecs.GroupSettings, set *brimline.RuleSet, url config.Secret, timeout time.Duration, name string,
) ledger.Options {
	return ledger.Options{
		URL: url.Reveal(), Table: s.Table, Scale: set.Scale, Extra: set.Columns,
		Columns:    ledger.Columns{ID: s.ID, User: s.User, Amount: s.Amount, Time: s.Time},
		MinorUnits: max(0, s.AmountMinorUnits), Timeout: timeout, Name: name,
	}
}

// Close ends the connections to PostgreSQL.
func (p *Proof) Close() { p.ledger.Close() }

// readRules takes the rules in force, and since when they are, from the topic of rules: its records in their order.
func (p *Proof) readRules(ctx context.Context) error {
	since := map[uint64]brimline.Time{}
	err := p.cluster.Tail(ctx, p.o.Streams.Rules, kafka.Oldest, false, func(m *kafka.Message) error {
		if string(m.Key) != rulesKey || m.Value == nil {
			return nil
		}
		v, err := codecs.RuleSet{}.Decode(m.Value)
		if err != nil {
			return err
		}
		before, begins := since, p.set == nil
		p.set, since = v.(*brimline.RuleSet), map[uint64]brimline.Time{}
		if begins {
			p.began = brimline.TimeOf(m.Timestamp)
		}
		for i := range p.set.Rules {
			mark := p.set.Rules[i].Fingerprint()
			if at, had := before[mark]; had || begins {
				since[mark] = at
			} else {
				since[mark] = brimline.TimeOf(m.Timestamp)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if p.set == nil {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_not_begun", Where: fmt.Sprintf("topic %q", p.o.Streams.Rules),
			Remedy: "start `brimline run`", Err: errors.New("the group has no rules yet"),
		}
	}
	var ids []string
	for _, rule := range p.set.Rules {
		ids = append(ids, rule.ID)
		if rule.Of() != rule.ID && !slices.Contains(ids, rule.Of()) {
			ids = append(ids, rule.Of())
		}
		if len(p.o.Rules) > 0 && !slices.Contains(p.o.Rules, rule.ID) && !slices.Contains(p.o.Rules, rule.Of()) {
			continue
		}
		compiled, err := p.compiled(rule)
		if err != nil {
			return err
		}
		p.rules = append(p.rules, prove.Rule{Rule: compiled, Since: since[rule.Fingerprint()]})
	}
	for _, id := range p.o.Rules {
		if !slices.Contains(ids, id) {
			return &brimline.Error{
				Class: brimline.ClassInput, Kind: "rule_unknown", Where: "--rule " + id,
				Remedy: "the group's rules are " + strings.Join(ids, ", "), Err: errors.New("the group has no such rule"),
			}
		}
	}
	return nil
}

// Span proves the edges from from to to.
func (p *Proof) Span(ctx context.Context, from, to brimline.Time) (*prove.Result, error) {
	if !p.o.AnyPlan {
		x, err := p.ledger.Indexing(ctx)
		if err != nil {
			return nil, err
		}
		if x.Rows >= large && !x.Indexed {
			return nil, &brimline.Error{
				Class: brimline.ClassEnvironment, Kind: "no_index", Where: "the watched table",
				Remedy: x.Statement + "; or say --any-plan to have the table read whole, best on a replica",
				Err:    fmt.Errorf("it has about %d rows, and no index finds those of a time", x.Rows),
			}
		}
	}
	o := prove.Options{
		Rules: p.rules, From: from, To: to, AlertsFrom: p.alertsFrom, TableFrom: p.o.TableFrom,
		Alerts: p.alerts, Settle: p.settle,
		Clock: func() brimline.Time { return brimline.TimeOf(p.o.Clock()) },
		Look: func(ctx context.Context, work func(*ledger.Look) error) error {
			p.o.Tell("asking PostgreSQL for all edges")
			p.told = time.Now()
			return p.ledger.Look(ctx, work)
		},
		Asking: func(n, of int) { p.progress("asking about rule %d of %d", n, of) },
	}
	if !p.o.WholeHistory {
		o.Began = p.began
	}
	return prove.Prove(ctx, o)
}

// tellEvery is how often is told how far the reading has come.
const tellEvery = 10 * time.Second

// progress tells what is done, now and then.
func (p *Proof) progress(format string, args ...any) {
	if now := time.Now(); now.Sub(p.told) >= tellEvery {
		p.told = now
		p.o.Tell(fmt.Sprintf(format, args...))
	}
}

// alerts calls take for the alerts of this group's stream, also for those of rules on trial.
func (p *Proof) alerts(ctx context.Context, take func(*brimline.Alert) error) error {
	read := 0
	one := func(m *kafka.Message) error {
		v, err := codecs.Alert{}.Decode(m.Value)
		if err != nil { // the topic is open to others
			return nil
		}
		read++
		p.progress("%d alerts read", read)
		if a := v.(*brimline.Alert); a.Candidate.Source.Topic == "" || a.Candidate.Source.Topic == p.o.Streams.Source {
			return take(a)
		}
		return nil
	}
	if err := p.cluster.Tail(ctx, p.o.Streams.Alerts, kafka.Oldest, false, one); err != nil {
		return err
	}
	err := p.cluster.Tail(ctx, p.o.Streams.Shadow, kafka.Oldest, false, one)
	if IsMissing(err) { // the group has not run since there is such a thing
		return nil
	}
	return err
}

// rounds is how often what the topics hold is waited for: what is asked about late rows goes round once, from verify's
// answers to window, and from there to verify.
const rounds = 2

// settle waits until the group has handled what the stream had, once that has shown something of after lsn, or was
// waited for; or until resolved says that nothing is left to wait for, which is asked before each round.
func (p *Proof) settle(
	ctx context.Context, lsn uint64, resolved func(context.Context) (bool, error),
) (done bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.o.Grace+p.o.Wait, errSettle)
	defer cancel()
	p.o.Tell("something is amiss: waiting for the stream before looking again")
	if done, err = p.goRound(ctx, lsn, resolved); errors.Is(context.Cause(ctx), errSettle) && !done {
		s := p.o.Streams
		return false, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "group_behind", Where: "group " + s.Group,
			Remedy: "see `brimline status`; when the group has caught up ask again, or allow more with --wait",
			Err: fmt.Errorf("it has not handled within %s what its stream has: what is amiss may be on its way",
				present.Duration(p.o.Grace+p.o.Wait)),
		}
	}
	return done, err
}

var errSettle = errors.New("the group takes too long")

func (p *Proof) goRound(
	ctx context.Context, lsn uint64, resolved func(context.Context) (bool, error),
) (done bool, err error) {
	k := settling{p.cluster, p.o.Streams, p.o.Grace}
	if _, err := k.awaitStream(ctx, lsn, nil); err != nil {
		return false, err
	}
	s := p.o.Streams
	for range rounds {
		if done, err := resolved(ctx); done || err != nil {
			return done, err
		}
		for _, of := range []struct{ group, topic string }{
			{s.RouteGroup, s.Source}, {s.VerifyGroup, s.Again}, {s.WindowGroup, s.Changes},
			{s.VerifyGroup, s.Candidates}, {s.VerifyGroup, s.Questions},
		} {
			if err := k.awaitRead(ctx, of.group, of.topic); err != nil {
				return false, err
			}
		}
	}
	return resolved(ctx)
}

// Fate says whether one alert is still true.
type Fate struct {
	Alert   *brimline.Alert
	Verdict prove.Verdict
	Edge    *prove.Edge
	LSN     uint64 // of the look
	At      brimline.Time
}

// Alert compares the newest alert that has an id with the table.
func (p *Proof) Alert(ctx context.Context, id string) (*Fate, error) {
	j := &Fate{}
	var linked []*brimline.Alert
	if err := p.alerts(ctx, func(a *brimline.Alert) error {
		if a.Candidate.ID() == id {
			j.Alert = a
		}
		// Links go back in time, and their alerts may stand anywhere in the topic.
		if of := strings.TrimSuffix(a.Candidate.ID(), a.Candidate.Edge.String()); len(a.Supersedes) > 0 &&
			strings.HasPrefix(id, of) {
			linked = append(linked, a)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	if j.Alert == nil {
		return nil, &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "alert_unknown", Where: "alert " + id,
			Remedy: "`brimline alerts --json` shows ids; the topic may no longer have it",
			Err:    fmt.Errorf("topic %q has no alert with this id", p.o.Streams.Alerts),
		}
	}
	rule, err := p.compiled(j.Alert.Candidate.Rule)
	if err != nil {
		return nil, err
	}
	err = p.ledger.Look(ctx, func(k *ledger.Look) (err error) {
		j.LSN, j.At = k.LSN, brimline.TimeOf(p.o.Clock())
		j.Verdict, j.Edge, err = prove.Fate(ctx, k, j.Alert, rule, linked)
		return err
	})
	return j, err
}

func (p *Proof) compiled(rule brimline.Rule) (reference.Rule, error) {
	c, err := rules.CompileRule(rule, p.set.Columns, p.set.Scale)
	return reference.Rule{Rule: rule, Takes: c.Takes, Value: c.Value}, err
}

// Scale is the number of decimals of the group's amounts.
func (p *Proof) Scale() int { return p.set.Scale }
