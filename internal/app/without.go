package app

import (
	"bytes"
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// without belongs to an instance without stages: it answers by the rules that its group has written down, and takes up
// others when the group does.
type without struct {
	mu     sync.Mutex
	reason error // why it does not answer yet; nil when it does
	again  processors.Rarely
}

// How often the group's rules are looked at.
const (
	basisEvery  = 5 * time.Second
	basisAtOnce = 500 * time.Millisecond // while there are none
)

func (w *without) set(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reason = reason
}

// waits says what is waited for; empty where that is nothing.
func (w *without) waits() string {
	if w == nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.reason == nil {
		return ""
	}
	return w.reason.Error()
}

// NewWithout makes an instance without stages: views, API and page. Of the configuration it uses Kafka, Names,
// Database, State, Serving, Profiling and Logging, which the caller has checked.
func NewWithout(o Options) *App {
	o.Config.Stages, o.Config.ProveEvery = nil, 0
	a := newBare(o)
	a.without = &without{}
	a.letters = newLetters(time.Now(), func() map[string]int64 { return nil }, a.log)
	return a
}

// startWithout brings such an instance up. It does not wait for a group that has not begun.
func (a *App) startWithout(ctx context.Context) (err error) {
	if a.place, err = takePlace(a.config.StateDir, a.config.Group, a.config.Instance); err != nil {
		return err
	}
	a.kafka = KafkaOptions(&a.config.Kafka, a.place.Instance)
	a.log.Info(
		"brimline starts without stages",
		"group",
		a.config.Group,
		"instance",
		a.place.Instance,
		"state",
		a.place.Dir,
	)
	a.without.set(errNotBegun(a.streams.Rules))
	if err := a.listen(&basis{set: &brimline.RuleSet{}}); err != nil {
		return err
	}
	if err := a.profile(); err != nil {
		return err
	}
	if a.cluster, err = kafka.Dial(ctx, a.kafka, kafka.Lasting); err != nil {
		return err
	}
	if err := a.mayDescribe(ctx); err != nil {
		return err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.mu.Lock()
	a.cancel = cancel
	a.mu.Unlock()
	go func() {
		defer close(a.done)
		a.answerOn(running)
	}()
	return nil
}

func errNotBegun(topic string) error {
	return &brimline.Error{
		Class: brimline.ClassEnvironment, Kind: "group_not_begun", Where: "topic " + topic,
		Remedy: "start `brimline run` with the same --group, --source and --alerts",
		Err:    errors.New("the group has not written down its rules yet"),
	}
}

// answerOn answers by the group's rules, whichever they are, until ctx ends.
func (a *App) answerOn(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	beside.Go(func() { a.watchGroup(ctx, lagEvery) })
	beside.Go(func() { a.watchReports(ctx) })
	var now *basis
	stop, wait := func() {}, func() {}
	defer func() {
		stop()
		wait()
	}()
	for ctx.Err() == nil {
		by, err := a.basisInForce(ctx)
		pause := basisEvery
		switch {
		case err != nil && now == nil:
			pause = basisAtOnce
			a.without.set(err)
			if ctx.Err() == nil && a.without.again.Due(time.Now()) {
				a.log.Warn("nothing can be answered yet", "error", err)
			}
		case err != nil: // the rules of before are the group's for all that is known
			a.log.Debug("the group's rules cannot be looked at", "error", err)
		case now == nil || !now.same(by):
			stop()
			wait()
			a.serving.windows.Store(nil)
			a.serving.alerts.Store(nil)
			a.answer(by)
			stop, wait = a.follow(ctx, by.set)
			now = by
			a.without.set(nil)
			a.log.Info("answering by the group's rules", "rules", len(by.set.Rules),
				"fingerprint", showFingerprint(fingerprint(by.set)))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
}

// basisInForce reads what the group has written down.
func (a *App) basisInForce(ctx context.Context) (*basis, error) {
	set, err := RulesInForce(ctx, a.cluster, a.streams.Rules)
	if IsMissing(err) || err == nil && set == nil {
		return nil, errNotBegun(a.streams.Rules)
	}
	if err != nil {
		return nil, err
	}
	by := &basis{set: set, config: a.config}
	if by.compiled, err = compile(set); err != nil {
		return nil, err
	}
	s, err := rulesTopic{a.cluster}.settings(ctx, a.streams.Rules)
	if err != nil {
		return nil, err
	}
	if s == nil { // then PostgreSQL cannot be asked
		by.config.DatabaseURL = ""
	} else {
		by.config = asGroup(&a.config, s)
	}
	from, err := AlertsFromInForce(ctx, a.cluster, a.streams.Rules)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	a.alertsFrom = from
	a.mu.Unlock()
	return by, nil
}

func (b *basis) same(o *basis) bool {
	x, err := codecs.RuleSet{}.Encode(b.set)
	y, err2 := codecs.RuleSet{}.Encode(o.set)
	return errors.Join(err, err2) == nil && bytes.Equal(x, y) && reflect.DeepEqual(b.config, o.config)
}
