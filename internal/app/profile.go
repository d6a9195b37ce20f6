package app

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
)

// profiling answers `go tool pprof`, on loopback only.
type profiling struct {
	server *http.Server
	url    string
	done   chan struct{}
}

// profile opens the port of --pprof.
func (a *App) profile() error {
	if a.config.Pprof == "off" {
		return nil
	}
	refuse := func(err error) error {
		return &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "pprof", Where: fmt.Sprintf("--pprof %q", a.config.Pprof),
			Remedy: "choose a free port on 127.0.0.1, port 0 for any free one, or off", Err: err,
		}
	}
	l, err := net.Listen("tcp", a.config.Pprof)
	if err != nil {
		return refuse(err)
	}
	if at, ok := l.Addr().(*net.TCPAddr); !ok || !at.IP.IsLoopback() { // a name that stands for another address here
		_ = l.Close()
		return refuse(errors.New("it is not on loopback"))
	}
	// Not the command line, which pprof would show too: it may hold a password.
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index) // and by name: heap, allocs, goroutine, block, mutex
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	p := &profiling{
		// No bound on writing: a profile is written when its seconds are over.
		server: &http.Server{
			Handler: httpapi.OnlyOwnHosts(nil, nil, mux), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
			MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelDebug),
		},
		url: "http://" + l.Addr().String() + "/debug/pprof/", done: make(chan struct{}),
	}
	a.profiling = p
	go func() {
		defer close(p.done)
		if err := p.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			a.log.Error("profiles have ended", "error", err)
		}
	}()
	a.log.Info("profiles can be taken", "url", p.url)
	return nil
}

// close ends a profile under way as well: nothing is lost with it.
func (p *profiling) close() {
	if p == nil {
		return
	}
	_ = p.server.Close()
	<-p.done
}
