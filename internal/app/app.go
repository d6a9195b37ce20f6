// Package app wires everything: from a configuration it makes the stages, the
// views and the HTTP API, creates their topics, and keeps them running.
//
// It is the only package that knows all others, and holds no logic of the flow
// itself. A stage that ends is started again, with a pause that grows; why it
// ended is logged once, counted, and told by /readyz. A stage never stops silently.
//
//	options.go   what a configuration means to each package below
//	app.go       life: New, Start, Run, Stop          supervise.go  one part, again and again
//	place.go     this process's own directory      topics.go     topics of the flow
//	bounds.go    how large records may be
//	gate.go      instances agree on their rules       records.go    the record of the rules in force
//	alertsfrom.go  from when on the group alerts    lives.go  topics that have been the source
//	stages.go    goka processors and their options    route.go, verify.go  the stages without goka
//	traffic.go   where partitions start               lag.go        how far behind, and caught up
//	health.go    notices to operators while it runs
//	checks.go    checks before the start           settings.go   how the group's rows are read
//	catalog.go   columns that change while it runs
//	without.go   an instance without stages
//	serve.go     views and HTTP                    operate.go  what takes the role operate
//	verified.go  counts of dismissals
//	profile.go   profiles                           prove.go, reports.go  the alerts compared with the table
//	audit.go, auditing.go  the windows' rows compared with the table    settle.go  what is on its way is waited for
package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/codecs"
	"github.com/brimline/brimline/codecs/debezium"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/internal/rules"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/processors/verify"
	"github.com/brimline/brimline/processors/window"
	"github.com/prometheus/client_golang/prometheus"
)

// How often the app looks at things that no event announces.
const (
	gateEvery   = time.Second
	watchEvery  = 5 * time.Second
	lagEvery    = 3 * time.Second
	lagUnasked  = 10 * time.Second
	caughtEvery = 200 * time.Millisecond
)

// App is one instance of brimline. It is made by New and used once: Start or
// Run, then Stop.
type App struct {
	config       config.Config
	log          *slog.Logger
	clock        func() time.Time
	version      string
	started      time.Time
	registry     *prometheus.Registry
	metrics      *Metrics
	stageMetrics stageMetrics
	distrusted   atomic.Pointer[window.States] // of the window stage; nil while it does not run here
	visited      atomic.Pointer[visits]        // of the same attempt of the window stage
	verified     *verified                     // nil where this instance asks PostgreSQL nothing
	budget       *verify.Budget                // of users who are distrusted by themselves
	folded       *folded
	outage       outage
	unread       *unread
	letters      *letters
	reports      reports

	streams     processors.Streams
	rules       *rules.Set
	compiled    []sliding.Rule
	fingerprint []byte

	decoder  atomic.Pointer[debezium.Decoder]     // of stage route; nil until the group knows what rows mean
	settings atomic.Pointer[codecs.GroupSettings] // by which it reads
	catalog  *catalogWatch

	place      *place
	kafka      kafka.Options
	cluster    *kafka.Cluster
	cache      *table.ReadCache                       // of all tables
	shared     map[processors.StageName]*table.Shared // tables of stages of this instance that its views read; set once
	partitions partitionCounts
	most       bounds
	// sourcePartitions is the number of the source topic's when it was last looked at.
	sourcePartitions atomic.Int64
	alertsFrom       brimline.Time // 0: always
	gate             *gate
	serving          *serving
	without          *without // of an instance without stages; else nil
	probing          *probing
	profiling        *profiling

	mu      sync.Mutex
	parts   []part // of the stages, while they run
	lags    []StageLag
	cancel  context.CancelFunc
	stopped bool
	done    chan struct{} // closed when the stages have ended for good
	err     error         // why, valid after done
}

// New checks everything that can be checked without a network: settings, rules
// and decoder. Its errors are of ClassInput.
func New(_ context.Context, o Options) (*App, error) {
	if err := o.Config.Valid(); err != nil {
		return nil, err
	}
	set, err := loadRules(&o.Config)
	if err != nil {
		return nil, err
	}
	if _, err = debezium.New(DecoderOptions(&o.Config, &set.RuleSet)); err != nil {
		return nil, err
	}
	a := newBare(o)
	a.rules, a.fingerprint = set, fingerprint(&set.RuleSet)
	a.compiled = a.rules.Compiled(a.whereFailed())
	a.stageMetrics = newStageMetrics(a.registry, a.rules.Rules)
	a.letters = newLetters(time.Now(), a.stageMetrics.deadLetters, a.log)
	if a.config.Runs(processors.Verify) && a.config.Verify != "off" {
		a.verified = newVerified(time.Now(), a.stageMetrics.verify.Tally, a.streams.Dismissed, a.log)
	}
	return a, nil
}

