package app

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/present"
	"github.com/brimline/brimline/processors"
	"github.com/prometheus/client_golang/prometheus"
)

// unsettledPatience is after how many looks a group that does not settle is
// worth a warning: a rebalance takes a few seconds, another program stays.
const unsettledPatience = 15

// rulesKey is the key of the record of the rules in force.
const rulesKey = processors.RulesKey

// gate lets this instance apply its rules only while every other instance of the group applies the same. It is passed
// before the stages join their groups; while they run, the balance strategy of package kafka keeps partitions from
// members that disagree with the leader, and the gate hears of it.
type gate struct {
	cluster rulesCluster
	write   func(ctx context.Context, set *brimline.RuleSet) error // puts the record of rules in force
	groups  []string
	topic   string
	set     *brimline.RuleSet
	ours    []byte // fingerprint of set
	self    string // our client id
	log     *slog.Logger
	gauge   prometheus.Gauge
	every   time.Duration // between two looks

	turnedAway chan struct{} // holds one when the leader left us out

	mu       sync.Mutex
	reason   error // why it is closed; nil while it is open
	waits    bool  // for other instances: what is to be done is to be done there
	disputed error // who applies other rules while it is open
	others   int   // instances with other rules, as last seen
}

// rulesCluster is the part of kafka.Cluster that the gate asks.
type rulesCluster interface {
	Members(ctx context.Context, group string) ([]kafka.Member, error)
	lastRules(ctx context.Context, topic string) (*brimline.RuleSet, error)
}

// Closed is why this instance does not apply its rules at the moment; nil when it may.
func (g *gate) Closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason
}

// Waits reports whether this instance is closed for what other instances do, not for what is its own.
func (g *gate) Waits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.reason != nil && g.waits
}

// Disputed names the members of the group that would apply other rules while this instance applies its own; nil for
// none.
func (g *gate) Disputed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.disputed
}

func (g *gate) close(reason error) { g.closeFor(reason, false) }

func (g *gate) closeFor(reason error, waits bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.reason, g.waits, g.disputed = reason, waits, nil
}

func (g *gate) dispute(by error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.disputed = by
}

// count tells how many other instances have other rules: each is a member of several groups.
func (g *gate) count(others []kafka.Member) {
	instances := map[string]bool{}
	for _, m := range others {
		instances[m.ClientID] = true
	}
	g.tellOthers(func(int) int { return len(instances) })
}

func (g *gate) tellOthers(n func(before int) int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.others = n(g.others)
	g.gauge.Set(float64(g.others))
}

// excluded is called by the balance strategy when the leader applies other rules.
func (g *gate) excluded([]byte) {
	select {
	case g.turnedAway <- struct{}{}:
	default:
	}
}

