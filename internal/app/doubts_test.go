package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/httpapi"
	"github.com/brimline/brimline/internal/kafka"
	"github.com/brimline/brimline/processors"
)

// TestDistrustedUsersAreAskedAboutAgain: PostgreSQL is asked about a distrusted user at once, and when a minute, ten
// minutes and an hour have passed, by whichever instance has the partition then, and no more. Meanwhile it is said.
func TestDistrustedUsersAreAskedAboutAgain(t *testing.T) {
	defer noLeaks(t)()
	g := newGround(t)
	defer g.close(t)
	g.createSource(t)
	g.insert(t, 1, "60.00", "-39.99")
	streams := processors.NewStreams(g.config.Group, g.config.Source, g.config.Alerts)
	within, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var later atomic.Int64 // by which the clock is ahead
	start := func() *App {
		a, err := New(t.Context(), Options{
			Config: g.config, Log: slog.New(slog.NewTextHandler(g.log, nil)), Registry: prometheus.NewRegistry(),
			Clock: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
		})
		if err == nil {
			err = a.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	stop := func(a *App) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Stop(ctx); err != nil {
			t.Error(err)
		}
	}
	var a *App
	page := func(path string) string { return get(t, a.URL()+path) }
	questions := func() (n int) {
		err := g.cluster.Tail(t.Context(), streams.Candidates, kafka.Oldest, false, func(m *kafka.Message) error {
			if string(m.Key) == "7" && strings.Contains(string(m.Value), `"late"`) {
				n++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}

	wait := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-time.After(20 * time.Millisecond):
			case <-within.Done():
				t.Fatalf("waiting for %s; %d questions; %s", what, questions(), page("/api/v1/users/7"))
			}
		}
	}

	a = start()
	defer func() {
		stop(a)
		http.DefaultClient.CloseIdleConnections()
	}()
	wait("both rows", func() bool {
		return strings.Contains(page("/api/v1/users/7"), `"total":"0.00"`) &&
			strings.Contains(page("/api/v1/users/7"), `"rows_total":2`)
	})
	if said := page("/api/v1/status"); strings.Contains(said, "distrusted_users") {
		t.Errorf("before: %s", said)
	}
	err := Distrust(KafkaOptions(&g.config.Kafka, "test"), streams, []string{"7"}, brimline.TimeOf(time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	wait("the first question", func() bool { return questions() == 1 })
	for path, want := range map[string]string{
		"/api/v1/status":  `user \"7\" is distrusted since `,
		"/metrics":        "brimline_window_distrusted_users 1",
		"/api/v1/users/7": `"total":null,"count":null,"distance":null,"above":false`,
		"/?user=7":        "Distrusted since",
	} {
		wait(path, func() bool { return strings.Contains(page(path), want) })
	}
	for n, ahead := range []time.Duration{2 * time.Minute, 11 * time.Minute, 61 * time.Minute} {
		if n == 1 { // whoever takes over finds what is due in the table
			stop(a)
			a = start()
		}
		later.Store(int64(ahead))
		wait("a question", func() bool { return questions() == 2+n })
	}
	// A week later the windows have filled again.
	later.Store(int64(8 * 24 * time.Hour))
	wait("the end", func() bool { return strings.Contains(page("/metrics"), "brimline_window_distrusted_users 0") })
	if n := questions(); n != 4 {
		t.Errorf("%d questions, want 4", n)
	}
}

// TestManyDistrustsAreTold: what a budget holds back is told while it does.
func TestManyDistrustsAreTold(t *testing.T) {
	now := time.Unix(1e9, 0)
	if n := budgetNotice(time.Time{}, now); n != nil {
		t.Errorf("told without a cause: %+v", n)
	}
	if n := budgetNotice(now.Add(-time.Hour), now); n != nil {
		t.Errorf("told an hour later: %+v", n)
	}
	n := budgetNotice(now.Add(-time.Minute), now)
	if n == nil || n.Level != httpapi.Warning || !strings.Contains(n.Message, "more than 100 users") ||
		!strings.Contains(n.Remedy, "brimline doctor") {
		t.Errorf("told %+v", n)
	}
}
