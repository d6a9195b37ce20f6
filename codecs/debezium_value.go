package codecs

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/brimline/brimline"
)

// amountOf reads the amount column in each of the encodings a connector can use.
func (d *Debezium) amountOf(v *jsonValue, schema *columnSchema) (brimline.Amount, error) {
	switch v.kind {
	case jsonNumber:
		if !isInteger(v.raw) && !(schema != nil && schema.name == connectDecimal) && !d.opt.AllowFloatAmounts {
			return 0, brimline.BadInput(KindFloatAmount,
				"set decimal.handling.mode=string in the connector, or allow_float_amounts in brimline if inexact amounts are good enough",
				"amount %s went through a binary float", excerpt(v.raw))
		}
		return d.decimalAmount(parseDecimal(v.raw))
	case jsonString:
		if notFinite(v.raw) {
			return 0, brimline.BadInput(KindAmountNaN,
				"correct the row, and add CHECK (amount <> 'NaN') to the table", "amount %s is not a finite number", excerpt(v.raw))
		}
		precise, err := d.isPrecise(v.raw, schema, "amount")
		if err != nil {
			return 0, err
		}
		if !precise {
			if a, err := brimline.ParseAmount(string(v.raw), d.opt.Scale); err == nil {
				return a, nil
			}
			return d.decimalAmount(parseDecimal(v.raw))
		}
		scale := d.columnScale
		if schema != nil {
			scale = schema.scale
		}
		if a, ok := shortUnscaled(v.raw); ok && scale == d.opt.Scale {
			return a, nil
		}
		return d.decimalAmount(unscaled(v.raw, scale))
	case jsonObject:
		return d.decimalAmount(variableScale(v))
	}
	return 0, wrongType(d.names[d.amount], "a decimal", v.kind.String())
}

// decimalAmount brings a decimal to the configured scale; what was wrong is told by kind.
func (d *Debezium) decimalAmount(n decimal, err error) (brimline.Amount, error) {
	if err != nil {
		return 0, brimline.BadInput(KindAmountSyntax,
			"check that the amount setting names a numeric column", "the amount is no decimal number that brimline can read")
	}
	a, err := n.amount(d.opt.Scale)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, brimline.ErrAmountScale):
		return 0, brimline.BadInput(KindAmountScale,
			"raise scale to the column's number of decimals and start a new group", "amount %s has more than %d decimals", shorten(n.text()), d.opt.Scale)
	default:
		return 0, brimline.BadInput(KindAmountRange,
			"lower scale, if the column has fewer decimals, and start a new group; else correct the row",
			"amount %s does not fit 64 bits with %d decimals", shorten(n.text()), d.opt.Scale)
	}
}

