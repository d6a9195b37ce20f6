package app

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/access"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/sliding"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
	"github.com/lovoo/goka"
)

// serving answers questions: HTTP, and under it views of the two
// tables. HTTP is up from the start, so that /readyz can tell what an instance
// waits for; the views come when their tables are there.
type serving struct {
	server      *httpapi.Server
	tokens      *access.File        // nil: none
	certificate *access.Certificate // nil: no TLS

	windows atomic.Pointer[views.Windows]
	alerts  atomic.Pointer[views.Alerts]
	reader  *feed.Reader
	live    atomic.Pointer[feed.Live]

	options httpapi.Options // all but what goes by the rules
	handler atomic.Pointer[http.Handler]
	mu      sync.Mutex
	explain *explainer // of the rules of now

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// basis holds the rules by which questions are answered.
type basis struct {
	set      *brimline.RuleSet
	compiled []sliding.Rule
	config   config.Config // its database, table and columns
}

// listen opens the HTTP ports and begins to answer.
func (a *App) listen(by *basis) error {
	o := httpapi.Options{
		Status: a.Status, Streams: a.streams, Metrics: a.registry, Now: a.clock,
		Events: a.log, LogRequests: a.config.LogRequests, Apart: a.config.MetricsListen != "", Base: a.config.BasePath,
	}
	if err := a.listenApart(); err != nil {
		return err
	}
	if a.config.Listen != "off" {
		if err := a.listenHere(o, by); err != nil {
			return err
		}
	}
	a.probing.begin(httpapi.Probes(o), a.log) // last: its status is that of the API as well
	return nil
}

// listenHere opens the port of the API.
func (a *App) listenHere(o httpapi.Options, by *basis) error {
	door := httpapi.Door{
		Address: a.config.Listen, Hosts: a.config.AllowedHosts, Base: a.config.BasePath,
	}
	if !o.Apart {
		door.Probes = httpapi.ProbePaths(door.Base)
	}
	s := &serving{}
	var err error
	if a.config.TokensFile != "" {
		if s.tokens, err = access.OpenFile(a.config.TokensFile, a.log); err != nil {
			return err
		}
		o.Admission.Tokens = s.tokens.Tokens
	}
	if a.config.TLSCert != "" {
		if s.certificate, err = access.OpenCertificate(a.config.TLSCert, a.config.TLSKey, a.log); err != nil {
			return err
		}
		door.Certificate, o.Admission.TLS = s.certificate.Get, true
	}
	o.Admission.Anonymous = a.config.AllowAnonymous
	if s.server, err = httpapi.Listen(door, a.log); err != nil {
		return err
	}
	if !s.server.Loopback() && s.tokens == nil && !a.config.AllowAnonymous { // a name that stands for another address here
		return errors.Join(&brimline.Error{
			Class: brimline.ClassInput, Kind: "settings", Where: "--listen",
			Remedy: "give --tokens-file, or --allow-anonymous where something in front asks who is there",
			Err:    errors.New("other machines can reach it, and it would answer whoever asks"),
		}, s.server.Close())
	}
	if s.reader, err = feed.Open(a.kafka); err != nil {
		return errors.Join(err, s.server.Close())
	}
	o.Users, o.Alerts, o.Log, o.Live = usersNow{s}, alertsNow{s}, s.reader, s.live.Load
	o.Admission.Sessions = access.NewSessions()
	s.options = o
	a.serving = s
	a.answer(by)
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(func() {
		err := s.server.Serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			(*s.handler.Load()).ServeHTTP(w, r)
		}))
		if err != nil {
			a.log.Error("HTTP has ended", "error", err)
		}
	})
	if s.tokens != nil {
		s.running.Go(func() { s.tokens.Run(ctx) })
		if s.tokens.Open() {
			a.log.Warn("every user of this machine may read the hashes in the file of tokens", "remedy", "chmod 600 it")
		}
	}
	if s.certificate != nil {
		s.running.Go(func() { s.certificate.Run(ctx) })
	}
	if !s.server.Loopback() {
		a.warnOpen(o.Admission)
	}
	a.log.Info("listening", "url", s.server.URL())
	return nil
}

