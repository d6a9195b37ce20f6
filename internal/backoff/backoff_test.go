package backoff

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

func TestPausesDoubleUpToTheLongest(t *testing.T) {
	for _, c := range []struct {
		first, most time.Duration
		want        []time.Duration
	}{
		{2, 9, []time.Duration{2, 4, 8, 9, 9}},
		{1, 4, []time.Duration{1, 2, 4, 4}},
		{20, 5, []time.Duration{5, 5}},
		{20, 0, []time.Duration{0, 0}},
	} {
		b := Backoff{First: c.first, Most: c.most}
		for range 2 {
			var got []time.Duration
			for range c.want {
				got = append(got, b.Next())
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("from %d to %d: %d, want %d", c.first, c.most, got, c.want)
			}
			b.Reset()
		}
	}
}

func TestPauseWaitsAndEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		b := Backoff{First: time.Second, Most: 3 * time.Second}
		for _, want := range []time.Duration{1 * time.Second, 3 * time.Second, 6 * time.Second} {
			if err := b.Pause(t.Context()); err != nil || time.Since(began) != want {
				t.Fatalf("%v after %v, want %v", err, time.Since(began), want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.Pause(ctx); !errors.Is(err, context.Canceled) || time.Since(began) != 6*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
