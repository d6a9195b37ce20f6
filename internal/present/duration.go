package present

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

type unit struct {
	name string
	size time.Duration
}

// readUnits are in descending order, as they must be in a file.
var readUnits = [...]unit{
	{"w", 7 * day}, {"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond},
}

// writtenUnits leave out weeks, which read worse than days, and add what a file cannot say but a Duration can.
var writtenUnits = [...]unit{
	{"d", day}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"ns", time.Nanosecond},
}

// ParseDuration reads an exact duration such as 7d, 24h or 1d12h: whole numbers with the units w d h m s ms us, each at
// most once, larger ones first. A day is 24 hours, a week 7 days. A plain 0 needs no unit. Rules, flags, environment
// and settings files all have their durations from it.
func ParseDuration(s string) (time.Duration, error) {
	if s == "" {
		return 0, errors.New("empty duration")
	}
	if s == "0" {
		return 0, nil
	}
	var (
		total time.Duration
		next  int // units before it are used up
	)
	for rest := s; rest != ""; {
		digits := leading(rest, isDigit)
		name := leading(rest[len(digits):], func(c byte) bool { return !isDigit(c) })
		switch {
		case digits == "":
			return 0, fmt.Errorf("%q is not a duration such as 7d, 24h or 1d12h", s)
		case name == "":
			return 0, fmt.Errorf("duration %q lacks a unit after %s: one of w, d, h, m, s, ms, us", s, digits)
		}
		rest = rest[len(digits)+len(name):]

		i := unitIndex(name)
		if i < 0 {
			return 0, fmt.Errorf("duration %q has the unknown unit %q: use whole numbers of w, d, h, m, s, ms, us, "+
				"such as 7d or 1d12h", s, strings.TrimSpace(name))
		}
		if i < next {
			return 0, fmt.Errorf("duration %q: write larger units first and each only once, such as 1d12h", s)
		}
		next = i + 1

		size := readUnits[i].size
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || n > int64((math.MaxInt64-total)/size) {
			return 0, fmt.Errorf("duration %q: %w", s, ErrTooLong)
		}
		total += time.Duration(n) * size
	}
	return total, nil
}

// ErrTooLong is the error of a duration that no time.Duration holds.
var ErrTooLong = errors.New("it is longer than 292 years")

func unitIndex(name string) int {
	for i, u := range readUnits {
		if u.name == name {
			return i
		}
	}
	return -1
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func leading(s string, in func(byte) bool) string {
	i := 0
	for i < len(s) && in(s[i]) {
		i++
	}
	return s[:i]
}

// Duration writes d exactly, in the largest units from days down: 7d, 1d12h, 90s as 1m30s, zero as 0s. ParseDuration
// reads it back wherever d is one that ParseDuration can give.
func Duration(d time.Duration) string {
	if d == 0 {
		return "0s"
	}
	var b strings.Builder
	rest := uint64(d)
	if d < 0 {
		b.WriteByte('-')
		rest = -rest
	}
	for _, u := range writtenUnits {
		if n := rest / uint64(u.size); n > 0 {
			b.WriteString(strconv.FormatUint(n, 10))
			b.WriteString(u.name)
			rest %= uint64(u.size)
		}
	}
	return b.String()
}

// Took writes how long something took, as exactly as a person wants to know: 12ms, 3.2s, 5m10s.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return Duration(d.Round(time.Second))
}

// About writes the largest unit of d that fits, and no smaller ones: 2 y, 3 d, 5 min, 40 s.
func About(d time.Duration) string {
	for _, u := range []unit{{" y", 365 * day}, {" d", day}, {" h", time.Hour}, {" min", time.Minute}} {
		if d >= u.size {
			return Count(int64(d/u.size)) + u.name
		}
	}
	return Count(int64(d/time.Second)) + " s"
}
