package httpapi

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/brimline/brimline"
)

// Door says where a server listens and for whom.
type Door struct {
	Flag    string // that names Address, for errors; empty is --listen
	Address string // host:port; port 0 takes any free one, which URL then tells. An empty host is every interface
	// Hosts are the names under which the server answers beside localhost and addresses: exact, or *.example.com for all
	// names below one.
	Hosts []string
	// Probes are the paths that hold neither users nor totals. Where the listener is not on loopback, they answer under
	// any name.
	Probes []string
	Base   string // the path before all addresses, empty or like /brimline; for URL
	// Certificate is for TLS; nil: none.
	Certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)
}

// Server is an open listener, so that a port in use is known before anything else starts.
type Server struct {
	Door
	listener net.Listener
	loopback bool
	log      *slog.Logger
}

// Listen opens a door. A nil log discards.
func Listen(d Door, log *slog.Logger) (*Server, error) {
	d.Flag = cmp.Or(d.Flag, "--listen")
	l, err := net.Listen("tcp", d.Address)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "listen", Where: fmt.Sprintf("%s %q", d.Flag, d.Address),
			Remedy: "choose a free host:port, port 0 for any free one, or off", Err: err,
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{Door: d, listener: l, log: log}
	if a, ok := l.Addr().(*net.TCPAddr); ok {
		s.loopback = a.IP.IsLoopback()
	}
	return s, nil
}

// URL is where the server answers, without a slash at the end. A listener on
// every interface is named by loopback.
func (s *Server) URL() string {
	a, ok := s.listener.Addr().(*net.TCPAddr)
	if !ok {
		return s.scheme() + s.listener.Addr().String() + s.Base
	}
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return s.scheme() + net.JoinHostPort(host, fmt.Sprint(a.Port)) + s.Base
}

func (s *Server) scheme() string {
	if s.Certificate != nil {
		return "https://"
	}
	return "http://"
}

// Loopback tells whether only this machine can reach the server.
func (s *Server) Loopback() bool { return s.loopback }

// Close closes a listener that Serve was never called on.
func (s *Server) Close() error { return s.listener.Close() }

// grace is how long requests may go on after a stop: a lookup takes milliseconds.
const grace = 3 * time.Second

// Serve answers until ctx ends; then requests under way are finished, within a
// few seconds. It returns nil after a stop.
func (s *Server) Serve(ctx context.Context, handler http.Handler) error {
	anyName := s.Probes
	if s.loopback {
		anyName = nil
	}
	server := &http.Server{
		Handler: OnlyOwnHosts(s.Hosts, anyName, handler),
		// OPTIONS * is refused like other methods, and under other names.
		DisableGeneralOptionsHandler: true,
		// Slow or silent clients must not hold connections for ever.
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	stopped := make(chan error, 1)
	cancel := context.AfterFunc(ctx, func() {
		bounded, done := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer done()
		err := server.Shutdown(bounded)
		if err != nil {
			err = server.Close()
		}
		stopped <- err
	})
	serve := server.Serve
	if s.Certificate != nil {
		server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.Certificate}
		serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
	}
	err := serve(s.listener)
	if cancel() { // ctx has not ended: Serve ended by itself
		return &brimline.Error{Class: brimline.ClassEnvironment, Kind: "listen", Where: "serving " + s.URL(), Err: err}
	}
	if stopErr := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, stopErr)
	}
	return nil
}
