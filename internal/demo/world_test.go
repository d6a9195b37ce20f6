package demo

import (
	"context"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/config"
	"github.com/brimline/brimline/internal/embedded"
)

// The README's promise: the alert of StoryUser, verified, soon after the first
// start; started again, the demo goes on and repeats nothing.
func TestDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".brimline")
	t.Cleanup(func() { _ = embedded.RemovePostgres(filepath.Join(dir, "postgres")) })
	var (
		mu   sync.Mutex
		seen = map[string]int{}
	)
	start := func(until func(*brimline.Alert) bool) (place Place) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		defer cancel()
		err := Run(ctx, Options{
			Dir: dir, Rate: 100, Backlog: 400, Seed: 7, Listen: "off", Log: slog.New(slog.DiscardHandler),
			Step: func(string) {}, Ready: func(p Place) { place = p },
			OnAlert: func(a *brimline.Alert) {
				mu.Lock()
				defer mu.Unlock()
				seen[a.Candidate.ID()]++
				if until(a) {
					cancel()
				}
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		return place
	}
	var story *brimline.Alert
	first := start(func(a *brimline.Alert) bool {
		if a.Candidate.User == strconv.Itoa(StoryUser) {
			story = a
		}
		return story != nil
	})
	if story == nil || story.Verification.Status != brimline.Verified ||
		story.Database.Total != StoryTotal.Total() || story.Database.Count != 12 {
		t.Fatalf("the story's alert: %+v", story)
	}
	if first.Resumed {
		t.Error("the first start says that it was resumed")
	}
	f, err := config.Find(first.Settings, nil)
	if err != nil || f == nil {
		t.Errorf("the settings file cannot be read back: %v", err)
	}

	// Live rows raise the next one.
	second := start(func(a *brimline.Alert) bool { return a.Candidate.Edge > story.Candidate.Edge })
	if !second.Resumed || second.Brokers != first.Brokers || second.Database != first.Database {
		t.Errorf("resumed at %+v, was at %+v", second, first)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("alert %s was shown %d times", id, n)
		}
	}
}