// answer has questions answered by rules from now on.
func (a *App) answer(by *basis) {
	s := a.serving
	if s == nil {
		return
	}
	o, explain := s.options, newExplainer(a, by)
	o.Rules, o.Explain = *by.set, explain
	o.Operator = &operator{app: a, reader: s.reader, rules: by.set}
	handler := httpapi.New(o)
	s.handler.Store(&handler)
	s.mu.Lock()
	before := s.explain
	s.explain = explain
	s.mu.Unlock()
	before.close()
}

// warnOpen says what a listener lets through that other machines can reach.
func (a *App) warnOpen(o httpapi.Admission) {
	switch {
	case a.config.AllowAnonymous:
		a.log.Warn("HTTP is open beyond this machine, and whoever reaches it may read", "url", a.URL())
	case !o.TLS:
		a.log.Warn("HTTP is open beyond this machine without TLS: tokens can be read on the way", "url", a.URL(),
			"remedy", "give --tls-cert and --tls-key, unless something in front has TLS")
	}
}

// listenApart opens the port of metrics and probes, where they have one of their own.
func (a *App) listenApart() error {
	if a.config.MetricsListen == "" {
		return nil
	}
	server, err := httpapi.Listen(httpapi.Door{
		Flag: "--metrics-listen", Address: a.config.MetricsListen, Hosts: a.config.AllowedHosts,
		Probes: httpapi.ProbePaths(""),
	}, a.log)
	if err == nil {
		a.probing = &probing{server: server}
	}
	return err
}

// probing is the listener of metrics and probes.
type probing struct {
	server *httpapi.Server
	cancel context.CancelFunc // nil until it has begun
	done   chan struct{}
}

func (p *probing) begin(handler http.Handler, log *slog.Logger) {
	if p == nil {
		return
	}
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	go func() {
		defer close(p.done)
		if err := p.server.Serve(ctx, handler); err != nil {
			log.Error("metrics and probes have ended", "error", err)
		}
	}()
	log.Info("listening for metrics and probes", "url", p.server.URL())
}

func (p *probing) close() {
	switch {
	case p == nil:
	case p.cancel == nil:
		_ = p.server.Close()
	default:
		p.cancel()
		<-p.done
	}
}

// MetricsURL is where metrics and probes answer apart from the API; empty where they do not.
func (a *App) MetricsURL() string {
	if a.probing == nil {
		return ""
	}
	return a.probing.server.URL()
}

// URL is where HTTP answers; empty when it is off or not yet on.
func (a *App) URL() string {
	if a.serving == nil {
		return ""
	}
	return a.serving.server.URL()
}

// openViews starts to follow the tables, for HTTP alone.
func (a *App) openViews(ctx context.Context) {
	if a.serving == nil {
		return
	}
	a.shareTables()
	stopHTTP := a.serving.cancel
	stop, _ := a.follow(context.WithoutCancel(ctx), &a.rules.RuleSet)
	a.serving.cancel = func() {
		stop()
		stopHTTP()
	}
}