// newBare makes what an instance with stages and one without have in common.
func newBare(o Options) *App {
	a := &App{
		config: o.Config, log: o.Log, clock: o.Clock, registry: o.Registry, version: o.Version,
		streams: Streams(&o.Config), cache: table.NewReadCache(int(o.Config.Memory / cacheShare)), done: make(chan struct{}),
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.clock == nil {
		a.clock = failpoint.Clock(time.Now)
	}
	if a.registry == nil {
		a.registry = prometheus.NewRegistry()
	}
	a.catalog = newCatalogWatch()
	a.budget = verify.NewBudget(verify.DistrustsAtOnce, verify.DistrustEvery)
	a.started = a.clock()
	a.metrics = NewMetrics(a.registry, a.version)
	registerProcess(a.registry)
	a.unread = newUnread(a.log, a.metrics)
	return a
}

// whereFailed counts what a rule's where expression could not evaluate.
func (a *App) whereFailed() rules.Option {
	return rules.OnFailure(func(error) { a.metrics.unjudged.Inc() })
}

// Registry is where the metrics are.
func (a *App) Registry() *prometheus.Registry { return a.registry }

// Instance is the name of this instance; empty before Start.
func (a *App) Instance() string {
	if a.place == nil {
		return ""
	}
	return a.place.Instance
}

// Start brings the instance up: state directory, HTTP, checks, topics. It
// returns when the stages may begin, and does not wait for them: other
// instances with other rules may keep them waiting, which Status and /readyz
// tell. ctx bounds the start only. After an error nothing is left running.
func (a *App) Start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			a.abandon()
		}
	}()
	if a.without != nil {
		return a.startWithout(ctx)
	}
	if a.place, err = takePlace(a.config.StateDir, a.config.Group, a.config.Instance); err != nil {
		return err
	}
	a.kafka = KafkaOptions(&a.config.Kafka, a.place.Instance)
	a.log.Info("brimline starts", "group", a.config.Group, "instance", a.place.Instance,
		"stages", strings.Join(a.config.Stages, ","),
		"rules", len(a.rules.Rules), "fingerprint", showFingerprint(a.fingerprint), "source",
		a.streams.Source, "state", a.place.Dir)
	a.gate = &gate{
		groups: a.streams.Groups(), topic: a.streams.Rules, set: &a.rules.RuleSet,
		ours: a.fingerprint, self: a.place.Instance,
		log: a.log, gauge: a.metrics.strangers, every: gateEvery, write: a.writeRules, turnedAway: make(chan struct{}, 1),
		reason: errors.New("the checks before the start are not done yet"),
	}
	if err := a.listen(&basis{&a.rules.RuleSet, a.compiled, a.config}); err != nil {
		return err
	}
	if err := a.profile(); err != nil {
		return err
	}
	if a.cluster, err = kafka.Dial(ctx, a.kafka, kafka.Lasting); err != nil {
		return err
	}
	a.gate.cluster = rulesTopic{a.cluster}
	a.folded = &folded{cluster: a.cluster, streams: a.streams, clock: time.Now}
	if err := a.mayDescribe(ctx); err != nil {
		return err
	}
	checked, err := a.check(ctx)
	if err != nil {
		return err
	}
	if a.partitions, a.most, err = ensureTopics(
		ctx, a.cluster, a.streams, a.config.Partitions, a.config.Replication, a.log); err != nil {
		return err
	}
	a.sourcePartitions.Store(int64(a.partitions.source))
	a.metrics.expect(a.partitions)
	if !checked.waits {
		if err := a.agree(ctx, checked); err != nil {
			return err
		}
	}
	from, err := a.settleAlertsFrom(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.alertsFrom = from
	a.mu.Unlock()
	a.openViews(ctx)
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	a.mu.Lock()
	a.cancel = cancel
	a.mu.Unlock()
	go func() {
		defer close(a.done)
		a.err = a.conduct(running)
	}()
	return nil
}

