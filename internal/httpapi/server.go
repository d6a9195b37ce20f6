package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/brimline/brimline"
)

// Server is an open listener, so that a port in use is known before anything else starts.
type Server struct {
	listener net.Listener
	loopback bool
	log      *slog.Logger
}

// Listen opens host:port; port 0 takes any free one, which URL then tells. An
// empty host is every interface of the machine. A nil log discards.
func Listen(address string, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &brimline.Error{
			Class: brimline.ClassEnvironment, Kind: "listen", Where: fmt.Sprintf("--listen %q", address),
			Remedy: "choose a free host:port, port 0 for any free one, or off", Err: err,
		}
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{listener: l, log: log}
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
		return "http://" + s.listener.Addr().String()
	}
	host := a.IP.String()
	if a.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, fmt.Sprint(a.Port))
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
	if s.loopback {
		handler = OnlyLoopbackHosts(handler)
	}
	server := &http.Server{
		Handler: handler,
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
	err := server.Serve(s.listener)
	if cancel() { // ctx has not ended: Serve ended by itself
		return &brimline.Error{Class: brimline.ClassEnvironment, Kind: "listen", Where: "serving " + s.URL(), Err: err}
	}
	if stopErr := <-stopped; !errors.Is(err, http.ErrServerClosed) {
		return errors.Join(err, stopErr)
	}
	return nil
}

// OnlyLoopbackHosts refuses requests whose Host is a name other than
// localhost. A page on the internet can point a name of its own at 127.0.0.1
// and then read this API through the analyst's browser (DNS rebinding).
func OnlyLoopbackHosts(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if ip := net.ParseIP(trimBrackets(host)); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			writeError(w, http.StatusMisdirectedRequest, &brimline.Error{
				Class: brimline.ClassInput, Kind: "foreign_host",
				Remedy: "ask for it as localhost or 127.0.0.1; a proxy must send that as Host",
				Err:    errors.New("this server listens on loopback and answers only to that name"),
			})
			return
		}
		next.ServeHTTP(w, r)
	})
}

func trimBrackets(host string) string {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1]
	}
	return host
}
