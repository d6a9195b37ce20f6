package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/httpapi"
	"github.com/prometheus/client_golang/prometheus"
)

func TestSupervised(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	registry := prometheus.NewRegistry()
	m := NewMetrics(registry, "")
	var (
		log      strings.Builder
		pauses   []time.Duration
		attempts int
		states   []httpapi.State
	)
	var s *supervised
	s = newSupervised("route", slog.New(slog.NewTextHandler(&log, nil)), m,
		func(ctx context.Context, tell func(httpapi.State)) error {
			attempts++
			states = append(states, s.Status().State)
			tell(httpapi.Running)
			states = append(states, s.Status().State)
			switch attempts {
			case 3:
				return nil // goka swallows errors at times
			case 10:
				cancel()
				<-ctx.Done()
				return context.Canceled
			}
			return errors.New("broker went away")
		})
	s.after = func(d time.Duration) <-chan time.Time {
		pauses = append(pauses, d)
		states = append(states, s.Status().State)
		now := make(chan time.Time, 1)
		now <- time.Time{}
		return now
	}
	s.run(ctx)

	want := []time.Duration{200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000}
	for i := range want {
		want[i] *= time.Millisecond
	}
	if !slices.Equal(pauses, want) {
		t.Errorf("pauses %v, want %v", pauses, want)
	}
	if !slices.Equal(states[:4], []httpapi.State{httpapi.Starting, httpapi.Running, httpapi.Failed, httpapi.Starting}) {
		t.Errorf("states %v", states)
	}
	if got := s.Status(); got.State != httpapi.Stopped || got.Restarts != 9 || got.Cause == nil {
		t.Errorf("at the end: %+v", got)
	}
	if n := value(t, registry, "brimline_stage_restarts_total", "stage=route"); n != 9 {
		t.Errorf("%v restarts counted, want 9", n)
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != 9 {
		t.Errorf("%d errors logged for 9 failed attempts:\n%s", n, log.String())
	}
}

func TestStopEndsThePause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := newSupervised("route", slog.New(slog.DiscardHandler), NewMetrics(prometheus.NewRegistry(), ""),
		func(context.Context, func(httpapi.State)) error { return errors.New("no") })
	s.after = func(time.Duration) <-chan time.Time {
		cancel()
		return nil
	}
	s.run(ctx) // a hang is the failure
}