// conduct runs the stages whenever the gate is open, until ctx ends.
func (a *App) conduct(ctx context.Context) error {
	var beside sync.WaitGroup
	defer beside.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	every := lagEvery
	if a.serving == nil && a.probing == nil { // then it is for the log alone
		every = lagUnasked
	}
	beside.Go(func() { a.watchGroup(ctx, every) })
	beside.Go(func() { a.watchLetters(ctx) })
	beside.Go(func() { a.watchReports(ctx) })
	if a.config.AuditEvery > 0 {
		beside.Go(func() { a.watchAudits(ctx) })
	}
	if a.verified != nil {
		beside.Go(func() { a.watchVerified(ctx) })
	}
	if err := a.awaitSettings(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	if a.watchesCatalog() {
		beside.Go(func() { a.watchCatalog(ctx) })
	}
	for ctx.Err() == nil {
		if err := a.gate.pass(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		if a.runStages(ctx) {
			a.log.Info("caught up: everything in the source topic has gone through all stages")
			return nil
		}
	}
	return nil
}

// runStages runs the stages until ctx ends, the gate closes, or, where that is
// asked for, all is done, which it reports.
func (a *App) runStages(ctx context.Context) (caughtUp bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	parts := a.makeParts()
	a.mu.Lock()
	a.parts = parts
	a.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() { p.run(ctx) })
	}
	all.Go(func() {
		a.gate.watch(ctx, watchEvery)
		cancel()
	})
	if a.config.UntilCaughtUp {
		all.Go(func() {
			if a.awaitCaughtUp(ctx) == nil {
				caughtUp = true
				cancel()
			}
		})
	}
	all.Wait()
	for _, p := range parts {
		p.traffic.report()
	}
	return caughtUp
}

// part is a stage of this instance while it runs.
type part struct {
	*supervised
	stage   processors.StageName
	traffic *traffic
	own     ownPartitions
}

// makeParts makes the configured stages.
func (a *App) makeParts() (parts []part) {
	gokas := map[processors.StageName]func() *gokaStage{
		processors.Window: a.windowStage, processors.Index: a.indexStage,
	}
	for _, name := range processors.StageNames() {
		if !a.config.Runs(name) {
			continue
		}
		p := part{stage: name, traffic: newTraffic(string(name), a.log.With("stage", string(name)), a.metrics.handled[name])}
		var run attempt
		if define, ok := gokas[name]; ok {
			s, own := define(), &gokaPartitions{}
			s.traffic, s.own, p.own = p.traffic, own, own
			run = a.attempt(s)
		} else {
			own := &memberPartitions{}
			p.own = own
			switch name {
			case processors.Route:
				run = a.catalog.guard(a.routeAttempt(p.traffic, own))
			case processors.Verify:
				run = a.verifyAttempt(p.traffic, own)
			default:
				panic("no way to run the stage " + string(name))
			}
		}
		p.supervised = newSupervised(string(name), a.log, a.metrics, run)
		parts = append(parts, p)
	}
	return parts
}

// Done is closed when the stages have ended: by Stop, by an error that trying
// again does not help, or because everything was done that was asked for.
func (a *App) Done() <-chan struct{} { return a.done }

// Wait waits for Done and tells why.
func (a *App) Wait() error {
	<-a.done
	return a.err
}

// Run is Start, then waiting until ctx ends or the stages do, then Stop within
// the configured time.
func (a *App) Run(ctx context.Context) error {
	if err := a.Start(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			return nil // told to stop while starting
		}
		return err
	}
	select {
	case <-ctx.Done():
		a.log.Info("stopping", "within", a.config.StopTimeout)
	case <-a.done:
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.config.StopTimeout)
	defer cancel()
	if err := a.Stop(stopping); err != nil {
		return err
	}
	return a.Wait()
}

// Stop ends the stages, each after the messages it has begun, then views, HTTP
// and connections. When ctx ends first, it names the stages that were still
// busy; what they had begun is done again after the next start. Safe to call
// twice, and after a failed Start.
func (a *App) Stop(ctx context.Context) error {
	a.mu.Lock()
	cancel, stopped := a.cancel, a.stopped
	a.stopped = true
	a.mu.Unlock()
	if cancel == nil || stopped {
		return nil
	}
	cancel()
	var late error
	select {
	case <-a.done:
	case <-ctx.Done():
		late = a.stillBusy()
	}
	a.abandon()
	if late == nil {
		a.log.Info("stopped")
	}
	return late
}

func (a *App) stillBusy() error {
	var names []string
	a.mu.Lock()
	for _, p := range a.parts {
		if s := p.Status(); s.State != httpapi.Stopped {
			names = append(names, s.Name)
		}
	}
	a.mu.Unlock()
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "stop_timeout", Where: "stopping",
		Remedy: "give it longer with --stop-timeout, or leave it: the next start does again what was not finished",
		Err:    fmt.Errorf("not finished in time: %s", cmp.Or(strings.Join(names, ", "), "start-up")),
	}
}

// abandon closes what Start opened, in reverse.
func (a *App) abandon() {
	a.serving.close()
	a.probing.close()
	a.profiling.close()
	if a.cluster != nil {
		_ = a.cluster.Close()
	}
	a.place.release()
}
