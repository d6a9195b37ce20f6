package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// appendValue writes a value in JSON as Debezium does with
// decimal.handling.mode=string and time.precision.mode=microseconds, from
// PostgreSQL's text form (DateStyle ISO, time zone UTC, lc_monetary C). A form
// that is not expected is written as the text it is: a capture must not stop at
// one value, and whoever reads the record will reject it with its key at hand.
func appendValue(to []byte, f *form, text string) []byte {
	switch f.oid {
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
	case moneyOID:
		return appendString(to, plainMoney.Replace(text))
	case pgtype.TimestamptzOID:
		return appendZoned(to, f.modifier, text)
	case pgtype.TimestampOID:
		return appendTimestamp(to, text)
	case pgtype.DateOID:
		return appendDate(to, text)
	case pgtype.TimeOID:
		if micros, ok := clock(text); ok {
			return strconv.AppendInt(to, micros, 10)
		}
	case pgtype.TimetzOID:
		return appendZonedClock(to, text)
	case pgtype.ByteaOID:
		if raw, err := hex.DecodeString(strings.TrimPrefix(text, `\x`)); err == nil {
			return appendString(to, base64.StdEncoding.EncodeToString(raw))
		}
	case pgtype.BitOID, pgtype.VarbitOID:
		return appendBits(to, f, text)
	default:
		if f.element != nil {
			if b, ok := appendArray(to, f, text); ok {
				return b
			}
		}
	}
	return appendString(to, text)
}

// moneyOID is that of the type money, which pgtype does not name.
const moneyOID = 790

// plainMoney makes -1234.50 of -$1,234.50.
var plainMoney = strings.NewReplacer("$", "", ",", "")

// appendZoned turns 2026-01-02 03:04:05.12+00 into "2026-01-02T03:04:05.120000Z":
// as many digits as the column has, six where it does not say; years as ISO 8601
// counts them (1 BC is 0000), and with a sign when they have more than four digits.
func appendZoned(to []byte, modifier int32, text string) []byte {
	if text == "infinity" || text == "-infinity" {
		return appendString(to, text)
	}
	plain, utc := strings.CutSuffix(strings.TrimSuffix(text, " BC"), "+00")
	year, rest, ok := splitYear(plain, strings.HasSuffix(text, " BC"))
	day, clock, ok2 := strings.Cut(rest, " ")
	if !utc || !ok || !ok2 || strings.Trim(rest, "0123456789-:. ") != "" {
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
	digits := 6
	if modifier >= 0 && modifier < 6 {
		digits = int(modifier)
	}
	whole, fraction, _ := strings.Cut(clock, ".")
	if len(whole) == len(clock) && digits > 0 {
		to = append(to, '.')
	}
	to = append(to, "000000"[min(6-digits+len(fraction), 6):]...)
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

// appendTimestamp: microseconds, whatever the column's precision, so that whoever
// reads them need not know it. The greatest and the least integer are the infinities.
func appendTimestamp(to []byte, text string) []byte {
	switch text {
	case "infinity":
		return strconv.AppendInt(to, math.MaxInt64, 10)
	case "-infinity":
		return strconv.AppendInt(to, math.MinInt64, 10)
	}
	t, ok := parsePlain(text)
	if !ok || t.Year() > 294246 { // beyond it 64 bits do not hold them; PostgreSQL counts from 2000
		return appendString(to, text)
	}
	return strconv.AppendInt(to, t.UnixMicro(), 10)
}

// What Debezium was recorded to send for the dates infinity and -infinity.
const (
	infiniteDay      = 2146033979
	minusInfiniteDay = -2147472691
)

// appendDate: days since 1970.
func appendDate(to []byte, text string) []byte {
	switch text {
	case "infinity":
		return strconv.AppendInt(to, infiniteDay, 10)
	case "-infinity":
		return strconv.AppendInt(to, minusInfiniteDay, 10)
	}
	t, ok := parsePlain(text)
	if !ok {
		return appendString(to, text)
	}
	return strconv.AppendInt(to, floor(t.Unix(), 24*60*60), 10)
}

// clock reads a time of day as microseconds.
func clock(text string) (micros int64, ok bool) {
	day := time.Duration(0)
	if rest, ok := strings.CutPrefix(text, "24:"); ok { // a legal end of the day
		day, text = 24*time.Hour, "00:"+rest
	}
	t, err := time.Parse("15:04:05", text)
	d := day + t.Sub(time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC))
	return d.Microseconds(), err == nil
}

// appendZonedClock turns 03:04:05.5+02 into "01:04:05.5Z": in UTC, without its day.
func appendZonedClock(to []byte, text string) []byte {
	at := strings.LastIndexAny(text, "+-")
	if at < 0 {
		return appendString(to, text)
	}
	micros, ok := clock(text[:at])
	zone := strings.Split(text[at+1:], ":")
	offset := int64(0)
	for i, unit := range []int64{3600, 60, 1} {
		if i < len(zone) {
			n, err := strconv.ParseUint(zone[i], 10, 8)
			offset, ok = offset+int64(n)*unit, ok && err == nil
		}
	}
	if !ok || len(zone) > 3 {
		return appendString(to, text)
	}
	if offset != 0 {
		if text[at] == '+' {
			offset = -offset
		}
		const day = 24 * 3600 * 1_000_000
		micros = ((micros+offset*1_000_000)%day + day) % day
	}
	whole, fraction, _ := strings.Cut(text[:at], ".")
	seconds := micros / 1_000_000
	to = append(to, '"')
	to = fmt.Appendf(to, "%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if len(whole) < at {
		to = append(append(to, '.'), fraction...)
	}
	return append(to, `Z"`...)
}

// appendBits: a single bit is a boolean, more are base64 of bytes, the lowest first.
func appendBits(to []byte, f *form, text string) []byte {
	if strings.Trim(text, "01") != "" {
		return appendString(to, text)
	}
	if f.oid == pgtype.BitOID && f.modifier == 1 {
		return strconv.AppendBool(to, text == "1")
	}
	raw := make([]byte, (len(text)+7)/8)
	for i := range len(text) {
		bit := len(text) - 1 - i
		raw[bit/8] |= (text[i] - '0') << (bit % 8)
	}
	return appendString(to, base64.StdEncoding.EncodeToString(raw))
}

// appendArray reads PostgreSQL's array text: {a,"b,c",NULL}, nested for more dimensions.
func appendArray(to []byte, f *form, text string) ([]byte, bool) {
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
		case f.delimiter:
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
			to = appendValue(to, f.element, value.String())
		default:
			end := i + strings.IndexAny(text[i:], string(f.delimiter)+"}")
			if end < i {
				return to[:start], false
			}
			if word := text[i:end]; word == "NULL" {
				to = append(to, "null"...)
			} else {
				to = appendValue(to, f.element, word)
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

// appendEscaped leaves <, > and & as they are: written for HTML they take six bytes each.
func appendEscaped(to []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // impossible for a string
		return append(to, "null"...)
	}
	return append(to, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}

// floor divides towards minus infinity: half a millisecond before 1970 is -1, not 0.
func floor(n, by int64) int64 {
	q := n / by
	if n%by < 0 {
		q--
	}
	return q
}
