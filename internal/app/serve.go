package app

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/feed"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/table"
	"github.com/brimline/brimline/processors"
	"github.com/brimline/brimline/views"
	"github.com/lovoo/goka"
)

// serving answers questions: HTTP, and under it views of the two
// tables. HTTP is up from the start, so that /readyz can tell what an instance
// waits for; the views come when their tables are there.
type serving struct {
	server  *httpapi.Server
	windows atomic.Pointer[views.Windows]
	alerts  atomic.Pointer[views.Alerts]
	reader  *feed.Reader
	live    atomic.Pointer[feed.Live]
	explain *explainer

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// listen opens the HTTP port and begins to answer.
func (a *App) listen() error {
	if a.config.Listen == "off" {
		return nil
	}
	server, err := httpapi.Listen(a.config.Listen, a.config.AllowedHosts, a.log)
	if err != nil {
		return err
	}
	reader, err := feed.Open(a.kafka)
	if err != nil {
		return errors.Join(err, server.Close())
	}
	s := &serving{server: server, reader: reader, explain: newExplainer(a)}
	a.serving = s
	handler := httpapi.New(httpapi.Options{
		Users: usersNow{s}, Alerts: alertsNow{s}, Explain: s.explain, Log: reader, Live: s.live.Load, Status: a.Status,
		Rules: a.rules.RuleSet, Streams: a.streams, Metrics: a.registry, Now: a.clock,
	})
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(func() {
		if err := server.Serve(ctx, handler); err != nil {
			a.log.Error("HTTP has ended", "error", err)
		}
	})
	if !server.Loopback() {
		a.log.Warn("HTTP is open beyond this machine, and asks nobody who they are", "url", server.URL())
	}
	a.log.Info("listening", "url", server.URL())
	return nil
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
	s := a.serving
	if s == nil {
		return
	}
	a.shareTables()
	config := func(stage processors.StageName) (views.Config, error) {
		c, err := ViewConfig(a.kafka, a.streams.Group)
		c.Dir, c.Rules, c.Log = a.place.Dir, &a.rules.RuleSet, a.log
		if shared := a.shared[stage]; shared != nil {
			c.Kept = shared
		}
		return c, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stopHTTP := s.cancel
	s.cancel = func() {
		cancel()
		stopHTTP()
	}
	follow := func(name string, run attempt) {
		part := newSupervised(name, a.log, a.metrics, run)
		s.running.Go(func() { part.run(ctx) })
	}
	follow("windows-view", func(ctx context.Context, tell func(httpapi.State)) error {
		c, err := config(processors.Window)
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
		c, err := config(processors.Index)
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
	s.explain.close()
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
