package app

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/prometheus/client_golang/prometheus"
)

// Another program under our group's name stays, and is told of at last.
func TestGateTellsOfMembersWithoutRules(t *testing.T) {
	f := &fakeRules{looks: [][]kafka.Member{{{ClientID: "console-consumer", Host: "/10.0.0.9"}}}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := &lines{}
	g := newGate(f, ruleSet(day), nil)
	g.log = slog.New(slog.NewTextHandler(log, nil))
	done := make(chan error, 1)
	go func() { done <- g.pass(ctx) }()
	for !strings.Contains(log.String(), "console-consumer at 10.0.0.9") {
		select {
		case err := <-done:
			t.Fatalf("passed: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	<-done
}

// fakeRules plays the brokers: what members there are at each look, and the record of rules.
type fakeRules struct {
	looks  [][]kafka.Member // the last one stays
	err    error
	record *brimline.RuleSet
}

func (f *fakeRules) Members(_ context.Context, group string) ([]kafka.Member, error) {
	if group != "g-route" || len(f.looks) == 0 {
		return nil, f.err
	}
	now := f.looks[0]
	if len(f.looks) > 1 {
		f.looks = f.looks[1:]
	}
	return now, f.err
}

func (f *fakeRules) lastRules(context.Context, string) (*brimline.RuleSet, error) {
	return f.record, nil
}

func ruleSet(window time.Duration, columns ...brimline.Column) *brimline.RuleSet {
	return &brimline.RuleSet{
		Scale:   2,
		Columns: columns,
		Rules:   []brimline.Rule{{ID: "r", Window: window, Limit: brimline.Count(1)}},
	}
}

func newGate(f *fakeRules, set *brimline.RuleSet, log *strings.Builder) *gate {
	return &gate{
		cluster: f, groups: []string{"g-route", "g-window"}, topic: "g-rules", set: set, ours: fingerprint(set), self: "me",
		log: slog.New(
			slog.NewTextHandler(log, nil),
		), gauge: prometheus.NewGauge(prometheus.GaugeOpts{}), every: time.Millisecond,
		turnedAway: make(chan struct{}, 1),
		write: func(_ context.Context, s *brimline.RuleSet) error {
			f.record = s
			return nil
		},
	}
}

const day = 24 * time.Hour

func TestGateWaitsForOtherRules(t *testing.T) {
	set, other := ruleSet(day), ruleSet(2*day)
	stranger := kafka.Member{ClientID: "them", Host: "10.0.0.7", UserData: fingerprint(other)}
	f := &fakeRules{looks: [][]kafka.Member{
		{{ClientID: "me", UserData: fingerprint(other)}, stranger}, // our own ghost does not count
		{stranger},
		{{ClientID: "them"}}, // in the middle of a rebalance
		{{ClientID: "them", UserData: fingerprint(set)}},
	}}
	var log strings.Builder
	g := newGate(f, set, &log)
	if err := g.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.looks) != 1 || f.record != set || g.Closed() != nil {
		t.Errorf("passed with %d looks to come, record %v, %v", len(f.looks)-1, f.record, g.Closed())
	}
	for _, want := range []string{"other rules", "them", "10.0.0.7", showFingerprint(fingerprint(other)), "--group"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
	// Once for each reason, not for each look; a rebalance is no reason yet
	if n := strings.Count(log.String(), "level="); n != 1 {
		t.Errorf("%d lines logged:\n%s", n, log.String())
	}
}

// Rules that the group's history does not suffice for end the start at once. Were it told after those with the old
// rules have left, a rollout would have ended them for nothing.
func TestGateRefusesWhatItCannotBeginBeforeOthersLeave(t *testing.T) {
	set, inForce := ruleSet(90*day), ruleSet(7*day)
	f := &fakeRules{
		looks: [][]kafka.Member{{{ClientID: "them", Host: "10.0.0.7", UserData: fingerprint(inForce)}}}, record: inForce,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	var log strings.Builder
	g := newGate(f, set, &log)
	err := g.pass(ctx)
	if brimline.ExitCode(err) != int(brimline.ClassInput) || !strings.Contains(err.Error(), "14d of history") {
		t.Errorf("%v\n%s", err, log.String())
	}
	if f.record != inForce {
		t.Error("the rules in force were replaced")
	}
}

// What other instances do is waited for; what is this instance's own, it does.
func TestGateTellsWhatItWaitsFor(t *testing.T) {
	set := ruleSet(day)
	stranger := kafka.Member{ClientID: "them", Host: "10.0.0.7", UserData: fingerprint(ruleSet(2 * day))}
	for what, c := range map[string]struct {
		f     *fakeRules
		waits bool
	}{
		"other rules":      {&fakeRules{looks: [][]kafka.Member{{stranger}}}, true},
		"a rebalance":      {&fakeRules{looks: [][]kafka.Member{{{ClientID: "them"}}}}, false},
		"brokers are away": {&fakeRules{err: errors.New("away")}, false},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		g := newGate(c.f, set, &strings.Builder{})
		if err := g.pass(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
		if g.Closed() == nil || g.Waits() != c.waits {
			t.Errorf("%s: closed by %v, waits %v", what, g.Closed(), g.Waits())
		}
	}
}

// An instance whose stages are connected by other streams is a stranger, whatever its rules.
func TestGateKeepsOtherFlowsOut(t *testing.T) {
	set := ruleSet(day)
	ours := fingerprint(set)
	newer := bytes.Clone(ours)
	newer[8]++
	const older = "an older version of brimline"
	for _, test := range []struct {
		said   string
		theirs []byte
	}{
		{older, ours[:8]}, {"a newer version of brimline", newer},
		{older, append(bytes.Clone(ours[:8]), 3)}, // cannot read layout 3 of changes and windows
	} {
		said, theirs := test.said, test.theirs
		f := &fakeRules{looks: [][]kafka.Member{{{ClientID: "them", UserData: theirs}}, {}}}
		var log strings.Builder
		if err := newGate(f, set, &log).pass(t.Context()); err != nil || len(f.looks) != 1 {
			t.Errorf("beside %s: passed with %d looks to come, %v", said, len(f.looks)-1, err)
		}
		if !strings.Contains(log.String(), said) || !strings.Contains(log.String(), "the same streams") {
			t.Errorf("the log lacks %q:\n%s", said, log.String())
		}
	}
}

func TestGateEndsWithItsContext(t *testing.T) {
	set := ruleSet(day)
	f := &fakeRules{looks: [][]kafka.Member{{{ClientID: "them", UserData: []byte("other")}}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var log strings.Builder
	g := newGate(f, set, &log)
	if err := g.pass(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := g.Closed(); err == nil || f.record != nil {
		t.Errorf("closed: %v, record %v", err, f.record)
	}
}

func TestGateWaitsOutAnOutage(t *testing.T) {
	set := ruleSet(day)
	f := &fakeRules{err: errors.New("nobody there")}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var log strings.Builder
	if err := newGate(f, set, &log).pass(ctx); !errors.Is(err, context.DeadlineExceeded) ||
		strings.Count(log.String(), "nobody there") != 1 {
		t.Errorf("%v\n%s", err, log.String())
	}
}

func TestGateTurnedAway(t *testing.T) {
	f := &fakeRules{}
	var log strings.Builder
	g := newGate(f, ruleSet(day), &log)
	g.excluded([]byte("theirs"))
	g.excluded([]byte("theirs")) // must not block
	g.watch(t.Context(), time.Hour)
	g.excluded([]byte("theirs"))
	if err := g.pass(t.Context()); err != nil { // what was said before is over
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g.watch(ctx, time.Hour)
}

// The metric tells how many instances disagree wherever that is known, and goes back to 0 with them: of the instance
// that waits, and of one that goes on.
func TestDisagreementIsCounted(t *testing.T) {
	set, other := ruleSet(day), ruleSet(2*day)
	them := kafka.Member{ClientID: "them", UserData: fingerprint(other)}
	others := kafka.Member{ClientID: "others", UserData: fingerprint(other)}
	f := &fakeRules{looks: [][]kafka.Member{{them, others, them}}} // one instance is a member of several groups
	var log strings.Builder
	g, r := newGate(f, set, &log), prometheus.NewRegistry()
	g.gauge = prometheus.NewGauge(prometheus.GaugeOpts{Name: "disagreeing"})
	r.MustRegister(g.gauge)
	told := func() float64 { return value(t, r, "disagreeing", "") }
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := g.pass(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if got := told(); got != 2 {
		t.Errorf("waiting for two instances it tells of %v", got)
	}
	f.looks = [][]kafka.Member{{them}, {{ClientID: "them"}}, {}}
	if err := g.pass(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := told(); got != 0 {
		t.Errorf("after they have gone it tells of %v", got)
	}

	f.looks = [][]kafka.Member{{them}}
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() { defer close(done); g.watch(ctx, time.Millisecond) }()
	for told() != 1 || g.Disputed() == nil {
		<-time.After(time.Millisecond)
	}
	if by := g.Disputed().Error(); !strings.Contains(by, "them") {
		t.Errorf("an instance that goes on does not say who disagrees: %s", by)
	}
	g.excluded([]byte("theirs")) // the leader turned us away: it is at least one
	<-done
	if got := told(); got != 1 {
		t.Errorf("turned away it tells of %v", got)
	}
	f.looks = nil
	if err := g.pass(t.Context()); err != nil || told() != 0 || g.Disputed() != nil {
		t.Errorf("%v, and it tells of %v, %v", err, told(), g.Disputed())
	}
	g.excluded([]byte("theirs"))
	g.watch(t.Context(), time.Hour) // no look in between
	if got := told(); got != 1 {
		t.Errorf("turned away before the first look it tells of %v", got)
	}
}

// Two that started at once with different rules have both written theirs down; the one that goes on does so again.
func TestWatchReassertsTheRules(t *testing.T) {
	set, other := ruleSet(day), ruleSet(2*day)
	f := &fakeRules{record: other, looks: [][]kafka.Member{
		{{ClientID: "them", UserData: fingerprint(other)}}, {{ClientID: "them", UserData: fingerprint(other)}}, {},
	}}
	var log strings.Builder
	g := newGate(f, set, &log)
	ctx, cancel := context.WithCancel(t.Context())
	g.write = func(_ context.Context, s *brimline.RuleSet) error {
		f.record = s
		cancel()
		return nil
	}
	g.watch(ctx, time.Millisecond)
	if f.record != set || strings.Count(log.String(), "level=WARN") != 1 {
		t.Errorf("record %v\n%s", f.record, log.String())
	}
}

func TestReachable(t *testing.T) {
	color, size := brimline.Column{
		Name: "color",
		Type: brimline.Text,
	}, brimline.Column{
		Name: "size",
		Type: brimline.Integer,
	}
	before := ruleSet(7*day, color) // 14 days are kept
	changed := func(change func(*brimline.RuleSet)) *brimline.RuleSet {
		s := ruleSet(7*day, color)
		change(s)
		return s
	}
	for _, x := range []struct {
		what  string
		after *brimline.RuleSet
		ok    bool
	}{
		{"the same", ruleSet(7*day, color), true},
		{"a longer window within the history", ruleSet(14*day, color), true},
		{"a window beyond the history", ruleSet(14*day+time.Microsecond, color), false},
		{"one column less", ruleSet(7 * day), true},
		{"a column that was not kept", ruleSet(7*day, color, size), false},
		{"a column of another type", ruleSet(7*day, brimline.Column{Name: "color", Type: brimline.Integer}), false},
		{"other decimals", changed(func(s *brimline.RuleSet) { s.Scale = 3 }), false},
		{"less history, same rule", changed(func(s *brimline.RuleSet) { s.Lateness = time.Hour }), true},
	} {
		err := reachable(before, x.after)
		if (err == nil) != x.ok {
			t.Errorf("%s: %v", x.what, err)
		}
		if e, ok := errors.AsType[*brimline.Error](err); err != nil &&
			(!ok || e.Kind != "rules_need_new_group" || e.Class != brimline.ClassInput ||
				!strings.Contains(e.Remedy, "--group")) {
			t.Errorf("%s: %v", x.what, err)
		}
	}
	// A rule that stays need not fit a history that an earlier, shorter set has left.
	short := ruleSet(7 * day)
	short.Lateness = time.Nanosecond
	if err := reachable(short, ruleSet(7*day)); err != nil {
		t.Error(err)
	}
}
