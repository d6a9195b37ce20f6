package debezium

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
func (d *Decoder) amountOf(v *jsonValue, in reading) (brimline.Amount, error) {
	c, schema := &d.columns[d.amount], in.schema.of(d.amount)
	switch v.kind {
	case jsonNumber:
		return d.numberAmount(v, c, schema)
	case jsonString:
		if notFinite(v.raw) {
			return 0, brimline.BadInput(KindAmountNaN,
				"correct the row, and add CHECK (amount <> 'NaN') to the table", "column %s: %s is not a finite number", c.name,
				excerpt(v.raw))
		}
		precise, err := d.isPrecise(v.raw, c, schema, in.own)
		if err != nil {
			return 0, err
		}
		if !precise {
			if d.opt.AmountMinorUnits == 0 {
				if a, err := brimline.ParseAmount(string(v.raw), d.opt.Scale); err == nil {
					return a, nil
				}
			}
			return d.decimalAmount(parseDecimal(v.raw))
		}
		scale, err := d.preciseScale(v, c, schema)
		if err != nil {
			return 0, err
		}
		if a, ok := shortUnscaled(v.raw); ok && scale == d.opt.Scale && d.opt.AmountMinorUnits == 0 {
			return a, nil
		}
		return d.decimalAmount(unscaled(v.raw, scale))
	case jsonObject:
		return d.decimalAmount(variableScale(v))
	}
	return 0, wrongType(c.name, "a decimal", v.kind.String())
}

// numberAmount reads an amount that is a JSON number.
func (d *Decoder) numberAmount(v *jsonValue, c *column, schema *columnSchema) (brimline.Amount, error) {
	n, err := parseDecimal(v.raw)
	switch {
	case isInteger(v.raw):
		typed := schema != nil && schema.name == connectDecimal
		if s := d.opt.AmountColumnScale; s != nil && *s > 0 && c.facts == nil && !typed {
			return 0, brimline.BadInput(KindAmountNotWhole,
				"take --amount-column-scale out; where the column counts cents or the like, set --amount-minor-units",
				"column %s: %s is a whole number, as integer columns have them, and amount_column_scale says that the "+
					"column has %d decimals", c.name, excerpt(v.raw), *s)
		}
	case !d.exactNumber(schema) && !d.opt.AllowFloatAmounts:
		return 0, brimline.BadInput(KindFloatAmount,
			"set decimal.handling.mode=string in the connector; if it has decimal.format=NUMERIC, whose numbers "+
				"are exact, set --decimals=numeric; allow_float_amounts takes inexact ones",
			"column %s: %s may have gone through a binary float (double): an exact number looks the same", c.name,
			excerpt(v.raw))
	default:
		n.shortenFraction()
	}
	return d.decimalAmount(n, err)
}

// exactNumber reports whether a JSON number with a fraction is known to be a decimal and not a binary float.
func (d *Decoder) exactNumber(schema *columnSchema) bool {
	if schema != nil && schema.name == connectDecimal {
		return true
	}
	return d.opt.Decimals == DecimalsNumeric && !schema.isFloat()
}

// decimalAmount brings a decimal to the configured scale. Its error says by its kind why that cannot be done.
func (d *Decoder) decimalAmount(n decimal, err error) (brimline.Amount, error) {
	if err != nil {
		return 0, brimline.BadInput(KindAmountSyntax,
			"check that the amount setting names a numeric column", "column %s holds no decimal number that brimline can read",
			d.opt.Amount)
	}
	if minor := d.opt.AmountMinorUnits; minor > 0 {
		if n.scale > 0 {
			return 0, brimline.BadInput(KindAmountNotWhole,
				"set --amount-minor-units only where the column holds whole numbers",
				"column %s: %s has decimals, and amount_minor_units says that the column counts units of 10^-%d",
				d.opt.Amount, shorten(n.text()), minor)
		}
		n.scale += minor
	}
	a, err := n.amount(d.opt.Scale)
	switch {
	case err == nil:
		return a, nil
	case errors.Is(err, brimline.ErrAmountScale):
		return 0, brimline.BadInput(KindAmountScale,
			"raise scale to the column's number of decimals and start a new group", "column %s: %s has more than %d decimals",
			d.opt.Amount, shorten(n.text()), d.opt.Scale)
	default:
		return 0, brimline.BadInput(KindAmountRange,
			"lower scale, if the column has fewer decimals, and start a new group; else correct the row",
			"column %s: %s does not fit 64 bits with %d decimals", d.opt.Amount, shorten(n.text()), d.opt.Scale)
	}
}

