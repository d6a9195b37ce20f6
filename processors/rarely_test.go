package processors

import (
	"slices"
	"testing"
	"time"
)

func TestRarely(t *testing.T) {
	start := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	var r Rarely
	var said []time.Duration
	for after := time.Duration(0); after <= 5*time.Hour; after += time.Second {
		if r.Due(start.Add(after)) {
			said = append(said, after)
		}
	}
	minutes := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183, 243}
	for i := range minutes {
		minutes[i] *= time.Minute
	}
	if !slices.Equal(said, minutes) {
		t.Errorf("said after %v, want %v", said, minutes)
	}
	r.Over()
	if now := start.Add(5 * time.Hour); !r.Due(now) || r.Due(now.Add(59*time.Second)) || !r.Due(now.Add(time.Minute)) {
		t.Error("the next time does not begin anew")
	}
}
