package rules_test

import (
	"strings"
	"testing"
	"time"

	"github.com/brimline/brimline/internal/rules"
)

func TestParseWindow(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"7d": 168 * time.Hour, "1w": 168 * time.Hour, "3653d": rules.MaxWindow,
	} {
		if got, err := rules.ParseWindow(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"0": "not above zero", "0d0h": "not above zero", "7": "lacks a unit", "1.5h": "unknown unit", "-7d": "not a duration",
		"3653d1us": "longer than ten years (3653d)", "522w": "longer than ten years", "99999999999999999999d": "longer than ten years",
	} {
		if got, err := rules.ParseWindow(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want an error with %q", text, got, err, want)
		}
	}
}
