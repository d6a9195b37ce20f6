package httpapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/brimline/brimline"
)

const (
	// mostBody is how much a request may send, in bytes.
	mostBody = 64 << 10
	// answersWithin is how long a request may be worked on that is not the stream, which has no end.
	answersWithin = 25 * time.Second
	// costlyAtOnce are the requests that look into tables and topics, and costlyOfOne those of one token, or of one
	// address where there is no token.
	costlyAtOnce = 32
	costlyOfOne  = 8
	// askAgain stands in Retry-After, in seconds.
	askAgain = "1"
)

// limiter counts the costly requests that are worked on.
type limiter struct {
	mu  sync.Mutex
	all int
	of  map[string]int
}

// begin takes a place for a client; end gives it back. Both limits refuse at once: a client that waits here would hold
// a connection for nothing.
func (l *limiter) begin(client string) (status int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.of[client] >= costlyOfOne:
		return http.StatusTooManyRequests, &brimline.Error{
			Class: brimline.ClassInput, Kind: "too_many_requests",
			Remedy: "ask for one thing after the other, and again in a moment",
			Err:    fmt.Errorf("%d requests of yours are worked on", costlyOfOne),
		}
	case l.all >= costlyAtOnce:
		return http.StatusServiceUnavailable, &brimline.Error{
			Class: brimline.ClassRuntime, Kind: "busy", Remedy: "ask again in a moment, or another instance",
			Err: fmt.Errorf("%d requests are worked on", costlyAtOnce),
		}
	}
	l.all++
	if l.of == nil {
		l.of = map[string]int{}
	}
	l.of[client]++
	return 0, nil
}

func (l *limiter) end(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.of[client]--; l.of[client] == 0 {
		delete(l.of, client)
	}
}

// costly serves as many requests at once as the limits allow.
func (h *handler) costly(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		client := clientOf(r)
		if status, err := h.limits.begin(client); err != nil {
			writeError(w, status, err)
			return
		}
		defer h.limits.end(client)
		next(w, r)
	}
}

// bounded ends the work on a request after a time.
func bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), answersWithin)
		defer cancel()
		next(w, r.WithContext(ctx))
	}
}

// small refuses a body that is too large, before it is read where its length is told.
func small(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > mostBody {
			w.Header().Set("Connection", "close")
			writeError(w, http.StatusRequestEntityTooLarge, errTooLarge())
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, mostBody)
		next.ServeHTTP(w, r)
	})
}

func errTooLarge() error {
	return &brimline.Error{
		Class: brimline.ClassInput, Kind: "body_too_large", Remedy: "send less",
		Err: fmt.Errorf("a body has %d bytes at most", mostBody),
	}
}

// statusOfBody is the status of a body that cannot be read.
func statusOfBody(err error) (int, error) {
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return http.StatusRequestEntityTooLarge, errTooLarge()
	}
	return http.StatusBadRequest, &brimline.Error{
		Class: brimline.ClassInput, Kind: "bad_body", Remedy: "see " + descriptionPath, Err: err,
	}
}