// follow follows the tables and the alerts, by rules, until stop; wait returns when that has been done.
func (a *App) follow(ctx context.Context, set *brimline.RuleSet) (stop, wait func()) {
	s := a.serving
	view := func(stage processors.StageName) (views.Config, error) {
		c, err := ViewConfig(a.kafka, a.streams.Group)
		c.Dir, c.Rules, c.Log = a.place.Dir, set, a.log
		if shared := a.shared[stage]; shared != nil {
			c.Kept = shared
		}
		return c, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	follow := func(name string, run attempt) {
		part := newSupervised(name, a.log, a.metrics, run)
		all.Go(func() { part.run(ctx) })
	}
	follow("windows-view", func(ctx context.Context, tell func(httpapi.State)) error {
		c, err := view(processors.Window)
		if err != nil {
			return err
		}
		v, err := views.Open(ctx, c)
		if err != nil {
			return err
		}
		s.windows.Store(v)
		return followView(ctx, v, tell)
	})
	follow("alerts-view", func(ctx context.Context, tell func(httpapi.State)) error {
		c, err := view(processors.Index)
		if err != nil {
			return err
		}
		v, err := views.OpenAlerts(ctx, c)
		if err != nil {
			return err
		}
		s.alerts.Store(v)
		return followView(ctx, v, tell)
	})
	follow("alerts-stream", func(ctx context.Context, tell func(httpapi.State)) error {
		live := feed.NewLive(s.reader, a.streams.Alerts, httpapi.Frame)
		s.live.Store(live)
		tell(httpapi.Running)
		return live.Run(ctx)
	})
	s.running.Go(all.Wait)
	return cancel, all.Wait
}

// stageFirst is how long the views leave partitions to the stages of their instance at the start, which come to have
// them when they have joined their group.
const stageFirst = 2 * time.Second

// shareTables has the tables of stages that run here read by the views as well: each partition once.
func (a *App) shareTables() {
	a.shared = map[processors.StageName]*table.Shared{}
	log := table.Remembering(a.cluster)
	share := func(stage processors.StageName, name string, keep goka.UpdateCallback, keepIs string) {
		if !a.config.Runs(stage) {
			return
		}
		local := table.NewLocal(table.LocalOptions{
			Dir: a.stateDir(stage), Log: log, Cache: a.cache, Logger: a.log.With("stage", stage),
		})
		a.shared[stage] = table.NewShared(table.SharedOptions{
			Open: local.Build, Keep: keep, KeepIs: keepIs, Wait: stageFirst,
		})
		// Versions before had a copy of their own for the views.
		if err := os.RemoveAll(filepath.Join(a.place.Dir, "views", name)); err != nil {
			a.log.Warn("cannot delete the views' local copy of an earlier version", "table", name, "error", err)
		}
	}
	share(processors.Window, a.streams.WindowTable, processors.KeepNewer, failpoint.KeepNewer)
	share(processors.Index, a.streams.IndexTable, processors.KeepAlerts, failpoint.KeepAlerts)
}

// stateDir is where a stage of this instance keeps its table.
func (a *App) stateDir(stage processors.StageName) string {
	return filepath.Join(a.place.Dir, string(stage))
}

// view has the methods that both views share.
type view interface {
	Run(context.Context) error
	WaitRecovered(context.Context) error
}

func followView(ctx context.Context, v view, tell func(httpapi.State)) error {
	tell(httpapi.Recovering)
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() {
		if v.WaitRecovered(ctx) == nil {
			tell(httpapi.Running)
		}
	})
	return v.Run(ctx)
}

// close ends views and HTTP.
func (s *serving) close() {
	if s == nil {
		return
	}
	s.cancel()
	s.running.Wait()
	s.mu.Lock()
	s.explain.close()
	s.mu.Unlock()
	s.reader.Close()
}

// status tells how far the views are; nothing where HTTP is off.
func (s *serving) status(ctx context.Context, names processors.Streams) []httpapi.ViewStatus {
	if s == nil {
		return nil
	}
	var all []httpapi.ViewStatus
	add := func(table string, recovered, connected bool, progress []views.Progress) {
		v := httpapi.ViewStatus{Table: table, Recovered: recovered, Connected: connected}
		for _, p := range progress {
			if p.Lag() < 0 {
				v.Lag = -1
				break
			}
			v.Lag += p.Lag()
		}
		all = append(all, v)
	}
	if v := s.windows.Load(); v != nil {
		add(names.WindowTable, v.Recovered(), v.Connected(), v.Progress(ctx))
	} else {
		all = append(all, httpapi.ViewStatus{Table: names.WindowTable, Lag: -1})
	}
	if v := s.alerts.Load(); v != nil {
		add(names.IndexTable, v.Recovered(), v.Connected(), v.Progress(ctx))
	} else {
		all = append(all, httpapi.ViewStatus{Table: names.IndexTable, Lag: -1})
	}
	return all
}

// usersNow and alertsNow are the views of the moment: one that ended is opened again.
type usersNow struct{ *serving }

func (s usersNow) User(ctx context.Context, id string, now brimline.Time) (views.User, error) {
	v := s.windows.Load()
	if v == nil {
		return views.User{}, errNotOpen()
	}
	return v.User(ctx, id, now)
}

type alertsNow struct{ *serving }

func (s alertsNow) User(id string) ([]*brimline.Alert, error) {
	v := s.alerts.Load()
	if v == nil {
		return nil, errNotOpen()
	}
	return v.User(id)
}

func (s alertsNow) Recent(ctx context.Context, n int) ([]*brimline.Alert, error) {
	v := s.alerts.Load()
	if v == nil {
		return nil, errNotOpen()
	}
	return v.Recent(ctx, n)
}

func errNotOpen() error {
	return &brimline.Error{
		Class: brimline.ClassRuntime, Kind: "view_not_recovered", Remedy: "ask again in a moment",
		Err: errors.New("this instance is still starting"),
	}
}
