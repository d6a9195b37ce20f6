package brimline

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Time is a row's time: microseconds since the Unix epoch, UTC, which is the
// resolution and the range of PostgreSQL's timestamptz.
type Time int64

// Bounds that no row's time reaches.
const (
	MinTime Time = math.MinInt64
	MaxTime Time = math.MaxInt64
)

// TimeOf converts t; what is finer than a microsecond is cut off.
func TimeOf(t time.Time) Time { return Time(t.UnixMicro()) }

// Std is t as a time.Time in UTC.
func (t Time) Std() time.Time { return time.UnixMicro(int64(t)).UTC() }

// Add shifts t by d, staying within MinTime and MaxTime.
func (t Time) Add(d time.Duration) Time {
	us := Time(d.Microseconds())
	switch sum := t + us; {
	case us > 0 && sum < t:
		return MaxTime
	case us < 0 && sum > t:
		return MinTime
	default:
		return sum
	}
}

// String is ISO 8601 in UTC with six decimals, as Debezium writes it:
// 2026-01-02T03:04:05.123456Z, +12026-…, and -0043-… for 44 BC.
func (t Time) String() string {
	std := t.Std()
	clock := std.Format("-01-02T15:04:05.000000Z")
	switch y := std.Year(); {
	case y < 0:
		return fmt.Sprintf("-%04d", -y) + clock
	case y > 9999:
		return fmt.Sprintf("+%d", y) + clock
	default:
		return fmt.Sprintf("%04d", y) + clock
	}
}

// ParseTime reads what String writes, and any RFC 3339 time with an offset
// and up to six decimals.
func ParseTime(s string) (Time, error) {
	year, rest, err := cutYear(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not an ISO 8601 time with an offset", s)
	}
	// The calendar repeats every 400 years of 146,097 days; the standard parser knows 0000 to 9999 only.
	cycles := floorDiv(year, 400)
	std, err := time.Parse(time.RFC3339Nano, fmt.Sprintf("%04d", year-cycles*400)+rest)
	if err != nil {
		return 0, fmt.Errorf("%q is not an ISO 8601 time with an offset", s)
	}
	if std.Nanosecond()%1000 != 0 {
		return 0, fmt.Errorf("%q is finer than a microsecond", s)
	}
	if max(year, -year) > maxYear {
		return 0, fmt.Errorf("%q is outside the range of microseconds in 64 bits", s)
	}
	return TimeOf(std) + Time(cycles)*146097*24*3600*1e6, nil
}

// maxYear keeps times clear of MinTime and MaxTime; PostgreSQL's own range ends at 294276.
const maxYear = 292000

func cutYear(s string) (year int, rest string, err error) {
	digits := s
	sign := 1
	if s != "" && (s[0] == '+' || s[0] == '-') {
		digits = s[1:]
		if s[0] == '-' {
			sign = -1
		}
	}
	i := strings.IndexByte(digits, '-')
	if i < 4 || i > 6 {
		return 0, "", fmt.Errorf("no year")
	}
	year, err = strconv.Atoi(digits[:i])
	return sign * year, digits[i:], err
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// MarshalText is String.
func (t Time) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTime.
func (t *Time) UnmarshalText(b []byte) (err error) {
	*t, err = ParseTime(string(b))
	return err
}
