package capture

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// appendValue writes a value in JSON as Debezium does with
// decimal.handling.mode=string and time.precision.mode=adaptive, from
// PostgreSQL's text form (DateStyle ISO, time zone UTC). A form that is not
// expected is written as the text it is: a capture must not stop at one value,
// and whoever reads the record will reject it with its key at hand.
func appendValue(to []byte, oid uint32, modifier int32, text string) []byte {
	switch oid {
	case pgtype.BoolOID:
		return strconv.AppendBool(to, text == "t")
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.OIDOID:
		return append(to, text...)
	case pgtype.Float4OID, pgtype.Float8OID:
		switch text {
		case "NaN", "Infinity", "-Infinity": // no JSON number
			return appendString(to, text)
		}
		return append(to, text...)
	case pgtype.NumericOID:
		switch text { // the names of Debezium's SpecialValueDecimal
		case "NaN":
			text = "NAN"
		case "Infinity":
			text = "POSITIVE_INFINITY"
		case "-Infinity":
			text = "NEGATIVE_INFINITY"
		}
		return appendString(to, text)
	case pgtype.TimestamptzOID:
		return appendZoned(to, text)
	case pgtype.TimestampOID:
		return appendTimestamp(to, modifier, text)
	case pgtype.DateOID:
		return appendDate(to, text)
	case pgtype.TimeOID:
		return appendTime(to, modifier, text)
	case pgtype.ByteaOID:
		if raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil {
			return appendString(to, base64.StdEncoding.EncodeToString(raw))
		}
	default:
		if element := elementOf(oid); element != 0 {
			if b, ok := appendArray(to, element, modifier, text); ok {
				return b
			}
		}
	}
	return appendString(to, text)
}

// appendZoned turns 2026-01-02 03:04:05.12+00 into "2026-01-02T03:04:05.120000Z":
// six digits always, years as ISO 8601 counts them (1 BC is 0000), and with a
// sign when they have more than four digits.
func appendZoned(to []byte, text string) []byte {
	if text == "infinity" || text == "-infinity" {
		return appendString(to, text)
	}
	plain, utc := strings.CutSuffix(strings.TrimSuffix(text, " BC"), "+00")
	year, rest, ok := splitYear(plain, strings.HasSuffix(text, " BC"))
	day, clock, ok2 := strings.Cut(rest, " ")
	if !utc || !ok || !ok2 {
		return appendString(to, text)
	}
	to = append(to, '"')
	switch {
	case year < 0:
		to = append(to, '-')
		year = -year
	case year > 9999:
		to = append(to, '+')
	}
	for limit := 1000; limit > 1 && year < limit; limit /= 10 {
		to = append(to, '0')
	}
	to = strconv.AppendInt(to, int64(year), 10)
	to = append(append(append(to, day...), 'T'), clock...)
	whole, fraction, _ := strings.Cut(clock, ".")
	if len(whole) == len(clock) {
		to = append(to, '.')
	}
	to = append(to, "000000"[min(6, len(fraction)):]...)
	return append(to, `Z"`...)
}

// splitYear takes the year off "2026-01-02…", as the proleptic calendar counts it.
func splitYear(text string, bc bool) (year int, rest string, ok bool) {
	i := strings.IndexByte(text, '-')
	if i < 1 {
		return 0, "", false
	}
	year, err := strconv.Atoi(text[:i])
	if bc {
		year = 1 - year
	}
	return year, text[i:], err == nil
}

// parsePlain reads a date or a timestamp without zone as if it were UTC.
func parsePlain(text string) (time.Time, bool) {
	plain := strings.TrimSuffix(text, " BC")
	year, rest, ok := splitYear(plain, plain != text)
	layout := "-01-02 15:04:05"
	if !strings.Contains(rest, " ") {
		layout = "-01-02"
	}
	// Go parses four-digit years only, and a leap day needs its year.
	t, err := time.Parse("2006"+layout, "2000"+rest)
	if !ok || err != nil {
		return time.Time{}, false
	}
	return time.Date(year, t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC), true
}

// appendTimestamp: microseconds, or milliseconds for a column of at most three
// fraction digits. The greatest integer is infinity (recorded); that the least
// is -infinity is our conclusion.
func appendTimestamp(to []byte, modifier int32, text string) []byte {
	switch text {
	case "infinity":
		return strconv.AppendInt(to, math.MaxInt64, 10)
	case "-infinity":
		return strconv.AppendInt(to, math.MinInt64, 10)
	}
	t, ok := parsePlain(text)
	switch {
	case !ok:
		return appendString(to, text)
	case modifier >= 0 && modifier <= 3:
		return strconv.AppendInt(to, t.UnixMilli(), 10)
	}
	return strconv.AppendInt(to, t.UnixMicro(), 10)
}