func shorten(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

// isPrecise tells base64 of an unscaled integer from decimal digits.
func (d *Decoder) isPrecise(text []byte, c *column, schema *columnSchema, own bool) (bool, error) {
	switch {
	case schema != nil:
		return schema.name == connectDecimal, nil
	case own:
		return false, nil
	case d.opt.Decimals == DecimalsPrecise || d.opt.Decimals == DecimalsString:
		return d.opt.Decimals == DecimalsPrecise, nil
	case c.facts != nil && (c.facts.Type != "numeric" || c.facts.Scale == nil):
		return false, nil // a precise numeric without scale says its own
	case c.facts != nil && *c.facts.Scale > 0:
		return !bytes.ContainsAny(text, ".-"), nil // digits have all their decimals there, or are Java's 1E-10
	}
	told, decided := DecimalsOf(text), d.opt.DecidedDecimals
	switch {
	case told != "" && decided != "" && told != decided: // then others, which could be either, are read wrongly
		return false, brimline.BadInput(KindAmountAmbiguous, "find out whether the connector's decimal.handling.mode was "+
			"changed; if so, start a new --group over a new snapshot, else set --decimals",
			"column %s: %s is a decimal as %s has it, and the stream's are those of %s", c.name, excerpt(text), told, decided)
	case told != "":
		return told == DecimalsPrecise, nil
	case decided != "":
		return decided == DecimalsPrecise, nil
	}
	return false, brimline.BadInput(KindAmountAmbiguous, remedyDecimals,
		"column %s: %s is a decimal number as well as the base64 of another one", c.name, excerpt(text))
}

// DecimalsOf is which of precise and string a decimal's text is; empty where it could be either.
func DecimalsOf(text []byte) Decimals {
	switch {
	case len(text)%4 != 0 || len(text) == 0 || bytes.ContainsAny(text, ".-"):
		return DecimalsString
	case text[len(text)-1] == '=':
		return DecimalsPrecise
	}
	if _, err := parseDecimal(text); err != nil {
		return DecimalsPrecise
	}
	return ""
}

// preciseScale is the scale of a precise decimal.
func (d *Decoder) preciseScale(v *jsonValue, c *column, schema *columnSchema) (int, error) {
	switch {
	case schema != nil:
		return schema.scale, nil
	case c.scaleKnown:
		return c.scale, nil
	}
	if _, err := unscaled(v.raw, 0); err != nil {
		return 0, nil // it is none, as is found out next
	}
	const unknown = "column %s: %s is a precise decimal, which does not say its scale"
	if c.name == d.opt.Amount {
		return 0, brimline.BadInput(KindAmountScaleUnknown,
			"set --amount-column-scale to the decimals of the column, or decimal.handling.mode=string in the "+
				"connector",
			unknown, c.name, excerpt(v.raw))
	}
	return 0, brimline.BadInput(KindWrongType, "set decimal.handling.mode=string in the connector, turn on inline "+
		"schemas, or let brimline ask PostgreSQL",
		unknown, c.name, excerpt(v.raw))
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
	if !ok || n < -MaxColumnScale || n > MaxColumnScale || value.kind != jsonString {
		return decimal{}, errDecimal
	}
	return unscaled(value.raw, int(n))
}

// decimalOf reads a column that is a decimal.
func (d *Decoder) decimalOf(v *jsonValue, slot int, in reading) (decimal, error) {
	c, schema := &d.columns[slot], in.schema.of(slot)
	n, err := decimal{}, errDecimal
	switch v.kind {
	case jsonNumber:
		if c.facts != nil && c.facts.Type == "numeric" && !isInteger(v.raw) && !d.exactNumber(schema) &&
			!d.opt.AllowFloatAmounts {
			return n, brimline.BadInput(KindFloatColumn,
				"set decimal.handling.mode=string in the connector; if it has decimal.format=NUMERIC, whose "+
					"numbers are exact, set --decimals=numeric",
				"column %s: %s may have gone through a binary float (double): an exact number looks the same",
				c.name, excerpt(v.raw))
		}
		n, err = parseNumber(v.raw, c.bits)
	case jsonObject:
		n, err = variableScale(v)
	case jsonString:
		precise, bad := d.isPrecise(v.raw, c, schema, in.own)
		if bad != nil {
			return n, bad
		}
		if !precise {
			n, err = parseNumber(v.raw, c.bits)
			break
		}
		scale, bad := d.preciseScale(v, c, schema)
		if bad != nil {
			return n, bad
		}
		n, err = unscaled(v.raw, scale)
	}
	if err != nil {
		return n, wrongType(c.name, "a decimal", v.kind.String()+" "+excerpt(v.raw))
	}
	return n, nil
}

// parseNumber reads a decimal, and that of a binary float with the shortest digits that mean the same float, as
// PostgreSQL writes them: Java may write others.
func parseNumber(text []byte, bits int) (decimal, error) {
	if bits == 0 {
		return parseDecimal(text)
	}
	f, err := strconv.ParseFloat(string(text), bits)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return decimal{}, errDecimal
	}
	return parseDecimal(strconv.AppendFloat(nil, f, 'e', -1, bits))
}
