package httpapi

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/brimline/brimline"
)

// amount writes a decimal for reading: 3,441.50, with a true minus sign.
func amount(decimal string) string {
	sign := ""
	if strings.HasPrefix(decimal, "-") {
		sign, decimal = "−", decimal[1:]
	}
	whole, fraction, point := strings.Cut(decimal, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		whole += "." + fraction
	}
	return sign + whole
}

// clock writes a time to the second; attribute and title carry it exactly.
func clock(t brimline.Time) string {
	s := t.String()
	day, rest, found := strings.Cut(s, "T")
	if !found || len(rest) < 8 {
		return s
	}
	return day + " " + rest[:8]
}

// ago writes how far t lies from now, in the largest unit that fits.
func ago(t, now brimline.Time) string {
	d := now.Std().Sub(t.Std()) // saturates
	if d < 0 {
		return "in " + span(-d)
	}
	if d < time.Second {
		return "just now"
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	for _, u := range []struct {
		size time.Duration
		name string
	}{{365 * 24 * time.Hour, " y"}, {24 * time.Hour, " d"}, {time.Hour, " h"}, {time.Minute, " min"}} {
		if d >= u.size {
			return count(int64(d/u.size)) + u.name
		}
	}
	return count(int64(d/time.Second)) + " s"
}

func count(n int64) string { return amount(brimline.Count(n).Format(0)) }

// visible writes an id so that what cannot be seen can be: two ids that differ
// in a zero-width or direction character must not look the same to an analyst.
func visible(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.Is(unicode.C, r) || unicode.IsSpace(r) && r != ' ' || r == unicode.ReplacementChar {
			fmt.Fprintf(&b, "‹U+%04X›", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