func shorten(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

// isPrecise tells base64 of an unscaled integer from decimal digits.
func (d *Debezium) isPrecise(text []byte, schema *columnSchema, column string) (bool, error) {
	switch {
	case schema != nil:
		return schema.name == connectDecimal, nil
	case d.opt.Decimals != DecimalsAuto:
		return d.opt.Decimals == DecimalsPrecise, nil
	}
	if len(text)%4 != 0 || len(text) == 0 || bytes.IndexByte(text, '.') >= 0 || bytes.IndexByte(text, '-') >= 0 {
		return false, nil
	}
	if text[len(text)-1] == '=' {
		return true, nil
	}
	if _, err := parseDecimal(text); err != nil {
		return true, nil
	}
	return false, brimline.BadInput(KindAmountAmbiguous, remedyDecimals,
		"%s %s is a decimal number as well as the base64 of another one", column, excerpt(text))
}

// notFinite recognises how Debezium, Java and PostgreSQL write NaN and the infinities.
func notFinite(text []byte) bool {
	s := strings.TrimLeft(string(text), "+-")
	return len(s) >= 3 && len(s) <= 17 && (strings.EqualFold(s, "nan") || strings.EqualFold(s, "infinity") ||
		s == "POSITIVE_INFINITY" || s == "NEGATIVE_INFINITY")
}

// shortUnscaled reads base64 of at most 8 bytes without allocating.
func shortUnscaled(b64 []byte) (brimline.Amount, bool) {
	var buf [12]byte
	if len(b64) > 12 {
		return 0, false
	}
	n, err := base64.StdEncoding.Decode(buf[:], b64)
	if err != nil || n == 0 || n > 8 {
		return 0, false
	}
	u := int64(int8(buf[0]))
	for _, c := range buf[1:n] {
		u = u<<8 | int64(c)
	}
	return brimline.Amount(u), u != math.MinInt64
}

// variableScale reads {"scale":n,"value":base64}, which unconstrained numeric
// columns become with precise decimals.
func variableScale(v *jsonValue) (decimal, error) {
	var scale, value jsonValue
	for m := v.members(); m.next(); {
		switch {
		case m.key.is("scale"):
			scale = m.value
		case m.key.is("value"):
			value = m.value
		}
	}
	n, ok := integer(&scale)
	if !ok || n < -maxDecimalScale || n > maxDecimalScale || value.kind != jsonString {
		return decimal{}, errDecimal
	}
	return unscaled(value.raw, int(n))
}

// decimalColumn reads a further column of type numeric.
func (d *Debezium) decimalColumn(v *jsonValue, column string, schema *columnSchema) (any, error) {
	n, err := decimal{}, errDecimal
	switch v.kind {
	case jsonNumber:
		n, err = parseDecimal(v.raw)
	case jsonObject:
		n, err = variableScale(v)
	case jsonString:
		precise, ambiguous := d.isPrecise(v.raw, schema, "column "+column)
		switch {
		case ambiguous != nil:
			return nil, ambiguous
		case !precise:
			n, err = parseDecimal(v.raw)
		case schema == nil:
			return nil, brimline.BadInput(KindWrongType, "set decimal.handling.mode=string in the connector, or turn on inline schemas",
				"column %s is a precise decimal %s, which does not say its scale", column, excerpt(v.raw))
		default:
			n, err = unscaled(v.raw, schema.scale)
		}
	}
	if err != nil {
		return nil, wrongType(column, "a decimal", v.kind.String()+" "+excerpt(v.raw))
	}
	return brimline.Decimal(n.text()), nil
}

// Debezium's numbers for infinity and -infinity: in ms as the JDBC driver has them, in µs.
const (
	infinityMs         = 9223372036825200000
	minusInfinityMs    = -9223372036832400000
	remedyInfinite     = "correct the row: a window over time has no place for infinity"
	remedyTime         = "check that the time setting names a timestamp column"
	remedyTimeUnitOnly = "set time_unit to what the connector's time.precision.mode writes: us for adaptive, ms for connect"
)

// timeOf reads a point in time: ISO 8601 text, or a number in the unit that
// the schema or the settings give.
func (d *Debezium) timeOf(v *jsonValue, column string, schema *columnSchema) (brimline.Time, error) {
	switch v.kind {
	case jsonString:
		if t, ok := isoTime(v.raw); ok {
			return t, nil
		}
		if v.is("infinity") || v.is("-infinity") {
			return 0, infiniteTime(column, v)
		}
		t, err := brimline.ParseTime(string(v.raw))
		if err != nil || tooFar(v.raw) {
			return 0, brimline.BadInput(KindBadTime, remedyTime, "column %s: %s is no time with an offset, to the microsecond, that fits", column, excerpt(v.raw))
		}
		return t, nil
	case jsonNumber:
		n, ok := integer(v)
		if !ok {
			return 0, brimline.BadInput(KindBadTime, remedyTime, "column %s: the time %s is not a whole 64-bit number", column, excerpt(v.raw))
		}
		if n == math.MaxInt64 || n == math.MinInt64 || n == infinityMs || n == minusInfinityMs {
			return 0, infiniteTime(column, v)
		}
		unit := d.unit
		if schema != nil {
			if u, known := schemaUnits[schema.name]; known {
				unit = u
			}
		}
		t, ok := epoch(n, unit)
		if !ok {
			return 0, brimline.BadInput(KindBadTime, remedyTimeUnitOnly, "column %s: %s as %s since 1970 is no time that fits", column, strconv.FormatInt(n, 10), unit)
		}
		return t, nil
	}
	return 0, wrongType(column, "a time", v.kind.String())
}

func infiniteTime(column string, v *jsonValue) error {
	return brimline.BadInput(KindInfiniteTime, remedyInfinite, "column %s is the time %s", column, excerpt(v.raw))
}

// tooFar reports whether the year of an ISO time is beyond what 64 bits of µs hold.
func tooFar(text []byte) bool {
	year := strings.TrimLeft(string(text), "+-")
	year, _, _ = strings.Cut(year, "-")
	n, err := strconv.Atoi(year)
	return err != nil || n > 290_000
}

// isoTime reads what nearly every row has, 2026-01-02T03:04:05.123456Z with up
// to six decimals, ten times faster than the general parser, which judges all else.
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
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || year < 1 || month < 1 || month > 12 || day < 1 || day > 28 && day > daysIn(year, month) ||
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

// daysFromCivil counts days since 1970-01-01 in the Gregorian calendar, for
// years from 1 (Howard Hinnant's algorithm: years begin in March, so that leap
// days come last).
func daysFromCivil(year, month, day int) int64 {
	if month <= 2 {
		year--
		month += 12
	}
	return int64(365*year+year/4-year/100+year/400+(153*(month-3)+2)/5+day-1) - 719468
}
