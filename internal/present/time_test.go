package present

import (
	"testing"
	"time"

	"github.com/brimline/brimline"
)

func TestTime(t *testing.T) {
	for in, want := range map[string][2]string{
		"2026-03-08T12:00:00Z":        {"2026-03-08 12:00:00", "2026-03-08 12:00:00"},
		"2026-03-08T12:00:10.25Z":     {"2026-03-08 12:00:10", "2026-03-08 12:00:10.25"},
		"2026-03-08T12:00:00.000001Z": {"2026-03-08 12:00:00", "2026-03-08 12:00:00.000001"},
		"2026-03-08T12:34:56.999999Z": {"2026-03-08 12:34:56", "2026-03-08 12:34:56.999999"},
	} {
		at, err := brimline.ParseTime(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := [2]string{Time(at), ExactTime(at)}; got != want || TimeUTC(at) != want[0]+" UTC" {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
	if got := Time(-62198755200000000); got != "-0002-01-01 00:00:00" && got != "-0001-01-01 00:00:00" {
		t.Error(got)
	}
}

func TestAgo(t *testing.T) {
	noon := brimline.TimeOf(time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC))
	for d, want := range map[brimline.Time]string{
		0: "just now", 1e6: "1 s ago", 90e6: "1 min ago", -7200e6: "in 2 h", 30 * 3600e6: "1 d ago", 400 * 86400e6: "1 y ago",
		4000000 * 86400e6: "292 y ago",
	} {
		if got := Ago(noon-d, noon); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}