// pass waits until no member of the group's consumer groups has other rules,
// checks that the retained history suffices for ours, and writes them down as
// the rules in force. It ends early with ctx's error.
func (g *gate) pass(ctx context.Context) error {
	said, unsettledLooks := "", 0
	// say closes the gate for a reason, and logs each reason once.
	say := func(level slog.Level, message string, reason error, waits bool) {
		g.closeFor(reason, waits)
		if said != reason.Error() {
			g.log.Log(ctx, level, message, "error", reason)
			said = reason.Error()
		}
	}
	for {
		others, unsettled, err := g.strangers(ctx)
		if err == nil {
			g.count(others)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			say(slog.LevelWarn, "cannot see which rules the other instances apply; looking again", err, false)
		case len(others) > 0:
			// Who leaves, so that these rules come into force, must not find out afterwards that they cannot.
			if err := g.canBegin(ctx); err != nil {
				return err
			}
			say(slog.LevelError, "waiting: other instances of this group apply other rules", g.disagreement(others), true)
		case len(unsettled) > 0:
			level := slog.LevelDebug
			if unsettledLooks++; unsettledLooks >= unsettledPatience {
				level, said = slog.LevelWarn, ""
				unsettledLooks = 0
			}
			say(level, "waiting: members of this group do not tell their rules", g.disagreement(unsettled), false)
		default:
			err := g.open(ctx)
			if err == nil || ctx.Err() != nil || brimline.ExitCode(err) == int(brimline.ClassInput) {
				return err
			}
			say(slog.LevelWarn, "cannot agree on the rules; trying again", err, false)
		}
		select {
		case <-time.After(g.every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// canBegin is an error where the rules in force have not kept the history that ours need.
func (g *gate) canBegin(ctx context.Context) error {
	inForce, err := g.cluster.lastRules(ctx, g.topic)
	if err != nil || inForce == nil {
		return nil //nolint:nilerr // open asks again, and says why it cannot
	}
	err = reachable(inForce, g.set)
	if err != nil {
		g.close(err)
	}
	return err
}

func (g *gate) open(ctx context.Context) error {
	inForce, err := g.cluster.lastRules(ctx, g.topic)
	if err != nil {
		return err
	}
	if inForce != nil {
		if err := reachable(inForce, g.set); err != nil {
			g.close(err)
			return err
		}
		g.tell(inForce)
	}
	if inForce == nil || inForce.Fingerprint() != g.set.Fingerprint() {
		if err := g.write(ctx, g.set); err != nil {
			return err
		}
	}
	select { // what was said before concerns an earlier try
	case <-g.turnedAway:
	default:
	}
	g.close(nil)
	return nil
}

// tell logs what a change of rules means.
func (g *gate) tell(before *brimline.RuleSet) {
	for i := range g.set.Rules {
		r := &g.set.Rules[i]
		if !has(before, r) {
			g.log.Info("rule is new or changed: it starts from the retained history, without alerts for edges before now",
				"rule", r.ID)
		}
	}
	for i := range before.Rules {
		if !has(g.set, &before.Rules[i]) {
			g.log.Info("rule is gone or changed", "rule", before.Rules[i].ID)
		}
	}
}

func has(set *brimline.RuleSet, rule *brimline.Rule) bool {
	return slices.ContainsFunc(set.Rules, func(r brimline.Rule) bool { return r.Fingerprint() == rule.Fingerprint() })
}

// watch looks after the group while the stages run. It returns when ctx ends or
// this instance was left out; then the gate must be passed again. Where two
// instances with different rules started at the same moment, both have written
// their rules down: the one that goes on does so again.
func (g *gate) watch(ctx context.Context, look time.Duration) {
	tick := time.NewTicker(look)
	defer tick.Stop()
	disputed := false
	for {
		select {
		case <-tick.C:
			others, _, err := g.strangers(ctx)
			if err != nil {
				continue // the stages meet the same trouble, and say so
			}
			g.count(others)
			if len(others) > 0 {
				by := g.disagreement(others)
				if !disputed {
					g.log.Warn("other instances of this group apply other rules and wait", "error", by)
				}
				disputed = true
				g.dispute(by)
			} else if disputed {
				g.dispute(nil)
				disputed = g.reassert(ctx) != nil
			}
		case <-g.turnedAway:
			g.tellOthers(func(before int) int { return max(1, before) }) // the leader at least
			g.log.Error("the instance that leads this group applies other rules; this one stops its stages and waits")
			return
		case <-ctx.Done():
			return
		}
	}
}

func (g *gate) reassert(ctx context.Context) error {
	inForce, err := g.cluster.lastRules(ctx, g.topic)
	if err == nil && (inForce == nil || inForce.Fingerprint() != g.set.Fingerprint()) {
		err = g.write(ctx, g.set)
	}
	return err
}

// strangers are the members with other rules. The unsettled show no
// fingerprint: either their group is in the middle of a rebalance, of which the
// next look will show the outcome, or it is another program under our name.
func (g *gate) strangers(ctx context.Context) (others, unsettled []kafka.Member, err error) {
	for _, group := range g.groups {
		members, err := g.cluster.Members(ctx, group)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range members {
			switch {
			case m.ClientID == g.self:
			case len(m.UserData) == 0:
				unsettled = append(unsettled, m)
			case string(m.UserData) != string(g.ours) && !failpoint.Without(failpoint.SameRules):
				others = append(others, m)
			}
		}
	}
	return others, unsettled, nil
}

func (g *gate) disagreement(others []kafka.Member) error {
	var who []string
	remedy := "stop those instances, or start them with the same rules file; or give this one another --group"
	for _, m := range others {
		if flow, known := flowOf(m.UserData); known && flow != processors.FlowVersion {
			remedy = "stop those instances: of one group, all must be of versions of brimline that have the same streams"
		}
		what := "rules " + showFingerprint(m.UserData)
		if len(m.UserData) == 0 {
			what = "rules not told"
		}
		if line := fmt.Sprintf("%s at %s (%s)", m.ClientID, host(m.Host), what); !slices.Contains(who, line) {
			who = append(who, line)
		}
	}
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "rules_disagree",
		Where:  fmt.Sprintf("rules %s of this instance", showFingerprint(g.ours)),
		Remedy: remedy,
		Err:    fmt.Errorf("other rules than ours are in use by %s", strings.Join(who, ", ")),
	}
}

// host is a member's address without what differs from one connection to the next.
func host(address string) string {
	address = strings.TrimPrefix(address, "/") // Kafka's own way to write it
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}

// flowOf is the version of the flow that a fingerprint tells.
func flowOf(b []byte) (version byte, known bool) {
	switch len(b) {
	case 8:
		return 1, true
	case 9:
		return b[8], true
	}
	return 0, false
}

// showFingerprint shows that of the rules, and the version of a flow that is not this program's.
func showFingerprint(b []byte) string {
	flow, known := flowOf(b)
	if !known {
		return fmt.Sprintf("%x", b)
	}
	rules := fmt.Sprintf("%016x", binary.BigEndian.Uint64(b))
	switch {
	case flow < processors.FlowVersion:
		rules += " in an older version of brimline"
	case flow > processors.FlowVersion:
		rules += " in a newer version of brimline"
	}
	return rules
}

// reachable tells whether the history that was retained under the rules before
// suffices to start the rules after.
func reachable(before, after *brimline.RuleSet) error {
	var problems []error
	if before.Scale != after.Scale {
		problems = append(problems,
			fmt.Errorf("amounts were kept with %s, and now have %d", present.Plural(before.Scale, "decimal"), after.Scale))
	}
	for _, c := range after.Columns {
		if !slices.Contains(before.Columns, c) {
			problems = append(problems, fmt.Errorf("column %q (%s) was not kept", c.Name, c.Type))
		}
	}
	for i := range after.Rules {
		r := &after.Rules[i]
		if !has(before, r) && r.Window > before.Retention() {
			problems = append(problems, fmt.Errorf("rule %q has a window of %s, and only %s of history were kept",
				r.ID, present.Duration(r.Window), present.Duration(before.Retention())))
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "rules_need_new_group", Where: "changed rules",
		Remedy: "start them under a new name with --group, which reads the change stream from the beginning",
		Err:    errors.Join(problems...),
	}
}
