package rules

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/brimline/brimline"
	"github.com/brimline/brimline/internal/present"
)

// defaultStart is the origin of relative times where a file names none: 2026-01-01 in UTC.
const defaultStart brimline.Time = 1767225600_000000

var (
	zeroLater = regexp.MustCompile(`^[+-]0+(w|d|h|m|s|ms|us)?$`)
	clockTime = regexp.MustCompile(`^(\d{4}-\d{2}-\d{2})(?:[T ]+(\d{2}:\d{2})(:\d{2}(?:\.\d{1,6})?)?` +
		`\s*(?:(Z)|([+-]\d{2})(?::?(\d{2}))?)?)?$`)
)

// parseTestTime reads a time of a test, or one that is relative to its start
// such as +2h and -1d12h. A time without offset is UTC, a date its first moment.
func parseTestTime(s string, start brimline.Time) (t brimline.Time, relative bool, err error) {
	if strings.HasPrefix(s, "+") || strings.HasPrefix(s, "-") {
		if zeroLater.MatchString(s) {
			return start, true, nil
		}
		d, err := ParseWindow(s[1:])
		if err != nil {
			return 0, true, fmt.Errorf("%q is not relative to the start as +2h and -1d12h are: %w", s, err)
		}
		if s[0] == '-' {
			d = -d
		}
		t = start.Add(d)
		return t, true, inRange(t)
	}
	m := clockTime.FindStringSubmatch(s)
	if m == nil {
		return 0, false, fmt.Errorf("%q is not a time; write 2026-11-23 10:00 (UTC, or with an offset such as +01:00 "+
			"behind it), or +2h after the start", s)
	}
	text := m[1]
	if m[2] == "" {
		m[2] = "00:00"
	}
	if m[3] == "" {
		m[3] = ":00"
	}
	text += "T" + m[2] + m[3]
	switch {
	case m[5] != "" && m[6] != "":
		text += m[5] + ":" + m[6]
	case m[5] != "":
		text += m[5] + ":00"
	default:
		text += "Z"
	}
	std, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return 0, false, fmt.Errorf("%q is not a time of the calendar", s)
	}
	t = brimline.TimeOf(std)
	return t, false, inRange(t)
}

func inRange(t brimline.Time) error {
	if y := t.Std().Year(); y < 1 || y > 9999 {
		return errors.New("the year is not between 1 and 9999")
	}
	return nil
}

// FormatTestTime writes a time as a test has it: without zeros that say nothing, and relative if the test's times are.
func (t *Test) FormatTestTime(at brimline.Time) string {
	if t.Relative {
		switch d := time.Duration(at-t.Start) * time.Microsecond; {
		case d < 0:
			return present.Duration(d)
		case d == 0:
			return "+0h"
		default:
			return "+" + present.Duration(d)
		}
	}
	s := at.Std().Format("2006-01-02 15:04:05.000000")
	s = strings.TrimSuffix(s, ".000000")
	if !strings.Contains(s, ".") {
		s = strings.TrimSuffix(s, ":00")
	}
	return s
}
