package debezium

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/big"
	"strings"

	"github.com/brimline/brimline"
)

const (
	// MaxColumnScale is the largest scale that PostgreSQL's numeric has.
	MaxColumnScale = 16383
	// maxUnscaled bounds the bytes of an unscaled integer: 3,082 digits. Longer ones, which only a hostile record
	// has, take too long to become digits.
	maxUnscaled = 1280
	// scaleMask is one more than the largest scale that Debezium and PostgreSQL's JDBC driver know. They read a scale
	// of -2 as 2046, so that a numeric(5,-2) comes with that many decimals, all zero.
	scaleMask = 2048
)

var errDecimal = errors.New("not a decimal number")

// decimal is an exact decimal: digits × 10^-scale.
type decimal struct {
	negative bool
	digits   string // at least one
	scale    int    // may be negative
}

// parseDecimal reads digits with an optional sign, point and exponent.
func parseDecimal(b []byte) (decimal, error) {
	var d decimal
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		d.negative, b = b[0] == '-', b[1:]
	}
	if i := bytes.IndexAny(b, "eE"); i >= 0 {
		exponent, ok := smallInt(b[i+1:])
		if !ok {
			return d, errDecimal
		}
		d.scale, b = -exponent, b[:i]
	}
	whole, fraction, point := bytes.Cut(b, []byte{'.'})
	if len(whole) == 0 && len(fraction) == 0 || point && len(fraction) == 0 ||
		!onlyDigits(whole) || !onlyDigits(fraction) {
		return d, errDecimal
	}
	d.scale += len(fraction)
	d.digits = string(whole) + string(fraction)
	return d, nil
}

func onlyDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// smallInt reads an exponent; those beyond what PostgreSQL can print are refused.
func smallInt(b []byte) (int, bool) {
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative, b = b[0] == '-', b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	b = bytes.TrimLeft(b, "0")
	if len(b) > 5 || !onlyDigits(b) {
		return 0, false
	}
	n := 0
	for _, c := range b {
		n = n*10 + int(c-'0')
	}
	if negative {
		n = -n
	}
	return n, -MaxColumnScale <= n && n <= MaxColumnScale
}

// unscaled reads the base64 of a big-endian two's complement integer.
func unscaled(b64 []byte, scale int) (decimal, error) {
	if base64.StdEncoding.DecodedLen(len(b64)) > maxUnscaled+2 {
		return decimal{}, errDecimal
	}
	b, err := base64.StdEncoding.AppendDecode(nil, b64)
	if err != nil || len(b) == 0 {
		return decimal{}, errDecimal
	}
	n := new(big.Int).SetBytes(b)
	if b[0] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	d := decimal{negative: n.Sign() < 0, scale: scale}
	d.digits = n.Abs(n).String()
	// A column of negative scale -s has at most 1000 digits, so one that ends in 2048 zeros or more has the scale
	// 2048 - s.
	if scale < 0 && len(d.digits)-len(strings.TrimRight(d.digits, "0")) >= scaleMask {
		d.scale = scaleMask + scale
	}
	return d, nil
}

func (d decimal) isZero() bool { return strings.Trim(d.digits, "0") == "" }

// shortenFraction takes zeros off the end of the fraction.
func (d *decimal) shortenFraction() {
	for d.scale > 0 && len(d.digits) > 1 && d.digits[len(d.digits)-1] == '0' {
		d.digits, d.scale = d.digits[:len(d.digits)-1], d.scale-1
	}
	if d.isZero() {
		d.scale = 0
	}
}

// plain is the text with all of its decimals, as PostgreSQL writes a numeric of that scale.
func (d decimal) plain() string {
	text := d.text()
	if d.scale <= 0 || d.scale >= scaleMask-1000 { // the latter are no decimals of the column
		return text
	}
	_, fraction, point := strings.Cut(text, ".")
	if !point {
		text += "."
	}
	return text + strings.Repeat("0", d.scale-len(fraction))
}

// text is the canonical plain form, as brimline.Decimal has it.
func (d decimal) text() string {
	whole, fraction := d.digits, ""
	switch {
	case d.scale < 0:
		whole += strings.Repeat("0", -d.scale)
	case d.scale >= len(whole):
		whole, fraction = "", strings.Repeat("0", d.scale-len(whole))+whole
	case d.scale > 0:
		whole, fraction = whole[:len(whole)-d.scale], whole[len(whole)-d.scale:]
	}
	whole, fraction = strings.TrimLeft(whole, "0"), strings.TrimRight(fraction, "0")
	s := whole
	if s == "" {
		s = "0"
	}
	if fraction != "" {
		s += "." + fraction
	}
	if d.negative && s != "0" {
		s = "-" + s
	}
	return s
}

// amount is d at the given scale; the error is one of brimline's ErrAmount….
func (d decimal) amount(scale int) (brimline.Amount, error) {
	return brimline.ParseAmount(d.text(), scale)
}
