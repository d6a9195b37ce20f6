package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/views"
)

// serving is what answers questions: HTTP, and under it views of the two
// tables. HTTP is up from the start, so that /readyz can tell what an instance
// waits for; the views come when their tables are there.
type serving struct {
	server  *http.Server
	addr    net.Addr
	windows atomic.Pointer[views.Windows]
	alerts  atomic.Pointer[views.Alerts]

	cancel  context.CancelFunc
	running sync.WaitGroup
}

// httpStop bounds how long requests may go on after everything else has stopped.
const httpStop = 2 * time.Second

// listen opens the HTTP port.
func (a *App) listen() error {
	if a.config.Listen == "off" {
		return nil
	}
	l, err := net.Listen("tcp", a.config.Listen)
	if err != nil {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "listen", Where: "--listen " + a.config.Listen,
			Remedy: "choose another address with --listen, port 0 for any free one, or off", Err: errors.Unwrap(err),
		}
	}
	s := &serving{addr: l.Addr()}
	s.server = &http.Server{Handler: a.handler(s), ReadHeaderTimeout: 10 * time.Second}
	s.running.Go(func() { _ = s.server.Serve(l) })
	a.serving = s
	if host, _, _ := net.SplitHostPort(l.Addr().String()); !net.ParseIP(host).IsLoopback() {
		a.log.Warn("the HTTP API is open beyond this machine, and asks nobody who they are", "listen", l.Addr().String())
	}
	a.log.Info("listening", "address", "http://"+l.Addr().String())
	return nil
}

// Addr is where HTTP listens; empty when it is off or not yet on.
func (a *App) Addr() string {
	if a.serving == nil {
		return ""
	}
	return a.serving.addr.String()
}

// openViews starts to follow the tables, for HTTP alone.
func (a *App) openViews() {
	s := a.serving
	if s == nil {
		return
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	config := views.Config{
		Kafka: a.kafka, Streams: a.streams, Dir: a.place.Dir, Rules: a.compiled, Scale: a.rules.Scale, Log: a.log,
	}
	follow := func(name string, attempt func(context.Context, func(bool)) error) {
		part := newSupervised(name, a.log, a.metrics, attempt)
		s.running.Go(func() { part.run(ctx) })
	}
	follow("windows-view", func(ctx context.Context, serving func(bool)) error {
		v, err := views.OpenWindows(ctx, config)
		if err != nil {
			return err
		}
		s.windows.Store(v)
		return followView(ctx, v, serving)
	})
	follow("alerts-view", func(ctx context.Context, serving func(bool)) error {
		v, err := views.OpenAlerts(ctx, config)
		if err != nil {
			return err
		}
		s.alerts.Store(v)
		return followView(ctx, v, serving)
	})
}

// view is what both views have in common.
type view interface {
	Run(context.Context) error
	WaitRecovered(context.Context) error
}

func followView(ctx context.Context, v view, serving func(bool)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	wait.Go(func() {
		if v.WaitRecovered(ctx) == nil {
			serving(true)
		}
	})
	return v.Run(ctx)
}

// close ends the views, then HTTP.
func (s *serving) close() {
	if s == nil {
		return
	}
	if s.cancel != nil {
		s.cancel()
	}
	ctx, cancel := context.WithTimeout(context.Background(), httpStop)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
	s.running.Wait()
}

// handler is the HTTP API.
func (a *App) handler(*serving) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := a.Status().Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	return mux
}
