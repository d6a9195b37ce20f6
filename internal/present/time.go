package present

import (
	"strings"
	"time"

	"github.com/brimline/brimline"
)

// Time writes a time to the second, in UTC: 2026-03-08 12:00:00.
func Time(t brimline.Time) string {
	whole, _, _ := strings.Cut(ExactTime(t), ".")
	return whole
}

// TimeUTC is Time where the zone is not said beside it: 2026-03-08 12:00:00 UTC.
func TimeUTC(t brimline.Time) string { return Time(t) + " UTC" }

// ExactTime writes a time as exactly as it is, in UTC: 2026-03-08 12:00:00.25.
func ExactTime(t brimline.Time) string {
	s := strings.TrimSuffix(strings.Replace(t.String(), "T", " ", 1), "Z")
	if whole, fraction, found := strings.Cut(s, "."); found {
		if s = strings.TrimRight(fraction, "0"); s != "" {
			s = "." + s
		}
		s = whole + s
	}
	return s
}

// Ago writes how far a time lies from now, in the largest unit that fits: 5 min ago, in 2 h.
func Ago(t, now brimline.Time) string {
	d := now.Std().Sub(t.Std()) // saturates
	if d < 0 {
		return "in " + About(-d)
	}
	if d < time.Second {
		return "just now"
	}
	return About(d) + " ago"
}

// Coming says when a time will be, for people who look at now: at 14:10 today, tomorrow at 14:10, on Friday at 14:10,
// and on 2026-03-20 at 14:10 where that is a week away or more, or over.
func Coming(t, now brimline.Time) string {
	at, from := t.Std().UTC(), now.Std().UTC()
	day := func(t time.Time) int64 { return t.Unix() / 86_400 }
	clock := at.Format("15:04")
	switch days := day(at) - day(from); {
	case days == 0:
		return "at " + clock + " today"
	case days == 1:
		return "tomorrow at " + clock
	case days > 1 && days < 7:
		return "on " + at.Weekday().String() + " at " + clock
	}
	return "on " + at.Format(time.DateOnly) + " at " + clock
}
