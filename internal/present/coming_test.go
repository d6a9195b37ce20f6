package present

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
)

func TestComing(t *testing.T) {
	now := time.Date(2026, 3, 8, 23, 50, 0, 0, time.UTC) // a Sunday
	for after, want := range map[time.Duration]string{
		5 * time.Minute: "at 23:55 today", 10 * time.Minute: "tomorrow at 00:00", 24 * time.Hour: "tomorrow at 23:50",
		30 * time.Hour: "on Tuesday at 05:50", 6 * 24 * time.Hour: "on Saturday at 23:50",
		6*24*time.Hour + 10*time.Minute: "on 2026-03-15 at 00:00", -24 * time.Hour: "on 2026-03-07 at 23:50",
	} {
		if got := Coming(brimline.TimeOf(now.Add(after)), brimline.TimeOf(now)); got != want {
			t.Errorf("after %s: %q, want %q", after, got, want)
		}
	}
}
