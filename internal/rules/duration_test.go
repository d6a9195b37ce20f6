package rules_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/brimline/brimline/internal/rules"
)

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 168 * time.Hour, "1w": 168 * time.Hour, "24h": 24 * time.Hour, "30m": 30 * time.Minute, "90s": 90 * time.Second,
		"1d12h": 36 * time.Hour, "1w1d1h1m1s1ms1us": (8*24+1)*time.Hour + 61*time.Second + 1001*time.Microsecond,
		"3653d": rules.MaxWindow, "007d": 168 * time.Hour, "0d1us": time.Microsecond,
	} {
		if got, err := rules.ParseWindow(text); err != nil || got != want {
			t.Errorf("ParseWindow(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "d", "7", "0s", "0d0h", "-7d", "+7d", "7D", "7 d", " 7d", "7d ", "1.5h", "1h1d", "1d1d", "1ns", "1y", "1mo",
		"3653d1us", "3654d", "522w", "9223372036854775807s", "99999999999999999999d", "7d٣h", "1e3s",
	} {
		if got, err := rules.ParseWindow(text); err == nil {
			t.Errorf("ParseWindow(%q) = %v; want an error", text, got)
		}
	}
}

func TestFormatWindow(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", 168 * time.Hour: "7d", 24 * time.Hour: "1d", 36 * time.Hour: "1d12h", 90 * time.Second: "1m30s",
		1500 * time.Millisecond: "1s500ms", time.Microsecond: "1us", 1001: "1us1ns", -time.Hour: "-1h",
		math.MinInt64: "-106751d23h47m16s854ms775us808ns",
	} {
		if got := rules.FormatWindow(d); got != want {
			t.Errorf("FormatWindow(%d) = %q; want %q", d, got, want)
		}
	}
}

func TestWindowRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(1, int64(rules.MaxWindow/time.Microsecond)).Draw(t, "us")) * time.Microsecond
		text := rules.FormatWindow(d)
		if got, err := rules.ParseWindow(text); err != nil || got != d {
			t.Fatalf("ParseWindow(%q) = %v, %v; want %v", text, got, err, d)
		}
	})
}
