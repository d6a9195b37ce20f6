package debezium

import (
	"math"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// Debezium was recorded to send these for infinity and -infinity: in ms as PostgreSQL's JDBC driver has them, in µs the
// greatest and the least integer, as days of a date; our capture has the least date.
const (
	infinityMs       = 9223372036825200000
	minusInfinityMs  = -9223372036832400000
	infiniteDay      = 2146033979
	minusInfiniteDay = -2147472691
	leastDay         = math.MinInt32
	// lastYear is PostgreSQL's: a later one, or an earlier one than its negative, is how infinity looks in ISO text.
	lastYear = 294276
)

// msDigits is how many fraction digits milliseconds hold.
const msDigits = 3

const (
	remedyInfinite = "correct the row: a window over time has no place for infinity"
	remedyTime     = "check that the time setting names a timestamp column"
)

// timeOf reads a point in time: ISO 8601 text, or a number in the unit that the record, the settings or the catalog
// give.
func (d *Decoder) timeOf(v *jsonValue, slot int, in reading) (brimline.Time, error) {
	c := &d.columns[slot]
	switch v.kind {
	case jsonString:
		if t, ok := isoTime(v.raw); ok {
			return t, nil
		}
		return c.textTime(v)
	case jsonNumber:
		return c.numberTime(v, in.schema.of(slot), in.micros, in.own)
	case jsonObject:
		return 0, brimline.BadInput(KindWrongType,
			"check that the column settings name the right columns with the right types, and set "+
				"time.precision.mode in the connector to any other than structured",
			"column %s should be a time and is an object", c.name)
	}
	return 0, wrongType(c.name, "a time", v.kind.String())
}

// textTime reads ISO text of any form.
func (c *column) textTime(v *jsonValue) (brimline.Time, error) {
	text := string(v.raw)
	if v.is("infinity") || v.is("-infinity") {
		return 0, infiniteTime(c.name, v)
	}
	year, hasYear := yearOf(text)
	if hasYear && (year > lastYear || year < -lastYear) {
		return 0, infiniteTime(c.name, v)
	}
	if day, zoned := strings.CutSuffix(text, "Z"); (zoned || c.facts != nil && c.facts.Type == "date") &&
		strings.IndexByte(text, 'T') < 0 {
		text = day + "T00:00:00Z" // a date
	}
	t, err := brimline.ParseTime(text)
	if err != nil || !hasYear || year > maxTextYear || year < -maxTextYear {
		return 0, brimline.BadInput(KindBadTime, remedyTime,
			"column %s: %s is no time with an offset, to the microsecond, that fits", c.name, excerpt(v.raw))
	}
	return t, nil
}

// maxTextYear keeps times within what 64 bits of µs hold.
const maxTextYear = 290_000

// yearOf is the year that an ISO text begins with.
func yearOf(text string) (int, bool) {
	sign, digits := 1, strings.TrimLeft(text, "+-")
	if strings.HasPrefix(text, "-") {
		sign = -1
	}
	digits, _, _ = strings.Cut(digits, "-")
	if digits == "" || len(digits) > 9 {
		return 0, false
	}
	n, err := strconv.Atoi(digits)
	return sign * n, err == nil
}

// numberTime reads a bare number.
func (c *column) numberTime(v *jsonValue, schema *columnSchema, micros, own bool) (brimline.Time, error) {
	n, ok := integer(v)
	if !ok {
		return 0, brimline.BadInput(KindBadTime, remedyTime, "column %s: the time %s is not a whole 64-bit number",
			c.name, excerpt(v.raw))
	}
	unit, sure := c.unit, c.set
	mayCut := unit == UnitMs // of connect; an adaptive connector writes ms where they hold all
	told := false
	if schema != nil {
		if u, known := schemaUnits[schema.name]; known {
			unit, sure, told, mayCut = u, true, true, schema.name == connectTimestamp
		}
	}
	switch {
	case told:
	case micros && unit != unitDays:
		unit, sure, mayCut = UnitUs, true, false
	case micros:
		sure = true
	case own && c.adaptive != "" && c.adaptive != unitDays:
		unit, sure, mayCut = c.adaptive, false, false
	}
	if n == math.MaxInt64 || n == math.MinInt64 || n == infinityMs || n == minusInfinityMs ||
		unit == unitDays && (n == infiniteDay || n == minusInfiniteDay || n == leastDay) {
		return 0, infiniteTime(c.name, v)
	}
	switch {
	case unit == "" && c.facts != nil:
		return 0, brimline.BadInput(KindTimeUnit, "look for transforms in the connector that turn times into "+
			"numbers: Debezium writes "+c.facts.Type+" as text in every mode; or set --time-unit",
			"column %s: the number %d of a %s, in a unit that is not known", c.name, n, c.facts.Type)
	case unit == "":
		return 0, brimline.BadInput(KindTimeUnit, "set --time-unit to what the connector writes for this column "+
			"(see time.precision.mode), turn on inline schemas, or let brimline ask PostgreSQL",
			"column %s: nothing says whether the time %d is in ms, µs, ns or days", c.name, n)
	case !told && unit != unitDays && c.facts == nil && LooksLike(n) == unitDays:
		return 0, c.otherUnit(n, unit, unitDays) // a date, whose unit no setting is about
	}
	if looks := LooksLike(n); !sure && looks != "" && looks != unit {
		return 0, c.otherUnit(n, unit, looks)
	}
	if mayCut && c.facts != nil && c.facts.Type != "date" && c.facts.Precision > msDigits {
		return 0, brimline.BadInput(KindTimeCut,
			"set time.precision.mode in the connector to another mode than connect, and --time-unit to auto; then "+
				"start a new --group over a new snapshot, because earlier records stay cut",
			"column %s holds times to %d digits of a second, and the record has %d milliseconds: what was finer is "+
				"lost", c.name, c.facts.Precision, n)
	}
	t, ok := Epoch(n, unit)
	if !ok {
		return 0, brimline.BadInput(KindBadTime, "check that time_unit is what the connector's time.precision.mode "+
			"writes, and that the time setting names a timestamp column",
			"column %s: %d %s since 1970 is no time that fits", c.name, n, unit)
	}
	return t, nil
}

func (c *column) otherUnit(n int64, unit, looks TimeUnit) error {
	t, _ := Epoch(n, looks)
	return brimline.BadInput(KindTimeUnit,
		"find out whether the connector's time.precision.mode was changed; if so, start a new --group over a new "+
			"snapshot; if the number is right, set --time-unit",
		"column %s: %d would be %s as a number of %s, and the column is read in %s", c.name, n, t, looks, unit)
}

func infiniteTime(column string, v *jsonValue) error {
	return brimline.BadInput(KindInfiniteTime, remedyInfinite, "column %s is the time %s", column, excerpt(v.raw))
}

// Bounds of the numbers that are a time from 1973 to 2286, in seconds. In two units that differ by a factor of a
// thousand or more they have none in common, so a number within them belongs to one unit.
const (
	from1973, until2286 = 94_694_400, 10_000_000_000
	daySeconds          = 24 * 60 * 60
)

// The year 9999, in seconds, which tables write for a time that never comes. As a finer unit its numbers are a few
// hours of January 1978.
const from9999, until10000 = 253_370_764_800, 253_402_300_800

// LooksLike is the unit in which n is a time from 1973 to 2286, or of the year 9999; empty where there is none.
func LooksLike(n int64) TimeUnit {
	switch {
	case n >= from9999*1e3 && n < until10000*1e3:
		return UnitMs
	case n >= from9999*1e6 && n < until10000*1e6:
		return UnitUs
	case n >= from1973/daySeconds && n < until2286/daySeconds:
		return unitDays
	case n >= from1973 && n < until2286:
		return unitSeconds
	case n >= from1973*1e3 && n < until2286*1e3:
		return UnitMs
	case n >= from1973*1e6 && n < until2286*1e6:
		return UnitUs
	case n >= from1973*1e9: // to 2262, where the integers end
		return UnitNs
	}
	return ""
}

// isoTime reads the form of nearly every row, 2026-01-02T03:04:05.123456Z with up to six decimals, ten times faster
// than the general parser, which reads all others.
func isoTime(b []byte) (brimline.Time, bool) {
	if len(b) < len("2006-01-02T03:04:05Z") || len(b) > len("2006-01-02T03:04:05.123456Z") ||
		b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[len(b)-1] != 'Z' {
		return 0, false
	}
	year, ok1 := number4(b[0:4])
	month, ok2 := number2(b[5:7])
	day, ok3 := number2(b[8:10])
	hour, ok4 := number2(b[11:13])
	minute, ok5 := number2(b[14:16])
	second, ok6 := number2(b[17:19])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || year < 1 || month < 1 || month > 12 ||
		day < 1 || day > 28 && day > daysIn(year, month) ||
		hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	micros := int64(0)
	if fraction := b[19 : len(b)-1]; len(fraction) > 0 {
		if fraction[0] != '.' || len(fraction) == 1 || !onlyDigits(fraction[1:]) {
			return 0, false
		}
		for i := 1; i <= 6; i++ {
			micros *= 10
			if i < len(fraction) {
				micros += int64(fraction[i] - '0')
			}
		}
	}
	seconds := daysFromCivil(year, month, day)*86400 + int64(hour*3600+minute*60+second)
	return brimline.Time(seconds*1e6 + micros), true
}

func number2(b []byte) (int, bool) {
	return int(b[0]-'0')*10 + int(b[1]-'0'), b[0]-'0' <= 9 && b[1]-'0' <= 9
}

func number4(b []byte) (int, bool) {
	high, ok1 := number2(b)
	low, ok2 := number2(b[2:])
	return high*100 + low, ok1 && ok2
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// daysFromCivil counts days since 1970-01-01 in the Gregorian calendar, for years from 1 (Howard Hinnant's algorithm:
// years begin in March, so that leap days come last).
func daysFromCivil(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year+year/4-year/100+year/400+(153*(month-3)+2)/5+day-1) - 719468
}