// infiniteDay is what Debezium was recorded to send for the date infinity.
const infiniteDay = 2146033979

// appendDate: days since 1970. -infinity was not recorded; the least 32-bit integer is no date of PostgreSQL.
func appendDate(to []byte, text string) []byte {
	switch text {
	case "infinity":
		return strconv.AppendInt(to, infiniteDay, 10)
	case "-infinity":
		return strconv.AppendInt(to, math.MinInt32, 10)
	}
	t, ok := parsePlain(text)
	if !ok {
		return appendString(to, text)
	}
	return strconv.AppendInt(to, floor(t.Unix(), 24*60*60), 10)
}

// appendTime: microseconds of the day, or milliseconds as for timestamps.
func appendTime(to []byte, modifier int32, text string) []byte {
	day := time.Duration(0)
	if rest, ok := strings.CutPrefix(text, "24:"); ok { // a legal end of the day
		day, text = 24*time.Hour, "00:"+rest
	}
	t, err := time.Parse("15:04:05", text)
	if err != nil {
		return appendString(to, text)
	}
	d := day + t.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	if modifier >= 0 && modifier <= 3 {
		return strconv.AppendInt(to, d.Milliseconds(), 10)
	}
	return strconv.AppendInt(to, d.Microseconds(), 10)
}

// appendArray reads PostgreSQL's array text: {a,"b,c",NULL}, nested for more dimensions.
func appendArray(to []byte, element uint32, modifier int32, text string) ([]byte, bool) {
	if strings.HasPrefix(text, "[") { // bounds that do not begin at 1: [0:1]={a,b}
		_, text, _ = strings.Cut(text, "=")
	}
	start := len(to)
	depth, i := 0, 0
	for i < len(text) {
		switch ch := text[i]; ch {
		case '{', '}':
			depth += map[byte]int{'{': 1, '}': -1}[ch]
			to = append(to, map[byte]byte{'{': '[', '}': ']'}[ch])
			i++
		case ',':
			to = append(to, ',')
			i++
		case '"':
			var value strings.Builder
			for i++; i < len(text) && text[i] != '"'; i++ {
				if text[i] == '\\' && i+1 < len(text) {
					i++
				}
				value.WriteByte(text[i])
			}
			i++
			to = appendValue(to, element, modifier, value.String())
		default:
			end := i + strings.IndexAny(text[i:], ",}")
			if end < i {
				return to[:start], false
			}
			if word := text[i:end]; word == "NULL" {
				to = append(to, "null"...)
			} else {
				to = appendValue(to, element, modifier, word)
			}
			i = end
		}
		if depth == 0 {
			break
		}
	}
	// Not PostgreSQL's own text, then; but a record must be JSON whatever it gets.
	if i != len(text) || !json.Valid(to[start:]) {
		return to[:start], false
	}
	return to, true
}

// elementOf is the element type of a built-in array type, 0 for other types.
func elementOf(oid uint32) uint32 {
	switch oid {
	case pgtype.BoolArrayOID:
		return pgtype.BoolOID
	case pgtype.Int2ArrayOID:
		return pgtype.Int2OID
	case pgtype.Int4ArrayOID:
		return pgtype.Int4OID
	case pgtype.Int8ArrayOID:
		return pgtype.Int8OID
	case pgtype.Float4ArrayOID:
		return pgtype.Float4OID
	case pgtype.Float8ArrayOID:
		return pgtype.Float8OID
	case pgtype.NumericArrayOID:
		return pgtype.NumericOID
	case pgtype.TimestamptzArrayOID:
		return pgtype.TimestamptzOID
	case pgtype.TimestampArrayOID:
		return pgtype.TimestampOID
	case pgtype.DateArrayOID:
		return pgtype.DateOID
	case pgtype.TextArrayOID, pgtype.VarcharArrayOID, pgtype.BPCharArrayOID, pgtype.UUIDArrayOID, pgtype.JSONArrayOID, pgtype.JSONBArrayOID:
		return pgtype.TextOID
	}
	return 0
}

// appendString writes a JSON string. Most have nothing to escape and are copied.
func appendString(to []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' {
			return appendEscaped(to, s)
		}
	}
	if !utf8.ValidString(s) {
		return appendEscaped(to, s)
	}
	return append(append(append(to, '"'), s...), '"')
}

func appendEscaped(to []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // impossible for a string
		return append(to, "null"...)
	}
	return append(to, quoted...)
}

// floor divides towards minus infinity: half a millisecond before 1970 is -1, not 0.
func floor(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}
