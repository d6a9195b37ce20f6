package app

import (
	"strings"
	"testing"

	"github.com/brimline/brimline"
)

// TestAlertsFromOfAGroup: what an instance says counts for a new group; later it may say nothing else than the group
// has.
func TestAlertsFromOfAGroup(t *testing.T) {
	const now = brimline.Time(1_800_000_000_000_000)
	at := func(text string) brimline.Time {
		parsed, err := brimline.ParseTime(text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	january := at("2026-01-01T00:00:00Z")
	always, from := brimline.Time(0), january
	for _, c := range []struct {
		setting string
		group   *brimline.Time
		want    brimline.Time
		refused string
	}{
		{"", nil, 0, ""},
		{"now", nil, now, ""},
		{"2026-01-01T01:00:00+01:00", nil, january, ""},
		{"2026-01-01T00:00:00.000001Z", nil, january + 1, ""},
		{"", &from, january, ""},
		{"now", &from, january, ""},
		{"2025-12-31T19:00:00.000000-05:00", &from, january, ""},
		{"2026-01-01T00:00:00.000001Z", &from, 0, "alerts from 2026-01-01T00:00:00.000000Z on"},
		{"", &always, 0, ""},
		{"now", &always, 0, "began without"},
		{"2026-01-01T00:00:00Z", &always, 0, "began without"},
		{"2026-01-01", nil, 0, "not an ISO 8601 time with an offset"},
	} {
		got, err := alertsFrom(c.setting, c.group, now)
		if c.refused == "" && (err != nil || got != c.want) {
			t.Errorf("%q: %v, %v, want %v", c.setting, got, err, c.want)
		}
		if c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%q: %v, %v, want %q", c.setting, got, err, c.refused)
		}
		if c.refused != "" && c.group != nil && (brimline.ExitCode(err) != int(brimline.ClassInput) ||
			!strings.Contains(err.Error(), "applies to a new --group")) {
			t.Errorf("%q: exit code %d, %v", c.setting, brimline.ExitCode(err), err)
		}
	}
}

// TestAlertsFromIsRead as it was written, and nothing else.
func TestAlertsFromIsRead(t *testing.T) {
	for _, from := range []brimline.Time{0, 1, 1_800_000_000_000_000} {
		if got, err := parseAlertsFrom("g-rules", []byte(formatAlertsFrom(from))); err != nil || got != from {
			t.Errorf("%v was read as %v, %v", from, got, err)
		}
	}
	for _, broken := range []string{"", "None", "2026-01-01", "\x00"} {
		if _, err := parseAlertsFrom("g-rules", []byte(broken)); err == nil || !strings.Contains(err.Error(), "g-rules") {
			t.Errorf("%q: %v", broken, err)
		}
	}
}
