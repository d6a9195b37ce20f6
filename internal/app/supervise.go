package app

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/brimline/brimline/internal/backoff"

	"github.com/brimline/brimline/internal/failpoint"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/prometheus/client_golang/prometheus"
)

// calmAfter is how long an attempt must have lasted for the next pause to be the first one again.
const calmAfter = 30 * time.Second

// PartStatus is the state of a supervised part.
type PartStatus struct {
	Name     string
	State    httpapi.State
	Since    time.Time
	Served   bool  // it has been Running
	Restarts int   // attempts after the first
	Cause    error // why the last attempt ended; nil while there was only one
}

// supervised runs one part of the app again whenever it ends, until it is told
// to stop. goka's processors end for good at many an error that passes by (a
// broker's restart among them), so each attempt makes a new one.
type supervised struct {
	name     string
	log      *slog.Logger
	restarts prometheus.Counter
	up       prometheus.Gauge
	// attempt runs the part once and tells what it is doing.
	attempt attempt
	after   func(time.Duration) <-chan time.Time

	mu     sync.Mutex
	status PartStatus
}

// attempt runs a part until ctx ends or something fails. tell is for the
// states between: Starting, with which an attempt begins, Recovering and Running.
type attempt func(ctx context.Context, tell func(httpapi.State)) error

func newSupervised(name string, log *slog.Logger, m *Metrics, attempt attempt) *supervised {
	return &supervised{
		name: name, log: log.With("stage", name), attempt: attempt, after: time.After,
		restarts: m.restarts.WithLabelValues(name), up: m.up.WithLabelValues(name),
		status: PartStatus{Name: name, State: httpapi.Starting, Since: time.Now()},
	}
}

// run returns when ctx has ended and the part with it.
func (s *supervised) run(ctx context.Context) {
	defer s.set(httpapi.Stopped)
	pauses := backoff.Backoff{First: 200 * time.Millisecond, Most: 10 * time.Second}
	for {
		s.set(httpapi.Starting)
		began := time.Now()
		err := s.attempt(ctx, s.set)
		if ctx.Err() != nil {
			if err != nil && !errors.Is(err, context.Canceled) {
				s.log.Warn("stopped with an error", "error", err)
			}
			return
		}
		if err == nil {
			err = errors.New("it ended without an error")
		}
		if time.Since(began) >= calmAfter {
			pauses.Reset()
		}
		s.failed(err)
		if failpoint.Without(failpoint.Supervision) {
			return
		}
		pause := pauses.Next()
		s.log.Error("stage ended and is started again", "error", err, "pause", pause)
		select {
		case <-s.after(pause):
		case <-ctx.Done():
			return
		}
	}
}

func (s *supervised) failed(cause error) {
	s.restarts.Inc()
	s.set(httpapi.Failed)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.Restarts++
	s.status.Cause = cause
}

func (s *supervised) set(state httpapi.State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.status.State == state {
		return
	}
	s.status.State, s.status.Since = state, time.Now()
	if state == httpapi.Running {
		s.status.Served = true
		s.up.Set(1)
	} else {
		s.up.Set(0)
	}
}

// Status is the part's present state.
func (s *supervised) Status() PartStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}
