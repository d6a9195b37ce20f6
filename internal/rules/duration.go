package rules

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// MaxWindow bounds windows and lateness: ten years.
const MaxWindow = 3653 * 24 * time.Hour

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

// ParseWindow reads an exact duration such as "7d", "24h" or "1d12h": whole
// numbers with the units w d h m s ms us, each at most once, larger ones
// first. A day is 24 hours, a week 7 days. The result is above zero and at
// most MaxWindow.
func ParseWindow(s string) (time.Duration, error) {
	if s == "" {
		return 0, errors.New("empty duration")
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
			return 0, notDuration(s)
		case name == "":
			return 0, fmt.Errorf("duration %q lacks a unit after %s: one of w, d, h, m, s, ms, us", s, digits)
		}
		rest = rest[len(digits)+len(name):]

		i := unitIndex(name)
		if i < 0 {
			return 0, fmt.Errorf("duration %q has the unknown unit %q: use whole numbers of w, d, h, m, s, ms, us, such as 7d or 1d12h", s, strings.TrimSpace(name))
		}
		if i < next {
			return 0, fmt.Errorf("duration %q: write larger units first and each only once, such as 1d12h", s)
		}
		next = i + 1

		n, err := strconv.ParseInt(digits, 10, 64)
		if size := readUnits[i].size; err != nil || n > int64(MaxWindow/size) || total+time.Duration(n)*size > MaxWindow {
			return 0, fmt.Errorf("duration %q is longer than ten years (%s)", s, FormatWindow(MaxWindow))
		}
		total += time.Duration(n) * readUnits[i].size
	}
	if total == 0 {
		return 0, fmt.Errorf("duration %q is not above zero", s)
	}
	return total, nil
}

func notDuration(s string) error {
	return fmt.Errorf("%q is not a duration such as 7d, 24h or 1d12h", s)
}

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

// FormatWindow writes d exactly, in the largest units from days down: "7d",
// "1d12h", "90s" as "1m30s", zero as "0s". ParseWindow reads it back wherever
// d is one that ParseWindow can give.
func FormatWindow(d time.Duration) string {
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
