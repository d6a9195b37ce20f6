package present

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 168 * time.Hour, "1w": 168 * time.Hour, "24h": 24 * time.Hour, "30m": 30 * time.Minute, "90s": 90 * time.Second,
		"1d12h": 36 * time.Hour, "1w1d1h1m1s1ms1us": (8*24+1)*time.Hour + 61*time.Second + 1001*time.Microsecond,
		"3653d": 3653 * day, "007d": 168 * time.Hour, "0d1us": time.Microsecond, "0": 0, "0s": 0, "0d0h": 0,
		"106751d23h47m16s854ms775us": math.MaxInt64 / 1000 * 1000,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "d", "7", "00", "-7d", "+7d", "7D", "7 d", " 7d", "7d ", "1.5h", "1h1d", "1d1d", "1ns", "1y", "1mo",
		"106751d23h47m16s854ms776us", "106752d", "15251w", "9223372036854775807s", "99999999999999999999d", "7d٣h", "1e3s",
	} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v; want an error", text, got)
		}
	}
}

func TestWriteDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 168 * time.Hour: "7d", 24 * time.Hour: "1d", 36 * time.Hour: "1d12h", 90 * time.Second: "1m30s",
		1500 * time.Millisecond: "1s500ms", time.Microsecond: "1us", 1001: "1us1ns", -time.Hour: "-1h",
		math.MinInt64: "-106751d23h47m16s854ms775us808ns",
	} {
		if got := Duration(d); got != want {
			t.Errorf("Duration(%d) = %q; want %q", d, got, want)
		}
	}
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, math.MaxInt64/1000).Draw(t, "us")) * time.Microsecond
		text := Duration(d)
		if got, err := ParseDuration(text); err != nil || got != d {
			t.Fatalf("ParseDuration(%q) = %v, %v; want %v", text, got, err, d)
		}
	})
}

func TestTookAndAbout(t *testing.T) {
	for d, want := range map[time.Duration][2]string{
		12345 * time.Microsecond: {"12ms", "0 s"}, 3210 * time.Millisecond: {"3.2s", "3 s"},
		310*time.Second + 1: {"5m10s", "5 min"}, 26 * time.Hour: {"1d2h", "1 d"}, 800 * day: {"800d", "2 y"},
	} {
		if got := [2]string{Took(d), About(d)}; got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}
