package brimline

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimeTextRoundTrips(t *testing.T) {
	const century = 36525 * 24 * 3600 * 1e6 / 1
	rapid.Check(t, func(t *rapid.T) {
		at := Time(rapid.Int64Range(-60*century, 2800*century).Draw(t, "at"))
		back, err := ParseTime(at.String())
		if err != nil || back != at {
			t.Fatalf("%d was written %s and read as %d, %v", at, at, back, err)
		}
	})
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-01-02T03:04:05.123456Z":      "2026-01-02T03:04:05.123456Z",
		"2026-01-02T05:04:05+02:00":        "2026-01-02T03:04:05.000000Z",
		"+12026-01-02T03:04:05.000000Z":    "+12026-01-02T03:04:05.000000Z",
		"-0043-03-15T12:00:00.000000Z":     "-0043-03-15T12:00:00.000000Z",
		"1969-12-31T23:59:59.999999Z":      "1969-12-31T23:59:59.999999Z",
		"infinity":                         "",
		"2026-01-02":                       "",
		"2026-01-02T03:04:05":              "",
		"2026-13-02T03:04:05Z":             "",
		"2026-01-02T03:04:05.1234567Z":     "",
		"+294276-12-31T23:59:59.999999Z":   "",
		"+99999999-01-01T00:00:00.000000Z": "",
	} {
		got, err := ParseTime(in)
		if want == "" {
			if err == nil {
				t.Errorf("%s was read as %s", in, got)
			}
		} else if err != nil || got.String() != want {
			t.Errorf("%s: %s, %v", in, got, err)
		}
	}
}

func TestAddStaysInRange(t *testing.T) {
	for _, tc := range []struct {
		t    Time
		d    time.Duration
		want Time
	}{
		{MaxTime - 1, time.Second, MaxTime}, {MinTime + 1, -time.Second, MinTime}, {0, -time.Millisecond, -1000},
	} {
		if got := tc.t.Add(tc.d); got != tc.want {
			t.Errorf("%d + %v = %d", tc.t, tc.d, got)
		}
	}
}
